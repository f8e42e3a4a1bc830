//! One valid `kind: Service` manifest; never holds anything that validation has not seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::{Approval, Digest, Document, Drift, Rollout, ServiceKey, annotation};

/// A valid manifest, ready to be planned from. AWS shapes are kept whole in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub key: ServiceKey,
    pub source: Source,
    pub metadata: Metadata,
    /// The input of RegisterTaskDefinition, canonical, with the `tags` for its revisions; without
    /// them it is what the digest is of.
    pub task_definition: Document,
    /// The family of the task definition.
    pub family: String,
    /// The input of CreateService without `cluster`, `serviceName`, `taskDefinition`: the members
    /// that the manifest spells out, at every depth, their values in canonical form. No default is
    /// filled in, so what is absent is not owned: each member compares with the same member of
    /// `canonical::service` of what AWS reads back, which has the defaults.
    /// `desiredCount` is absent when the manifest leaves it to somebody else.
    pub service: Document,
    pub rollout: Rollout,
    pub drift: Drift,
    pub paused: bool,
    pub adopt: bool,
    /// The content that somebody approved in the manifest, which need not be that of this one.
    pub approval: Option<Approval>,
    /// Of the task definition alone: the tag on its revisions.
    pub task_definition_digest: Digest,
    /// Of all that makes a service revision (task definition, network, load balancers, registries,
    /// Service Connect, volumes, platform version): what a verdict is about.
    pub revision_digest: Digest,
}

impl Service {
    /// The service whose place this one takes, if its manifest says so.
    pub fn moved_from(&self) -> Option<ServiceKey> {
        annotation::moved_from(&self.metadata, &self.key)
    }

    /// Whether the service stays when no manifest names it any more.
    pub fn is_kept(&self) -> bool {
        self.metadata.annotations.get(annotation::PRUNE).is_some_and(|value| value == "disabled")
    }

    /// Whether exactly what this manifest wants is approved in it.
    pub fn is_approved(&self) -> bool {
        self.approval.as_ref().is_some_and(|approval| approval.is_of(&self.revision_digest))
    }
}

/// Where a manifest came from. Two are equal whatever their commits: a commit that changes other manifests changes
/// nothing about this one.
#[derive(Clone, Debug)]
pub struct Source {
    /// As given by the user or found under the directory, shared by the manifests of one file.
    pub file: Arc<str>,
    /// 1-based line on which the document begins.
    pub line: usize,
    /// The commit with which this content took over, as far as is known: after a restart it is the newest. `None`
    /// outside of git.
    pub commit: Option<Arc<str>>,
}

impl Source {
    /// Of no commit.
    pub fn new(file: Arc<str>, line: usize) -> Self {
        Self { file, line, commit: None }
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        (&self.file, self.line) == (&other.file, other.line)
    }
}

impl Eq for Source {}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// The target groups of one element of `loadBalancers`: two where traffic moves between them.
pub fn target_groups(balancer: &Value) -> impl Iterator<Item = &str> {
    ["/targetGroupArn", "/advancedConfiguration/alternateTargetGroupArn"]
        .into_iter()
        .filter_map(|path| balancer.pointer(path)?.as_str())
}

/// The Application Load Balancer of a listener or a rule, as its metrics name it: `app/front/0123456789abcdef`.
/// `None` of a listener or a rule of another kind.
pub fn application_balancer(arn: &str) -> Option<&str> {
    let (_, path) = arn.split_once(":listener-rule/").or_else(|| arn.split_once(":listener/"))?;
    let (name, rest) = path.strip_prefix("app/")?.split_once('/')?;
    let id = rest.split('/').next()?;
    path.get(.."app/".len() + name.len() + 1 + id.len())
}

#[cfg(test)]
mod tests {
    use super::application_balancer;

    #[test]
    fn an_application_balancer_is_named_by_its_listeners_and_their_rules() {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/front/01/23/45";
        assert_eq!(application_balancer(arn), Some("app/front/01"));
        let listener = "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/front/01/23";
        assert_eq!(application_balancer(listener), Some("app/front/01"));
        assert_eq!(application_balancer("arn:aws:x:y:1:listener/net/front/01/23"), None);
        assert_eq!(application_balancer("arn:aws:x:y:1:listener-rule/app/front"), None);
    }
}
