//! The list of arguments, and values that aren't there.

use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Guard, Result, Typed};
use crate::functions::Arguments;
use crate::wire::WireError;
use crate::wire::de::{Known, Source};
use crate::wire::token::Token;
use crate::wit::package::Function;
#[cfg(feature = "providers")]
use crate::wit::types::Ty;

/// A nil, on the wire.
const NIL: &[u8] = &[0xc0];

/// Where a value is read that isn't there: nil.
pub(super) fn absent<'de>() -> Source<'de> {
    Source::new(NIL)
}

/// The arguments of a call.
pub(super) struct Args<'a, 'de> {
    function: &'a Function,
    source: Source<'de>,
    guard: Guard<'a>,
    /// Where each is, if that is known.
    counted: Option<&'a Arguments>,
    /// So many were given.
    given: usize,
    /// So many were read.
    read: usize,
    under_way: Option<usize>,
}

impl<'a, 'de> Args<'a, 'de> {
    pub(super) fn new(function: &'a Function, bytes: &'de [u8], guard: Guard<'a>) -> Self {
        Args { function, source: Source::new(bytes), guard, counted: None, given: 0, read: 0, under_way: None }
    }

    /// The same, of arguments that were counted.
    pub(super) fn of(function: &'a Function, arguments: &'de Arguments, guard: Guard<'a>) -> Self
    where
        'de: 'a,
    {
        Args { counted: Some(arguments), ..Args::new(function, arguments.bytes(), guard) }
    }

    pub(super) fn under_way(&self) -> Option<usize> {
        self.under_way
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        let Token::Array(given) = self.source.reader.token()? else {
            return Err(WireError::malformed(0, "arguments are a list"));
        };
        self.given = given;
        let most = self.function.params.len();
        if given > most {
            let own = usize::from(self.function.is_method());
            let (most, given) = (most.saturating_sub(own), given.saturating_sub(own));
            let plural = if most == 1 { "" } else { "s" };
            return Err(WireError::mismatch(format_args!("takes {most} argument{plural}, got {given}")));
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        let params = self.function.params.len();
        if self.read < params {
            let read = self.read;
            return Err(WireError::mismatch(format_args!("the Rust type takes {read} of the {params} arguments")));
        }
        self.source.reader.finish()
    }

    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Option<Result<T::Value>> {
        let param = self.function.params.get(self.read)?;
        self.under_way = Some(self.read);
        let is_given = self.read < self.given;
        if let Some(counted) = self.counted.and_then(|arguments| arguments.get(self.read)) {
            let (start, end, has_handles) = (counted.start, counted.end, counted.has_handles);
            self.source.knows(Known { start, end, has_handles });
        }
        self.read += 1;
        let mut absent = absent();
        let source = if is_given { &mut self.source } else { &mut absent };
        let read = seed.deserialize(Typed { source, ty: &param.ty, guard: self.guard });
        if read.is_ok() {
            self.under_way = None;
        }
        Some(read)
    }

    #[cfg(feature = "providers")]
    pub(super) fn each<T: DeserializeSeed<'de>>(&mut self, seed: impl Fn(&'a Ty) -> T) -> Result<Vec<T::Value>> {
        let params = &self.function.params;
        params.iter().map_while(|param| self.next(seed(&param.ty))).collect()
    }

    pub(super) fn read<A: Deserialize<'de>>(&mut self) -> Result<A> {
        if self.function.params.len() != 1 {
            return A::deserialize(self);
        }
        self.next(PhantomData).unwrap_or_else(|| Err(WireError::mismatch("there is no argument")))
    }
}

/// None, or several, as a tuple.
impl<'de> Deserializer<'de> for &mut Args<'_, 'de> {
    type Error = WireError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.function.params.is_empty() { visitor.visit_unit() } else { visitor.visit_seq(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value> {
        Err(WireError::mismatch(format_args!("the Rust type is the struct {name}; arguments are a tuple")))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for &mut Args<'_, 'de> {
    type Error = WireError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.next(seed).transpose()
    }
}
