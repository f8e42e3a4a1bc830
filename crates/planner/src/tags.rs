//! The tags that are Evenkeel's only memory, and their values; never decides from them.
//!
//! AWS allows letters, digits, spaces and `+ - = . _ : / @` in a value, at most 256 characters
//! (`TagResource` API reference). Values begin with a version; a value of an unknown version reads as
//! absent, except a rejection, which keeps its force as long as it names the digest.

mod said;
mod tombstone;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::Digest;
use jiff::Timestamp;

use crate::{RolloutPhase, VerdictKind};
pub use said::Said;
pub(crate) use said::{Promotion, Scope};
pub(crate) use tombstone::{Tombstone, TombstonePhase};

/// Tag keys on ECS services and task definitions. Values are at most 256 characters.
pub mod tag {
    /// The daemon instance and the manifest that own a service.
    pub const OWNER: &str = "evenkeel:owner";
    /// On a service: the revision digest last applied and the removable members it set. On a task
    /// definition: the digest of its content.
    pub const DIGEST: &str = "evenkeel:digest";
    /// The last service revision that passed full judgement.
    pub const PROVEN: &str = "evenkeel:proven";
    /// The revision digest judged bad, with when and why.
    pub const REJECTED: &str = "evenkeel:rejected";
    /// The rollout in flight: digest, deployment id, phase, since, and the healthy task watched.
    pub const ROLLOUT: &str = "evenkeel:rollout";
    /// Set by a person: no writes until it is removed.
    pub const HOLD: &str = "evenkeel:hold";
    /// Set by a person: no rollout starts, widens or passes a gate until it is removed.
    pub const PAUSE: &str = "evenkeel:pause";
    /// A person's word that the gate at which a rollout stands opens, or all of its gates.
    pub const PROMOTE: &str = "evenkeel:promote";
    /// When the weights were last put back: of a service at rest, or on the way back from a task set.
    pub const REWEIGHED: &str = "evenkeel:reweighed";
    /// What the manifest says where its policy does not heal, as it was last seen live.
    pub const DRIFT: &str = "evenkeel:drift";
    /// Set while the manifest says that the service stays when no manifest names it any more.
    pub const PRUNE: &str = "evenkeel:prune";
    /// On a service that no manifest names: how far it is on its way out, since when, and its count.
    pub const TOMBSTONE: &str = "evenkeel:tombstone";
    /// The commit whose content was last proven.
    pub const COMMIT: &str = "evenkeel:commit";
    /// The keys of the tags that a manifest set, so that they can be removed again.
    pub const TAGS: &str = "evenkeel:tags";

    /// Whether a key is Evenkeel's own.
    pub(crate) fn is_ours(key: &str) -> bool {
        key.starts_with("evenkeel:")
    }

    /// Whether no manifest can set or remove a key: Evenkeel's own, and AWS's in any case of its letters.
    /// Source: the `Tag` API reference.
    pub(crate) fn is_reserved(key: &str) -> bool {
        let is_of_aws = key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:"));
        is_of_aws || is_ours(key)
    }
}

/// Characters in a tag's value, by AWS.
pub(crate) const VALUE_MAX: usize = 256;

const VERSION: &str = "v1:";

/// Who owns a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Instance(String),
    /// An owner tag that this version cannot read: somebody's, so not ours.
    Unreadable(String),
}

/// What was last applied and proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastApplied {
    pub(crate) digest: Digest,
    /// When this was written; service deployments begun before have been judged.
    pub(crate) at: Timestamp,
    /// Codes of the members that were set and can be taken back (see `diff`).
    pub(crate) members: BTreeSet<String>,
    /// Whether a task was seen to work; none was where none was desired.
    pub(crate) is_seen: bool,
}

/// The rollout in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolloutMark {
    pub(crate) digest: Digest,
    pub(crate) deployment: Marked,
    pub(crate) phase: RolloutPhase,
    pub(crate) since: Timestamp,
    /// The probe: the first task that was seen healthy and still is.
    pub(crate) probe: Option<ProbeMark>,
    /// The step that Evenkeel takes or has taken, from 0; 0 where it takes none. 1 of a postponed rollout that a person wants at once.
    pub(crate) step: u8,
}

/// Which deployment a mark is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// None that was seen yet: one that is about to be started.
    Announced {
        /// The revision of its task definition's family; 0 when a value does not tell.
        revision: u64,
        over: Option<Over>,
    },
    Id(String),
}

/// The deployment whose place an announced one is to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) number: u64,
    /// A rollout of ours that was never proven: its own mark is gone.
    pub(crate) is_ours: bool,
}

impl Over {
    pub(crate) fn of(id: &str, is_ours: bool) -> Option<Self> {
        deployment_number(id).map(|number| Self { number, is_ours })
    }

    fn encode(self) -> String {
        format!("{}{}", if self.is_ours { '=' } else { '+' }, self.number)
    }

    fn decode(text: &str) -> Option<Self> {
        let (is_ours, number) = match text.strip_prefix('=') {
            Some(number) => (true, number),
            None => (false, text.strip_prefix('+')?),
        };
        Some(Self { number: number.parse().ok()?, is_ours })
    }
}

/// ECS does not tell since when a task is healthy; the first look that saw it so does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeMark {
    /// The last part of its ARN.
    pub(crate) task: String,
    pub(crate) since: Timestamp,
}

/// A revision judged bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The whole value, for values of a later version.
    text: String,
    pub(crate) at: Option<Timestamp>,
    /// The name of a [`VerdictKind`], or a later version's word.
    pub(crate) code: String,
    /// The person whose verdict it is.
    pub(crate) said: Option<Said>,
}

/// All that the tags of a service say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) owner: Option<Owner>,
    pub(crate) applied: Option<LastApplied>,
    /// An ARN of a service revision or of a task definition.
    pub(crate) proven: Option<String>,
    pub(crate) rejected: Option<Rejection>,
    pub(crate) rollout: Option<RolloutMark>,
    pub(crate) hold: bool,
    pub(crate) pause: Option<Said>,
    /// `None` also for a value that cannot be read.
    pub(crate) promotion: Option<Promotion>,
    /// When the weights of the service at rest were last put back.
    pub(crate) reweighed: Option<Timestamp>,
    /// The marks of what was live as the manifest had it where its policy does not heal.
    pub(crate) kept: BTreeSet<String>,
    pub(crate) keys: BTreeSet<String>,
}

impl Memory {
    pub(crate) fn read(tags: &BTreeMap<String, String>) -> Self {
        let value = |key: &str| tags.get(key).map(String::as_str);
        Self {
            owner: value(tag::OWNER).map(Owner::decode),
            applied: value(tag::DIGEST).and_then(LastApplied::decode),
            proven: value(tag::PROVEN).filter(|arn| is_revision(arn)).map(str::to_owned),
            rejected: value(tag::REJECTED).map(Rejection::decode),
            rollout: value(tag::ROLLOUT).and_then(RolloutMark::decode),
            hold: tags.contains_key(tag::HOLD),
            pause: value(tag::PAUSE).map(Said::decode),
            promotion: value(tag::PROMOTE).and_then(Promotion::decode),
            reweighed: value(tag::REWEIGHED).and_then(|at| epoch(at.strip_prefix(VERSION)?)),
            kept: value(tag::DRIFT).map(decode_marks).unwrap_or_default(),
            keys: value(tag::TAGS).map(decode_keys).unwrap_or_default(),
        }
    }

    pub(crate) fn rejects(&self, digest: &Digest) -> bool {
        self.rejected.as_ref().is_some_and(|rejection| rejection.names(digest))
    }
}

/// Whether it can be returned to: other words are nobody's.
fn is_revision(arn: &str) -> bool {
    [":service-revision/", ":task-definition/"].iter().any(|kind| arn.contains(kind))
}

impl Owner {
    /// `v1:<instance>:<file>`; of a long path the end is kept, which tells more than its beginning.
    pub(crate) fn encode(instance: &str, file: &str) -> String {
        let head = format!("{VERSION}{}:", Self::name(instance));
        let room = VALUE_MAX.saturating_sub(head.chars().count());
        let file = allowed(file);
        let skip = file.chars().count().saturating_sub(room);
        head + &file.chars().skip(skip).collect::<String>()
    }

    /// An instance's name as it is written into tags.
    pub(crate) fn name(instance: &str) -> String {
        allowed(instance).replace(':', "_").chars().take(100).collect()
    }

    fn decode(value: &str) -> Self {
        match value.strip_prefix(VERSION).and_then(|rest| rest.split_once(':')) {
            Some((instance, _)) => Self::Instance(instance.to_owned()),
            None => Self::Unreadable(value.to_owned()),
        }
    }
}

/// Whether the value of an owner tag names this instance.
pub fn is_owner(value: &str, instance: &str) -> bool {
    Owner::decode(value) == Owner::Instance(Owner::name(instance))
}

/// `v1:<mark>+<mark>…`; marks are 8 hexadecimal digits, and as many as a service has members fit.
pub(crate) fn encode_marks(marks: &BTreeSet<String>) -> String {
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    format!("{VERSION}{}", marks.join("+"))
}

fn decode_marks(value: &str) -> BTreeSet<String> {
    let marks = value.strip_prefix(VERSION).unwrap_or_default().split('+');
    marks.filter(|mark| !mark.is_empty()).map(str::to_owned).collect()
}

impl LastApplied {
    /// Among the codes, where no task was seen. No member has it, so that earlier versions pass it over.
    const UNSEEN: &str = "0";

    /// `v1:<digest>:<epoch>:<code>+<code>…`
    pub(crate) fn encode(&self) -> String {
        let unseen = (!self.is_seen).then_some(Self::UNSEEN);
        let members: Vec<&str> =
            unseen.into_iter().chain(self.members.iter().map(String::as_str)).collect();
        format!("{VERSION}{}:{}:{}", self.digest, self.at.as_second(), members.join("+"))
    }

    /// `None` also for a value that a later time would make too long for a tag: nobody of ours wrote it.
    fn decode(value: &str) -> Option<Self> {
        const LATER_TIME: usize = 20;
        if value.chars().count() + LATER_TIME > VALUE_MAX {
            return None;
        }
        let (rest, members) = value.strip_prefix(VERSION)?.rsplit_once(':')?;
        let (digest, at) = rest.rsplit_once(':')?;
        let mut members: BTreeSet<String> =
            members.split('+').filter(|code| !code.is_empty()).map(str::to_owned).collect();
        let is_seen = !members.remove(Self::UNSEEN);
        Some(Self { digest: Digest::from_tag(digest), at: epoch(at)?, members, is_seen })
    }
}

impl RolloutMark {
    /// One of which no task is watched and no step taken yet.
    pub(crate) fn new(
        digest: &Digest,
        deployment: Marked,
        phase: RolloutPhase,
        since: Timestamp,
    ) -> Self {
        Self { digest: digest.clone(), deployment, phase, since, probe: None, step: 0 }
    }

    /// The id of its deployment, once it was seen.
    pub(crate) fn id(&self) -> Option<&str> {
        match &self.deployment {
            Marked::Id(id) => Some(id),
            Marked::Announced { .. } => None,
        }
    }

    /// `v1:<digest>:<deployment>:<phase>:<epoch>`, and `:<task>/<epoch>` while a healthy task is being
    /// watched. A deployment is an id, or `-<revision>[+<number of the one before>]`, with `=` where that was ours and
    /// never proven.
    pub(crate) fn encode(&self) -> String {
        let deployment = match &self.deployment {
            Marked::Id(id) => id.clone(),
            Marked::Announced { revision, over } => {
                format!("-{revision}{}", over.map(Over::encode).unwrap_or_default())
            }
        };
        let phase = phase_code(self.phase, self.step);
        let since = self.since.as_second();
        let probe = self.probe.as_ref().map(ProbeMark::encode).unwrap_or_default();
        format!("{VERSION}{}:{deployment}:{phase}:{since}{probe}", self.digest)
    }

    fn decode(value: &str) -> Option<Self> {
        let value = value.strip_prefix(VERSION)?;
        let (value, probe) = match value.rsplit_once(':') {
            Some((rest, last)) if last.contains('/') => (rest, Some(ProbeMark::decode(last)?)),
            _ => (value, None),
        };
        let (rest, since) = value.rsplit_once(':')?;
        let (rest, phase) = rest.rsplit_once(':')?;
        let (digest, deployment) = rest.rsplit_once(':')?;
        let (phase, step) = phase_of(phase)?;
        Some(Self {
            digest: Digest::from_tag(digest),
            deployment: Marked::decode(deployment),
            phase,
            since: epoch(since)?,
            probe,
            step,
        })
    }
}

impl Marked {
    /// The deployment that is about to be started with this task definition, in the place of another.
    pub(crate) fn announced(definition: &str, over: Option<Over>) -> Self {
        Self::Announced { revision: revision_number(definition).unwrap_or(0), over }
    }

    fn decode(text: &str) -> Self {
        let Some(text) = text.strip_prefix('-') else { return Self::Id(text.to_owned()) };
        let end = text.find(['+', '=']).unwrap_or(text.len());
        let (revision, over) = text.split_at_checked(end).unwrap_or((text, ""));
        Self::Announced { revision: revision.parse().unwrap_or(0), over: Over::decode(over) }
    }
}

/// The 7 of `arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7`.
pub(crate) fn revision_number(definition: &str) -> Option<u64> {
    definition.rsplit(':').next()?.parse().ok()
}

/// The digits of `ecs-svc/6216346761948112104`.
pub(crate) fn deployment_number(id: &str) -> Option<u64> {
    id.rsplit('/').next()?.parse().ok()
}

impl ProbeMark {
    fn encode(&self) -> String {
        format!(":{}/{}", self.task, self.since.as_second())
    }

    fn decode(text: &str) -> Option<Self> {
        let (task, since) = text.split_once('/')?;
        Some(Self { task: task.to_owned(), since: epoch(since)? })
    }
}

impl Rejection {
    /// `v1:<digest>:<epoch>:<code>`
    pub(crate) fn encode(digest: &Digest, at: Timestamp, kind: VerdictKind) -> String {
        format!("{VERSION}{digest}:{}:{kind:?}", at.as_second())
    }

    /// `v1:<digest>:<epoch>:Aborted/<who>/<why>`: a person's verdict.
    pub(crate) fn encode_said(digest: &Digest, said: &Said) -> String {
        let head = Self::encode(digest, said.at.unwrap_or_default(), VerdictKind::Aborted);
        said::fitting(format!("{head}/{}/", said::name(&said.who)), &said.why)
    }

    fn decode(value: &str) -> Self {
        let parts = || {
            let (rest, code) = value.strip_prefix(VERSION)?.rsplit_once(':')?;
            let (_, at) = rest.rsplit_once(':')?;
            Some((epoch(at)?, code.to_owned()))
        };
        let text = value.to_owned();
        let Some((at, code)) = parts() else {
            let code = "Unreadable".to_owned();
            return Self { text, at: None, code, said: None };
        };
        let (code, said) = match code.split_once('/') {
            Some((code, said)) => (code.to_owned(), Some(said)),
            None => (code, None),
        };
        let said = said.map(|said| {
            let (who, why) = said.split_once('/').unwrap_or((said, ""));
            Said { who: who.to_owned(), at: Some(at), why: why.to_owned() }
        });
        Self { text, at: Some(at), code, said }
    }

    /// `Aborted by ann: a bad release`, or only the code.
    pub(crate) fn reason(&self) -> String {
        match &self.said {
            Some(said) => {
                let said = Said { at: None, ..said.clone() };
                format!("{} {}", self.code, said.phrase())
            }
            None => self.code.clone(),
        }
    }

    /// Also when it stands at another place of the value than we write it at: where a value is damaged or
    /// of a later version, not to roll out is the safe reading, and a retry takes it back.
    pub(crate) fn names(&self, digest: &Digest) -> bool {
        self.text.contains(digest.as_str())
    }
}

/// Keys joined by spaces. A key with a space, or one that no longer fits, is not remembered: such a
/// tag is set but never removed.
pub(crate) fn encode_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    let mut value = String::new();
    for key in keys.into_iter().filter(|key| !key.contains(' ')) {
        if value.chars().count() + 1 + key.chars().count() > VALUE_MAX {
            continue;
        }
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(key);
    }
    value
}

fn decode_keys(value: &str) -> BTreeSet<String> {
    value.split(' ').filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// A word, and the number of the step where Evenkeel takes steps.
fn phase_code(phase: RolloutPhase, step: u8) -> String {
    match phase {
        RolloutPhase::Probing => "probe".to_owned(),
        RolloutPhase::Widening => "widen".to_owned(),
        RolloutPhase::Shifting => "shift".to_owned(),
        RolloutPhase::Stepping => format!("step{step}"),
        RolloutPhase::Testing => format!("test{step}"),
        RolloutPhase::Baking => format!("bake{step}"),
        RolloutPhase::Keeping => format!("keep{step}"),
        RolloutPhase::RollingBack => "rollback".to_owned(),
        RolloutPhase::Postponed if step == 0 => "postpone".to_owned(),
        RolloutPhase::Postponed => format!("postpone{step}"),
    }
}

fn phase_of(code: &str) -> Option<(RolloutPhase, u8)> {
    let word = code.trim_end_matches(|c: char| c.is_ascii_digit());
    let phase = match word {
        "probe" => RolloutPhase::Probing,
        "widen" => RolloutPhase::Widening,
        "shift" => RolloutPhase::Shifting,
        "step" => RolloutPhase::Stepping,
        "test" => RolloutPhase::Testing,
        "bake" => RolloutPhase::Baking,
        "keep" => RolloutPhase::Keeping,
        "rollback" => RolloutPhase::RollingBack,
        "postpone" => RolloutPhase::Postponed,
        _ => return None,
    };
    match code.strip_prefix(word)? {
        "" => Some((phase, 0)),
        step => Some((phase, step.parse().ok()?)),
    }
}

/// `v1:<epoch>`
pub(crate) fn encode_time(at: Timestamp) -> String {
    format!("{VERSION}{}", at.as_second())
}

fn epoch(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.parse().ok()?).ok()
}

/// What AWS does not take in a tag's value becomes `_`.
fn allowed(text: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || " +-=._:/@".contains(c);
    text.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        Digest::from_tag("v1:00112233445566778899aabbccddeeff")
    }

    fn at() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn memory(key: &str, value: &str) -> Memory {
        Memory::read(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_rollout_reads_back_as_written_with_and_without_a_deployment_or_a_probe() {
        let id = Marked::Id("ecs-svc/6216346761948112104".to_owned());
        let announced = |over| Marked::Announced { revision: 7, over };
        let over = |is_ours| Over::of("ecs-svc/6216346761948112104", is_ours);
        for deployment in [announced(None), announced(over(false)), announced(over(true)), id] {
            for (phase, step) in PHASES {
                for probe in [None, Some(probe())] {
                    let (deployment, digest) = (deployment.clone(), digest());
                    let since = at();
                    let mark = RolloutMark { digest, deployment, phase, since, probe, step };
                    assert_eq!(memory(tag::ROLLOUT, &mark.encode()).rollout, Some(mark));
                }
            }
        }
    }

    const PHASES: [(RolloutPhase, u8); 10] = [
        (RolloutPhase::Probing, 0),
        (RolloutPhase::Widening, 0),
        (RolloutPhase::Shifting, 0),
        (RolloutPhase::Stepping, 0),
        (RolloutPhase::Testing, 0),
        (RolloutPhase::Baking, 49),
        (RolloutPhase::Keeping, 7),
        (RolloutPhase::RollingBack, 0),
        (RolloutPhase::Postponed, 0),
        (RolloutPhase::Postponed, 1),
    ];

    fn probe() -> ProbeMark {
        ProbeMark { task: "0123456789abcdef0123456789abcdef".to_owned(), since: at() }
    }

    #[test]
    fn what_was_applied_reads_back_as_written() {
        let members = BTreeSet::from(["lb".to_owned(), "pc".to_owned()]);
        for (members, is_seen) in [
            (members.clone(), true),
            (members, false),
            (BTreeSet::new(), true),
            (BTreeSet::new(), false),
        ] {
            let applied = LastApplied { digest: digest(), at: at(), members, is_seen };
            assert_eq!(memory(tag::DIGEST, &applied.encode()).applied, Some(applied));
        }
    }

    #[test]
    fn what_was_applied_is_not_read_from_a_value_that_would_not_fit_when_written_again() {
        let of_length = |length: usize| format!("v1:{}:1:", "f".repeat(length - 6));
        assert_eq!(memory(tag::DIGEST, &of_length(VALUE_MAX)).applied, None);
        assert_eq!(memory(tag::DIGEST, &of_length(237)).applied, None);
        assert!(memory(tag::DIGEST, &of_length(236)).applied.is_some());
    }

    #[test]
    fn an_owner_tag_names_one_instance() {
        assert!(is_owner(&Owner::encode("prod:eu", "web.yaml"), "prod:eu"));
        assert!(!is_owner(&Owner::encode("prod:eu", "web.yaml"), "prod"));
        assert!(!is_owner("prod:eu", "prod:eu"), "no version, so not ours");
    }

    #[test]
    fn a_rejection_names_its_digest_and_no_other() {
        let value = Rejection::encode(&digest(), at(), VerdictKind::Crashes);
        assert_eq!(value, "v1:v1:00112233445566778899aabbccddeeff:1790000000:Crashes");
        let memory = memory(tag::REJECTED, &value);
        assert!(memory.rejects(&digest()));
        assert!(!memory.rejects(&Digest::from_tag("v1:ff")));
        assert_eq!(memory.rejected.map(|r| (r.at, r.code)), Some((Some(at()), "Crashes".into())));
    }

    #[test]
    fn a_rejection_with_the_digest_at_an_odd_place_still_rejects() {
        let value = format!("v1:damaged {}:1790000000:Crashes", digest());
        assert!(memory(tag::REJECTED, &value).rejects(&digest()));
    }

    #[test]
    fn a_person_s_verdict_names_the_person_and_the_reason() {
        let said = Said { who: "ann/x".into(), at: Some(at()), why: "errors: 5xx / slow".into() };
        let value = Rejection::encode_said(&digest(), &said);
        let memory = memory(tag::REJECTED, &value);
        assert!(memory.rejects(&digest()), "{value}");
        let rejection = memory.rejected.unwrap();
        assert_eq!((rejection.code.as_str(), rejection.at), ("Aborted", Some(at())));
        assert_eq!(rejection.reason(), "Aborted by ann_x: errors_ 5xx / slow");
        let long = Said { why: "x".repeat(999), ..said };
        assert_eq!(Rejection::encode_said(&digest(), &long).chars().count(), VALUE_MAX);
    }

    #[test]
    fn a_rejection_of_a_later_version_still_rejects() {
        let value = format!("v9;{};whatever", digest());
        assert!(memory(tag::REJECTED, &value).rejects(&digest()));
    }

    #[test]
    fn what_is_no_revision_is_not_proven() {
        assert_eq!(memory(tag::PROVEN, "launchType").proven, None);
        let arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7";
        assert_eq!(memory(tag::PROVEN, arn).proven.as_deref(), Some(arn));
    }

    #[test]
    fn values_of_a_later_version_read_as_absent() {
        assert_eq!(memory(tag::ROLLOUT, "v2:what:ever").rollout, None);
        assert_eq!(memory(tag::DIGEST, "v2:what:ever").applied, None);
        assert_eq!(
            memory(tag::OWNER, "v2 someone").owner,
            Some(Owner::Unreadable("v2 someone".to_owned()))
        );
    }

    #[test]
    fn an_owner_fits_into_a_tag_however_long_the_path() {
        let path = "größe/#".repeat(100);
        let value = Owner::encode("prod:eu", &path);
        assert_eq!(value.chars().count(), VALUE_MAX);
        assert!(value.starts_with("v1:prod_eu:"));
        assert!(value.ends_with("größe/_"));
        assert_eq!(Owner::decode(&value), Owner::Instance("prod_eu".to_owned()));
    }

    #[test]
    fn keys_that_do_not_fit_are_left_out_whole() {
        let keys: Vec<String> = (0..100).map(|n| format!("team-{n}")).collect();
        let value = encode_keys(keys.iter().map(String::as_str));
        assert!(value.chars().count() <= VALUE_MAX);
        assert!(decode_keys(&value).iter().all(|key| keys.contains(key)));
        assert_eq!(encode_keys(["a b", "c"]), "c");
    }

    #[test]
    fn keys_fill_a_tag_to_its_last_character_and_no_further() {
        let (short, long) = ("a".repeat(127), "b".repeat(128));
        let value = encode_keys([short.as_str(), &long]);
        assert_eq!((value.len(), decode_keys(&value).len()), (VALUE_MAX, 2));
        assert_eq!(encode_keys([long.as_str(), &"c".repeat(128)]), long);
    }

    #[test]
    fn the_longest_values_fit() {
        let mark = RolloutMark {
            digest: digest(),
            deployment: Marked::Id("ecs-svc/62163467619481121040".to_owned()),
            phase: RolloutPhase::RollingBack,
            since: at(),
            probe: Some(probe()),
            step: 0,
        };
        assert!(mark.encode().len() <= VALUE_MAX);
    }
}
