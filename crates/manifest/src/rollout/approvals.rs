//! Which gates wait for a person's word as well; never who that person is.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::Gate;
use super::read::choice;
use crate::node::{Cursor, Kind};
use crate::problem::Report;

const NAMES: [(&str, Gate); 3] = [
    ("AfterTestTraffic", Gate::AfterTestTraffic),
    ("BeforeStep", Gate::BeforeStep),
    ("AfterProductionTraffic", Gate::AfterProductionTraffic),
];

impl Gate {
    /// Its name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterTestTraffic => "AfterTestTraffic",
            Self::BeforeStep => "BeforeStep",
            Self::AfterProductionTraffic => "AfterProductionTraffic",
        }
    }
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl JsonSchema for Gate {
    fn schema_name() -> Cow<'static, str> {
        "Gate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A gate of a rollout that moves traffic.",
            "enum": NAMES.map(|(name, _)| name),
        })
    }
}

/// The gates that are listed, each once.
pub(super) fn gates(at: &Cursor<'_>, report: &mut Report) -> Vec<Gate> {
    if !matches!(at.node.kind, Kind::List(_)) {
        let found = at.node.kind.noun();
        report.error(at, format!("expected a list of gates, found {found}"));
    }
    let mut gates = Vec::new();
    for element in at.elements() {
        match choice(&element, &NAMES, report) {
            Some(gate) if gates.contains(&gate) => {
                report.error(&element, "this gate is already in the list");
            }
            Some(gate) => gates.push(gate),
            None => {}
        }
    }
    gates
}
