//! What the tests of this crate share: manifests and a scripted cloud; never used outside of tests.

use std::sync::Arc;

use evenkeel_manifest::{Digest, Document, Metadata, Rollout, Service, ServiceKey, Source};
use serde_json::json;

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("main", name)
}

/// A service whose content is told apart by `version`.
pub(crate) fn service(name: &str, version: &str) -> Service {
    let digest = Digest::from_tag(format!("v1:{version}"));
    Service {
        key: key(name),
        source: Source { file: Arc::from("services.yaml"), line: 1 },
        metadata: Metadata { name: name.to_owned(), ..Metadata::default() },
        task_definition: Document::new(&json!({"family": name, "version": version})),
        family: name.to_owned(),
        service: Document::new(&json!({})),
        rollout: Rollout::default(),
        paused: false,
        adopt: false,
        task_definition_digest: digest.clone(),
        revision_digest: digest,
    }
}
