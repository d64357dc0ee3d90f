//! The types of a WIT text, from first to last: each is made of types before it, so nothing recurses.

use std::collections::HashSet;
use std::sync::Arc;

use wit_parser::{self as wit, Handle, InterfaceId, Span, Type, TypeDef, TypeDefKind, TypeId, TypeOwner};

use super::{Reading, Result, docs, start};
use crate::wit::names::Name;
use crate::wit::package::Resource;
use crate::wit::types::{
    Alias, Case, Def, Either, FIELDS_MAX, Field, Int, Record, TYPE_DEPTH_MAX, TYPE_SIZE_MAX, Ty, Variant,
};

/// By the index of their ids, which count from 0.
pub(super) struct Types {
    built: Vec<Built>,
}

enum Built {
    Type(Bounded),
    Resource(Arc<Resource>),
    /// A type without a name that can't be; said where it is used.
    Refused(String),
}

/// A type, with what bounds it.
#[derive(Clone)]
struct Bounded {
    ty: Ty,
    depth: usize,
    size: usize,
    /// Whether there is a borrowed handle in it.
    borrows: bool,
}

impl Built {
    fn bounded(self) -> Made<Built> {
        match &self {
            Built::Type(ty) if ty.depth > TYPE_DEPTH_MAX => {
                Err(format!("more than {TYPE_DEPTH_MAX} types in each other: make it flatter"))
            }
            Built::Type(ty) if ty.size > TYPE_SIZE_MAX => {
                Err(format!("written out it has more than {TYPE_SIZE_MAX} parts: make it smaller"))
            }
            _ => Ok(self),
        }
    }
}

/// Why a type can't be, yet without a place.
type Made<T> = std::result::Result<T, String>;

impl Types {
    pub(super) fn build(reading: &Reading<'_>, foreign: Option<InterfaceId>) -> Result<Types> {
        let mut types = Types { built: Vec::with_capacity(reading.package.types.len()) };
        for (_, def) in reading.package.types.iter() {
            let built = match types.build_one(reading, def, foreign).and_then(Built::bounded) {
                Ok(built) => built,
                Err(message) if def.name.is_none() => Built::Refused(message),
                Err(message) => {
                    let name = def.name.as_deref().unwrap_or_default();
                    return Err(reading.at(types.blamed(def), format!("{name}: {message}")));
                }
            };
            types.built.push(built);
        }
        Ok(types)
    }

    /// The field or case that can't be, else the type.
    fn blamed(&self, def: &TypeDef) -> Span {
        let parts: Vec<(Span, Option<&Type>)> = match &def.kind {
            TypeDefKind::Record(record) => record.fields.iter().map(|field| (field.span, Some(&field.ty))).collect(),
            TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| (case.span, case.ty.as_ref())).collect(),
            _ => Vec::new(),
        };
        let refused = parts.into_iter().find(|(_, ty)| ty.is_some_and(|ty| self.sized(ty).is_err()));
        refused.map_or(def.span, |(span, _)| span)
    }

    fn build_one(&self, reading: &Reading<'_>, def: &TypeDef, foreign: Option<InterfaceId>) -> Made<Built> {
        let owner = match def.owner {
            TypeOwner::Interface(interface) => Some(interface),
            TypeOwner::World(_) | TypeOwner::None => None,
        };
        if let TypeDefKind::Unknown = def.kind {
            return match def.name.as_deref() {
                Some("value") if owner == foreign => Ok(Built::Type(scalar(Ty::Any))),
                _ => Err("motu:value/types has only the type `value`".to_owned()),
            };
        }
        let interface: Arc<str> = owner
            .and_then(|interface| reading.package.interfaces.get(interface)?.name.as_deref())
            .unwrap_or_default()
            .into();
        if let TypeDefKind::Type(ty) = &def.kind {
            return self.alias(reading, def, ty, owner, interface);
        }
        if let TypeDefKind::Resource = def.kind {
            let name = Name::new(def.name.as_deref().unwrap_or_default());
            let package = &reading.package.name;
            let id = format!("{}.{}", package.interface_id(&interface), name.kebab);
            return Ok(Built::Resource(Arc::new(Resource { docs: docs(&def.docs), interface, id, name })));
        }
        let named = def.name.as_deref().map(|name| Def { name: Name::new(name), interface, docs: docs(&def.docs) });
        let sized = match named {
            // `type ids = list<u64>` comes as a list with a name.
            Some(def_of) => match &def.kind {
                TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => {
                    self.named(&def.kind, def_of)?
                }
                kind => self.structural(kind)?.aliased(def_of),
            },
            None => self.structural(&def.kind)?,
        };
        Ok(Built::Type(sized))
    }

    /// Another name; or, from another interface, the same type under `use`.
    fn alias(
        &self,
        reading: &Reading<'_>,
        def: &TypeDef,
        ty: &Type,
        owner: Option<InterfaceId>,
        interface: Arc<str>,
    ) -> Made<Built> {
        let Type::Id(id) = ty else {
            let def = self.def(def, interface);
            return Ok(Built::Type(self.sized(ty)?.aliased(def)));
        };
        if let Some(Built::Resource(resource)) = self.built.get(id.index()) {
            return Ok(Built::Resource(resource.clone()));
        }
        let sized = self.sized(ty)?;
        let other = reading.package.types.get(*id).map(|other| other.owner);
        let used = matches!(other, Some(TypeOwner::Interface(other)) if Some(other) != owner);
        Ok(Built::Type(if used { sized } else { sized.aliased(self.def(def, interface)) }))
    }

    fn def(&self, def: &TypeDef, interface: Arc<str>) -> Def {
        Def { name: Name::new(def.name.as_deref().unwrap_or_default()), interface, docs: docs(&def.docs) }
    }

    fn named(&self, kind: &TypeDefKind, def: Def) -> Made<Bounded> {
        let mut sum = Sum::default();
        let ty = match kind {
            TypeDefKind::Record(record) => {
                let fields: Vec<_> =
                    record.fields.iter().map(|field| (&field.name, &field.docs, Some(&field.ty))).collect();
                Ty::Record(Arc::new(self.record(def, &fields, &mut sum)?))
            }
            TypeDefKind::Flags(flags) => {
                let fields: Vec<_> = flags.flags.iter().map(|flag| (&flag.name, &flag.docs, None)).collect();
                Ty::Flags(Arc::new(self.record(def, &fields, &mut sum)?))
            }
            TypeDefKind::Variant(variant) => {
                let cases: Vec<_> =
                    variant.cases.iter().map(|case| (&case.name, &case.docs, case.ty.as_ref())).collect();
                Ty::Variant(Arc::new(self.variant(def, &cases, &mut sum)?))
            }
            TypeDefKind::Enum(enumeration) => {
                let cases: Vec<_> = enumeration.cases.iter().map(|case| (&case.name, &case.docs, None)).collect();
                Ty::Enum(Arc::new(self.variant(def, &cases, &mut sum)?))
            }
            other => return Err(format!("a {} has no meaning here", other.as_str())),
        };
        Ok(sum.of(ty))
    }

    fn record(&self, def: Def, parts: &[Part<'_>], sum: &mut Sum) -> Made<Record> {
        if parts.len() > FIELDS_MAX {
            return Err(format!("more than {FIELDS_MAX} names: split it"));
        }
        let mut seen = HashSet::new();
        let mut fields = Vec::with_capacity(parts.len());
        for (name, about, ty) in parts {
            let name = Name::new(name);
            if !seen.insert(name.luau.clone()) {
                return Err(format!("two names would both be `{}` in Luau: rename one", name.luau));
            }
            let ty =
                ty.map_or(Ok(scalar(Ty::Bool)), |ty| self.sized(ty)).map_err(|why| format!("{}: {why}", name.kebab))?;
            fields.push(Field { name, docs: docs(about), ty: sum.add(ty) });
        }
        Ok(Record { def, fields })
    }

    fn variant(&self, def: Def, parts: &[Part<'_>], sum: &mut Sum) -> Made<Variant> {
        let mut seen = HashSet::new();
        let mut cases = Vec::with_capacity(parts.len());
        for (name, about, ty) in parts {
            let name = Name::new(name);
            // The Rust name too: `a-1` and `a1` would both be `A1`.
            if !seen.insert(name.pascal.clone()) {
                return Err(format!("two names would both be `{}` in Rust: rename one", name.pascal));
            }
            let ty = ty.map(|ty| self.sized(ty)).transpose().map_err(|why| format!("{}: {why}", name.kebab))?;
            sum.size = sum.size.saturating_add(1);
            cases.push(Case { name, docs: docs(about), ty: ty.map(|ty| sum.add(ty)) });
        }
        Ok(Variant { def, cases })
    }

    fn structural(&self, kind: &TypeDefKind) -> Made<Bounded> {
        let mut sum = Sum::default();
        let ty = match kind {
            TypeDefKind::List(item) => {
                let item = self.sized(item)?;
                match item.ty.peeled() {
                    Ty::Int(Int::U8) => Ty::Bytes,
                    Ty::Option(_) => {
                        return Err(
                            "a list of options ends at its first nil in Luau: put the option in a record".to_owned()
                        );
                    }
                    _ => Ty::List(Arc::new(sum.add(item))),
                }
            }
            TypeDefKind::Map(key, value) => {
                let (key, value) = (self.sized(key)?, self.sized(value)?);
                if !matches!(key.ty.peeled(), Ty::String | Ty::Char | Ty::Int(_)) {
                    return Err(format!("a map can be keyed by a string, a char or an integer, not by {}", key.ty));
                }
                if matches!(value.ty.peeled(), Ty::Option(_)) {
                    return Err("in Luau a key whose value is nil isn't there: put the option in a record".to_owned());
                }
                Ty::Map(Arc::new((sum.add(key), sum.add(value))))
            }
            TypeDefKind::Tuple(tuple) => {
                let items: Made<Vec<Ty>> = tuple.types.iter().map(|item| Ok(sum.add(self.sized(item)?))).collect();
                Ty::Tuple(items?.into())
            }
            TypeDefKind::Option(inner) => {
                let inner = self.sized(inner)?;
                if inner.ty.takes_nil() {
                    return Err(format!("in an option of {}, nil has two meanings: take one of them away", inner.ty));
                }
                Ty::Option(Arc::new(sum.add(inner)))
            }
            TypeDefKind::Result(result) => {
                let ok = result.ok.as_ref().map(|ty| self.sized(ty)).transpose()?;
                let err = result.err.as_ref().map(|ty| self.sized(ty)).transpose()?;
                Ty::Result(Arc::new(Either { ok: ok.map(|ty| sum.add(ty)), err: err.map(|ty| sum.add(ty)) }))
            }
            TypeDefKind::Handle(Handle::Own(id)) => Ty::Own(self.resource_at(*id)?),
            TypeDefKind::Handle(Handle::Borrow(id)) => {
                sum.borrows = true;
                Ty::Borrow(self.resource_at(*id)?)
            }
            TypeDefKind::FixedLengthList(..) => {
                return Err("a list of fixed length has no meaning in Luau: use a list or a tuple".to_owned());
            }
            TypeDefKind::Future(_) | TypeDefKind::Stream(_) => {
                let message = "can't cross: return the value, or a resource with a method that gives the next one";
                return Err(format!("a {} {message}", kind.as_str()));
            }
            other => return Err(format!("a {} has no meaning here", other.as_str())),
        };
        Ok(sum.of(ty))
    }

    /// The type, as a part of another: there, a result must not have nil on either side.
    fn sized(&self, ty: &Type) -> Made<Bounded> {
        let sized = self.whole(ty)?;
        if let Ty::Result(either) = sized.ty.peeled() {
            let side = [&either.ok, &either.err].into_iter().flatten().find(|side| side.takes_nil());
            if let Some(side) = side {
                return Err(format!(
                    "in a {} that isn't the whole result of a function, nil for {side} would have no key: put it in a record",
                    sized.ty
                ));
            }
        }
        Ok(sized)
    }

    fn whole(&self, ty: &Type) -> Made<Bounded> {
        let int = |int| Ok(scalar(Ty::Int(int)));
        match ty {
            Type::Bool => Ok(scalar(Ty::Bool)),
            Type::U8 => int(Int::U8),
            Type::U16 => int(Int::U16),
            Type::U32 => int(Int::U32),
            Type::U64 => int(Int::U64),
            Type::S8 => int(Int::S8),
            Type::S16 => int(Int::S16),
            Type::S32 => int(Int::S32),
            Type::S64 => int(Int::S64),
            Type::F32 => Ok(scalar(Ty::F32)),
            Type::F64 => Ok(scalar(Ty::F64)),
            Type::Char => Ok(scalar(Ty::Char)),
            Type::String => Ok(scalar(Ty::String)),
            Type::ErrorContext => Err("an error-context can't cross: use a string or a variant".to_owned()),
            Type::Id(id) => match self.built.get(id.index()) {
                Some(Built::Type(sized)) => Ok(sized.clone()),
                Some(Built::Resource(resource)) => Ok(scalar(Ty::Own(resource.clone()))),
                Some(Built::Refused(message)) => Err(message.clone()),
                None => Err("the type comes before what it is made of".to_owned()),
            },
        }
    }

    fn resource_at(&self, id: TypeId) -> Made<Arc<Resource>> {
        match self.built.get(id.index()) {
            Some(Built::Resource(resource)) => Ok(resource.clone()),
            _ => Err("a handle of what is no resource".to_owned()),
        }
    }

    pub(super) fn resource(&self, reading: &Reading<'_>, id: TypeId, span: Span) -> Result<Arc<Resource>> {
        self.resource_at(id).map_err(|message| reading.at(span, message))
    }

    pub(super) fn param(&self, reading: &Reading<'_>, ty: &Type, span: Span) -> Result<Ty> {
        self.sized(ty).map(|sized| sized.ty).map_err(|message| reading.at(span, message))
    }

    pub(super) fn result(&self, reading: &Reading<'_>, ty: &Type, span: Span) -> Result<Ty> {
        let sized = self.whole(ty).map_err(|message| reading.at(span, message))?;
        if sized.borrows {
            return Err(reading.at(span, "a function can't return what it borrows: return the resource itself"));
        }
        Ok(sized.ty)
    }

    /// The types and resources that an interface names itself, in the order of the text.
    pub(super) fn of(&self, reading: &Reading<'_>, interface: &wit::Interface) -> (Vec<Ty>, Vec<Arc<Resource>>) {
        let mut ids: Vec<TypeId> = interface.types.values().copied().collect();
        ids.sort_by_key(|id| reading.package.types.get(*id).map(|def| start(def.span)));
        let (mut types, mut resources) = (Vec::new(), Vec::new());
        for id in ids {
            let name = reading.package.types.get(id).and_then(|def| def.name.as_deref());
            match self.built.get(id.index()) {
                Some(Built::Type(Bounded { ty, .. })) => {
                    let own = |def: &Def| {
                        Some(&*def.interface) == interface.name.as_deref() && Some(def.name.kebab.as_str()) == name
                    };
                    if ty.def().is_some_and(own) {
                        types.push(ty.clone());
                    }
                }
                Some(Built::Resource(resource))
                    if Some(&*resource.interface) == interface.name.as_deref()
                        && Some(resource.name.kebab.as_str()) == name =>
                {
                    resources.push(resource.clone());
                }
                _ => (),
            }
        }
        (types, resources)
    }
}

/// A field or case: its name, what is said about it, and its type.
type Part<'a> = (&'a String, &'a wit::Docs, Option<&'a Type>);

fn scalar(ty: Ty) -> Bounded {
    Sum::default().of(ty)
}

/// The bounds of a type, from its parts.
#[derive(Default)]
struct Sum {
    depth: usize,
    size: usize,
    borrows: bool,
}

impl Sum {
    fn add(&mut self, part: Bounded) -> Ty {
        self.depth = self.depth.max(part.depth);
        self.size = self.size.saturating_add(part.size);
        self.borrows |= part.borrows;
        part.ty
    }

    fn of(self, ty: Ty) -> Bounded {
        Bounded { ty, depth: self.depth + 1, size: self.size.saturating_add(1), borrows: self.borrows }
    }
}

impl Bounded {
    fn aliased(self, def: Def) -> Bounded {
        let ty = Ty::Alias(Arc::new(Alias { def, ty: self.ty }));
        Bounded { ty, depth: self.depth + 1, ..self }
    }
}
