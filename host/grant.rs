//! The permission to call host functions, by their WIT names (P1): what a grant is, which calls it allows, and when one
//! grant is within another, so that a list can only shrink when it is passed on (P2). A call that no grant allows is denied.
//!
//! Reading one is `parse`, writing one is `text`, lists are `list`.

mod error;
mod glob;
mod list;
mod parse;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;
pub use error::GrantError;
pub(crate) use error::escaped;
use glob::Glob;
pub(crate) use list::{Decision, Narrowed};
pub use list::{Grants, GrantsError, NotCovered};

/// Permission to call host functions, by their WIT names.
///
/// ```text
/// *                                 every function there is
/// motu:kv/*                         every function of the package motu:kv, whatever its version
/// motu:kv@1/*                       the same, of major version 1 only
/// motu:kv/store.*                   every function of the interface store
/// motu:kv/store.get                 one function
/// motu:kv/*.get                     the function get of every interface
/// motu:net/tcp.socket.send          a method of a resource; socket.* is all of its methods
/// motu:kv/store.get[scope=notes-*]  one function, if its argument scope begins with notes-
/// ```
///
/// So it is `namespace:package`, `@` and a major version if only that one is meant, `/`, the interface, `.`, the function. In
/// place of the namespace, the package, the interface, the function or the method, `*` stands for all. Names are written as
/// in WIT, in kebab-case, but without `%`; case matters. A resource's constructor is called `new` (`motu:net/tcp.socket.new`).
///
/// Then, each in brackets, what arguments must be like: a name, `=` and a pattern, in which `*` stands for any run of
/// characters, also none, and everything else for itself; `\` before `*`, `\` or `]` takes away their meaning. All the
/// patterns must fit. A function that has no such argument, or a call that gives it no value, is not granted, even by
/// `[scope=*]`. Nor is one whose argument has more than 8,192 bytes.
///
/// A grant is read from text (`"motu:kv/*".parse()`, or serde) and shown as text. Two ways to write the same are equal, and
/// are shown alike: `*:*/*` is `*`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    namespace: Name,
    package: Name,
    /// `None` is any.
    major: Option<u64>,
    interface: Name,
    function: Function,
    /// In the order of their names, each name once.
    arguments: Arguments,
}

/// What the arguments of a call must be like: all of it.
type Arguments = Arc<[Argument]>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Any,
    Is(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Function {
    Any,
    /// A function, or `resource.method`.
    Is(Box<str>),
    /// `resource.*`
    MethodsOf(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Argument {
    name: Box<str>,
    pattern: Glob,
}

/// A host function by its WIT name. Shown, it is also the grant of just this function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionName<'a> {
    /// `motu` in `motu:kv`.
    pub namespace: &'a str,
    /// `kv` in `motu:kv`.
    pub package: &'a str,
    /// The first number of the package's version; 0 for a package without one.
    pub major: u64,
    /// The interface.
    pub interface: &'a str,
    /// The function. `socket.send` for a method, or a static function, of a resource, and `socket.new` for its constructor.
    pub function: &'a str,
}

impl Grant {
    /// The longest text of a grant, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// How many arguments a grant may name.
    pub const ARGUMENTS_MAX: usize = 8;

    /// Whether every call that `other` allows is allowed by this one. Exact but for names: `*` is within `*` alone, whatever
    /// names there are.
    pub fn covers(&self, other: &Grant) -> bool {
        self.function.covers(&other.function)
            && self.interface.covers(&other.interface)
            && self.package.covers(&other.package)
            && self.namespace.covers(&other.namespace)
            && (self.major.is_none() || self.major == other.major)
            && self.arguments.iter().all(|argument| {
                let same = |inner: &&Argument| inner.name == argument.name;
                other.arguments.iter().find(same).is_some_and(|inner| argument.pattern.covers(&inner.pattern))
            })
    }

    /// The arguments that it is narrowed by: their names, and the pieces of their patterns between `*`.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&str, &[Box<str>])> {
        self.arguments.iter().map(|argument| (&*argument.name, argument.pattern.pieces()))
    }

    /// Whether it is about functions of the package that has this one.
    pub(crate) fn names_package(&self, function: &FunctionName<'_>) -> bool {
        self.package.is(function.package) && self.namespace.is(function.namespace)
    }

    /// Whether it is about this function, whatever the arguments.
    pub(crate) fn names(&self, function: &FunctionName<'_>) -> bool {
        self.function.is(function.function)
            && self.interface.is(function.interface)
            && self.names_package(function)
            && self.major.is_none_or(|major| major == function.major)
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Grant, GrantError> {
        parse::grant(text)
    }
}

impl From<FunctionName<'_>> for Grant {
    /// The grant of every call of just this function, whatever the version.
    fn from(name: FunctionName<'_>) -> Grant {
        Grant {
            namespace: Name::Is(name.namespace.into()),
            package: Name::Is(name.package.into()),
            major: None,
            interface: Name::Is(name.interface.into()),
            function: Function::Is(name.function.into()),
            arguments: Arguments::default(),
        }
    }
}

impl From<GrantError> for Error {
    fn from(error: GrantError) -> Error {
        Error::usage_error(error.to_string())
    }
}

impl From<GrantsError> for Error {
    fn from(error: GrantsError) -> Error {
        Error::usage_error(error.to_string())
    }
}

impl Name {
    fn is(&self, name: &str) -> bool {
        match self {
            Name::Any => true,
            Name::Is(this) => **this == *name,
        }
    }

    fn covers(&self, other: &Name) -> bool {
        *self == Name::Any || self == other
    }
}

impl Function {
    fn is(&self, name: &str) -> bool {
        match self {
            Function::Any => true,
            Function::Is(this) => **this == *name,
            Function::MethodsOf(resource) => is_method(resource, name),
        }
    }

    fn covers(&self, other: &Function) -> bool {
        match (self, other) {
            (Function::Any, _) => true,
            (Function::MethodsOf(resource), Function::Is(name)) => is_method(resource, name),
            _ => self == other,
        }
    }
}

fn is_method(resource: &str, name: &str) -> bool {
    name.strip_prefix(resource).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a call's arguments are as they must be.
fn fit<'v>(arguments: &[Argument], value_of: &dyn Fn(&str) -> Option<Cow<'v, str>>) -> bool {
    arguments.iter().all(|argument| value_of(&argument.name).is_some_and(|value| argument.pattern.matches(&value)))
}

impl fmt::Display for FunctionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FunctionName { namespace, package, major, interface, function } = self;
        write!(f, "{namespace}:{package}@{major}/{interface}.{function}")
    }
}
