//! A grant as text, in the one way of writing it that all others are equal to; and so it crosses serde.

use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Argument, Function, Grant, Grants, GrantsError, Name};

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grant { namespace, package, major, interface, function, arguments } = self;
        let everything = matches!(
            (namespace, package, major, interface, function),
            (Name::Any, Name::Any, None, Name::Any, Function::Any)
        );
        if everything && arguments.is_empty() {
            return f.write_char('*');
        }
        write!(f, "{namespace}:{package}")?;
        if let Some(major) = major {
            write!(f, "@{major}")?;
        }
        write!(f, "/{interface}")?;
        match (interface, function) {
            (Name::Any, Function::Any) => (),
            (_, Function::Any) => f.write_str(".*")?,
            (_, Function::Is(name)) => write!(f, ".{name}")?,
            (_, Function::MethodsOf(resource)) => write!(f, ".{resource}.*")?,
        }
        arguments.iter().try_for_each(|argument| write!(f, "{argument}"))
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}=", self.name)?;
        for (index, piece) in self.pattern.pieces().iter().enumerate() {
            if index > 0 {
                f.write_char('*')?;
            }
            for c in piece.chars() {
                if matches!(c, '*' | '\\' | ']') {
                    f.write_char('\\')?;
                }
                f.write_char(c)?;
            }
        }
        f.write_char(']')
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Any => f.write_char('*'),
            Name::Is(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?})", self.to_string())
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Grant, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Grant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a grant, such as \"motu:kv/store.get\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Grant, E> {
        text.parse().map_err(E::custom)
    }
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Grants, D::Error> {
        deserializer.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Grants;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of grants, such as [\"motu:kv/store.get\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Grants, A::Error> {
        let mut grants = Vec::new();
        while let Some(grant) = items.next_element()? {
            if grants.len() == Grants::LEN_MAX {
                return Err(A::Error::custom(GrantsError::TooMany));
            }
            grants.push(grant);
        }
        Ok(grants.into_iter().collect())
    }
}
