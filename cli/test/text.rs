//! Text for people's terminals and for reports.

pub(crate) use crate::report::{is_unseen, one_line, plain, time};
