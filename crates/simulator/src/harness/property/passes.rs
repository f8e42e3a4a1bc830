//! What each daemon was shown of a service in the pass that it is in; never what is true.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_manifest::ServiceKey;
use evenkeel_reconciler::CloudError;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Replica, Sent};
use super::call::{self, Write, number, text};
use super::memory::Tags;

/// The passes that the daemons are in, or were in last.
#[derive(Clone, Debug, Default)]
pub(super) struct Passes {
    services: BTreeMap<ServiceKey, BTreeMap<Replica, Pass>>,
}

/// One pass of one daemon over one service, as its calls tell.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    number: u64,
    /// When its first call left.
    pub(super) began: At,
    /// The last look at the service itself that succeeded, with no failed one after it.
    pub(super) look: Option<Look>,
    /// One of its answers was from the past.
    pub(super) is_stale: bool,
    /// Writes sent so far.
    pub(super) writes: u32,
    /// The last of them is not known to have succeeded.
    pub(super) in_doubt: bool,
    /// ARNs of task definitions that it was shown of the family asked for; `None` before a whole
    /// listing.
    pub(super) listed: Option<Vec<String>>,
    /// When the last look was sent.
    asked: At,
    /// The tags last shown to the daemon, in any pass: mostly they are shown again.
    tags: Arc<Tags>,
}

/// One answer of `DescribeServices`.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// When it was sent: it shows nothing older, unless it is from the past.
    pub(super) at: At,
    /// `None` when the service was reported missing.
    pub(super) service: Option<Shown>,
}

#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) is_active: bool,
    pub(super) is_gone: bool,
    pub(super) tags: Arc<Tags>,
    pub(super) desired: u64,
    /// Of the PRIMARY deployment.
    pub(super) primary: Option<u64>,
}

impl Passes {
    /// The pass that a call belongs to; `None` before its first call was noted.
    pub(super) fn of(&self, call: &Sent) -> Option<&Pass> {
        let pass = self.services.get(call.about.as_ref()?)?.get(&call.by)?;
        (pass.number == call.pass).then_some(pass)
    }

    /// What the daemon was shown of the service before it sent this.
    pub(super) fn shown(&self, call: &Sent) -> Option<&Shown> {
        self.of(call)?.look.as_ref()?.service.as_ref()
    }

    pub(super) fn note(&mut self, at: At, event: &Event<'_>) {
        match event {
            Event::Started(replica) | Event::Ended(replica) => {
                for passes in self.services.values_mut() {
                    passes.remove(replica);
                }
            }
            Event::Sent(call) => self.sent(at, call),
            Event::Answered { call, answer, is_stale } => {
                if let Some(pass) = self.pass_mut(call) {
                    pass.answered(call, *answer, *is_stale);
                }
            }
            _ => {}
        }
    }

    fn pass_mut(&mut self, call: &Sent) -> Option<&mut Pass> {
        let pass = self.services.get_mut(call.about.as_ref()?)?.get_mut(&call.by)?;
        (pass.number == call.pass).then_some(pass)
    }

    fn sent(&mut self, at: At, call: &Sent) {
        let Some(key) = &call.about else { return };
        if !self.services.contains_key(key) {
            self.services.insert(key.clone(), BTreeMap::new());
        }
        let Some(passes) = self.services.get_mut(key) else { return };
        let begun = || Pass::new(call.pass, at, Arc::default());
        let pass = passes.entry(call.by).or_insert_with(begun);
        if pass.number != call.pass {
            *pass = Pass::new(call.pass, at, Arc::clone(&pass.tags));
        }
        if Write::of(call).is_some() {
            pass.writes += 1;
            pass.in_doubt = true;
        } else if call.operation == "DescribeServices" {
            pass.asked = at;
        }
    }
}

impl Pass {
    fn new(number: u64, began: At, tags: Arc<Tags>) -> Self {
        Self {
            number,
            began,
            look: None,
            is_stale: false,
            writes: 0,
            in_doubt: false,
            listed: None,
            asked: began,
            tags,
        }
    }

    fn answered(&mut self, call: &Sent, answer: Result<&Value, &CloudError>, is_stale: bool) {
        self.is_stale |= is_stale;
        if Write::of(call).is_some() {
            self.in_doubt = answer.is_err();
        }
        match call.operation.as_str() {
            "DescribeServices" => {
                self.look = look(self.asked, call, answer, &self.tags);
                if let Some(Look { service: Some(shown), .. }) = &self.look {
                    self.tags = Arc::clone(&shown.tags);
                }
            }
            "ListTaskDefinitions" => {
                let before = self.listed.take().filter(|_| call.input.get("nextToken").is_some());
                self.listed = answer
                    .ok()
                    .map(|reply| before.into_iter().flatten().chain(listed(reply)).collect());
            }
            _ => {}
        }
    }
}

/// What an answer says of the service that the call is about; `None` when it says nothing.
fn look(
    at: At,
    call: &Sent,
    answer: Result<&Value, &CloudError>,
    before: &Arc<Tags>,
) -> Option<Look> {
    let name = &call.about.as_ref()?.name;
    let missing = Look { at, service: None };
    let reply = match answer {
        Ok(reply) => reply,
        // Without the cluster there is no service in it.
        Err(CloudError::Conflict { code, .. }) if code == "ClusterNotFoundException" => {
            return Some(missing);
        }
        Err(_) => return None,
    };
    let list = |member| reply.get(member).and_then(Value::as_array).into_iter().flatten();
    let mut services = list("services");
    if let Some(found) = services.find(|one| text(one, "serviceName") == Some(name)) {
        return Some(Look { at, service: Some(shown(found, before)) });
    }
    let is_missing = |one: &Value| {
        text(one, "reason") == Some("MISSING")
            && text(one, "arn").is_none_or(|arn| call::last_part(arn) == name)
    };
    list("failures").any(is_missing).then_some(missing)
}

fn shown(service: &Value, before: &Arc<Tags>) -> Shown {
    let primary = call::primary(service);
    let status = text(service, "status");
    Shown {
        is_active: status == Some("ACTIVE"),
        is_gone: status == Some("INACTIVE"),
        tags: tags(service, before),
        desired: service.get("desiredCount").and_then(Value::as_u64).unwrap_or(0),
        primary: primary.and_then(|one| number(text(one, "id")?)),
    }
}

/// The tags of a service, which are those of before if nothing differs.
fn tags(service: &Value, before: &Arc<Tags>) -> Arc<Tags> {
    let shown = || call::tags(service);
    let is_same = |(key, value): (&str, &str)| before.get(key).is_some_and(|was| was == value);
    if shown().count() == before.len() && shown().all(is_same) {
        return Arc::clone(before);
    }
    Arc::new(shown().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn listed(reply: &Value) -> Vec<String> {
    let arns = reply.get("taskDefinitionArns").and_then(Value::as_array).into_iter().flatten();
    arns.filter_map(|arn| arn.as_str().map(str::to_owned)).collect()
}
