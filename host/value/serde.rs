//! A value as a serde type: exact between Motu and scripts, where strings, buffers, integers and vectors stay apart; with any
//! other format as well as that can say it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeTupleStruct, Serializer};

use super::Value;
use crate::wire::{self, INTEGER, STRING, VALUE, VECTOR, exact_from_int};

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Nil => serializer.serialize_unit(),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Number(number) => serializer.serialize_f64(*number),
            Value::Integer(integer) => serializer.serialize_newtype_struct(INTEGER, integer),
            Value::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.serialize_newtype_struct(STRING, &Bytes(bytes)),
            },
            Value::Buffer(bytes) => serializer.serialize_bytes(bytes),
            Value::Vector(parts) => {
                let mut vector = serializer.serialize_tuple_struct(VECTOR, parts.len())?;
                parts.iter().try_for_each(|part| vector.serialize_field(part))?;
                vector.end()
            }
            Value::Array(items) => serializer.collect_seq(items),
            Value::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    if !key.is_key() {
                        return Err(S::Error::custom(format_args!("a table can't have the key {key}")));
                    }
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_newtype_struct(VALUE, Any { is_encoded: true })
    }
}

struct Any {
    /// Whether bytes are an encoded value, as our own deserializer gives it when it is asked for one. Any other takes the
    /// question for a newtype's.
    is_encoded: bool,
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that a script can have")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Any { is_encoded: false })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Any { is_encoded: false })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        match (exact_from_int(value.into()), i64::try_from(value)) {
            (Some(number), _) => Ok(Value::Number(number)),
            (None, Ok(integer)) => Ok(Value::Integer(integer)),
            (None, Err(_)) => Err(E::custom(format_args!("{value} fits neither a double nor a 64-bit integer"))),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::string(value))
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Value, E> {
        if self.is_encoded {
            return wire::decode(value).map_err(|error| E::custom(error.rooted("value")));
        }
        Ok(Value::Buffer(value.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Value, Value>()? {
            if !key.is_key() {
                return Err(A::Error::custom(format_args!("a table can't have the key {key}")));
            }
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }
}
