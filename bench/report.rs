//! What a measurement comes to, as a table for people and as JSON.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// One line of the report: Motu and its peer, in one unit.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    /// The line that it stands under in the table.
    pub(crate) group: String,
    pub(crate) name: String,
    /// Set for the figures that are followed from release to release: only these are in the JSON.
    pub(crate) id: Option<String>,
    pub(crate) motu: f64,
    pub(crate) peer: f64,
    pub(crate) unit: String,
    /// The ratio that Motu is held to.
    pub(crate) goal: Option<f64>,
}

impl Row {
    pub(crate) fn new(group: &str, name: &str, motu: f64, peer: f64, unit: &str) -> Row {
        Row { group: group.into(), name: name.into(), id: None, motu, peer, unit: unit.into(), goal: None }
    }

    pub(crate) fn id(mut self, id: &str) -> Row {
        self.id = Some(id.into());
        self
    }

    pub(crate) fn goal(mut self, ratio: f64) -> Row {
        self.goal = Some(ratio);
        self
    }

    /// None when the peer has nothing of the kind: a ratio to zero says nothing.
    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.peer > 0.005).then(|| self.motu / self.peer)
    }

    /// Whether the ratio is above the goal. Rows without a goal never are.
    pub(crate) fn is_over(&self) -> bool {
        self.ratio().zip(self.goal).is_some_and(|(ratio, goal)| ratio > goal)
    }
}

pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut group = "";
    let _ = writeln!(text, "{:48}{:>10}{:>10}{:>8}{:>8}  id", "", "motu", "native", "ratio", "goal");
    for row in rows {
        if row.group != group {
            group = &row.group;
            let _ = writeln!(text, "{group}");
        }
        let name = format!("  {}, {}", row.name, row.unit);
        let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_else(|| "-".into());
        let goal = row.goal.map(|goal| format!("{goal:.2}")).unwrap_or_default();
        let id = row.id.as_deref().unwrap_or_default();
        let line = format!("{name:48}{:>10.2}{:>10.2}{ratio:>8}{goal:>8}  {id}", row.motu, row.peer);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

pub(crate) fn json(rows: &[Row]) -> anyhow::Result<String> {
    let listed: Vec<_> = rows
        .iter()
        .filter(|row| row.id.is_some())
        .map(|row| {
            serde_json::json!({
                "id": row.id, "motu": row.motu, "peer": row.peer, "ratio": row.ratio(), "unit": row.unit,
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&listed)?)
}
