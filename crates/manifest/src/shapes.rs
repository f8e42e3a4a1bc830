//! The tree of fields of RegisterTaskDefinition and CreateService, as AWS defines them; never
//! written by hand: `shapes.json` is generated from AWS's own service model.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// What AWS accepts at one place of an input.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Shape {
    Structure {
        members: BTreeMap<String, Shape>,
    },
    List {
        member: Box<Shape>,
    },
    Map {
        value: Box<Shape>,
    },
    String {
        /// The values known when the file was generated; AWS may know more.
        #[serde(default, rename = "enum")]
        known: Vec<String>,
    },
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Timestamp,
    Document,
    Blob,
}

impl Shape {
    /// The member of a structure, if this is one that has it.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Structure { members } => members.get(name),
            _ => None,
        }
    }

    /// The names of the members of a structure.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let members = match self {
            Self::Structure { members } => Some(members),
            _ => None,
        };
        members.into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }
}

/// The two operations whose inputs manifests carry.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Shapes {
    pub(crate) register_task_definition: Shape,
    pub(crate) create_service: Shape,
}

pub(crate) fn shapes() -> &'static Shapes {
    static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
        serde_json::from_str(include_str!("shapes.json"))
            .expect("shapes.json is part of the program and a test reads it")
    });
    &SHAPES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_nested_members_of_both_inputs() {
        let shapes = shapes();
        let container = match shapes.register_task_definition.member("containerDefinitions") {
            Some(Shape::List { member }) => member,
            other => panic!("containerDefinitions is {other:?}"),
        };
        assert!(matches!(container.member("image"), Some(Shape::String { .. })));
        let configuration = shapes.create_service.member("deploymentConfiguration").unwrap();
        assert!(matches!(configuration.member("maximumPercent"), Some(Shape::Integer)));
    }
}
