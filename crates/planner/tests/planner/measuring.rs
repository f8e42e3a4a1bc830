//! Rollouts that are measured: which numbers open a gate, which keep it shut, and which end the rollout.

#![expect(clippy::indexing_slicing, reason = "a look without a rollout is a mistake of its test")]

use std::collections::BTreeMap;

use evenkeel_manifest::{
    Analysis, Condition, Document, Gate, Limit, Metric, MetricSource, OnInconclusive, Percent,
    Query, Shift, Statistic, Step, Strategy, Webhook,
};
use evenkeel_planner::{
    AnalysisResult, Call, Depth, Evaluated, Fact, HookAction, HookDetail, MetricId, Minutes,
    Observed, Outcome, Plan, RevisionCounts, Series, Unknown, VerdictKind, WaitReason,
    WebhookAnswer, check, plan, questions, status, webhook_calls,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::ecs::input;
use crate::looks::{Look, failed};
use crate::manifests::{key, web};
use crate::plans::reasons;

const BLUE: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/blue/01";
const GREEN: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/green/02";

/// How long ago the deployment began; its first minute is `MINUTES` before the last closed one.
const BEGAN: i64 = 1_320;
const MINUTES: i64 = 19;

/// A canary at a gate before the last step for five minutes, with this share of the traffic.
struct Canary(Look);

impl Canary {
    fn at(share: f64, metrics: Vec<Metric>) -> Self {
        let plain = |image: &str| web(image).without("loadBalancers");
        let mut look = Look::in_phase(&plain("good:1"), &plain("good:2"), ":widen:");
        let step = Step { percent: Percent::whole(10), bake: std::time::Duration::from_mins(5) };
        look.desired.rollout.strategy = Strategy::Canary(Shift::default(), step);
        look.desired.rollout.analysis = Some(Analysis::of(metrics));
        let mut service = look.desired.service.value();
        service["loadBalancers"] = json!([{
            "targetGroupArn": BLUE, "containerName": "web", "containerPort": 8080,
            "advancedConfiguration": {
                "alternateTargetGroupArn": GREEN,
                "productionListenerRule": "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/front/03/04/05",
            },
        }]);
        look.desired.service = Document::new(&service);
        look.tasks().clear();
        (0..4).for_each(|_| look.runs(BEGAN - 60));
        look.begun(BEGAN);
        look.mark("shift", BEGAN);
        let opened_at = look.ago(300);
        let expires_at = opened_at.checked_add(SignedDuration::from_hours(1)).expect("soon");
        let hook = HookDetail {
            hook_id: "ecs-pause-1".to_owned(),
            target_type: Some("PAUSE".to_owned()),
            status: Some("AWAITING_ACTION".to_owned()),
            expires_at: Some(expires_at),
        };
        let rollout = &mut look.history()[0];
        rollout.deployment_configuration = Some(json!({
            "strategy": "CANARY", "canaryConfiguration": { "canaryBakeTimeInMinutes": 5 },
        }));
        rollout.lifecycle_stage = Some("PRE_PRODUCTION_TRAFFIC_SHIFT".to_owned());
        rollout.lifecycle_hook_details = vec![hook];
        rollout.updated_at = Some(opened_at);
        let target = rollout.target_service_revision.as_mut().expect("it has a target");
        target.requested_production_traffic_weight = Some(share);
        let target = RevisionCounts::clone(target).arn;
        let revisions = look.revisions();
        let revision = revisions.iter_mut().find(|one| one.service_revision_arn == target);
        let resolved = json!({ "loadBalancers": [{ "targetGroupArn": GREEN }] });
        let revision = revision.expect("the target is described");
        revision.rest.insert("resolvedConfiguration".to_owned(), resolved);
        let mut canary = Self(look);
        canary.0.seen.metrics = Fact::Known(Vec::new());
        canary.0.seen.measured_until = Some(canary.minute(-1));
        canary
    }

    /// The start of a minute: 0 is the last closed one, 1 the one before.
    fn minute(&self, ago: i64) -> Timestamp {
        let last = (self.0.seen.at.as_second() - 120).div_euclid(60) * 60;
        Timestamp::from_second(last - 60 * (ago + 1)).expect("within all time")
    }

    fn series(&mut self, metric: MetricId, value: impl Fn(i64) -> Option<f64>) {
        let minutes: Minutes =
            (0..MINUTES).filter_map(|ago| Some((self.minute(ago), value(ago)?))).collect();
        let Fact::Known(all) = &mut self.0.seen.metrics else { panic!("they were read") };
        all.retain(|series| series.metric != metric);
        all.push(Series { metric, minutes });
    }

    /// Requests and answers with 5xx of a group, by the minute; minutes without errors have no number.
    fn serves(mut self, group: &str, requests: f64, errors: impl Fn(i64) -> f64) -> Self {
        self.series(of_group(group, "RequestCount", "Sum"), |_| Some(requests));
        let errors = |ago| Some(errors(ago)).filter(|errors| *errors > 0.0);
        self.series(of_group(group, "HTTPCode_Target_5XX_Count", "Sum"), errors);
        self
    }

    fn answers_in(mut self, group: &str, seconds: impl Fn(i64) -> f64) -> Self {
        self.series(of_group(group, "RequestCount", "Sum"), |_| Some(500.0));
        let time = |ago| Some(seconds(ago));
        self.series(of_group(group, "TargetResponseTime", "p99"), time);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Analysis)) -> Self {
        change(self.0.desired.rollout.analysis.as_mut().expect("it is measured"));
        self
    }

    fn plan(&self) -> Plan {
        self.0.plan()
    }

    fn opens(&self) -> bool {
        let opens = |call: &Call| {
            matches!(call, Call::ContinueServiceDeployment { action: HookAction::Continue, .. })
        };
        self.plan().actions.iter().any(|action| opens(&action.call))
    }

    /// What is told of the first measurement.
    fn told(&self) -> (AnalysisResult, String) {
        let key = key();
        let input = input(&key, Some(&self.0.desired), &self.0.seen);
        let told = status(&input, &plan(&input), &Outcome::Done).analysis;
        (told[0].result, told[0].sentence.clone())
    }
}

fn of_group(group: &str, name: &str, statistic: &str) -> MetricId {
    let group = group.rsplit(':').next().expect("an ARN");
    MetricId {
        namespace: "AWS/ApplicationELB".to_owned(),
        name: name.to_owned(),
        dimensions: BTreeMap::from([
            ("LoadBalancer".to_owned(), "app/front/03".to_owned()),
            ("TargetGroup".to_owned(), group.to_owned()),
        ]),
        statistic: statistic.to_owned(),
    }
}

fn most(source: MetricSource, limit: f64) -> Metric {
    Metric { name: None, source, condition: Condition::Most(Limit::new(limit).expect("finite")) }
}

fn error_rate() -> Vec<Metric> {
    vec![most(MetricSource::ErrorRate, 1.0)]
}

fn p99() -> MetricSource {
    MetricSource::Latency(Statistic::new("p99").expect("a percentile"))
}

fn as_stable(source: MetricSource) -> Vec<Metric> {
    vec![Metric { name: None, source, condition: Condition::AsStable }]
}

#[test]
fn the_newest_windows_are_told_as_numbers_beside_their_limit() {
    let limited = |condition| Metric { name: None, source: MetricSource::ErrorRate, condition };
    let limit = Limit::new(1.0).expect("finite");
    let all = [Condition::Most(limit), Condition::Least(limit), Condition::AsStable];
    let canary = Canary::at(10.0, all.map(limited).to_vec())
        .serves(GREEN, 500.0, |ago| if ago == 0 { 10.0 } else { 1.0 })
        .serves(BLUE, 500.0, |_| 1.0);
    let key = key();
    let input = input(&key, Some(&canary.0.desired), &canary.0.seen);
    let told = status(&input, &plan(&input), &Outcome::Done).analysis;
    let trend = |index: usize| told[index].trend.clone().expect("it was measured");
    let values = trend(0).values;
    assert_eq!((values.len() > 10, values.first(), values.last()), (true, Some(&0.2), Some(&2.0)));
    assert_eq!(trend(0).latest.as_deref(), Some("2%"));
    let limits = |index| (trend(index).limit, trend(index).most, trend(index).least);
    assert_eq!(limits(0), ("at most 1%".to_owned(), Some(1.0), None));
    assert_eq!(limits(1), ("at least 1%".to_owned(), None, Some(1.0)));
    assert_eq!(limits(2), ("as the stable revision".to_owned(), None, None));
}

#[test]
fn no_more_than_twenty_windows_are_told() {
    let mut canary = Canary::at(10.0, vec![most(MetricSource::RequestCount, 1e9)]);
    canary.0.begun(BEGAN + 1_200);
    canary.0.mark("shift", BEGAN + 1_200);
    let from = canary.minute(39);
    let minutes = (0..40).map(|n| (from + SignedDuration::from_mins(n), 100.0)).collect();
    let metric = of_group(GREEN, "RequestCount", "Sum");
    canary.0.seen.metrics = Fact::Known(vec![Series { metric, minutes }]);
    let key = key();
    let input = input(&key, Some(&canary.0.desired), &canary.0.seen);
    let told = status(&input, &plan(&input), &Outcome::Done).analysis;
    assert_eq!(told[0].trend.as_ref().map(|one| one.values.len()), Some(20), "{told:?}");
}

#[test]
fn good_numbers_at_this_share_open_the_gate() {
    let canary = Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 1.0);
    assert!(canary.opens(), "{}", canary.plan());
    let (result, told) = canary.told();
    assert_eq!(result, AnalysisResult::Passed);
    assert_eq!(told, "0.5%, 0.5%, 0.5% in the last 3 windows, 0 over the limit (at most 1%)");
}

#[test]
fn requests_without_an_error_metric_are_requests_without_errors() {
    let canary = Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 0.0);
    assert!(canary.opens(), "{}", canary.plan());
}

#[test]
fn two_of_three_windows_over_the_limit_end_the_rollout_and_one_keeps_the_gate_shut() {
    let bad = |last: i64| {
        Canary::at(10.0, error_rate()).serves(
            GREEN,
            200.0,
            move |ago| {
                if ago < last { 10.0 } else { 0.0 }
            },
        )
    };
    let one = bad(1);
    assert_eq!((one.opens(), one.told().0), (false, AnalysisResult::Running));
    assert_eq!(reasons(&one.plan()), [WaitReason::Gate]);
    let two = bad(2);
    assert_eq!(two.0.verdict(), Some(VerdictKind::Analysis));
    let sentence = two.plan().verdict.expect("one fell").sentence;
    let expected = "errorRate: 0%, 5%, 5% in the last 3 windows, 2 over the limit (at most 1%)";
    assert_eq!(sentence, expected);
}

#[test]
fn bad_numbers_end_the_rollout_between_gates_too() {
    let mut canary = Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 10.0);
    canary.0.history()[0].lifecycle_hook_details.clear();
    assert_eq!(canary.0.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn few_requests_make_longer_windows_and_no_hasty_judgement() {
    let canary = Canary::at(10.0, error_rate()).serves(GREEN, 20.0, |ago| f64::from(ago == 0));
    let (result, told) = canary.told();
    let expected = "0%, 0%, 0% in the last 3 windows, 0 over the limit (at most 1%); 1 of 2 windows \
                    at this share";
    assert_eq!((result, told.as_str()), (AnalysisResult::Running, expected));
}

#[test]
fn a_revision_that_is_tried_again_is_judged_by_what_came_after() {
    let mut canary = Canary::at(10.0, error_rate())
        .serves(GREEN, 200.0, |ago| if ago > 3 { 100.0 } else { 0.0 });
    canary.0.history()[0].lifecycle_hook_details.clear();
    assert_eq!(canary.told().0, AnalysisResult::Passed, "the newest windows are good");
    let mut canary = Canary::at(10.0, error_rate())
        .serves(GREEN, 200.0, |ago| if ago > 0 { 100.0 } else { 0.0 });
    assert_eq!(canary.0.verdict(), Some(VerdictKind::Analysis));
    canary.0.mark("shift", 120 + 60 + 30);
    assert_eq!((canary.0.verdict(), canary.told().0), (None, AnalysisResult::Running));
}

#[test]
fn numbers_of_an_earlier_share_do_not_open_the_gate_of_this_one() {
    let mut canary = Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 0.0);
    let now = canary.0.seen.at;
    let expires = now.checked_add(SignedDuration::from_mins(60)).expect("soon");
    canary.0.history()[0].lifecycle_hook_details[0].expires_at = Some(expires);
    canary.0.history()[0].deployment_configuration = Some(json!({ "strategy": "CANARY" }));
    let (result, told) = canary.told();
    assert_eq!((canary.opens(), result), (false, AnalysisResult::Running), "{told}");
    assert!(told.ends_with("0 of 2 windows at this share"), "{told}");
}

#[test]
fn without_production_traffic_a_gate_waits_for_no_numbers() {
    let canary = Canary::at(0.0, error_rate());
    assert!(canary.opens(), "{}", canary.plan());
    let tested = Canary::at(0.0, error_rate()).serves(GREEN, 200.0, |_| 20.0);
    assert_eq!(tested.0.verdict(), Some(VerdictKind::Analysis), "test traffic fails");
}

#[test]
fn too_few_numbers_hold_the_gate_and_only_if_wanted_end_the_rollout() {
    let silent = || Canary::at(10.0, error_rate());
    let early = silent();
    assert_eq!((early.opens(), early.told().0), (false, AnalysisResult::Running));
    let late = silent().with(|analysis| analysis.patience = std::time::Duration::from_mins(4));
    assert_eq!((late.opens(), late.told().0), (false, AnalysisResult::Inconclusive));
    assert_eq!((reasons(&late.plan()), late.0.verdict()), (vec![WaitReason::Held], None));
    let strict = late.with(|analysis| analysis.on_inconclusive = OnInconclusive::Rollback);
    assert_eq!(strict.0.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn a_first_deployment_waits_for_no_users_but_fails_by_their_errors() {
    let first = |canary: Canary| {
        let mut canary = canary;
        canary.0.history()[0].source_service_revisions.clear();
        canary
    };
    let silent = first(Canary::at(100.0, error_rate()));
    assert!(silent.opens(), "{}", silent.plan());
    let mut early = silent;
    early.0.seen.metrics = Fact::Unknown(Unknown::NotAsked);
    early.0.begun(100);
    early.0.mark("shift", 100);
    assert!(early.opens(), "no minute is closed: {}", early.plan());
    let bad = first(Canary::at(100.0, error_rate()).serves(GREEN, 200.0, |_| 20.0));
    assert_eq!(bad.0.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn metrics_that_cannot_be_read_open_no_gate_and_speak_against_nobody() {
    let unread: [fn(&mut Observed); 3] = [
        |seen| seen.metrics = failed(),
        |seen| seen.metrics = Fact::Unknown(Unknown::NotAsked),
        |seen| seen.metrics = Fact::Absent,
    ];
    for change in unread {
        let mut canary = Canary::at(10.0, error_rate()).with(|analysis| {
            analysis.patience = std::time::Duration::from_mins(1);
            analysis.on_inconclusive = OnInconclusive::Rollback;
        });
        change(&mut canary.0.seen);
        assert_eq!((canary.opens(), canary.told().0), (false, AnalysisResult::Error));
        assert_eq!(canary.0.verdict(), None, "{}", canary.plan());
    }
}

#[test]
fn a_revision_whose_target_group_is_not_told_is_not_judged_by_the_other_s_numbers() {
    let mut canary =
        Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 0.0).serves(BLUE, 200.0, |_| 100.0);
    assert!(canary.opens(), "{}", canary.plan());
    for revision in canary.0.revisions() {
        revision.rest.remove("resolvedConfiguration");
    }
    assert_eq!((canary.opens(), canary.told().0), (false, AnalysisResult::Error));
    assert_eq!(canary.0.verdict(), None);
}

#[test]
fn when_both_revisions_are_bad_a_person_decides() {
    let canary =
        Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 10.0).serves(BLUE, 900.0, |_| 45.0);
    let (result, told) = canary.told();
    assert_eq!((result, canary.0.verdict()), (AnalysisResult::Inconclusive, None), "{told}");
    assert!(told.contains("the stable revision is no better"), "{told}");
    assert_eq!(reasons(&canary.plan()), [WaitReason::Held]);
}

#[test]
fn a_slow_revision_and_one_with_too_few_healthy_targets_fail() {
    let slow = Canary::at(10.0, vec![most(p99(), 0.8)]).answers_in(GREEN, |_| 1.2);
    assert_eq!(slow.0.verdict(), Some(VerdictKind::Analysis));
    let sentence = slow.plan().verdict.expect("one fell").sentence;
    assert!(sentence.starts_with("latency p99: 1.2s, 1.2s, 1.2s"), "{sentence}");
    let least = Condition::Least(Limit::new(2.0).expect("finite"));
    let hosts = vec![Metric { name: None, source: MetricSource::HealthyHosts, condition: least }];
    let mut few = Canary::at(10.0, hosts);
    few.series(of_group(GREEN, "HealthyHostCount", "Minimum"), |_| Some(1.0));
    assert_eq!(few.0.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn minutes_in_which_a_good_revision_had_no_healthy_target_yet_do_not_speak_against_it() {
    let hosts = || {
        let least = Condition::Least(Limit::new(2.0).expect("finite"));
        vec![Metric { name: None, source: MetricSource::HealthyHosts, condition: least }]
    };
    let has = |share, hosts_then: fn(i64) -> f64| {
        let mut canary = Canary::at(share, hosts());
        canary.series(of_group(GREEN, "HealthyHostCount", "Minimum"), move |ago| {
            Some(hosts_then(ago))
        });
        canary
    };
    let starts = has(0.0, |_| 0.0);
    assert_eq!(starts.0.verdict(), None, "{}", starts.plan());
    let started = has(10.0, |ago| if ago > 1 { 0.0 } else { 4.0 });
    assert_eq!(started.0.verdict(), None, "{}", started.plan());
    let lost = has(10.0, |ago| if ago > 4 { 4.0 } else { 0.0 });
    assert_eq!(lost.0.verdict(), Some(VerdictKind::Analysis), "{}", lost.plan());
}

#[test]
fn a_gate_timeout_that_is_changed_while_a_gate_is_open_does_not_change_since_when_it_is() {
    let mut canary = Canary::at(10.0, error_rate());
    canary.0.service().document["deploymentConfiguration"] = json!({
        "strategy": "CANARY",
        "lifecycleHooks": [{
            "targetType": "PAUSE",
            "lifecycleStages": Gate::ALL.map(Gate::stage),
            "timeoutConfiguration": { "timeoutInMinutes": 60, "action": "ROLLBACK" },
        }],
    });
    assert_eq!(canary.told().0, AnalysisResult::Running);
    let step = Step { percent: Percent::whole(10), bake: std::time::Duration::from_mins(5) };
    let patient = Shift { gate_timeout: std::time::Duration::from_hours(2), ..Shift::default() };
    canary.0.desired.rollout.strategy = Strategy::Canary(patient, step);
    assert_eq!(canary.told().0, AnalysisResult::Running, "{}", canary.plan());
}

#[test]
fn a_query_without_data_is_unclear_unless_missing_means_zero() {
    let query = |missing_is_zero| {
        MetricSource::Query(Query {
            namespace: "Shop".to_owned(),
            metric_name: "OrdersFailed".to_owned(),
            dimensions: BTreeMap::new(),
            statistic: Statistic::new("Sum").expect("one of CloudWatch's"),
            missing_is_zero,
        })
    };
    let unclear = Canary::at(10.0, vec![most(query(false), 5.0)]);
    assert_eq!((unclear.opens(), unclear.told().0), (false, AnalysisResult::Running));
    assert!(Canary::at(10.0, vec![most(query(true), 5.0)]).opens());
}

#[test]
fn a_minute_that_was_not_asked_for_is_not_counted_as_zero() {
    let query = Query {
        namespace: "Shop".to_owned(),
        metric_name: "Orders".to_owned(),
        dimensions: BTreeMap::new(),
        statistic: Statistic::new("Sum").expect("one of CloudWatch's"),
        missing_is_zero: true,
    };
    let metric = MetricId {
        namespace: "Shop".to_owned(),
        name: "Orders".to_owned(),
        dimensions: BTreeMap::new(),
        statistic: "Sum".to_owned(),
    };
    let least = Condition::Least(Limit::new(1.0).expect("finite"));
    let orders = Metric { name: None, source: MetricSource::Query(query), condition: least };
    for (asked_until, verdict) in [(0, None), (-1, Some(VerdictKind::Analysis))] {
        let mut canary =
            Canary::at(10.0, vec![orders.clone()]).with(|analysis| analysis.failures = 1);
        canary.series(metric.clone(), |ago| (ago > 0).then_some(5.0));
        canary.0.seen.measured_until = Some(canary.minute(asked_until));
        assert_eq!(canary.0.verdict(), verdict, "{}", canary.plan());
    }
}

#[test]
fn a_network_load_balancer_beside_the_measured_one_keeps_no_gate_shut() {
    const NLB: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/";
    let mut canary =
        Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 1.0).serves(BLUE, 200.0, |_| 9.0);
    let group = |name: &str| format!("{NLB}{name}/09");
    let mut service = canary.0.desired.service.value();
    service["loadBalancers"].as_array_mut().expect("it has some").insert(
        0,
        json!({
            "targetGroupArn": group("tcp-blue"), "containerName": "web", "containerPort": 9090,
            "advancedConfiguration": {
                "alternateTargetGroupArn": group("tcp-green"),
                "productionListenerRule": "arn:aws:elasticloadbalancing:eu-west-1:1:listener/net/tcp/06/07",
            },
        }),
    );
    canary.0.desired.service = Document::new(&service);
    for revision in canary.0.revisions() {
        if let Some(resolved) = revision.rest.get_mut("resolvedConfiguration") {
            *resolved = json!({ "loadBalancers": [
                { "targetGroupArn": group("tcp-green") }, { "targetGroupArn": GREEN },
            ]});
        }
    }
    assert!(canary.opens(), "{:?} {}", canary.told(), canary.plan());
}

#[test]
fn a_gate_that_is_judged_again_is_as_patient_as_one_that_opens() {
    let stood = || {
        let mut canary = Canary::at(10.0, error_rate())
            .with(|analysis| analysis.on_inconclusive = OnInconclusive::Rollback);
        let now = canary.0.seen.at;
        let expires = now.checked_add(SignedDuration::from_mins(30)).expect("soon");
        canary.0.history()[0].lifecycle_hook_details[0].expires_at = Some(expires);
        canary
    };
    assert_eq!(stood().0.verdict(), Some(VerdictKind::Analysis), "for half an hour");
    let mut again = stood();
    again.0.mark("shift", 5);
    assert_eq!((again.0.verdict(), again.told().0), (None, AnalysisResult::Running));
}

#[test]
fn more_errors_than_the_stable_revision_end_the_rollout_and_as_many_do_not() {
    let canary =
        |errors: f64| {
            Canary::at(10.0, as_stable(MetricSource::ErrorRate))
                .serves(BLUE, 9_000.0, |_| 90.0)
                .serves(GREEN, 1_000.0, move |_| errors)
        };
    assert!(canary(10.0).opens(), "{}", canary(10.0).plan());
    assert_eq!(canary(30.0).0.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn slower_than_the_stable_revision_ends_the_rollout_and_as_slow_does_not() {
    let canary = |factor: f64| {
        let jitter = |ago: i64| 1.0 + f64::from(i32::try_from(ago * 7 % 5).expect("small")) / 50.0;
        Canary::at(10.0, as_stable(p99()))
            .answers_in(BLUE, move |ago| 0.2 * jitter(ago))
            .answers_in(GREEN, move |ago| 0.2 * factor * jitter(ago + 1))
    };
    assert!(canary(1.0).opens(), "{}", canary(1.0).plan());
    assert_eq!(canary(2.0).0.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn of_several_measurements_the_worst_decides() {
    let both = |errors: f64| {
        let metrics = vec![most(MetricSource::ErrorRate, 1.0), most(p99(), 0.8)];
        Canary::at(10.0, metrics).answers_in(GREEN, |_| 0.1).serves(GREEN, 500.0, move |_| errors)
    };
    assert!(both(0.0).opens());
    assert_eq!(both(50.0).0.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn what_is_asked_are_closed_minutes_since_the_deployment_began() {
    let mut canary = Canary::at(10.0, error_rate());
    let Observed { at, .. } = canary.0.seen;
    canary.0.seen.depth = Depth::Shallow;
    let asked = questions(Some(&canary.0.desired), Some(&canary.0.seen)).expect("in a rollout");
    let asked = asked.metrics.expect("it is measured");
    let seconds = |one: Timestamp| one.as_second();
    assert_eq!((seconds(asked.from) % 60, seconds(asked.until) % 60), (0, 0));
    assert!((120..180).contains(&(seconds(at) - seconds(asked.until))), "the delay of two minutes");
    assert!((BEGAN - 60..=BEGAN).contains(&(seconds(at) - seconds(asked.from))));
    let groups: Vec<&String> =
        asked.metrics.iter().map(|metric| &metric.dimensions["TargetGroup"]).collect();
    assert_eq!(asked.metrics.len(), 6, "{groups:?}");
    canary.0.desired.rollout.analysis = None;
    let asked = questions(Some(&canary.0.desired), Some(&canary.0.seen)).expect("in a rollout");
    assert_eq!(asked.metrics, None);
}

#[test]
fn the_guard_opens_no_gate_to_a_revision_with_traffic_that_was_not_measured() {
    let canary = Canary::at(10.0, error_rate()).serves(GREEN, 200.0, |_| 0.0);
    let key = key();
    let planned = canary.plan();
    let mut unread = canary.0.seen.clone();
    unread.metrics = failed();
    let refused = check(&planned, &input(&key, Some(&canary.0.desired), &unread)).unwrap_err();
    assert!(refused.iter().any(|one| one.contains("what is to be measured")), "{refused:?}");
}

#[test]
fn an_expression_of_prometheus_is_judged_as_any_other_metric() {
    let expression = "sum(rate(errors_total[1m]))";
    let source = MetricSource::Prometheus(expression.to_owned());
    let evaluated = |value: f64| {
        let mut canary = Canary::at(10.0, vec![most(source.clone(), 0.5)]);
        let minutes = (0..MINUTES).map(|ago| (canary.minute(ago), value)).collect();
        let one = Evaluated { expression: expression.to_owned(), minutes };
        canary.0.seen.expressions = Fact::Known(vec![one]);
        canary
    };
    assert!(evaluated(0.1).opens(), "{}", evaluated(0.1).plan());
    assert_eq!(evaluated(0.9).0.verdict(), Some(VerdictKind::Analysis));
    let mut unread = evaluated(0.1);
    unread.0.seen.expressions = failed();
    assert_eq!((unread.opens(), unread.told().0), (false, AnalysisResult::Error));
}

/// A canary whose web hook gave this answer to the pause that is open.
fn heard(answer: Option<(&str, AnalysisResult)>) -> Canary {
    const URL: &str = "https://smoke.example.com/?token=hunter2";
    let mut canary = Canary::at(0.0, error_rate()).with(|analysis| {
        analysis.metrics.clear();
        analysis.webhooks = vec![Webhook::of(URL)];
    });
    let answers = answer.into_iter().map(|(id, result)| WebhookAnswer {
        url: URL.to_owned(),
        id: id.to_owned(),
        result,
        message: "as it said".to_owned(),
    });
    canary.0.seen.webhooks = Fact::Known(answers.collect());
    canary
}

#[test]
fn a_web_hook_opens_its_gate_keeps_it_shut_or_ends_the_rollout() {
    let id = "ecs-pause-1";
    assert!(heard(Some((id, AnalysisResult::Passed))).opens());
    let failed = heard(Some((id, AnalysisResult::Failed)));
    assert_eq!(failed.0.verdict(), Some(VerdictKind::Analysis));
    let sentence = failed.plan().verdict.expect("one fell").sentence;
    assert_eq!(sentence, "web hook https://smoke.example.com/: as it said");
    for result in [AnalysisResult::Running, AnalysisResult::Inconclusive, AnalysisResult::Error] {
        let canary = heard(Some((id, result)));
        assert_eq!((canary.opens(), canary.0.verdict()), (false, None), "{result:?}");
    }
}

#[test]
fn an_answer_to_an_earlier_pause_and_no_answer_at_all_open_nothing() {
    assert!(!heard(Some(("ecs-pause-0", AnalysisResult::Passed))).opens());
    assert!(!heard(None).opens());
    let mut unasked = heard(Some(("ecs-pause-1", AnalysisResult::Passed)));
    unasked.0.seen.webhooks = Fact::Unknown(Unknown::NotAsked);
    assert_eq!((unasked.opens(), unasked.told().0), (false, AnalysisResult::Error));
}

#[test]
fn a_gate_for_which_nobody_is_to_be_asked_opens_without_an_answer() {
    let mut canary = heard(None).with(|analysis| {
        analysis.webhooks[0].at = vec![Gate::AfterTestTraffic];
    });
    assert!(canary.opens(), "{}", canary.plan());
    canary = canary.with(|analysis| analysis.webhooks[0].at = vec![Gate::BeforeStep]);
    assert!(!canary.opens(), "{}", canary.plan());
}

#[test]
fn a_web_hook_is_told_apart_from_before_a_retry_and_asked_about_the_same_pause() {
    let mut canary = heard(None);
    let call = |canary: &mut Canary| {
        canary.0.seen.depth = Depth::Shallow;
        let asked = questions(Some(&canary.0.desired), Some(&canary.0.seen)).expect("in a rollout");
        canary.0.seen.depth = Depth::Deep;
        webhook_calls(&key(), &asked, &canary.0.seen).remove(0)
    };
    let first = call(&mut canary);
    canary.0.mark("shift", 5);
    let again = call(&mut canary);
    assert_eq!((first.since, again.since), (Some(canary.0.ago(BEGAN)), Some(canary.0.ago(5))));
    let body = |call| serde_json::to_value(call).expect("a body is JSON");
    assert_eq!(body(&first), body(&again));
}

#[test]
fn a_web_hook_is_asked_at_its_gates_only_and_about_the_pause() {
    let mut canary = heard(None);
    canary.0.seen.depth = Depth::Shallow;
    let asked = questions(Some(&canary.0.desired), Some(&canary.0.seen)).expect("in a rollout");
    canary.0.seen.depth = Depth::Deep;
    let calls = webhook_calls(&key(), &asked, &canary.0.seen);
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((call.id.as_str(), call.gate), ("ecs-pause-1", "BeforeStep"));
    let body = serde_json::to_value(call).expect("a body is JSON");
    assert_eq!(body["service"]["name"], "web");
    assert_eq!(body.get("webhook"), None);
    canary.0.history()[0].lifecycle_hook_details[0].status = Some("SUCCEEDED".to_owned());
    assert_eq!(webhook_calls(&key(), &asked, &canary.0.seen), []);
    let elsewhere = Webhook { at: vec![Gate::AfterTestTraffic], ..Webhook::of("https://a/") };
    let asked = evenkeel_planner::Questions { webhooks: vec![elsewhere], ..asked };
    canary.0.history()[0].lifecycle_hook_details[0].status = Some("AWAITING_ACTION".to_owned());
    assert_eq!(webhook_calls(&key(), &asked, &canary.0.seen), []);
}
