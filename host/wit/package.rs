//! What a WIT text says: a package, its interfaces, their functions.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use semver::Version;

use super::WitError;
use super::names::Name;
use super::types::Ty;

/// One WIT package: one host module, `require("@namespace/name")`.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) namespace: String,
    pub(crate) name: Name,
    /// 0.0.0 where the text names none.
    pub(crate) version: Version,
    pub(crate) docs: String,
    /// In the order of the text, as all that is in them.
    pub(crate) interfaces: Vec<Interface>,
}

#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) name: Name,
    pub(crate) docs: String,
    /// With those of its resources.
    pub(crate) functions: Vec<Arc<Function>>,
    /// Those that it names itself; each has a [`def`](Ty::def).
    pub(crate) types: Vec<Ty>,
    pub(crate) resources: Vec<Arc<Resource>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// `new` for a constructor.
    pub(crate) name: Name,
    /// What a grant names: `acme:crm/contacts.find-customer`, `acme:crm/contacts.session.query`.
    pub(crate) grant: String,
    /// As a script calls it: `crm.find_customer`, `crm.session.new`, `crm.session:query`.
    pub(crate) called: String,
    pub(crate) docs: String,
    /// A method's first is its resource.
    pub(crate) params: Vec<Param>,
    pub(crate) result: Option<Ty>,
    /// What the WIT says. It changes nothing: every call may wait.
    pub(crate) is_async: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) name: Name,
    pub(crate) ty: Ty,
}

/// Where a function stands in its module.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// In the module's table.
    Plain,
    /// `new` in the table of the resource's name, in the module's table.
    Constructor(Arc<Resource>),
    /// On the resource's handles.
    Method(Arc<Resource>),
    /// In the table of the resource's name, in the module's table.
    Static(Arc<Resource>),
}

/// What handles are of.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) name: Name,
    pub(crate) docs: String,
    pub(crate) interface: Arc<str>,
    /// `acme:crm/contacts@1.2.0.session`: no two resources have the same.
    pub(crate) id: String,
}

impl Function {
    /// Whether the error of its `result` is a `string`.
    pub(crate) fn raises_text(&self) -> bool {
        match self.result.as_ref().map(Ty::peeled) {
            Some(Ty::Result(either)) => matches!(either.err.as_ref().map(Ty::peeled), Some(Ty::String)),
            _ => false,
        }
    }

    pub(crate) fn is_method(&self) -> bool {
        matches!(self.kind, Kind::Method(_))
    }

    /// The interface that it is in, as grants have it.
    pub(crate) fn interface(&self) -> &str {
        self.within().0
    }

    /// Its name in the interface, as grants have it: `find-customer`, `session.query`.
    pub(crate) fn local_name(&self) -> &str {
        self.within().1
    }

    fn within(&self) -> (&str, &str) {
        let within = self.grant.split_once('/').map_or(self.grant.as_str(), |(_, within)| within);
        within.split_once('.').unwrap_or((within, ""))
    }
}

/// As the WIT has it: `find-customer: func(name: string) -> option<customer>`.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}func(", self.name.kebab, if self.is_async { "async " } else { "" })?;
        for (index, param) in self.params.iter().skip(usize::from(self.is_method())).enumerate() {
            write!(f, "{}{}: {}", if index > 0 { ", " } else { "" }, param.name.kebab, param.ty)?;
        }
        f.write_str(")")?;
        self.result.iter().try_for_each(|ty| write!(f, " -> {ty}"))
    }
}

impl Package {
    /// `acme:crm@1.2.0`.
    pub(crate) fn id(&self) -> String {
        format!("{}:{}@{}", self.namespace, self.name.kebab, self.version)
    }
}

/// A package under one of the names that `require` knows it by, after the `@`.
pub(crate) struct Module<'a> {
    pub(crate) name: String,
    pub(crate) package: &'a Package,
}

/// The modules of some packages, by name: `acme/crm@1` for each major version, and `acme/crm` for the lowest.
///
/// # Errors
/// Two packages have the same name and major version.
pub(crate) fn modules<P: Borrow<Package>>(packages: &[P]) -> Result<Vec<Module<'_>>, WitError> {
    let mut modules: BTreeMap<String, &Package> = BTreeMap::new();
    for package in packages.iter().map(Borrow::borrow) {
        let name = format!("{}/{}", package.namespace, package.name.kebab);
        if let Some(other) = modules.insert(format!("{name}@{}", package.version.major), package) {
            let (one, other) = (other.id(), package.id());
            let message = format!("{one} and {other} would both be the module @{name}@{}", package.version.major);
            return Err(WitError::new(None, format!("{message}: give one of them, or another major version")));
        }
        let lowest = modules.entry(name).or_insert(package);
        if package.version.major < lowest.version.major {
            *lowest = package;
        }
    }
    Ok(modules.into_iter().map(|(name, package)| Module { name, package }).collect())
}
