//! Windows of time that a platform's team lays over the rollouts of many services; never over one that
//! no pattern names.

use std::sync::Arc;

use evenkeel_manifest::{Origin, Service, ServiceKey, Window, WindowText};
use serde::{Deserialize, Serialize};

use super::ConfigProblem;
use evenkeel_manifest::Pattern;

/// A window as it is written down, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawWindow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Patterns; none at all means every cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// Patterns; none at all means every service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

/// All windows of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(Vec<ForSome>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ForSome {
    window: Window,
    clusters: Vec<Pattern>,
    services: Vec<Pattern>,
}

/// Few enough to ask each at every look.
const MOST: usize = 50;

impl Windows {
    /// What was written, and everything that is wrong with it.
    pub(super) fn read(raw: &[RawWindow]) -> (Self, Vec<ConfigProblem>) {
        let mut problems = Vec::new();
        if raw.len() > MOST {
            let message = format!("expected at most {MOST} windows, found {}", raw.len());
            problems.push(ConfigProblem::new("windows", message));
        }
        let all = raw.iter().take(MOST).enumerate();
        let read = all.filter_map(|(index, one)| ForSome::read(one, index, &mut problems));
        (Self(read.collect()), problems)
    }

    /// As [`Self::lay_over`]; a service that no window is for stays shared.
    pub(crate) fn lay_over_shared(&self, service: &mut Arc<Service>) {
        if self.0.iter().any(|one| one.is_for(&service.key)) {
            self.lay_over(Arc::make_mut(service));
        }
    }

    /// Lays the windows that are for it over those of its manifest.
    pub(crate) fn lay_over(&self, service: &mut Service) {
        let meant = self.0.iter().filter(|one| one.is_for(&service.key));
        service.rollout.windows.extend(meant.map(|one| one.window.clone()));
    }
}

impl ForSome {
    fn read(raw: &RawWindow, index: usize, problems: &mut Vec<ConfigProblem>) -> Option<Self> {
        let text = WindowText {
            allow: raw.allow.clone(),
            deny: raw.deny.clone(),
            duration: raw.duration.clone(),
            time_zone: raw.time_zone.clone(),
            in_flight: raw.in_flight.clone(),
            reason: raw.reason.clone(),
        };
        let key = |member: &str| format!("windows[{index}].{member}");
        let read = Window::read(&text, Origin::Configuration);
        for (member, fault) in read.as_ref().err().into_iter().flatten() {
            let key = member.map_or(format!("windows[{index}]"), key);
            problems.push(ConfigProblem::new(key, fault));
        }
        let mut patterns = |member: &str, texts: &[String]| {
            let read = texts.iter().filter_map(|text| Pattern::of_names(text));
            let read: Vec<_> = read.collect();
            if read.len() < texts.len() {
                let message = "expected names of letters, digits, `_` and `-`, in which `*` stands \
                               for any characters";
                problems.push(ConfigProblem::new(key(member), message));
            }
            read
        };
        let clusters = patterns("clusters", &raw.clusters);
        let services = patterns("services", &raw.services);
        Some(Self { window: read.ok()?, clusters, services })
    }

    fn is_for(&self, key: &ServiceKey) -> bool {
        let fits = |patterns: &[Pattern], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(name))
        };
        fits(&self.clusters, &key.cluster) && fits(&self.services, &key.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: RawWindow) -> Result<ForSome, Vec<String>> {
        let (Windows(mut read), problems) = Windows::read(&[raw]);
        match read.pop().filter(|_| problems.is_empty()) {
            Some(one) => Ok(one),
            None => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    fn weekend() -> RawWindow {
        RawWindow {
            deny: Some("0 18 * * FRI".to_owned()),
            duration: Some("62h".to_owned()),
            time_zone: Some("Europe/Berlin".to_owned()),
            ..RawWindow::default()
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        let fits = |pattern: &str, name: &str| Pattern::of_names(pattern).unwrap().fits(name);
        for (pattern, name) in [
            ("web", "web"),
            ("*", "web"),
            ("shop-*", "shop-"),
            ("*-prod", "eu-prod"),
            ("a*b*c", "a-b-b-c"),
            ("a**a", "aa"),
            ("*b*", "abc"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web", "web2"),
            ("shop-*", "shop"),
            ("a*a", "a"),
            ("a*b*c", "a-c"),
            ("ab*bc", "abc"),
            ("*b*", "ac"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_window_is_for_the_services_that_its_patterns_name_and_without_any_for_all() {
        let is_for = |clusters: &[&str], services: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            let raw =
                RawWindow { clusters: owned(clusters), services: owned(services), ..weekend() };
            read(raw).unwrap().is_for(&ServiceKey::new("prod", "web"))
        };
        assert!(is_for(&[], &[]));
        assert!(is_for(&["stage", "prod*"], &["w*"]));
        assert!(!is_for(&["stage"], &[]));
        assert!(!is_for(&[], &["shop-*"]));
    }

    #[test]
    fn windows_are_laid_over_those_of_the_manifest_and_are_no_content() {
        let text = "{apiVersion: evenkeel.dev/v1, kind: Service, metadata: {name: web}, spec: {cluster: \
                    prod, taskDefinition: {containerDefinitions: [{name: web, image: a, memory: 64}]}, \
                    rollout: {windows: [{allow: 0 9 * * *, duration: 8h}]}}}";
        let file = evenkeel_manifest::File { name: "web.yaml".into(), text: text.to_owned() };
        let mut service = evenkeel_manifest::load(&[file]).services.pop().unwrap();
        let digest = service.revision_digest.clone();
        let elsewhere = RawWindow { clusters: vec!["stage".to_owned()], ..weekend() };
        let (windows, problems) = Windows::read(&[weekend(), elsewhere]);
        windows.lay_over(&mut service);
        let origins: Vec<_> = service.rollout.windows.iter().map(|one| one.origin).collect();
        assert_eq!(origins, [Origin::Manifest, Origin::Configuration], "{problems:?}");
        assert_eq!(service.revision_digest, digest);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        let raw = RawWindow {
            deny: Some("0 18 * * FRY".to_owned()),
            duration: Some("0s".to_owned()),
            time_zone: Some("Europe/Berln".to_owned()),
            services: vec!["web shop".to_owned()],
            ..RawWindow::default()
        };
        let told = read(raw).unwrap_err().join("\n");
        insta::assert_snapshot!(told, @"
        windows[0].timeZone: `Europe/Berln` is no time zone: did you mean `Europe/Berlin`?
        windows[0].deny: at character 10 of the cron expression: malformed expression: did you mean `FRI`?
        windows[0].duration: expected a duration from 1m to 744h, which is 31 days
        windows[0].services: expected names of letters, digits, `_` and `-`, in which `*` stands for any characters
        ");
    }
}
