//! Who an instance runs for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A tenant: `kind:id`, as in `guild:42` or `user:7`. The owner of state, grants and limits. In serde's formats, that text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tenant {
    name: Arc<str>,
    /// Where the colon is.
    colon: usize,
}

impl Tenant {
    /// The longest name of a tenant, kind and id together, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// What comes before the colon: lower-case letters, digits, `-` and `_`.
    pub fn kind(&self) -> &str {
        self.name.get(..self.colon).unwrap_or_default()
    }

    /// What comes after it: any text without control characters.
    pub fn id(&self) -> &str {
        self.name.get(self.colon + 1..).unwrap_or_default()
    }
}

impl FromStr for Tenant {
    type Err = Error;

    fn from_str(name: &str) -> Result<Tenant, Error> {
        let refuse =
            |why: &str| Err(Error::usage_error(format!("the tenant {name:?} {why}; write kind:id, as in user:7")));
        let Some(colon) = name.find(':') else { return refuse("has no colon") };
        let (kind, id) = (name.get(..colon).unwrap_or_default(), name.get(colon + 1..).unwrap_or_default());
        let in_kind = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if kind.is_empty() || !kind.chars().all(in_kind) {
            return refuse("has a kind of other characters than a-z, 0-9, - and _");
        }
        if id.is_empty() || id.chars().any(char::is_control) {
            return refuse("has no id, or control characters in it");
        }
        if name.len() > Self::BYTES_MAX {
            return refuse(&format!("is longer than {} bytes", Self::BYTES_MAX));
        }
        Ok(Tenant { name: name.into(), colon })
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> String {
        tenant.name.as_ref().to_owned()
    }
}

impl TryFrom<String> for Tenant {
    type Error = Error;

    fn try_from(name: String) -> Result<Tenant, Error> {
        name.parse()
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.name)
    }
}
