//! What a script says of a schedule.

use super::due::Missed;
use super::schedule::Schedule;

/// The longest name of a schedule or an event, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// When what is dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) expression: String,
    /// The zone's name.
    pub(crate) zone: String,
    /// The name of the event.
    pub(crate) event: String,
    /// A value, encoded, that comes with the event.
    pub(crate) payload: Vec<u8>,
    pub(crate) missed: Missed,
}

impl Plan {
    /// When it runs.
    ///
    /// # Errors
    /// As [`Schedule::parse`], or the event's name is empty or too long.
    pub(crate) fn schedule(&self) -> Result<Schedule, String> {
        check_name("event", &self.event)?;
        Schedule::parse(&self.expression, &self.zone)
    }

    /// Whether it runs at the same instants, as far as one can see.
    pub(crate) fn runs_as(&self, other: &Plan) -> bool {
        self.expression == other.expression && self.zone == other.zone
    }

    /// What it takes beside its name.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.expression.len().saturating_add(self.zone.len()).saturating_add(self.event.len());
        texts.saturating_add(self.payload.len())
    }
}

/// # Errors
/// The name is empty, longer than [`NAME_BYTES_MAX`], or has control characters.
pub(crate) fn check_name(of: &str, name: &str) -> Result<(), String> {
    match name.len() {
        1..=NAME_BYTES_MAX if name.chars().any(char::is_control) => {
            Err(format!("the {of}'s name {name:?} has control characters: take another"))
        }
        1..=NAME_BYTES_MAX => Ok(()),
        bytes => Err(format!("the {of}'s name has 1 to {NAME_BYTES_MAX} bytes, this one has {bytes}: take another")),
    }
}
