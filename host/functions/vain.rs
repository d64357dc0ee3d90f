//! Grants that allow no call of the functions there are: a name that none of them has, or a pattern that no argument fits. Runs
//! nothing of an embedder's.

use std::borrow::Cow;

use super::{Functions, HostFunction};
use crate::grant::{FunctionName, Grant};
use crate::wit::Ty;

/// How many letters of a name may differ from what was meant, as in `guest/globals.cpp`.
const FAR: usize = 2;

impl Functions {
    /// Why a grant allows no call, if so.
    pub(crate) fn vain(&self, grant: &Grant) -> Option<String> {
        let mut reason = None;
        for function in self.all.iter().filter(|function| grant.names(&function.name())) {
            let never = grant.arguments().find_map(|(name, pieces)| function.never(name, pieces))?;
            reason.get_or_insert(never);
        }
        reason.or_else(|| Some(self.none(grant)))
    }

    /// Whether there is the package that a grant names, in any version.
    pub(crate) fn has_package(&self, grant: &Grant) -> bool {
        self.all.iter().any(|function| grant.names_package(&function.name()))
    }

    /// That no function has such a name.
    fn none(&self, grant: &Grant) -> String {
        let text = grant.to_string();
        let name = text.split_once('[').map_or(text.as_str(), |(name, _)| name);
        let grants = self.all.iter().flat_map(|function| {
            let FunctionName { namespace, package, interface, .. } = function.name();
            let all = format!("{namespace}:{package}/");
            [function.shown.to_string(), format!("{all}{interface}.*"), format!("{all}*")]
        });
        format!("there is no host function {name} here{}", meant(name, grants))
    }
}

impl HostFunction {
    /// Why no call has an argument that fits, if none can.
    fn never(&self, name: &str, pieces: &[Box<str>]) -> Option<String> {
        let texts = self.described.params.iter().filter(|param| matches!(param.ty.peeled(), Ty::String | Ty::Bytes));
        let derived = self.narrowing.derived.iter().map(|derived| derived.name.clone());
        let names: Vec<String> = texts.map(|param| param.name.kebab.clone()).chain(derived).collect();
        if !names.iter().any(|known| known == name) {
            let meant = meant(name, names);
            return Some(format!("{} has no argument {name} that is text{meant}", self.shown));
        }
        self.narrowing.never.and_then(|never| never(name, pieces))
    }
}

/// What may have been meant, as the end of a sentence.
fn meant(name: &str, known: impl IntoIterator<Item = String>) -> Cow<'static, str> {
    let start = name.trim_end_matches('*');
    let most = FAR.min(name.len() / 3);
    let far = |known: String| match known.starts_with(start) {
        true => Some((0, known)),
        false if known.len().abs_diff(name.len()) > most => None,
        false => Some((strsim::osa_distance(name, &known), known)).filter(|(far, _)| *far <= most),
    };
    let near = known.into_iter().filter_map(far).min();
    near.map_or(Cow::Borrowed(""), |(_, known)| Cow::Owned(format!(": did you mean {known}?")))
}
