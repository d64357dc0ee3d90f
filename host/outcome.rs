//! What an event comes to: a value, and what it cost.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a load or an event used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Fuel: about one unit for each wasm instruction. The same script on the same input uses the same.
    pub fuel: u64,
    /// The most memory that the instance has had, in bytes: the VM, what it loaded, and what the script made.
    pub memory_bytes: u64,
    /// Wall-clock time, from the call to its answer.
    pub elapsed: Duration,
}

/// What ran the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// Luau's interpreter.
    Interpreter,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tier::Interpreter => f.write_str("interpreter"),
        }
    }
}

/// An event that was answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// What the handler returned.
    pub value: T,
    /// What ran it.
    pub tier: Tier,
    /// What it used.
    pub usage: Usage,
}
