//! Manifests as the tests write them; never invalid.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a draft that is not an object is a mistake of its test"
)]

use evenkeel_manifest::{
    Breaker, Digest, Document, Drift, DriftPolicy, Metadata, Origin, Probe, Rollout, Service,
    ServiceKey, Source, Strategy, Window, WindowText, canonical,
};
use serde_json::{Value, json};

pub(crate) const GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";

/// A manifest as it is written, before it is made canonical.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) task_definition: Value,
    pub(crate) service: Value,
    pub(crate) breaker: Breaker,
    pub(crate) probe: Probe,
    pub(crate) windows: Vec<Window>,
    pub(crate) drift: Drift,
    pub(crate) paused: bool,
    pub(crate) adopt: bool,
}

/// `web` under the alarm `5xx`.
pub(crate) fn watched(image: &str) -> Draft {
    web(image).judged(|breaker| breaker.alarms = vec!["5xx".to_owned()])
}

/// `web` with four tasks of `image`, behind a load balancer.
pub(crate) fn web(image: &str) -> Draft {
    Draft {
        task_definition: json!({
            "family": "web",
            "networkMode": "awsvpc",
            "containerDefinitions": [{
                "name": "web",
                "image": image,
                "portMappings": [{ "containerPort": 8080 }],
                "environment": [{ "name": "TOKEN", "value": "hunter2" }]
            }]
        }),
        service: json!({
            "desiredCount": 4,
            "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-1"] } },
            "loadBalancers": [
                { "targetGroupArn": GROUP, "containerName": "web", "containerPort": 8080 }
            ]
        }),
        breaker: Breaker::default(),
        probe: Probe::default(),
        windows: Vec::new(),
        drift: Drift::default(),
        paused: false,
        adopt: false,
    }
}

impl Draft {
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.service[member] = value;
        self
    }

    pub(crate) fn without(mut self, member: &str) -> Self {
        self.service.as_object_mut().unwrap().remove(member);
        self
    }

    pub(crate) fn unprobed(mut self) -> Self {
        self.probe.enabled = false;
        self
    }

    pub(crate) fn adopting(mut self) -> Self {
        self.adopt = true;
        self
    }

    pub(crate) fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// With a policy of its own for the field of the service at `path`.
    pub(crate) fn under(mut self, path: &str, policy: DriftPolicy) -> Self {
        self.drift.fields.insert(format!("service.{path}"), policy);
        self
    }

    pub(crate) fn within(mut self, window: Window) -> Self {
        self.windows.push(window);
        self
    }

    pub(crate) fn judged(mut self, change: impl FnOnce(&mut Breaker)) -> Self {
        change(&mut self.breaker);
        self
    }

    pub(crate) fn service(&self) -> Service {
        let definition_digest = Digest::of(&canonical::task_definition(&self.task_definition));
        let full = canonical::service(&self.service);
        Service {
            key: key(),
            source: Source::new("shop/web.yaml".into(), 1),
            metadata: Metadata { name: "web".to_owned(), ..Metadata::default() },
            task_definition: Document::new(&self.task_definition),
            family: "web".to_owned(),
            service: Document::new(&canonical::owned(&full, &self.service)),
            rollout: Rollout {
                strategy: Strategy::Rolling,
                analysis: None,
                approvals: Vec::new(),
                windows: self.windows.clone(),
                breaker: self.breaker.clone(),
                probe: self.probe,
            },
            drift: self.drift.clone(),
            paused: self.paused,
            adopt: self.adopt,
            approval: None,
            revision_digest: Digest::of_revision(&definition_digest, &full),
            task_definition_digest: definition_digest,
        }
    }
}

/// A window by the clocks of Berlin.
pub(crate) fn window(allow: Option<&str>, deny: Option<&str>, duration: &str) -> Window {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let text = WindowText {
        allow: owned(allow),
        deny: owned(deny),
        duration: owned(Some(duration)),
        time_zone: owned(Some("Europe/Berlin")),
        reason: owned(Some("nobody is there")),
        ..WindowText::default()
    };
    Window::read(&text, Origin::Manifest).unwrap()
}

pub(crate) fn key() -> ServiceKey {
    ServiceKey::new("prod", "web")
}
