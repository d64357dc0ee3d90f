//! Lists, maps, tuples, records and cases that are being written.

use serde::Serialize;

use super::{Result, Typed};
use crate::wire::WireError;
use crate::wire::ser::{Table, tables};
use crate::wire::token::{Reader, Token};
use crate::wit::mismatch::one_of;
use crate::wit::types::{Case, Either, FIELDS_MAX, Int, Record, Ty, Variant};

pub(crate) enum Shape<'t> {
    Any,
    Bytes,
    List(&'t Ty),
    Tuple(&'t [Ty]),
    Map(&'t (Ty, Ty)),
    /// With whether it is flags.
    Record(&'t Record, bool),
    /// Of a Rust type that isn't an enum, with the case once it is known.
    Tagged(&'t Variant, Option<&'t Case>),
    /// Likewise; with the side once it is known.
    Sided(&'t Either, Option<&'static str>),
}

pub(crate) struct Compound<'a, 't> {
    table: Table<'a>,
    shape: Shape<'t>,
    /// A bit for each field that was written.
    seen: [u64; FIELDS_MAX / 64],
    /// Where the next field is likely to be found.
    next: usize,
    /// What the last key of a map says of its value: the name that errors have for it, and its type.
    current: Option<(&'t str, Option<&'t Ty>)>,
}

impl<'a, 't> Compound<'a, 't> {
    pub(super) fn new(table: Table<'a>, shape: Shape<'t>) -> Self {
        Compound { table, shape, seen: [0; FIELDS_MAX / 64], next: 0, current: None }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        let (ty, raw) = match self.shape {
            Shape::List(item) => (item, false),
            Shape::Bytes => (&Ty::Int(Int::U8), true),
            Shape::Tuple(items) => match items.get(self.table.written) {
                Some(item) => (item, false),
                None => {
                    return Err(WireError::mismatch(format_args!(
                        "the WIT has {} items, the Rust type gave more",
                        items.len()
                    )));
                }
            },
            _ => return self.table.item(value),
        };
        self.table.written += 1;
        let start = self.table.state.writer.len();
        let typed = Typed { state: self.table.state, ty: Some(ty), whole: None, raw };
        value.serialize(typed).map_err(|error| error.in_item(self.table.written))?;
        // In Luau the list would end there.
        if let (Shape::List(_), [0xc0]) = (&self.shape, self.table.state.writer.since(start)) {
            return Err(WireError::mismatch("nil in a list").in_item(self.table.written));
        }
        Ok(())
    }

    /// Writes the key of a record, variant or result, and finds what its value is to be.
    fn name(&mut self, name: &str) -> Result<(&'t str, Option<&'t Ty>)> {
        let (key, ty) = match &mut self.shape {
            Shape::Record(record, _) => {
                let (before, after) = record.fields.split_at_checked(self.next).unwrap_or_default();
                let mut likely = after.iter().chain(before);
                let from = likely.position(|field| field.name.snake == name || field.name.luau == name);
                let index = from.map(|from| (from + self.next) % record.fields.len().max(1));
                let Some((index, field)) = index.and_then(|index| Some((index, record.fields.get(index)?))) else {
                    let names: Vec<_> = record.fields.iter().map(|field| field.name.snake.as_str()).collect();
                    let names = one_of(&names, "");
                    return Err(WireError::mismatch(format_args!("the WIT has {names}, the Rust type gave {name}")));
                };
                self.next = index + 1;
                let bit = 1 << (index % 64);
                match self.seen.get_mut(index / 64) {
                    Some(word) if *word & bit == 0 => *word |= bit,
                    _ => return Err(WireError::mismatch(format_args!("the field {name} twice"))),
                }
                (field.name.luau.as_str(), Some(&field.ty))
            }
            Shape::Tagged(_, None) if name == "tag" => ("tag", None),
            Shape::Tagged(_, Some(case)) if name == "value" && case.ty.is_some() => ("value", case.ty.as_ref()),
            Shape::Tagged(_, None) => return Err(WireError::mismatch("the tag of a variant comes first")),
            Shape::Sided(either, side @ None) if name == "ok" => {
                *side = Some("ok");
                ("ok", either.ok.as_ref())
            }
            Shape::Sided(either, side @ None) if name == "err" => {
                *side = Some("err");
                ("err", either.err.as_ref())
            }
            _ => return Err(WireError::mismatch(format_args!("the WIT has no {name}"))),
        };
        self.table.state.writer.string(key.as_bytes())?;
        Ok((key, ty))
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
        if let Shape::Any = self.shape {
            return self.table.field(name, value);
        }
        self.table.written += 1;
        let (key, ty) = self.name(name)?;
        self.named(key, ty, value)
    }

    fn named<T: Serialize + ?Sized>(&mut self, key: &str, ty: Option<&'t Ty>, value: &T) -> Result {
        let state = &mut *self.table.state;
        if let Some(ty) = ty {
            return value.serialize(Typed::part(state, ty)).map_err(|error| error.in_field(key));
        }
        let start = state.writer.len();
        match &mut self.shape {
            Shape::Tagged(variant, found) => {
                value.serialize(Typed::part(state, &Ty::String)).map_err(|error| error.in_field(key))?;
                let said = string(state.writer.since(start))?;
                let case = Typed::part(state, &Ty::String).case(variant, &said).map_err(|error| error.in_field(key))?;
                *found = Some(case);
                state.writer.truncate(start);
                state.writer.string(case.name.snake.as_bytes())
            }
            _ => {
                value.serialize(Typed::part(state, &Ty::Bool)).map_err(|error| error.in_field(key))?;
                match Reader::new(state.writer.since(start)).token()? {
                    Token::Boolean(true) => Ok(()),
                    _ => Err(WireError::mismatch("the WIT has nothing, which is true").in_field(key)),
                }
            }
        }
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        match self.shape {
            Shape::Any => self.table.key(key),
            Shape::Map(entry) => {
                self.table.written += 1;
                let start = self.table.state.writer.len();
                key.serialize(Typed::part(self.table.state, &entry.0))?;
                self.table.key = start..self.table.state.writer.len();
                Ok(())
            }
            _ => {
                self.table.written += 1;
                let start = self.table.state.writer.len();
                key.serialize(Typed::part(self.table.state, &Ty::String))?;
                let name = string(self.table.state.writer.since(start))?;
                self.table.state.writer.truncate(start);
                self.current = Some(self.name(&name)?);
                Ok(())
            }
        }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        match self.shape {
            Shape::Any => self.table.value(value),
            Shape::Map(entry) => {
                let (key, start) = (self.table.key.clone(), self.table.state.writer.len());
                let written = value.serialize(Typed::part(self.table.state, &entry.1));
                let written = written.and_then(|()| match self.table.state.writer.since(start) {
                    [0xc0] => Err(WireError::mismatch("nil, which no key can have in Luau")),
                    _ => Ok(()),
                });
                written.map_err(|error| {
                    let key = self.table.state.writer.since(key.start).get(..key.len()).unwrap_or_default();
                    error.under_key(key)
                })
            }
            _ => match self.current.take() {
                Some((key, ty)) => self.named(key, ty, value),
                None => Err(WireError::mismatch("a value without its key")),
            },
        }
    }

    /// What has to be there, is.
    fn close(self) -> Result {
        let missing = |name: &str| Err(WireError::mismatch(format_args!("the Rust type gave no {name}")));
        match self.shape {
            Shape::Record(record, false) => {
                let seen = |index: usize| self.seen.get(index / 64).is_some_and(|word| word & 1 << (index % 64) != 0);
                let mut fields = record.fields.iter().enumerate();
                if let Some((_, field)) = fields.find(|(index, field)| !seen(*index) && !field.ty.takes_nil()) {
                    return missing(&field.name.snake);
                }
            }
            Shape::Tagged(_, None) => return missing("tag"),
            Shape::Tagged(_, Some(Case { ty: Some(ty), .. })) if self.table.written < 2 && !ty.takes_nil() => {
                return missing("value");
            }
            Shape::Sided(_, None) => return missing("ok or err"),
            Shape::Tuple(items) if self.table.written < items.len() => {
                return Err(WireError::mismatch(format_args!(
                    "the WIT has {} items, the Rust type gave fewer",
                    items.len()
                )));
            }
            _ => (),
        }
        self.table.close()
    }
}

/// The string that was just written.
fn string(bytes: &[u8]) -> Result<String> {
    match Reader::new(bytes).token()? {
        Token::String(name) => Ok(String::from_utf8_lossy(name).into_owned()),
        token => Err(WireError::mismatch(format_args!("{} as a name", token.name()))),
    }
}

tables!(Compound<'_, '_>);
