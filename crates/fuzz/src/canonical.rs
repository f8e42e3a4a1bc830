//! Canonical forms of any JSON, as AWS might read it back; never expects a shape.

use evenkeel_manifest::{Digest, Document, canonical};
use serde_json::Value;

/// Any document has one canonical form, which stays as it is.
pub(crate) fn run(data: &[u8]) {
    let Ok(written) = serde_json::from_slice::<Value>(data) else { return };
    let definition = canonical::task_definition(&written);
    assert_eq!(canonical::task_definition(&definition), definition, "task definition");
    assert_eq!(Document::new(&definition).value(), definition, "task definition as text");
    let service = canonical::service(&written);
    assert_eq!(canonical::service(&service), service, "service");
    let owned = canonical::owned(&service, &written);
    let again = canonical::service(&owned);
    assert_eq!(canonical::owned(&again, &owned), owned, "what is owned");
    let digest = Digest::of(&definition);
    assert_eq!(Digest::of(&definition), digest);
    assert_eq!(Digest::of_revision(&digest, &service), Digest::of_revision(&digest, &service));
}
