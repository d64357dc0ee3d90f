//! The records and enums of the WIT. What they mean stands there.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parts {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) millisecond: u16,
    pub(crate) weekday: u8,
    pub(crate) day_of_year: u16,
    pub(crate) offset: i32,
    pub(crate) zone: String,
    pub(crate) dst: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DateTime {
    pub(crate) year: i32,
    pub(crate) month: i32,
    pub(crate) day: i32,
    pub(crate) hour: Option<i32>,
    pub(crate) minute: Option<i32>,
    pub(crate) second: Option<i32>,
    pub(crate) millisecond: Option<i32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) year: Option<i32>,
    pub(crate) month: Option<i32>,
    pub(crate) day: Option<i32>,
    pub(crate) hour: Option<i32>,
    pub(crate) minute: Option<i32>,
    pub(crate) second: Option<i32>,
    pub(crate) millisecond: Option<i32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Disambiguation {
    #[default]
    Compatible,
    Earlier,
    Later,
    Reject,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) years: Option<f64>,
    pub(crate) months: Option<f64>,
    pub(crate) weeks: Option<f64>,
    pub(crate) days: Option<f64>,
    pub(crate) hours: Option<f64>,
    pub(crate) minutes: Option<f64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) milliseconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Period {
    Year,
    Month,
    Week,
    Day,
}
