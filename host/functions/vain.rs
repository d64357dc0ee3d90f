//! Grants that allow no call of the functions there are: a name that none of them has, or a pattern that no argument fits.

use std::borrow::Cow;

use super::{Functions, HostFunction};
use crate::grant::{FunctionName, Grant};
use crate::wit::Ty;

/// How far a name may be from what was meant, in letters changed.
const FAR: usize = 3;

impl Functions {
    /// Why a grant allows no call, if so.
    pub(crate) fn vain(&self, grant: &Grant) -> Option<String> {
        let mut reason = None;
        for function in self.all.iter().filter(|function| grant.names(&function.name())) {
            let never = grant.arguments().find_map(|(name, text)| function.never(name, text))?;
            reason.get_or_insert(never);
        }
        reason.or_else(|| self.none(grant))
    }

    /// That no function has such a name, if so.
    fn none(&self, grant: &Grant) -> Option<String> {
        if self.all.iter().any(|function| grant.names(&function.name())) {
            return None;
        }
        let text = grant.to_string();
        let name = text.split_once('[').map_or(text.as_str(), |(name, _)| name);
        let grants = self.all.iter().flat_map(|function| {
            let FunctionName { namespace, package, interface, .. } = function.name();
            let all = format!("{namespace}:{package}/");
            [function.shown.to_string(), format!("{all}{interface}.*"), format!("{all}*")]
        });
        Some(format!("there is no host function {name} here{}", meant(name, grants)))
    }
}

impl HostFunction {
    /// Why no call has an argument that fits, if none can.
    fn never(&self, name: &str, text: Option<&str>) -> Option<String> {
        let texts = self.described.params.iter().filter(|param| matches!(param.ty.peeled(), Ty::String | Ty::Bytes));
        let names =
            texts.map(|param| param.name.kebab.clone()).chain(self.derived.iter().map(|more| more.name.clone()));
        let names: Vec<String> = names.collect();
        if !names.iter().any(|known| known == name) {
            let meant = meant(name, names);
            return Some(format!("{} has no argument {name} that is text{meant}", self.shown));
        }
        let derived = self.derived.iter().find(|derived| derived.name == name)?;
        let text = text?;
        let read = (derived.read)(text)?;
        (read != text).then(|| format!("{name} is never {text:?}: did you mean [{name}={read}]?"))
    }
}

/// What may have been meant, as the end of a sentence.
fn meant(name: &str, known: impl IntoIterator<Item = String>) -> Cow<'static, str> {
    let start = name.trim_end_matches('*');
    let far = |known: &String| if known.starts_with(start) { 0 } else { strsim::osa_distance(name, known) };
    let near = known.into_iter().map(|known| (far(&known), known)).filter(|(far, _)| *far <= FAR).min();
    near.map_or(Cow::Borrowed(""), |(_, known)| Cow::Owned(format!(": did you mean {known}?")))
}
