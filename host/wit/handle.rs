//! Handles: what a script holds of a resource, and what Rust sees of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::wire::HANDLE;

/// A resource that a script holds: a number that means something to the script's own instance, and to nobody else.
///
/// It crosses only where a function's WIT names the resource. A script can't make one up: Motu checks that the instance
/// holds it, and that it is of the right resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u32);

/// The handles that an instance holds.
pub(crate) trait Handles {
    /// The [`id`](super::Resource::id) of the resource that a handle is of, or nothing if the instance doesn't hold it.
    fn is_of(&self, handle: u32, resource: &str) -> Held;
}

/// What an instance has under a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The resource that was asked for.
    Yes,
    /// Another one.
    Other,
    /// Nothing, or nothing any more.
    No,
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(HANDLE, &self.0)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Handle, D::Error> {
        deserializer.deserialize_newtype_struct(HANDLE, HandleVisitor)
    }
}

struct HandleVisitor;

impl Visitor<'_> for HandleVisitor {
    type Value = Handle;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handle")
    }

    fn visit_u32<E>(self, handle: u32) -> Result<Handle, E> {
        Ok(Handle(handle))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Handle, E> {
        // Only Motu's own deserializer, which has checked it, gives 32 bits.
        Err(E::invalid_type(Unexpected::Unsigned(number), &self))
    }
}
