//! Whether a component has the functions of a WIT that somebody wrote down, with the same types. Names of types don't matter,
//! for a component need not keep them; names of fields and cases do.

use std::fmt::Display;

use crate::error::Error;
use crate::wit::{Function, Package, Ty};

/// Holds what a component has against what is wanted.
pub(super) fn check(wanted: &Package, had: &Package) -> Result<(), Error> {
    let (one, other) = (wanted.id(), had.id());
    if one != other {
        return Err(Error::usage_error(format!(
            "the WIT is of the package {one}, the provider's component of {other}"
        )));
    }
    let mut wrong = Vec::new();
    for function in wanted.interfaces.iter().flat_map(|interface| &interface.functions) {
        let mut all = had.interfaces.iter().flat_map(|interface| &interface.functions);
        match all.find(|other| other.grant == function.grant) {
            None => wrong.push(format!("{} is in the WIT, but the component doesn't export it", function.grant)),
            Some(other) => wrong.extend(compare(function, other).err().map(|difference| {
                format!("{} is `{function}` in the WIT and `{other}` in the component: {difference}", function.grant)
            })),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::usage_error(wrong.join("; "))) }
}

fn compare(wanted: &Function, had: &Function) -> Result<(), String> {
    let (one, other) = (wanted.params.len(), had.params.len());
    if one != other {
        return Err(format!("{one} parameters there, {other} here"));
    }
    for (one, other) in wanted.params.iter().zip(&had.params) {
        let (one_name, other_name) = (&one.name.kebab, &other.name.kebab);
        if one_name != other_name {
            return Err(format!("the parameter {one_name} there, {other_name} here"));
        }
        alike(&one.ty, &other.ty).map_err(|place| place.said(one_name))?;
    }
    maybe(wanted.result.as_ref(), had.result.as_ref()).map_err(|place| place.said("result"))
}

/// Where two types differ, innermost part first, and what they are there.
struct Place {
    path: Vec<String>,
    said: String,
}

impl Place {
    fn new(one: impl Display, other: impl Display) -> Place {
        Place { path: Vec::new(), said: format!("{one} there, {other} here") }
    }

    fn within(mut self, part: impl Into<String>) -> Place {
        self.path.push(part.into());
        self
    }

    fn said(mut self, root: &str) -> String {
        self.path.push(root.to_owned());
        self.path.reverse();
        format!("{} is {}", self.path.join("."), self.said)
    }
}

fn maybe(one: Option<&Ty>, other: Option<&Ty>) -> Result<(), Place> {
    match (one, other) {
        (None, None) => Ok(()),
        (Some(one), Some(other)) => alike(one, other),
        (Some(one), None) => Err(Place::new(one, "nothing")),
        (None, Some(other)) => Err(Place::new("nothing", other)),
    }
}

fn alike(one: &Ty, other: &Ty) -> Result<(), Place> {
    /// Parts by name, in their order.
    fn parts<'a>(
        one: impl ExactSizeIterator<Item = (&'a str, Option<&'a Ty>)> + Clone,
        other: impl ExactSizeIterator<Item = (&'a str, Option<&'a Ty>)> + Clone,
    ) -> Result<(), Place> {
        let names = |all: Vec<&str>| format!("{{{}}}", all.join(", "));
        let (one_names, other_names): (Vec<_>, Vec<_>) =
            (one.clone().map(|part| part.0).collect(), other.clone().map(|part| part.0).collect());
        if one_names != other_names {
            return Err(Place::new(names(one_names), names(other_names)));
        }
        one.zip(other).try_for_each(|((name, one), (_, other))| maybe(one, other).map_err(|place| place.within(name)))
    }
    match (one.peeled(), other.peeled()) {
        (Ty::Bool, Ty::Bool)
        | (Ty::F32, Ty::F32)
        | (Ty::F64, Ty::F64)
        | (Ty::Char, Ty::Char)
        | (Ty::String, Ty::String)
        | (Ty::Bytes, Ty::Bytes) => Ok(()),
        (Ty::Int(one), Ty::Int(other)) if one == other => Ok(()),
        (Ty::List(one), Ty::List(other)) => alike(one, other).map_err(|place| place.within("item")),
        (Ty::Option(one), Ty::Option(other)) => alike(one, other),
        (Ty::Map(one), Ty::Map(other)) => {
            alike(&one.0, &other.0).map_err(|place| place.within("key"))?;
            alike(&one.1, &other.1).map_err(|place| place.within("value"))
        }
        (Ty::Tuple(one), Ty::Tuple(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(&**other).enumerate();
            pairs.try_for_each(|(index, (one, other))| {
                alike(one, other).map_err(|place| place.within(index.to_string()))
            })
        }
        (Ty::Result(one), Ty::Result(other)) => {
            maybe(one.ok.as_ref(), other.ok.as_ref()).map_err(|place| place.within("ok"))?;
            maybe(one.err.as_ref(), other.err.as_ref()).map_err(|place| place.within("err"))
        }
        (Ty::Record(one), Ty::Record(other)) | (Ty::Flags(one), Ty::Flags(other)) => parts(
            one.fields.iter().map(|field| (field.name.kebab.as_str(), Some(&field.ty))),
            other.fields.iter().map(|field| (field.name.kebab.as_str(), Some(&field.ty))),
        ),
        (Ty::Variant(one), Ty::Variant(other)) | (Ty::Enum(one), Ty::Enum(other)) => parts(
            one.cases.iter().map(|case| (case.name.kebab.as_str(), case.ty.as_ref())),
            other.cases.iter().map(|case| (case.name.kebab.as_str(), case.ty.as_ref())),
        ),
        (Ty::Own(one), Ty::Own(other)) | (Ty::Borrow(one), Ty::Borrow(other)) if one.name.kebab == other.name.kebab => {
            Ok(())
        }
        (one, other) => Err(Place::new(one, other)),
    }
}
