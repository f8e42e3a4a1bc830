//! Services that CodeDeploy deploys and whose manifest measures them: which numbers end a deployment, and that none holds it.

use evenkeel_manifest::{Analysis, Condition, Limit, Metric, MetricSource};
use evenkeel_planner::{
    AnalysisResult, Call, Depth, Fact, MetricId, MetricQuestion, Minutes, Observed, Outcome, Plan,
    Series, Unknown, VerdictKind, WaitReason, plan, questions, status,
};
use jiff::Timestamp;
use serde_json::json;

use crate::balanced::GREEN;
use crate::code_deploy::{Look, at_rest, now, on_its_way};
use crate::ecs::input;
use crate::manifests::{GROUP, key};

fn error_rate() -> Analysis {
    let limit = Condition::Most(Limit::new(1.0).expect("finite"));
    Analysis::of(vec![Metric { name: None, source: MetricSource::ErrorRate, condition: limit }])
}

/// `good:2` on its way for ten minutes, and measured.
fn measured(status: &str) -> Look {
    let mut look = on_its_way(status);
    look.mark("d-222222222", "shift", 600);
    look.desired.rollout.analysis = Some(error_rate());
    look.metrics = Fact::Known(Vec::new());
    look
}

fn of_group(group: &str, name: &str) -> MetricId {
    let group = group.rsplit(':').next().unwrap_or_default();
    let dimensions = [("LoadBalancer", "app/front/03"), ("TargetGroup", group)];
    MetricId {
        namespace: "AWS/ApplicationELB".to_owned(),
        name: name.to_owned(),
        dimensions: dimensions.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        statistic: "Sum".to_owned(),
    }
}

impl Look {
    /// 200 requests a minute of a group, of which so many failed; the minutes are those of the last ten.
    fn serves(mut self, group: &str, errors: f64) -> Self {
        let Fact::Known(all) = &mut self.metrics else { return self };
        let minute = |ago: i64| Timestamp::from_second((now().as_second() / 60 - ago) * 60);
        let series = |name: &str, value: f64| Series {
            metric: of_group(group, name),
            minutes: (3..10)
                .filter_map(|ago| Some((minute(ago).ok()?, value)))
                .collect::<Minutes>(),
        };
        all.push(series("RequestCount", 200.0));
        all.push(series("HTTPCode_Target_5XX_Count", errors));
        self
    }

    fn verdict(&self) -> Option<VerdictKind> {
        self.plan().verdict.map(|verdict| verdict.kind)
    }

    fn told(&self) -> Option<(AnalysisResult, String)> {
        let (key, seen) = (key(), self.seen());
        let input = input(&key, Some(&self.desired), &seen);
        let told = status(&input, &plan(&input), &Outcome::Done).analysis;
        told.into_iter().next().map(|one| (one.result, one.sentence))
    }

    fn asked(&self) -> Option<MetricQuestion> {
        let shallow = Observed { depth: Depth::Shallow, ..self.seen() };
        questions(Some(&self.desired), Some(&shallow)).and_then(|asked| asked.metrics)
    }
}

#[test]
fn errors_of_the_task_set_that_code_deploy_made_are_a_verdict_and_end_the_deployment() {
    let bad = measured("InProgress").serves(GREEN, 20.0).serves(GROUP, 0.0);
    let verdict = bad.plan().verdict.expect("one falls");
    assert_eq!(verdict.kind, VerdictKind::Analysis);
    let told = "errorRate: 10%, 10%, 10% in the last 3 windows, 3 over the limit (at most 1%)";
    assert_eq!(verdict.sentence, told);
    assert!(bad.tagged("evenkeel:rejected").contains(":Analysis"));
    assert!(bad.tagged("evenkeel:rollout").contains(":d-222222222:rollback:"));
}

#[test]
fn numbers_speak_in_a_long_shift_after_it_was_noted_that_all_tasks_were_there() {
    let mut bad = measured("InProgress").serves(GREEN, 20.0).serves(GROUP, 0.0);
    bad.mark("d-222222222", "bake0", 600);
    assert_eq!(bad.verdict(), Some(VerdictKind::Analysis));
}

#[test]
fn good_numbers_and_errors_of_what_is_replaced_leave_the_deployment_alone() {
    let good = measured("InProgress").serves(GREEN, 1.0).serves(GROUP, 20.0);
    assert_eq!(good.waits(), WaitReason::Deployment);
    let passed = "0.5%, 0.5%, 0.5% in the last 3 windows, 0 over the limit (at most 1%)";
    assert_eq!(good.told(), Some((AnalysisResult::Passed, passed.to_owned())));
}

#[test]
fn where_both_revisions_are_bad_nothing_is_decided_and_nothing_held() {
    let both = |status: &str| measured(status).serves(GREEN, 20.0).serves(GROUP, 20.0);
    assert_eq!(both("InProgress").verdict(), None);
    assert_eq!(both("InProgress").told().map(|one| one.0), Some(AnalysisResult::Inconclusive));
    let through = Call::ContinueDeployment { id: "d-222222222".to_owned() };
    assert_eq!(both("Ready").call(), through);
}

#[test]
fn numbers_that_are_missing_or_unread_hold_nothing_and_speak_against_nobody() {
    let through = Call::ContinueDeployment { id: "d-222222222".to_owned() };
    let silent = measured("Ready");
    assert_eq!(silent.told().map(|one| one.0), Some(AnalysisResult::Running));
    assert_eq!(silent.call(), through);
    let mut unread = measured("Ready");
    unread.metrics = Fact::Unknown(Unknown::NotAsked);
    assert_eq!(unread.told().map(|one| one.0), Some(AnalysisResult::Error));
    assert_eq!(unread.call(), through);
}

#[test]
fn errors_that_are_seen_after_code_deploy_has_succeeded_are_a_verdict_and_returned_from() {
    let mut late = measured("Succeeded").serves(GREEN, 20.0);
    late.sets.remove(0);
    late.sets[0]["status"] = json!("PRIMARY");
    assert_eq!(late.verdict(), Some(VerdictKind::Analysis));
    let returns = late.rejected().plan();
    let begins = |plan: &Plan| matches!(plan.actions[0].call, Call::CreateDeployment { .. });
    assert!(begins(&returns), "{returns}");
}

#[test]
fn minutes_before_the_rollout_was_begun_or_tried_again_do_not_count() {
    let mut again = measured("InProgress").serves(GREEN, 20.0);
    again.mark("d-222222222", "shift", 200);
    assert_eq!(again.verdict(), None, "{}", again.plan());
}

#[test]
fn both_target_groups_are_asked_about_behind_the_listener_of_the_deployment_group() {
    let look = measured("InProgress");
    let asked = look.asked().expect("a rollout is measured");
    assert!(asked.metrics.is_empty(), "nobody has said whose load balancer it is");
    let placed = asked.placed(&look.seen().code_deploy);
    for group in [GREEN, GROUP] {
        for name in ["RequestCount", "HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"] {
            assert!(placed.metrics.contains(&of_group(group, name)), "{placed:?}");
        }
    }
    assert_eq!((placed.metrics.len(), placed.behind_the_group.len()), (6, 0));
    assert!(asked.placed(&Fact::Absent).metrics.is_empty());
    assert_eq!(at_rest().asked(), None);
}

#[test]
fn nothing_begins_whose_errors_nobody_counts() {
    let mut look = at_rest();
    look.desired.rollout.analysis = Some(error_rate());
    look.listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/net/front/03/04";
    assert_eq!(look.waits(), WaitReason::Preflight);
    let told = look.plan().waiting[0].sentence.clone();
    assert!(told.starts_with("only an Application Load Balancer counts `errorRate`"), "{told}");
}
