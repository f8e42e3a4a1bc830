//! The annotations that mean something to Evenkeel, and what their values may be; never what follows from them.

use crate::envelope::is_name;
use crate::node::Cursor;
use crate::problem::Report;
use crate::service::Metadata;
use crate::{Approval, ServiceKey, spelling};

/// What all of them begin with.
const OURS: &str = "evenkeel.dev/";

/// `disabled`: the service stays when no manifest names it any more.
pub(crate) const PRUNE: &str = "evenkeel.dev/prune";

/// The service whose place this one takes: `CLUSTER/NAME`, or `NAME` in the same cluster.
pub(crate) const MOVED_FROM: &str = "evenkeel.dev/moved-from";

const PAUSE: &str = "evenkeel.dev/pause";

const KNOWN: [&str; 4] = [Approval::ANNOTATION, PAUSE, PRUNE, MOVED_FROM];

/// Tells of annotations that mean nothing, and of values that do not.
pub(crate) fn check(root: &Cursor<'_>, key: Option<&ServiceKey>, report: &mut Report) {
    let annotations = root.member("metadata").and_then(|metadata| metadata.member("annotations"));
    let Some(annotations) = annotations else { return };
    for (name, at) in annotations.members().filter(|(name, _)| name.starts_with(OURS)) {
        if !KNOWN.contains(&name) {
            let meant = spelling::suggestion(name, &KNOWN);
            report.warning(&at, format!("this annotation means nothing to Evenkeel{meant}"));
        }
        // That it is no string is reported with all annotations.
        let Some(text) = at.text() else { continue };
        if name == PRUNE && text != "disabled" {
            report.error(&at, "expected `disabled`, or no such annotation".to_owned());
        }
        let Some(key) = key.filter(|_| name == MOVED_FROM) else { continue };
        if place(text, key).is_none_or(|from| from == *key) {
            report.error(&at, "expected the service before it: CLUSTER/NAME, or NAME".to_owned());
        }
    }
}

/// The service whose place the one with this key takes.
pub(crate) fn moved_from(metadata: &Metadata, key: &ServiceKey) -> Option<ServiceKey> {
    place(metadata.annotations.get(MOVED_FROM)?, key)
}

fn place(text: &str, key: &ServiceKey) -> Option<ServiceKey> {
    let (cluster, name) = text.split_once('/').unwrap_or((&key.cluster, text));
    let target = key.target.clone();
    let is_place = is_name(cluster) && is_name(name);
    is_place.then(|| ServiceKey { target, cluster: cluster.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{File, load};

    fn problems(annotation: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    \
             {annotation}\nspec:\n  cluster: prod\n  taskDefinition:\n    memory: \"512\"\n    \
             containerDefinitions:\n    - {{name: app, image: app}}\n  service: {{desiredCount: 1}}\n"
        );
        let set = load(&[File { name: "web.yaml".into(), text }]);
        set.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_value_that_means_nothing_is_an_error_at_its_place() {
        for bad in [
            "prune: enabled",
            "prune: \"\"",
            "moved-from: a/b/c",
            "moved-from: web",
            "moved-from: prod/web",
        ] {
            let told = problems(&format!("evenkeel.dev/{bad}"));
            assert!(told.len() == 1 && told[0].starts_with("web.yaml:6:"), "{bad}: {told:?}");
        }
        for good in ["prune: disabled", "moved-from: old", "moved-from: staging/web"] {
            assert_eq!(problems(&format!("evenkeel.dev/{good}")), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn a_name_alone_is_in_the_same_cluster() {
        let key = ServiceKey::new("prod", "web");
        assert_eq!(place("old", &key), Some(ServiceKey::new("prod", "old")));
        assert_eq!(place("staging/old", &key), Some(ServiceKey::new("staging", "old")));
    }
}
