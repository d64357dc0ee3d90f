//! Lists of grants: what a tenant or an instance may call, asked at each call or once for a function, and what of it may be
//! passed on.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::Shown;
use super::{Argument, Arguments, FunctionName, Grant, GrantError, fit};

/// What may be called: whatever one of these grants allows, and nothing else. The default allows nothing. Cheap to clone.
///
/// Collecting grants into it takes all of them; only lists that are read, by [`Grants::parse`] or serde, have a ceiling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants(Arc<[Grant]>);

/// What [`Grants`] say about one function, to be kept for its next calls. It knows nothing of grants that are set or taken
/// away later: whoever keeps it drops it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No call is allowed.
    Denied,
    /// Every call is.
    Granted,
    /// The arguments decide.
    Narrowed(Narrowed),
}

/// What the arguments of a function must be like, one way or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed(Arc<[Arguments]>);

/// A list of grants can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantsError {
    /// One of them can't.
    #[error("number {} in the list of grants: {error}", index.saturating_add(1))]
    Grant {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        error: GrantError,
    },
    /// There are more than [`Grants::LEN_MAX`].
    #[error("the list has more than {} grants: write wider ones, such as motu:kv/*", Grants::LEN_MAX)]
    TooMany,
}

/// A grant can't be passed on: whoever passes it on may not do all that it allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grant {} can't be passed on: {}", Shown::start(&grant.to_string()), beyond(*held))]
pub struct NotCovered {
    grant: Grant,
    index: usize,
    held: usize,
}

impl NotCovered {
    /// The first grant of the list that isn't covered.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Where in the list it is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }
}

fn beyond(count: usize) -> Cow<'static, str> {
    match count {
        0 => "no grant is held".into(),
        1 => "it goes beyond the only grant that is held".into(),
        _ => format!("it goes beyond each of the {count} grants that are held").into(),
    }
}

impl Grants {
    /// How many grants a list that is read may have.
    pub const LEN_MAX: usize = 1000;

    /// Reads a list of grants; [`Grant`] says how each is written.
    ///
    /// # Errors
    ///
    /// The first that can't be read, or there are more than [`Grants::LEN_MAX`].
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Grants, GrantsError> {
        let mut grants = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            if index == Grants::LEN_MAX {
                return Err(GrantsError::TooMany);
            }
            grants.push(text.as_ref().parse().map_err(|error| GrantsError::Grant { index, error })?);
        }
        Ok(Grants(grants.into()))
    }

    /// Whether a call of the function is allowed.
    ///
    /// `value_of` gives the value of an argument as text, the very value that the function will get; `None` if there is no such
    /// argument, or its value has no text. It is asked only where a grant of this function depends on it, perhaps more than
    /// once. The time is linear: for each grant of this function that has patterns, some 2 ns for each byte of their values. So
    /// whoever calls bounds the values.
    pub fn allows<'v>(&self, function: &FunctionName<'_>, value_of: &dyn Fn(&str) -> Option<Cow<'v, str>>) -> bool {
        self.0.iter().any(|grant| grant.names(function) && fit(&grant.arguments, value_of))
    }

    /// What these grants say about a function, whatever the arguments of its calls will be.
    pub fn of(&self, function: &FunctionName<'_>) -> Decision {
        let named = || self.0.iter().filter(|grant| grant.names(function));
        if named().any(|grant| grant.arguments.is_empty()) {
            return Decision::Granted;
        }
        let ways: Arc<[Arguments]> = named().map(|grant| grant.arguments.clone()).collect();
        if ways.is_empty() { Decision::Denied } else { Decision::Narrowed(Narrowed(ways)) }
    }

    /// The wanted list, if whoever has this one may pass it on: each wanted grant is covered by one of these.
    ///
    /// Each of one list may be held against each of the other, at 10 ns or so, but 6 us for the longest patterns: where a script
    /// asks for it, bound its list well under [`Grants::LEN_MAX`].
    ///
    /// # Errors
    ///
    /// The first wanted grant that isn't.
    pub fn narrowed_to(&self, wanted: &Grants) -> Result<Grants, NotCovered> {
        if Arc::ptr_eq(&self.0, &wanted.0) {
            return Ok(wanted.clone()); // all of it is passed on
        }
        let is_beyond = |wanted: &Grant| !self.0.iter().any(|grant| grant.covers(wanted));
        match wanted.0.iter().position(is_beyond).and_then(|index| Some((index, wanted.0.get(index)?))) {
            None => Ok(wanted.clone()),
            Some((index, grant)) => Err(NotCovered { grant: grant.clone(), index, held: self.0.len() }),
        }
    }

    /// The grants, in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Grant> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Decision {
    /// Whether a call with these arguments is allowed; `value_of` is as for [`Grants::allows`].
    pub fn allows<'v>(&self, value_of: &dyn Fn(&str) -> Option<Cow<'v, str>>) -> bool {
        match self {
            Decision::Denied => false,
            Decision::Granted => true,
            Decision::Narrowed(Narrowed(ways)) => ways.iter().any(|arguments| fit(arguments, value_of)),
        }
    }
}

impl Narrowed {
    /// The names of the arguments that one of the ways depends on, by its index; none beyond the last.
    pub(crate) fn names(&self, way: usize) -> Option<impl Iterator<Item = &str>> {
        self.0.get(way).map(|arguments| arguments.iter().map(|argument| &*argument.name))
    }

    /// The first argument that doesn't fit one of the ways, by its index: its name, and what it must be like, for people.
    pub(crate) fn misfit<'v>(
        &self,
        way: usize,
        value_of: &dyn Fn(&str) -> Option<Cow<'v, str>>,
    ) -> Option<(&str, String)> {
        let unfit = |argument: &&Argument| !fit(std::slice::from_ref(*argument), value_of);
        let argument = self.0.get(way)?.iter().find(unfit)?;
        Some((&argument.name, Shown::start(&argument.to_string()).to_string()))
    }

    /// Whether one of the ways fits, by its index.
    pub(crate) fn fits<'v>(&self, way: usize, value_of: &dyn Fn(&str) -> Option<Cow<'v, str>>) -> bool {
        self.0.get(way).is_some_and(|arguments| fit(arguments, value_of))
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Grants {
        Grants(grants.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Grants {
    type Item = &'a Grant;
    type IntoIter = std::slice::Iter<'a, Grant>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
