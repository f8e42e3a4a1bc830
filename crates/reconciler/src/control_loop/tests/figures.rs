//! What passes that ended leave in the metrics, under paused time and without AWS.

use evenkeel_manifest::{Digest, DriftPolicy};
use evenkeel_planner::{
    BreakerCount, Drifted, EvidenceKind, RolloutPhase, RolloutStatus, Verdict, VerdictKind,
    WaitReason,
};

use super::*;

/// A report as a pass makes it, about a rollout that was judged bad.
async fn judged(name: &str, kind: VerdictKind, digest: &str) -> PassReport {
    let cloud = ScriptedCloud::new(Duration::ZERO);
    let wanted = service(name, "2");
    let mut report = reconcile(&cloud, &key(name), Some(&wanted), "test", Mode::DryRun).await;
    report.outcome = Outcome::Done;
    let digest = Digest::from_tag(digest);
    report.status.rollout = Some(RolloutStatus {
        phase: RolloutPhase::RollingBack,
        digest: digest.clone(),
        deployment: None,
        since: Some(report.status.observed_at - jiff::SignedDuration::from_secs(42)),
        task_definition: None,
        running_count: 1,
        desired_count: 1,
        healthy_count: None,
        shift: None,
    });
    report.status.breaker =
        vec![BreakerCount { kind: EvidenceKind::Crash, count: 2, threshold: 3 }];
    let sentence = "three tasks crashed".to_owned();
    report.plan.verdict =
        Some(Verdict { kind, digest, sentence, evidence: Vec::new(), counts: Vec::new() });
    report
}

fn pass(report: PassReport) -> Pass {
    Pass {
        took: SECOND,
        followed: None,
        answers: Vec::new(),
        report: Some(Box::new((report, Some(Unconfirmed::default())))),
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_counted_once_for_each_verdict_however_often_it_is_seen() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let web = Arc::new(key("web"));
    for digest in ["v1:2", "v1:2", "v1:2", "v1:3"] {
        let report = judged("web", VerdictKind::Crashes, digest).await;
        control_loop.pass_ended(&web, Ok(pass(report)));
    }
    let text = metrics_text(&registry, &control_loop.board).expect("is valid text");
    assert!(text.contains("evenkeel_rollbacks_total{reason=\"Crashes\"} 2\n"), "{text}");
    assert!(text.contains("evenkeel_rollbacks_total{reason=\"Stalled\"} 0\n"), "{text}");
}

/// What a look shows at which a verdict is said, stands written, or is nowhere to be seen.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Verdict,
    Rejection,
    Neither,
}

/// A pass over `web`, of which the revision `digest` is wanted and rolled out.
async fn shows(shown: Shown, digest: &str) -> PassReport {
    let mut report = judged("web", VerdictKind::Alarm, digest).await;
    report.status.wanted = Some(Digest::from_tag(digest));
    if shown != Shown::Verdict {
        report.plan.verdict = None;
    }
    let is_rejected = |c: &&mut evenkeel_planner::Condition| c.kind == ConditionKind::Rejected;
    if let Some(condition) = report.status.conditions.iter_mut().find(is_rejected) {
        let is = shown != Shown::Neither;
        condition.status = if is { ConditionStatus::True } else { ConditionStatus::False };
    }
    report
}

fn from_the_past(report: PassReport) -> Pass {
    let report = Some(Box::new((report, None)));
    Pass { took: SECOND, followed: None, answers: Vec::new(), report }
}

/// How many verdicts are counted over these passes.
fn counted(passes: Vec<Pass>) -> u64 {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    for pass in passes {
        control_loop.pass_ended(&Arc::new(key("web")), Ok(pass));
    }
    let text = metrics_text(&registry, &control_loop.board).expect("is valid text");
    let head = "evenkeel_rollbacks_total{reason=\"Alarm\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(head)).expect("it is always there");
    line.parse().expect("is a number")
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_again_after_a_person_took_the_verdict_back_is_counted_again() {
    let way = [Shown::Verdict, Shown::Verdict, Shown::Rejection, Shown::Neither, Shown::Verdict];
    let mut passes = Vec::new();
    for shown in way {
        passes.push(pass(shows(shown, "v1:2").await));
    }
    assert_eq!(counted(passes), 2);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_is_taken_back_before_the_next_look_is_counted_again_when_it_comes_again() {
    let mut passes = Vec::new();
    for shown in [Shown::Verdict, Shown::Neither, Shown::Verdict] {
        let mut report = shows(shown, "v1:2").await;
        report.applied = vec![Applied::Done];
        passes.push(pass(report));
    }
    assert_eq!(counted(passes), 2);
}

#[tokio::test(start_paused = true)]
async fn content_that_is_rejected_comes_back_and_is_rejected_again_is_counted_twice() {
    let (bad, good) = ("v1:2", "v1:3");
    let way = [
        (Shown::Verdict, bad),
        (Shown::Rejection, bad),
        (Shown::Neither, good),
        (Shown::Neither, bad),
        (Shown::Verdict, bad),
    ];
    let mut passes = Vec::new();
    for (shown, digest) in way {
        passes.push(pass(shows(shown, digest).await));
    }
    assert_eq!(counted(passes), 2);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_was_never_written_is_another_one_when_its_content_comes_back() {
    let (bad, good) = ("v1:2", "v1:3");
    let mut passes = Vec::new();
    for (shown, digest) in [(Shown::Verdict, bad), (Shown::Neither, good), (Shown::Verdict, bad)] {
        passes.push(pass(shows(shown, digest).await));
    }
    assert_eq!(counted(passes), 2);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_counted_once_though_looks_from_the_past_lack_it_or_lead_to_it_again() {
    let mut passes = Vec::new();
    for shown in [Shown::Verdict, Shown::Rejection] {
        passes.push(pass(shows(shown, "v1:2").await));
    }
    for shown in [Shown::Neither, Shown::Verdict] {
        passes.push(from_the_past(shows(shown, "v1:2").await));
    }
    passes.push(pass(shows(Shown::Neither, "v1:2").await));
    passes.push(from_the_past(shows(Shown::Verdict, "v1:2").await));
    assert_eq!(counted(passes), 1);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_is_not_known_to_be_written_is_counted_once_though_its_evidence_comes_and_goes()
 {
    let mut passes = Vec::new();
    for shown in [Shown::Verdict, Shown::Neither, Shown::Verdict, Shown::Rejection] {
        passes.push(pass(shows(shown, "v1:2").await));
    }
    assert_eq!(counted(passes), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_of_a_rejected_revision_is_told_for_as_long_as_it_is_wanted_and_rejected() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, _registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let web = Arc::new(key("web"));
    let wanted = service("web", "2").revision_digest;
    let report = judged("web", VerdictKind::Crashes, wanted.as_str()).await;
    control_loop.pass_ended(&web, Ok(pass(report.clone())));
    let mut later = report;
    later.plan.verdict = None;
    let crashed = Some("three tasks crashed");
    for (reason, said) in [(Some("Crashes"), crashed), (Some("Aborted"), None), (None, None)] {
        let mut later = later.clone();
        for condition in &mut later.status.conditions {
            if let Some(reason) = reason.filter(|_| condition.kind == ConditionKind::Rejected) {
                (condition.status, condition.reason) = (ConditionStatus::True, reason);
            }
        }
        control_loop.pass_ended(&web, Ok(pass(later)));
        let status = control_loop.board.get(&web).expect("it was published");
        assert_eq!(status.verdict.as_ref().map(|one| &*one.sentence), said);
    }
    later.status.wanted = Some(Digest::from_tag("v1:3"));
    control_loop.pass_ended(&web, Ok(pass(later)));
    let status = control_loop.board.get(&web).expect("it was published");
    assert_eq!(status.verdict, None, "something else is wanted");
}

/// A report of a pass that could not read the service.
async fn blind(name: &str) -> PassReport {
    let cloud = ScriptedCloud::new(Duration::ZERO);
    cloud.script(name, [Look::Fails(transient("DescribeServices"))]);
    reconcile(&cloud, &key(name), Some(&service(name, "2")), "test", Mode::Apply).await
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_and_rolled_out_is_so_in_the_metrics_after_a_look_that_failed() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let (web, board) = (Arc::new(key("web")), control_loop.board.clone());
    let text = || metrics_text(&registry, &board).expect("is valid text");
    let is = |kind: &str, value: u8| {
        let labels = r#"cluster="main",service="web",target="default""#;
        format!("evenkeel_service_condition{{{labels},type=\"{kind}\"}} {value}\n")
    };
    let rejected = shows(Shown::Rejection, "v1:2").await;
    control_loop.pass_ended(&web, Ok(pass(rejected.clone())));
    for _ in 0..2 {
        control_loop.pass_ended(&web, Ok(pass(blind("web").await)));
        let text = text();
        for series in [is("Rejected", 1), is("Unknown", 1), is("Ready", 0)] {
            assert!(text.contains(&series), "{series}{text}");
        }
        assert!(text.contains("evenkeel_rollout_phase{"), "{text}");
        assert!(text.contains("evenkeel_rollout_age_seconds{"), "{text}");
        let status = board.get(&web).expect("is published");
        let reasons: Vec<WaitReason> = status.waiting.iter().map(|wait| wait.reason).collect();
        assert_eq!(reasons.iter().filter(|one| **one == WaitReason::Unknown).count(), 1);
        assert_eq!(status.observed_at, rejected.status.observed_at, "as of the last look");
    }
    control_loop.pass_ended(&web, Ok(pass(shows(Shown::Neither, "v1:2").await)));
    assert!(!text().contains(&is("Rejected", 1)), "{}", text());
}

#[tokio::test(start_paused = true)]
async fn what_a_pass_did_is_told_until_a_look_shows_what_came_of_it() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, _registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let (web, did) = (Arc::new(key("web")), vec!["rejects v1:2".to_owned()]);
    let mut rejects = shows(Shown::Verdict, "v1:2").await;
    rejects.status.did.clone_from(&did);
    control_loop.pass_ended(&web, Ok(pass(rejects)));
    control_loop.pass_ended(&web, Ok(pass(blind("web").await)));
    assert_eq!(control_loop.board.get(&web).map(|status| status.did.clone()), Some(did));
}

#[tokio::test(start_paused = true)]
async fn breaker_and_rollout_series_exist_only_while_a_rollout_is_in_flight() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let web = Arc::new(key("web"));
    let report = judged("web", VerdictKind::Crashes, "v1:2").await;
    let mut over = report.clone();
    (over.status.rollout, over.plan.verdict) = (None, None);
    let board = control_loop.board.clone();
    let text = || metrics_text(&registry, &board).expect("is valid text");
    let labels = r#"cluster="main",service="web",target="default""#;
    let labels_with_kind = r#"cluster="main",kind="Crash",service="web",target="default""#;

    control_loop.pass_ended(&web, Ok(pass(report)));
    let during = text();
    assert!(during.contains(&format!("evenkeel_breaker_failures{{{labels_with_kind}}} 2\n")));
    assert!(during.contains(&format!("evenkeel_breaker_threshold{{{labels_with_kind}}} 3\n")));
    assert!(during.contains(&format!("evenkeel_rollout_age_seconds{{{labels}}} 42\n")));

    control_loop.pass_ended(&web, Ok(pass(over)));
    let after = text();
    for name in
        ["evenkeel_breaker_failures", "evenkeel_breaker_threshold", "evenkeel_rollout_age_seconds"]
    {
        assert!(!after.contains(name), "{name} is still there:\n{after}");
    }
    assert!(after.contains("evenkeel_rollout_duration_seconds_sum{result=\"completed\"} 42\n"));
}

/// When the rollouts of these tests begin.
const DAWN: Timestamp = Timestamp::constant(1_700_000_000, 0);

fn after(minutes: i64) -> Timestamp {
    DAWN + jiff::SignedDuration::from_mins(minutes)
}

/// A look at `web` so many minutes after dawn. `rollout` is its phase, the digest of its mark and the minute since which it is in that
/// phase.
async fn look(minute: i64, rollout: Option<(RolloutPhase, &str, i64)>) -> PassReport {
    let mut report = judged("web", VerdictKind::Alarm, "v1:2").await;
    (report.plan.verdict, report.status.observed_at) = (None, after(minute));
    let shown = report.status.rollout.take();
    report.status.rollout = rollout.zip(shown).map(|((phase, digest, since), shown)| {
        let (digest, since) = (Digest::from_tag(digest), Some(after(since)));
        RolloutStatus { phase, digest, since, ..shown }
    });
    report
}

/// The seconds of `evenkeel_rollout_age_seconds` after each of these passes, if it is there, and the sum and the count of
/// `evenkeel_rollout_duration_seconds` in the end.
fn rollouts(passes: Vec<Pass>) -> (Vec<Option<u64>>, u64, u64) {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let board = control_loop.board.clone();
    let values = |head: &str| -> Vec<u64> {
        let text = metrics_text(&registry, &board).expect("is valid text");
        let lines = text.lines().filter(|line| line.starts_with(head));
        let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok());
        lines.map(|line| value(line).expect("is a number")).collect()
    };
    let mut ages = Vec::new();
    for pass in passes {
        control_loop.pass_ended(&Arc::new(key("web")), Ok(pass));
        ages.push(values("evenkeel_rollout_age_seconds{").first().copied());
    }
    let [sum, count] = ["sum", "count"]
        .map(|which| values(&format!("evenkeel_rollout_duration_seconds_{which}{{")).iter().sum());
    (ages, sum, count)
}

#[tokio::test(start_paused = true)]
async fn a_rollout_in_steps_is_as_old_as_its_first_step_and_took_as_long_as_all_of_them() {
    use RolloutPhase::{Baking, Stepping};
    let passes = vec![
        pass(look(1, Some((Stepping, "v1:2", 0))).await),
        pass(look(10, Some((Baking, "v1:2", 9))).await),
        pass(look(70, Some((Stepping, "v1:2", 69))).await),
        pass(look(90, None).await),
        pass(look(100, Some((Stepping, "v1:2", 99))).await),
    ];
    let (ages, sum, count) = rollouts(passes);
    let minutes = [Some(1), Some(10), Some(70), None, Some(1)];
    assert_eq!(ages, minutes.map(|age| age.map(|age| age * 60)));
    assert_eq!((sum, count), (90 * 60, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_rollout_took_as_long_as_it_and_its_return() {
    use RolloutPhase::{RollingBack, Widening};
    // What is left for a manifest that wants rejected content is marked with the digest of that.
    for digest in ["v1:2", "v1:3"] {
        let passes = vec![
            pass(look(1, Some((Widening, "v1:2", 0))).await),
            pass(look(20, Some((RollingBack, digest, 20))).await),
            pass(look(30, None).await),
        ];
        let (ages, sum, count) = rollouts(passes);
        assert_eq!(ages, [Some(60), Some(20 * 60), None]);
        assert_eq!((sum, count), (30 * 60, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_takes_the_place_of_another_is_not_as_old_as_that() {
    use RolloutPhase::{RollingBack, Stepping};
    let passes = vec![
        pass(look(1, Some((Stepping, "v1:2", 0))).await),
        pass(look(20, Some((RollingBack, "v1:2", 20))).await),
        pass(look(30, Some((Stepping, "v1:3", 25))).await),
        pass(look(40, None).await),
    ];
    let (ages, sum, count) = rollouts(passes);
    assert_eq!(ages, [Some(60), Some(20 * 60), Some(5 * 60), None]);
    assert_eq!((sum, count), (15 * 60, 1));
}

#[tokio::test(start_paused = true)]
async fn a_look_from_the_past_neither_ends_a_rollout_nor_begins_one() {
    use RolloutPhase::{Baking, Stepping};
    let passes = vec![
        pass(look(1, Some((Stepping, "v1:2", 0))).await),
        from_the_past(look(2, None).await),
        from_the_past(look(3, Some((Baking, "v1:1", -90))).await),
        pass(look(10, Some((Baking, "v1:2", 9))).await),
        pass(look(20, None).await),
        from_the_past(look(21, Some((Stepping, "v1:2", 0))).await),
        pass(look(22, None).await),
    ];
    let (ages, sum, count) = rollouts(passes);
    assert_eq!(ages.get(3), Some(&Some(10 * 60)));
    assert_eq!((sum, count), (20 * 60, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_plan_is_counted_published_and_waits_long() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let mut report = judged("web", VerdictKind::Crashes, "v1:2").await;
    report.outcome = Outcome::Refused(vec!["deletes what is not ours".to_owned()]);
    let web = control_loop.queue.next().await;
    control_loop.pass_ended(&web, Ok(pass(report)));
    let text = metrics_text(&registry, &control_loop.board).expect("is valid text");
    assert!(text.contains("evenkeel_plans_refused_total 1\n"), "{text}");
    assert!(control_loop.board.get(&web).is_some());
    assert!(timeout(299 * SECOND, control_loop.queue.next()).await.is_err());
    assert_eq!(timeout(2 * SECOND, control_loop.queue.next()).await, Ok(web));
}

#[tokio::test(start_paused = true)]
async fn drifted_fields_are_counted_by_policy_and_go_when_they_are_healed() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let (mut control_loop, _sender, registry) =
        not_running(exact(), &cloud, state([service("web", "2")]));
    control_loop.manifests_changed();
    let web = Arc::new(key("web"));
    let clean = reconcile(&*cloud, &web, Some(&service("web", "2")), "test", Mode::DryRun).await;
    let field = |name: &str, policy| Drifted {
        path: format!("service.{name}"),
        policy,
        last: None,
        wanted: Some(2.into()),
        live: Some(9.into()),
        since: clean.status.observed_at,
        healed: 0,
        until: None,
    };
    let mut drifted = clean.clone();
    drifted.status.drift = vec![
        field("desiredCount", DriftPolicy::Heal),
        field("propagateTags", DriftPolicy::Report),
        field("enableExecuteCommand", DriftPolicy::Report),
    ];
    let board = control_loop.board.clone();
    let text = || metrics_text(&registry, &board).expect("is valid text");
    let of = |policy: &str| {
        let labels = r#"service="web",target="default""#;
        format!("evenkeel_drifted_fields{{cluster=\"main\",policy=\"{policy}\",{labels}}}")
    };
    control_loop.pass_ended(&web, Ok(pass(drifted)));
    let during = text();
    for (policy, count) in [("Heal", 1), ("Report", 2)] {
        assert!(during.contains(&format!("{} {count}\n", of(policy))), "{during}");
    }
    control_loop.pass_ended(&web, Ok(pass(clean)));
    assert!(!text().contains("evenkeel_drifted_fields{"), "{}", text());
}

#[tokio::test(start_paused = true)]
async fn of_many_services_every_series_is_there_and_every_family_is_explained_once() {
    const MANY: usize = 601;
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let names: Vec<String> = (0..MANY).map(|number| format!("web-{number:03}")).collect();
    let wanted = state(names.iter().map(|name| service(name, "2")));
    let (mut control_loop, _sender, registry) = not_running(exact(), &cloud, wanted);
    control_loop.manifests_changed();
    for name in &names {
        let report = judged(name, VerdictKind::Crashes, "v1:2").await;
        control_loop.pass_ended(&Arc::new(key(name)), Ok(pass(report)));
    }
    let text = metrics_text(&registry, &control_loop.board).expect("is valid text");
    let begin_with = |head: &str| text.lines().filter(|line| line.starts_with(head)).count();
    for family in ["service_condition", "rollout_phase", "rollout_age_seconds"] {
        assert_eq!(begin_with(&format!("# HELP evenkeel_{family} ")), 1, "{family}");
        assert_eq!(begin_with(&format!("# TYPE evenkeel_{family} gauge")), 1, "{family}");
    }
    assert_eq!(begin_with("evenkeel_rollout_age_seconds{"), MANY);
    let ready = text.lines().filter(|line| line.contains("type=\"Ready\""));
    let ready = ready.filter(|line| line.starts_with("evenkeel_service_condition{"));
    assert_eq!(ready.count(), MANY);
}
