//! Values between the wire and wasmtime, by their WIT types. The check is the one that every host function has: here serde is
//! given what wasmtime wants instead of a Rust type.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeTuple, Serializer};
use wasmtime::component::{ResourceAny, Val};

use crate::wire::HANDLE;
use crate::wit::{self, Function, Handle, Handles, Int, Mismatch, Ty};

/// Room made for a list before its items are there.
const ROOM_MAX: usize = 1024;

/// What arguments may be.
pub(super) struct Room<'a> {
    /// How many values there may still be.
    values: Cell<Option<u32>>,
    /// What a handle stands for, which is given away or lent.
    resource: &'a dyn Fn(Handle, bool) -> Option<ResourceAny>,
}

impl<'a> Room<'a> {
    pub(super) fn of(values: u32, resource: &'a dyn Fn(Handle, bool) -> Option<ResourceAny>) -> Room<'a> {
        Room { values: Cell::new(Some(values)), resource }
    }

    /// Whether there were more values than that.
    pub(super) fn is_over(&self) -> bool {
        self.values.get().is_none()
    }

    fn take<E: serde::de::Error>(&self, values: usize) -> Result<(), E> {
        let left = self.values.get().and_then(|left| left.checked_sub(u32::try_from(values).ok()?));
        self.values.set(left);
        left.map(drop).ok_or_else(|| E::custom("too many values"))
    }
}

/// The arguments of a call. When there is no room for all of them, that is a mismatch.
pub(super) fn arguments(
    function: &Function,
    bytes: &[u8],
    handles: &dyn Handles,
    room: &Room<'_>,
) -> Result<Vec<Val>, Mismatch> {
    wit::each_argument(function, bytes, handles, |ty| Wanted { ty, room })
}

/// How many values there are in one: what it costs to take it over the boundary.
pub(super) fn count(val: &Val) -> u64 {
    let inner = match val {
        Val::List(vals) | Val::Tuple(vals) => vals.iter().map(count).sum(),
        Val::Record(fields) => fields.iter().map(|(_, val)| count(val)).sum(),
        Val::Map(entries) => entries.iter().map(|(key, val)| count(key) + count(val)).sum(),
        Val::Variant(_, Some(val)) | Val::Option(Some(val)) | Val::Result(Ok(Some(val)) | Err(Some(val))) => count(val),
        _ => 0,
    };
    inner + 1
}

/// A value of this type, to be made of what was checked to be one.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    ty: &'a Ty,
    room: &'a Room<'a>,
}

impl<'a> Wanted<'a> {
    fn of(self, ty: &'a Ty) -> Wanted<'a> {
        Wanted { ty, room: self.room }
    }
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Val;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Val, D::Error> {
        self.room.take(1)?;
        match self.ty.peeled() {
            Ty::Own(_) | Ty::Borrow(_) => deserializer.deserialize_newtype_struct(HANDLE, self),
            _ => deserializer.deserialize_any(self),
        }
    }
}

/// What the check doesn't let come.
#[cold]
fn amiss<E: serde::de::Error>(ty: &Ty) -> E {
    E::custom(format_args!("no value for {ty}"))
}

fn int<E: serde::de::Error>(ty: &Ty, value: i128) -> Result<Val, E> {
    let Ty::Int(int) = ty.peeled() else { return Err(amiss(ty)) };
    let made = match int {
        Int::U8 => value.try_into().map(Val::U8),
        Int::U16 => value.try_into().map(Val::U16),
        Int::U32 => value.try_into().map(Val::U32),
        Int::U64 => value.try_into().map(Val::U64),
        Int::S8 => value.try_into().map(Val::S8),
        Int::S16 => value.try_into().map(Val::S16),
        Int::S32 => value.try_into().map(Val::S32),
        Int::S64 => value.try_into().map(Val::S64),
    };
    made.map_err(|_| amiss(ty))
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Val;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ty)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Val, E> {
        Ok(Val::Bool(value))
    }

    /// A handle: integers come as 64 bits.
    fn visit_u32<E: serde::de::Error>(self, handle: u32) -> Result<Val, E> {
        let is_given_away = matches!(self.ty.peeled(), Ty::Own(_));
        let any = (self.room.resource)(Handle(handle), is_given_away);
        any.map(Val::Resource).ok_or_else(|| E::custom("a handle that was given away"))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Val, E> {
        int(self.ty, value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Val, E> {
        int(self.ty, value.into())
    }

    fn visit_f32<E>(self, value: f32) -> Result<Val, E> {
        Ok(Val::Float32(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Val, E> {
        Ok(Val::Float64(value))
    }

    fn visit_char<E>(self, value: char) -> Result<Val, E> {
        Ok(Val::Char(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Val, E> {
        let Ty::Enum(variant) = self.ty.peeled() else { return Ok(Val::String(text.to_owned())) };
        let case = variant.cases.iter().find(|case| case.name.snake == text);
        case.map(|case| Val::Enum(case.name.kebab.clone())).ok_or_else(|| amiss(self.ty))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Val, E> {
        self.room.take(bytes.len())?;
        Ok(Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect()))
    }

    fn visit_none<E>(self) -> Result<Val, E> {
        Ok(Val::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Val, D::Error> {
        let Ty::Option(inner) = self.ty.peeled() else { return Err(amiss(self.ty)) };
        Ok(Val::Option(Some(Box::new(self.of(inner).deserialize(deserializer)?))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Val, A::Error> {
        let mut vals = Vec::with_capacity(items.size_hint().unwrap_or_default().min(ROOM_MAX));
        match self.ty.peeled() {
            Ty::List(item) => {
                while let Some(val) = items.next_element_seed(self.of(item))? {
                    vals.push(val);
                }
                Ok(Val::List(vals))
            }
            Ty::Tuple(types) => {
                for ty in types.iter() {
                    vals.push(items.next_element_seed(self.of(ty))?.ok_or_else(|| amiss(self.ty))?);
                }
                Ok(Val::Tuple(vals))
            }
            _ => Err(amiss(self.ty)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Val, A::Error> {
        match self.ty.peeled() {
            Ty::Record(record) => {
                let mut vals: Vec<Option<Val>> = record.fields.iter().map(|_| None).collect();
                while let Some(Text(name)) = entries.next_key()? {
                    let found = record.fields.iter().zip(&mut vals).find(|(field, _)| field.name.snake == name);
                    let (field, place) = found.ok_or_else(|| amiss(self.ty))?;
                    *place = Some(entries.next_value_seed(self.of(&field.ty))?);
                }
                let named = record.fields.iter().zip(vals);
                let all: Option<Vec<_>> = named.map(|(field, val)| Some((field.name.kebab.clone(), val?))).collect();
                all.map(Val::Record).ok_or_else(|| amiss(self.ty))
            }
            Ty::Flags(flags) => {
                let mut set: Vec<bool> = flags.fields.iter().map(|_| false).collect();
                while let Some(Text(name)) = entries.next_key()? {
                    let found = flags.fields.iter().zip(&mut set).find(|(field, _)| field.name.snake == name);
                    *found.ok_or_else(|| amiss(self.ty))?.1 = entries.next_value()?;
                }
                let named = flags.fields.iter().zip(set).filter(|(_, set)| *set);
                Ok(Val::Flags(named.map(|(field, _)| field.name.kebab.clone()).collect()))
            }
            Ty::Map(entry) => {
                let mut vals = Vec::with_capacity(entries.size_hint().unwrap_or_default().min(ROOM_MAX));
                while let Some(key) = entries.next_key_seed(self.of(&entry.0))? {
                    vals.push((key, entries.next_value_seed(self.of(&entry.1))?));
                }
                Ok(Val::Map(vals))
            }
            Ty::Variant(variant) => {
                entries.next_key::<Text>()?; // the tag
                let Text(tag) = entries.next_value()?;
                let case = variant.cases.iter().find(|case| case.name.snake == tag).ok_or_else(|| amiss(self.ty))?;
                let payload = match &case.ty {
                    Some(ty) => {
                        entries.next_key::<Text>()?; // the value
                        Some(Box::new(entries.next_value_seed(self.of(ty))?))
                    }
                    None => None,
                };
                Ok(Val::Variant(case.name.kebab.clone(), payload))
            }
            Ty::Result(either) => {
                let side = entries.next_key()?;
                let (is_ok, ty) = match side.as_ref().map(|Text(side)| side.as_str()) {
                    Some("ok") => (true, &either.ok),
                    Some("err") => (false, &either.err),
                    _ => return Err(amiss(self.ty)),
                };
                let val = match ty {
                    Some(ty) => Some(Box::new(entries.next_value_seed(self.of(ty))?)),
                    None => {
                        entries.next_value::<bool>()?;
                        None
                    }
                };
                Ok(Val::Result(if is_ok { Ok(val) } else { Err(val) }))
            }
            _ => Err(amiss(self.ty)),
        }
    }
}

/// A key, or a tag.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        String::deserialize(deserializer).map(Text)
    }
}

/// A value that a component gave, of this type; nothing, of no type.
pub(super) struct Given<'a> {
    ty: Option<&'a Ty>,
    val: Option<&'a Val>,
}

impl<'a> Given<'a> {
    /// The result of a call.
    pub(super) fn result(function: &'a Function, results: &'a [Val]) -> Given<'a> {
        Given { ty: function.result.as_ref(), val: results.first() }
    }

    fn of(ty: &'a Ty, val: &'a Val) -> Given<'a> {
        Given { ty: Some(ty), val: Some(val) }
    }
}

impl Serialize for Given<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (ty, val) = match (self.ty, self.val) {
            (Some(ty), Some(val)) => (ty, val),
            (None, None) => return to.serialize_unit(),
            _ => return Err(S::Error::custom("a value of no type, or none of one")),
        };
        match (ty.peeled(), val) {
            (Ty::Own(_), Val::U32(handle)) => Handle(*handle).serialize(to), // see `resource::open`
            (_, Val::Bool(value)) => to.serialize_bool(*value),
            (_, Val::U8(value)) => to.serialize_u8(*value),
            (_, Val::U16(value)) => to.serialize_u16(*value),
            (_, Val::U32(value)) => to.serialize_u32(*value),
            (_, Val::U64(value)) => to.serialize_u64(*value),
            (_, Val::S8(value)) => to.serialize_i8(*value),
            (_, Val::S16(value)) => to.serialize_i16(*value),
            (_, Val::S32(value)) => to.serialize_i32(*value),
            (_, Val::S64(value)) => to.serialize_i64(*value),
            (_, Val::Float32(value)) => to.serialize_f32(*value),
            (_, Val::Float64(value)) => to.serialize_f64(*value),
            (_, Val::Char(value)) => to.serialize_char(*value),
            (_, Val::String(text) | Val::Enum(text)) => to.serialize_str(text),
            (Ty::Bytes, Val::List(vals)) => {
                let byte = |val: &Val| if let Val::U8(byte) = val { Some(*byte) } else { None };
                let bytes: Option<Vec<u8>> = vals.iter().map(byte).collect();
                to.serialize_bytes(&bytes.ok_or_else(|| S::Error::custom("a list of something else than bytes"))?)
            }
            (Ty::List(item), Val::List(vals)) => to.collect_seq(vals.iter().map(|val| Given::of(item, val))),
            (Ty::Tuple(types), Val::Tuple(vals)) if types.len() == vals.len() => {
                let mut tuple = to.serialize_tuple(vals.len())?;
                types.iter().zip(vals).try_for_each(|(ty, val)| tuple.serialize_element(&Given::of(ty, val)))?;
                tuple.end()
            }
            (Ty::Map(entry), Val::Map(vals)) => {
                to.collect_map(vals.iter().map(|(key, val)| (Given::of(&entry.0, key), Given::of(&entry.1, val))))
            }
            (Ty::Record(record), Val::Record(vals)) if record.fields.len() == vals.len() => {
                let named = record.fields.iter().zip(vals);
                to.collect_map(named.map(|(field, (_, val))| (&field.name.snake, Given::of(&field.ty, val))))
            }
            (Ty::Flags(flags), Val::Flags(set)) => {
                to.collect_map(flags.fields.iter().map(|field| (&field.name.snake, set.contains(&field.name.kebab))))
            }
            (Ty::Variant(variant), Val::Variant(name, payload)) => {
                let case = variant.cases.iter().find(|case| case.name.kebab == *name);
                let mut map = to.serialize_map(Some(1 + usize::from(payload.is_some())))?;
                map.serialize_entry("tag", name)?;
                if let (Some(payload), Some(ty)) = (payload, case.and_then(|case| case.ty.as_ref())) {
                    map.serialize_entry("value", &Given::of(ty, payload))?;
                }
                map.end()
            }
            (Ty::Option(_), Val::Option(None)) => to.serialize_none(),
            (Ty::Option(inner), Val::Option(Some(val))) => to.serialize_some(&Given::of(inner, val)),
            (Ty::Result(either), Val::Result(Ok(val))) => {
                to.serialize_newtype_variant("Result", 0, "Ok", &Given { ty: either.ok.as_ref(), val: val.as_deref() })
            }
            (Ty::Result(either), Val::Result(Err(val))) => to.serialize_newtype_variant(
                "Result",
                1,
                "Err",
                &Given { ty: either.err.as_ref(), val: val.as_deref() },
            ),
            _ => Err(S::Error::custom(format_args!("what the component gave is no {ty}"))),
        }
    }
}
