//! The types of a WIT text, resolved: no ids, no cycles, bounded in depth and size.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::names::Name;
use super::package::Resource;

/// Types in types, at most: the depth of recursion over them.
pub(crate) const TYPE_DEPTH_MAX: usize = 64;

/// Parts of a type, written out, at most: fields, cases, items.
pub(crate) const TYPE_SIZE_MAX: usize = 4096;

/// Fields of a record or names of flags, at most.
pub(crate) const FIELDS_MAX: usize = 256;

/// A type. What is shared is shared, so a clone is cheap.
#[derive(Clone, Debug)]
pub(crate) enum Ty {
    Bool,
    Int(Int),
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    /// `value` of `motu:value/types`.
    Any,
    List(Arc<Ty>),
    /// Keyed by a string, a char or an integer.
    Map(Arc<(Ty, Ty)>),
    Tuple(Arc<[Ty]>),
    /// Of what is never nil itself.
    Option(Arc<Ty>),
    Result(Arc<Either>),
    Record(Arc<Record>),
    /// A record of booleans.
    Flags(Arc<Record>),
    Variant(Arc<Variant>),
    /// A variant whose cases have no payload.
    Enum(Arc<Variant>),
    Own(Arc<Resource>),
    Borrow(Arc<Resource>),
    /// Another name for a type.
    Alias(Arc<Alias>),
}

/// Where a type's name comes from.
#[derive(Clone, Debug)]
pub(crate) struct Def {
    pub(crate) name: Name,
    pub(crate) interface: Arc<str>,
    pub(crate) docs: String,
}

#[derive(Debug)]
pub(crate) struct Alias {
    pub(crate) def: Def,
    pub(crate) ty: Ty,
}

#[derive(Debug)]
pub(crate) struct Either {
    pub(crate) ok: Option<Ty>,
    pub(crate) err: Option<Ty>,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) def: Def,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Name,
    pub(crate) docs: String,
    pub(crate) ty: Ty,
}

#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) def: Def,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: Name,
    pub(crate) docs: String,
    pub(crate) ty: Option<Ty>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Int {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
}

impl Int {
    pub(crate) fn range(self) -> (i128, i128) {
        match self {
            Int::U8 => (0, u8::MAX.into()),
            Int::U16 => (0, u16::MAX.into()),
            Int::U32 => (0, u32::MAX.into()),
            Int::U64 => (0, u64::MAX.into()),
            Int::S8 => (i8::MIN.into(), i8::MAX.into()),
            Int::S16 => (i16::MIN.into(), i16::MAX.into()),
            Int::S32 => (i32::MIN.into(), i32::MAX.into()),
            Int::S64 => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Int::U8 => "u8",
            Int::U16 => "u16",
            Int::U32 => "u32",
            Int::U64 => "u64",
            Int::S8 => "s8",
            Int::S16 => "s16",
            Int::S32 => "s32",
            Int::S64 => "s64",
        }
    }
}

impl Ty {
    /// The type itself, whatever other names it has.
    pub(crate) fn peeled(&self) -> &Ty {
        let mut ty = self;
        while let Ty::Alias(alias) = ty {
            ty = &alias.ty;
        }
        ty
    }

    /// Whether it is `value`: anything that crosses.
    pub(crate) fn is_any(&self) -> bool {
        matches!(self.peeled(), Ty::Any)
    }

    /// Whether nil is one of its values.
    pub(crate) fn takes_nil(&self) -> bool {
        matches!(self.peeled(), Ty::Option(_) | Ty::Any)
    }

    /// Where its name comes from, if it has one.
    pub(crate) fn def(&self) -> Option<&Def> {
        match self {
            Ty::Alias(alias) => Some(&alias.def),
            Ty::Record(record) | Ty::Flags(record) => Some(&record.def),
            Ty::Variant(variant) | Ty::Enum(variant) => Some(&variant.def),
            _ => None,
        }
    }
}

/// As the WIT has it.
impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(def) = self.def() {
            return f.write_str(&def.name.kebab);
        }
        match self {
            Ty::Bool => f.write_str("bool"),
            Ty::Int(int) => f.write_str(int.name()),
            Ty::F32 => f.write_str("f32"),
            Ty::F64 => f.write_str("f64"),
            Ty::Char => f.write_str("char"),
            Ty::String => f.write_str("string"),
            Ty::Bytes => f.write_str("list<u8>"),
            Ty::Any => f.write_str("value"),
            Ty::List(item) => write!(f, "list<{item}>"),
            Ty::Map(entry) => write!(f, "map<{}, {}>", entry.0, entry.1),
            Ty::Tuple(items) => {
                f.write_str("tuple<")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
                }
                f.write_char('>')
            }
            Ty::Option(inner) => write!(f, "option<{inner}>"),
            Ty::Result(either) => match (&either.ok, &either.err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            },
            Ty::Own(resource) => f.write_str(&resource.name.kebab),
            Ty::Borrow(resource) => write!(f, "borrow<{}>", resource.name.kebab),
            Ty::Record(_) | Ty::Flags(_) | Ty::Variant(_) | Ty::Enum(_) | Ty::Alias(_) => Ok(()),
        }
    }
}
