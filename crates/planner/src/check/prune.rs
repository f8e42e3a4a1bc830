//! The guard before every act on a service that no manifest names; shares no code with the planner, and never
//! repairs a plan.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::is_name_of;
use crate::{Action, Call, Input, Leave, ObservedService, Plan, PruneTerms};

/// Refuses a step on the way out of a service that breaks a safety property (S15 to S17, S20); shares no code with
/// [`prune`](crate::prune). The error names every property broken.
pub fn check_prune(plan: &Plan, input: &Input<'_>, terms: &PruneTerms) -> Result<(), Vec<String>> {
    if plan.actions.is_empty() {
        return Ok(());
    }
    let Some(service) = input.observed.service.known() else {
        return Err(vec!["whether the service exists is not known".to_owned()]);
    };
    let ground = Ground { input, service, terms };
    let mut broken: Vec<String> = [
        (plan.actions.len() > 1, "it takes more than one step"),
        (input.desired.is_some(), "a manifest names the service"),
        (service.status != "ACTIVE", "the service is not ACTIVE"),
        (!ground.is_ours(), "the service does not carry our owner tag"),
        (ground.has("evenkeel:hold"), "the service is on hold"),
        (ground.has("evenkeel:prune"), "the last manifest said that the service stays"),
    ]
    .into_iter()
    .filter(|(is_broken, _)| *is_broken)
    .map(|(_, property)| property.to_owned())
    .collect();
    broken.extend(plan.actions.iter().filter_map(|action| ground.refuses(action)));
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

struct Ground<'a> {
    input: &'a Input<'a>,
    service: &'a ObservedService,
    terms: &'a PruneTerms,
}

/// The tag, read once more in its own way.
struct Mark<'a> {
    phase: &'a str,
    since: Timestamp,
    is_said: bool,
}

impl Ground<'_> {
    fn has(&self, key: &str) -> bool {
        self.service.tags.contains_key(key)
    }

    fn is_ours(&self) -> bool {
        let owner = self.service.tags.get("evenkeel:owner");
        let name = owner.and_then(|owner| owner.strip_prefix("v1:")?.split(':').next());
        name.is_some_and(|name| is_name_of(name, self.input.instance))
    }

    fn mark(&self) -> Option<Mark<'_>> {
        let parts: Vec<&str> = self.service.tags.get("evenkeel:tombstone")?.split(':').collect();
        let ["v1", phase, since, _, said @ ..] = parts.as_slice() else { return None };
        let since = Timestamp::from_second(since.parse().ok()?).ok()?;
        Some(Mark { phase, since, is_said: !said.is_empty() })
    }

    fn refuses(&self, action: &Action) -> Option<String> {
        match &action.call {
            Call::TagResource { arn, tags } => {
                let only = tags.len() == 1 && tags.contains_key("evenkeel:tombstone");
                let here = *arn == self.service.service_arn;
                if !only || !here {
                    return Some("it sets more than the tombstone of the service".to_owned());
                }
                if self.mark().is_some() {
                    self.not_yet("announced", self.terms.grace)
                } else {
                    held(&self.terms.announce)
                }
            }
            Call::UpdateService { input } => self
                .names_it(input, &["desiredCount"])
                .or_else(|| {
                    (input.get("desiredCount") != Some(&Value::from(0)))
                        .then(|| "it is no scale-in".to_owned())
                })
                .or_else(|| self.not_yet("announced", self.terms.grace)),
            Call::DeleteService { input } => {
                let left = [
                    self.service.desired_count,
                    self.service.running_count,
                    self.service.pending_count,
                ];
                let lives = left.iter().any(|count| *count > 0);
                let keep = self.terms.keep.max(SignedDuration::from_hours(24));
                self.names_it(input, &[])
                    .or_else(|| lives.then(|| "it deletes what has tasks".to_owned()))
                    .or_else(|| self.not_yet("scaled-in", keep))
            }
            call => Some(format!("{} is no step on the way out", call.operation())),
        }
    }

    /// Whether the input is of the service, and has these members at most.
    fn names_it(&self, input: &Value, others: &[&str]) -> Option<String> {
        let key = self.input.key;
        let is =
            |member: &str, wanted: &str| input.get(member).and_then(Value::as_str) == Some(wanted);
        let is_about = is("cluster", &key.cluster) && is("service", &key.name);
        let members = input.as_object().map_or(0, serde_json::Map::len);
        let has_all = others.iter().all(|member| input.get(member).is_some());
        (!is_about || !has_all || members != 2 + others.len())
            .then(|| format!("it is about something else than {key}, or says more"))
    }

    /// Whether the mark is not of this phase, not old enough, or those with such a mark are held.
    fn not_yet(&self, phase: &str, age: SignedDuration) -> Option<String> {
        let Some(mark) = self.mark() else {
            return Some("the service has no tombstone".to_owned());
        };
        if mark.phase != phase {
            return Some(format!("the tombstone says {}, not {phase}", mark.phase));
        }
        let is_lost_since = self.terms.lost_for.is_none_or(|time| time >= age);
        if self.input.now.duration_since(mark.since) < age || !is_lost_since {
            return Some(format!("the tombstone has not said {phase} for {age:#}"));
        }
        held(if mark.is_said { &self.terms.acknowledged } else { &self.terms.proceed })
    }
}

fn held(leave: &Leave) -> Option<String> {
    leave.held().map(|why| format!("it is held: {why}"))
}
