//! What WIT promises at the boundary: what is refused and how that is said, what crosses and as what, what editors see.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod arguments;
mod fit;
mod hostile;
mod luau;
mod parsing;
mod random;
mod results;
mod speed;

use std::sync::Arc;

use super::handle::Held;
use super::package::{Function, Package};
use super::{Handles, parse};
use crate::value::Value;

pub(super) const ALL: &str = include_str!("tests/all.wit");

/// The handles 1 to 3 are sessions, 4 is something else.
pub(super) struct Some3;

impl Handles for Some3 {
    fn is_of(&self, handle: u32, resource: &str) -> Held {
        match handle {
            1..=3 if resource == "acme:crm/contacts@1.2.0.session" => Held::Yes,
            1..=4 => Held::Other,
            _ => Held::No,
        }
    }
}

pub(super) fn function(package: &Package, called: &str) -> Arc<Function> {
    let mut all = package.interfaces.iter().flat_map(|interface| &interface.functions);
    all.find(|function| function.called == called).unwrap_or_else(|| panic!("no {called}")).clone()
}

/// The function `f` of an interface with these items, in a module `t`.
pub(super) fn of(items: &str) -> Arc<Function> {
    let package = parse(&format!("package a:t;\ninterface i {{ {items} }}")).unwrap();
    function(&package, "t.f")
}

pub(super) fn wire(arguments: &[Value]) -> Vec<u8> {
    Value::Array(arguments.to_vec()).encode().unwrap()
}

pub(super) fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::from(pairs)
}
