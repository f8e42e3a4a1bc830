//! A look at one service written as JSON, and what must hold of every plan made from it; never expects
//! the look to make sense.
//!
//! A member that is missing was not asked for, `null` is confirmed to be absent, a string is a call that
//! failed (`missing` one that the server does not know), anything else is what AWS said. In strings
//! `{definition}` and `{revision}` stand for the digests that the manifest wants.

use std::sync::LazyLock;
use std::time::Duration;

use evenkeel_manifest::{Digest, Document, File, Service, ServiceKey, canonical, load};
use evenkeel_planner::{
    Alarm, Call, CodeDeploy, CodeDeployDeployment, DeploymentGroup, Depth, DriftMemory, Fact,
    Input, ListenerRule, LoadBalancing, MetricId, Observed, ObservedService, Outcome, Plan, Series,
    ServiceDeployment, ServiceRevision, Status, TargetGroup, TargetGroupHealth, TargetHealth, Task,
    TaskDefinition, Unknown, changes, check, plan, questions, status, tag,
};
use jiff::Timestamp;
use serde_json::Value;

const MANIFEST: &str = include_str!("look/manifest.json");
const ROLLING: &str = include_str!("../seeds/plans/widening.json");
const SETTLED: &str = include_str!("../seeds/plans/settled.json");

static DEFAULT: LazyLock<Service> =
    LazyLock::new(|| service(MANIFEST).expect("the manifest beside this file is valid"));

/// A manifest and what AWS said.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    desired: Option<Service>,
    observed: Observed,
    instance: String,
    now: Timestamp,
}

impl Look {
    pub(crate) fn read(document: &Value) -> Self {
        let desired = match document.get("manifest") {
            Some(Value::Bool(false)) => None,
            Some(manifest) => {
                Some(service(&manifest.to_string()).unwrap_or_else(|| DEFAULT.clone()))
            }
            None => Some(DEFAULT.clone()),
        };
        let document = &filled(document, desired.as_ref().unwrap_or(&DEFAULT));
        let now = seconds(document.get("now")).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            observed: searched(observed(document, now), desired.as_ref(), document),
            instance: text(document, "instance").unwrap_or_else(|| "test".to_owned()),
            desired,
            now,
        }
    }

    /// A service in the middle of a rollout of ours.
    pub(crate) fn rolling() -> Self {
        static LOOK: LazyLock<Look> = LazyLock::new(|| Look::of(ROLLING));
        LOOK.clone()
    }

    /// A service that is as it is wanted.
    pub(crate) fn settled() -> Self {
        static LOOK: LazyLock<Look> = LazyLock::new(|| Look::of(SETTLED));
        LOOK.clone()
    }

    fn of(text: &str) -> Self {
        Self::read(&serde_json::from_str(text).expect("a seed is JSON"))
    }

    pub(crate) fn set_tasks(&mut self, tasks: &Value) {
        self.observed.tasks = fact(Some(tasks), Task::read);
    }

    /// Sets a tag, with the digests filled in.
    pub(crate) fn set_tag(&mut self, key: &str, value: &str) {
        let wanted = self.desired.as_ref().unwrap_or(&DEFAULT);
        let (key, value) = (fill(key, wanted), fill(value, wanted));
        let Fact::Known(service) = &mut self.observed.service else { return };
        if let Some(Value::Array(tags)) = service.document.get_mut("tags") {
            tags.retain(|tag| tag.get("key").and_then(Value::as_str) != Some(&key));
            tags.push(crate::tags::listed(&key, &value));
        }
        service.tags.insert(key, value);
    }

    /// The next step.
    #[cfg(test)]
    pub(crate) fn plan(&self) -> Plan {
        plan(&self.input(&self.key()))
    }

    /// Plans and everything around it; the status is that of a look without an act.
    pub(crate) fn examine(&self) -> Status {
        let key = self.key();
        let input = self.input(&key);
        let made = plan(&input);
        assert_eq!(plan(&input), made, "the same look gives two plans");
        assert_eq!(check(&made, &input), Ok(()), "{made}");
        self.asks_enough();
        self.writes_only_on_what_is_known(&made);
        tags_fit(&made);
        self.is_done_once(&made);
        drop(changes(&input).iter().map(ToString::to_string).collect::<Vec<_>>());
        shown(&input, &made)
    }

    fn key(&self) -> ServiceKey {
        self.desired.as_ref().unwrap_or(&DEFAULT).key.clone()
    }

    fn input<'a>(&'a self, key: &'a ServiceKey) -> Input<'a> {
        let desired = self.desired.as_ref();
        Input {
            key,
            desired,
            observed: &self.observed,
            now: self.now,
            instance: &self.instance,
            drift: DriftMemory::nothing(),
        }
    }

    /// A pass always asks something first. After a deep look it asks once more for what that did not search for, which
    /// is not what is wanted, and then nothing.
    fn asks_enough(&self) {
        let desired = self.desired.as_ref();
        assert!(questions(desired, None).is_some());
        let seen = &self.observed;
        let more = questions(desired, Some(seen)).filter(|_| seen.depth == Depth::Deep);
        let Some(more) = more else { return };
        let searched = more.family.as_ref().map(|question| question.digest.clone());
        assert_ne!(searched, seen.searched, "asks again after a deep look: {more:?}");
        let third = Observed { searched, ..seen.clone() };
        assert_eq!(questions(desired, Some(&third)), None, "asks a fourth time after: {more:?}");
    }

    fn writes_only_on_what_is_known(&self, plan: &Plan) {
        let blind = matches!(self.observed.service, Fact::Unknown(_)) || self.desired.is_none();
        assert!(!blind || plan.actions.is_empty(), "{plan}");
    }

    /// A plan that only writes tags is not made again when AWS shows them: else it is made for ever.
    fn is_done_once(&self, plan: &Plan) {
        let mut after = self.clone();
        if plan.actions.is_empty() || !plan.actions.iter().all(|one| after.carry_out(&one.call)) {
            return;
        }
        let key = after.key();
        let next = evenkeel_planner::plan(&after.input(&key));
        assert_ne!(next.actions, plan.actions, "planned for ever: {plan}");
    }

    /// Whether the call is about tags; if so its effect is shown.
    fn carry_out(&mut self, call: &Call) -> bool {
        match call {
            Call::TagResource { tags, .. } => {
                for (key, value) in tags {
                    self.set_tag(key, value);
                }
                true
            }
            Call::UntagResource { keys, .. } => {
                if let Fact::Known(service) = &mut self.observed.service {
                    service.tags.retain(|key, _| !keys.contains(key));
                    if let Some(Value::Array(tags)) = service.document.get_mut("tags") {
                        let kept = |tag: &Value| {
                            !keys
                                .iter()
                                .any(|key| tag.get("key") == Some(&Value::from(key.as_str())))
                        };
                        tags.retain(kept);
                    }
                }
                true
            }
            _ => false,
        }
    }
}

/// AWS refuses longer ones, so such a plan would fail for ever.
fn tags_fit(plan: &Plan) {
    for action in &plan.actions {
        let Call::TagResource { tags, .. } = &action.call else { continue };
        for key in [tag::OWNER, tag::DIGEST, tag::PROVEN, tag::REJECTED, tag::ROLLOUT, tag::TAGS] {
            let length = tags.get(key).map_or(0, |value| value.chars().count());
            assert!(length <= 256, "{key} has {length} characters");
        }
    }
}

/// The status after every outcome, as text and as JSON.
fn shown(input: &Input<'_>, plan: &Plan) -> Status {
    let refused = Outcome::Refused(vec!["a property".to_owned()]);
    let failed = Outcome::Failed { class: "Throttled", message: "slow down".to_owned() };
    for outcome in [Outcome::Done, refused, failed] {
        drop(status(input, plan, &outcome).to_string());
    }
    drop(format!("{plan}{plan:?}"));
    let status = status(input, plan, &Outcome::DryRun);
    serde_json::to_string(&(plan, &status)).expect("plans and statuses are JSON");
    status
}

fn service(manifest: &str) -> Option<Service> {
    let file = File { name: "shop/web.json".into(), text: manifest.to_owned() };
    load(&[file]).services.pop()
}

/// A deep look has searched for what is wanted, unless the document says otherwise.
fn searched(seen: Observed, desired: Option<&Service>, document: &Value) -> Observed {
    let is_searched = document.get("searched").and_then(Value::as_bool) != Some(false);
    let wanted = desired.filter(|_| is_searched && seen.depth == Depth::Deep);
    Observed { searched: wanted.map(|one| one.task_definition_digest.clone()), ..seen }
}

fn observed(document: &Value, at: Timestamp) -> Observed {
    let shallow = text(document, "depth").is_some_and(|depth| depth == "shallow");
    let part = |name: &str| document.get(name);
    Observed {
        took: Duration::ZERO,
        at,
        depth: if shallow { Depth::Shallow } else { Depth::Deep },
        service: fact_of(part("service"), |one| ObservedService::read(one).ok()),
        task_definitions: fact(part("taskDefinitions"), task_definition),
        searched: None,
        service_deployments: fact(part("serviceDeployments"), ServiceDeployment::read),
        service_revisions: fact(part("serviceRevisions"), ServiceRevision::read),
        tasks: fact(part("tasks"), Task::read),
        target_groups: fact(part("targetGroups"), target_group),
        load_balancing: match part("loadBalancing") {
            None if !shallow => not_permitted(),
            part => fact_of(part, load_balancing),
        },
        code_deploy: fact_of(part("codeDeploy"), code_deploy),
        alarms: fact(part("alarms"), alarm),
        metrics: fact(part("metrics"), series),
        measured_until: Some(at),
        expressions: Fact::Unknown(Unknown::NotAsked),
        webhooks: Fact::Unknown(Unknown::NotAsked),
        verified: Fact::Unknown(Unknown::NotAsked),
    }
}

/// What a deep look says of load balancing unless the document says more: without leave to look, a rollout starts.
fn not_permitted() -> Fact<LoadBalancing> {
    let (operation, message) = ("DescribeRules".to_owned(), "no".to_owned());
    Fact::Unknown(Unknown::Denied { operation, message })
}

fn load_balancing(one: &Value) -> Option<LoadBalancing> {
    let parts = |name: &str| one.get(name).and_then(Value::as_array).into_iter().flatten();
    let forward = |one: &Value| {
        let weight = one.get("weight").and_then(Value::as_u64);
        Some((text(one, "group")?, weight.and_then(|weight| u32::try_from(weight).ok())?))
    };
    let rule = |one: &Value| {
        let forwards = one.get("forwards").and_then(Value::as_array).into_iter().flatten();
        let forwards = forwards.map(forward).collect::<Option<_>>()?;
        let others = one.get("otherActions").and_then(Value::as_array).into_iter().flatten();
        let other_actions = others.filter_map(Value::as_str).map(str::to_owned).collect();
        let is_default = one.get("isDefault").and_then(Value::as_bool).unwrap_or_default();
        Some(ListenerRule { arn: text(one, "arn")?, forwards, other_actions, is_default })
    };
    let group = |one: &Value| {
        Some(TargetGroup {
            arn: text(one, "arn")?,
            target_type: text(one, "targetType"),
            protocol: text(one, "protocol"),
            vpc: text(one, "vpc"),
        })
    };
    Some(LoadBalancing {
        rules: parts("rules").map(rule).collect::<Option<_>>()?,
        target_groups: parts("targetGroups").map(group).collect::<Option<_>>()?,
    })
}

fn code_deploy(one: &Value) -> Option<CodeDeploy> {
    let deployments = one.get("deployments").and_then(Value::as_array).into_iter().flatten();
    Some(CodeDeploy {
        group: DeploymentGroup::read(one.get("group")?).ok()?,
        deployments: deployments.map(CodeDeployDeployment::read).collect::<Result<_, _>>().ok()?,
    })
}

/// A list of which one bad element spoils all, for a partial answer is none.
fn fact<T, E>(part: Option<&Value>, read: fn(&Value) -> Result<T, E>) -> Fact<Vec<T>> {
    fact_of(part, |list| list.as_array()?.iter().map(|one| read(one).ok()).collect())
}

fn fact_of<T>(part: Option<&Value>, read: impl FnOnce(&Value) -> Option<T>) -> Fact<T> {
    let operation = "DescribeIt".to_owned();
    match part {
        None => Fact::Unknown(Unknown::NotAsked),
        Some(Value::Null) => Fact::Absent,
        Some(Value::String(word)) if word == "missing" => {
            Fact::Unknown(Unknown::CapabilityMissing { operation })
        }
        Some(said) => read(said).map_or_else(
            || Fact::Unknown(Unknown::Failed { operation, message: said.to_string() }),
            Fact::Known,
        ),
    }
}

fn task_definition(one: &Value) -> Result<TaskDefinition, ()> {
    let document = one.get("document").cloned().unwrap_or_default();
    Ok(TaskDefinition {
        arn: text(one, "arn").ok_or(())?,
        status: text(one, "status").unwrap_or_default(),
        digest: match text(one, "digest") {
            Some(digest) => Digest::from_tag(digest),
            None => Digest::of(&canonical::task_definition(&document)),
        },
        digest_tag: text(one, "digestTag").map(Digest::from_tag),
        document: one.get("document").map(Document::new),
    })
}

fn target_group(one: &Value) -> Result<TargetGroupHealth, ()> {
    let target = |one: &Value| TargetHealth {
        id: text(one, "id").unwrap_or_default(),
        port: one.get("port").and_then(Value::as_u64).and_then(|port| port.try_into().ok()),
        state: text(one, "state").unwrap_or_default(),
        reason: text(one, "reason"),
        description: text(one, "description"),
    };
    let targets = one.get("targets").and_then(Value::as_array).map(Vec::as_slice);
    let targets = targets.unwrap_or_default().iter().map(target).collect();
    Ok(TargetGroupHealth { arn: text(one, "arn").ok_or(())?, targets })
}

fn alarm(one: &Value) -> Result<Alarm, ()> {
    Ok(Alarm {
        name: text(one, "name").ok_or(())?,
        state: text(one, "state").unwrap_or_default(),
        reason: text(one, "reason"),
        since: seconds(one.get("since")),
    })
}

fn series(one: &Value) -> Result<Series, ()> {
    let metric = one.get("metric").ok_or(())?;
    let dimensions = metric.get("dimensions").and_then(Value::as_object);
    let dimensions = dimensions.into_iter().flatten();
    let minute = |minute: &Value| Some((seconds(minute.get(0))?, minute.get(1)?.as_f64()?));
    let minutes = one.get("minutes").and_then(Value::as_array).into_iter().flatten();
    Ok(Series {
        metric: MetricId {
            namespace: text(metric, "namespace").ok_or(())?,
            name: text(metric, "name").ok_or(())?,
            dimensions: dimensions
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
            statistic: text(metric, "statistic").ok_or(())?,
        },
        minutes: minutes.filter_map(minute).collect(),
    })
}

fn text(value: &Value, member: &str) -> Option<String> {
    value.get(member)?.as_str().map(str::to_owned)
}

fn seconds(value: Option<&Value>) -> Option<Timestamp> {
    Timestamp::from_second(value?.as_i64()?).ok()
}

/// The document with the digests filled in.
fn filled(document: &Value, wanted: &Service) -> Value {
    match document {
        Value::String(text) => Value::String(fill(text, wanted)),
        Value::Array(elements) => elements.iter().map(|one| filled(one, wanted)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, one)| (name.clone(), filled(one, wanted))).collect()
        }
        plain => plain.clone(),
    }
}

fn fill(text: &str, wanted: &Service) -> String {
    text.replace("{definition}", wanted.task_definition_digest.as_str())
        .replace("{revision}", wanted.revision_digest.as_str())
}
