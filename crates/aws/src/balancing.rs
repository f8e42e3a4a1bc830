//! The listener rules and target groups that a rollout is to move traffic with; never says whether they will do.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, Listener, Rule, TargetGroup as Group,
    TargetGroupTuple,
};
use evenkeel_planner::{BalancingQuestion, Lane, ListenerRule, LoadBalancing, TargetGroup};
use evenkeel_reconciler::CloudError;
use futures_util::future::try_join3;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::operation::Operation;

/// Answers that are kept, some hundred bytes of a service at rest and some kilobytes of a rollout.
const KEPT_MAX: usize = 2048;
/// What the SDK's model gives a weight that is not sent.
const WEIGHT: u32 = 1;

#[derive(Debug)]
pub(crate) struct Balancing {
    caller: Arc<Caller>,
    recent: Mutex<HashMap<BalancingQuestion, (Instant, LoadBalancing)>>,
}

impl Balancing {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, recent: Mutex::default() }
    }

    /// As AWS had it when the answer was at most as old as it may be.
    pub(crate) async fn read(
        &self,
        question: &BalancingQuestion,
        lane: Lane,
    ) -> Result<LoadBalancing, CloudError> {
        if let Some((read, answer)) = lock(&self.recent).get(question)
            && read.elapsed() < question.max_age
        {
            return Ok(answer.clone());
        }
        // The futures of the SDK are large, and these are part of those of every look.
        let caller = &*self.caller;
        let rules = Box::pin(existing(&question.rules, |arns| described_rules(caller, arns, lane)));
        let listeners =
            Box::pin(existing(&question.listeners, |arns| described_listeners(caller, arns, lane)));
        let target_groups = Box::pin(existing(&question.target_groups, |arns| {
            described_groups(caller, arns, lane)
        }));
        let (mut rules, listeners, target_groups) =
            try_join3(rules, listeners, target_groups).await?;
        rules.extend(listeners);
        let answer = LoadBalancing { rules, target_groups };
        let mut recent = lock(&self.recent);
        recent.retain(|question, (read, _)| read.elapsed() < question.max_age);
        if recent.len() < KEPT_MAX && !question.max_age.is_zero() {
            recent.insert(question.clone(), (Instant::now(), answer.clone()));
        }
        Ok(answer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that exist. One that does not makes AWS refuse the whole question, so then each is asked for alone.
async fn existing<T, Asked>(
    arns: &BTreeSet<String>,
    describe: impl Fn(Vec<String>) -> Asked,
) -> Result<Vec<T>, CloudError>
where
    Asked: Future<Output = Result<Vec<T>, CloudError>>,
{
    let arns: Vec<String> = arns.iter().cloned().collect();
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    match describe(arns.clone()).await {
        Err(error) if is_missing(&error) => {}
        together => return together,
    }
    let mut all = Vec::new();
    for arn in arns.iter().filter(|_| arns.len() > 1) {
        match describe(vec![arn.clone()]).await {
            Err(error) if is_missing(&error) => {}
            alone => all.extend(alone?),
        }
    }
    Ok(all)
}

async fn described_rules(
    caller: &Caller,
    arns: Vec<String>,
    lane: Lane,
) -> Result<Vec<ListenerRule>, CloudError> {
    let request = caller.load_balancing.describe_rules().set_rule_arns(Some(arns));
    let reply = caller.read(Operation::DescribeRules, lane, Box::pin(request.send())).await?;
    Ok(reply.rules().iter().map(rule).collect())
}

async fn described_listeners(
    caller: &Caller,
    arns: Vec<String>,
    lane: Lane,
) -> Result<Vec<ListenerRule>, CloudError> {
    let request = caller.load_balancing.describe_listeners().set_listener_arns(Some(arns));
    let reply = caller.read(Operation::DescribeListeners, lane, Box::pin(request.send())).await?;
    Ok(reply.listeners().iter().map(listener).collect())
}

async fn described_groups(
    caller: &Caller,
    arns: Vec<String>,
    lane: Lane,
) -> Result<Vec<TargetGroup>, CloudError> {
    let request = caller.load_balancing.describe_target_groups().set_target_group_arns(Some(arns));
    let reply =
        caller.read(Operation::DescribeTargetGroups, lane, Box::pin(request.send())).await?;
    Ok(reply.target_groups().iter().map(target_group).collect())
}

fn is_missing(error: &CloudError) -> bool {
    let CloudError::Conflict { code, .. } = error else { return false };
    ["RuleNotFound", "ListenerNotFound", "TargetGroupNotFound"].contains(&code.as_str())
}

fn rule(rule: &Rule) -> ListenerRule {
    ListenerRule {
        arn: rule.rule_arn().unwrap_or_default().to_owned(),
        forwards: rule.actions().iter().flat_map(forwards).collect(),
        other_actions: other_actions(rule.actions()),
        is_default: rule.is_default().unwrap_or_default(),
    }
}

/// A listener with its default actions, as the rule that it is.
fn listener(listener: &Listener) -> ListenerRule {
    let actions = listener.default_actions();
    ListenerRule {
        arn: listener.listener_arn().unwrap_or_default().to_owned(),
        forwards: actions.iter().flat_map(forwards).collect(),
        other_actions: other_actions(actions),
        is_default: true,
    }
}

fn other_actions(actions: &[Action]) -> Vec<String> {
    let kinds = actions.iter().filter_map(Action::r#type);
    let others = kinds.filter(|kind| **kind != ActionTypeEnum::Forward);
    others.map(|kind| kind.as_str().to_owned()).collect()
}

/// Target groups with their weights; none of an action that does not forward. A single group may be named outside of
/// the configuration of the forward.
pub(crate) fn forwards(action: &Action) -> Vec<(String, u32)> {
    if action.r#type() != Some(&ActionTypeEnum::Forward) {
        return Vec::new();
    }
    let configured = action.forward_config().map(ForwardActionConfig::target_groups);
    let weighted = |one: &TargetGroupTuple| {
        let weight = one.weight().and_then(|weight| u32::try_from(weight).ok());
        Some((one.target_group_arn()?.to_owned(), weight.unwrap_or(WEIGHT)))
    };
    match configured {
        Some(groups) if !groups.is_empty() => groups.iter().filter_map(weighted).collect(),
        _ => action.target_group_arn().map(|arn| (arn.to_owned(), WEIGHT)).into_iter().collect(),
    }
}

fn target_group(group: &Group) -> TargetGroup {
    TargetGroup {
        arn: group.target_group_arn().unwrap_or_default().to_owned(),
        target_type: group.target_type().map(|kind| kind.as_str().to_owned()),
        protocol: group.protocol().map(|protocol| protocol.as_str().to_owned()),
        vpc: group.vpc_id().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::fake::{Fake, Reply, Request};

    fn question(rules: &[&str]) -> BalancingQuestion {
        let set = |arns: &[&str]| arns.iter().map(|arn| (*arn).to_owned()).collect();
        let target_groups = set(&["blue", "green"]);
        let max_age = Duration::from_secs(30);
        BalancingQuestion { rules: set(rules), target_groups, max_age, ..Default::default() }
    }

    fn xml(status: u16, body: String) -> Reply {
        Reply::Body { status, headers: Vec::new(), body: body.into_bytes() }
    }

    fn result(operation: &str, result: &str) -> Reply {
        xml(
            200,
            format!(
                "<{operation}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
                 <{operation}Result>{result}</{operation}Result>\
                 <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{operation}Response>"
            ),
        )
    }

    fn refused(status: u16, code: &str) -> Reply {
        xml(
            status,
            format!(
                "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
                 <Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>\
                 <RequestId>1</RequestId></ErrorResponse>"
            ),
        )
    }

    /// A rule `one` that logs in and then forwards to both groups, one `two` that forwards to a single group, and
    /// no other; both groups.
    fn region(request: &Request) -> Reply {
        if request.operation == "DescribeTargetGroups" {
            let group = |arn: &str| {
                format!(
                    "<member><TargetGroupArn>{arn}</TargetGroupArn><Protocol>HTTP</Protocol>\
                     <VpcId>vpc-1</VpcId><TargetType>ip</TargetType></member>"
                )
            };
            let groups = [group("blue"), group("green")].concat();
            return result(
                "DescribeTargetGroups",
                &format!("<TargetGroups>{groups}</TargetGroups>"),
            );
        }
        if request.body.contains("gone") {
            return refused(400, "RuleNotFound");
        }
        let one = "<member><RuleArn>one</RuleArn><Actions>\
            <member><Type>authenticate-oidc</Type><Order>1</Order></member>\
            <member><Type>forward</Type><ForwardConfig><TargetGroups>\
            <member><TargetGroupArn>blue</TargetGroupArn><Weight>100</Weight></member>\
            <member><TargetGroupArn>green</TargetGroupArn><Weight>0</Weight></member>\
            </TargetGroups></ForwardConfig></member></Actions></member>";
        let two = "<member><RuleArn>two</RuleArn><Actions><member><Type>forward</Type>\
            <TargetGroupArn>blue</TargetGroupArn></member></Actions></member>";
        let asked = [("one", one), ("two", two)];
        let asked = asked.iter().filter(|(arn, _)| request.body.contains(&format!("={arn}")));
        let rules: String = asked.map(|(_, rule)| *rule).collect();
        result("DescribeRules", &format!("<Rules>{rules}</Rules>"))
    }

    #[tokio::test(start_paused = true)]
    async fn all_rules_and_all_groups_take_one_call_each() {
        let fake = Fake::new(region);
        let read = fake.cloud().balancing.read(&question(&["one", "two"]), Lane::Sweep).await;
        let LoadBalancing { rules, target_groups } = read.unwrap();
        let weights = |pairs: &[(&str, u32)]| -> Vec<(String, u32)> {
            pairs.iter().map(|(arn, weight)| ((*arn).to_owned(), *weight)).collect()
        };
        let forwards = [weights(&[("blue", 100), ("green", 0)]), weights(&[("blue", 1)])];
        assert!(rules.iter().map(|rule| &rule.forwards).eq(&forwards), "{rules:?}");
        assert_eq!(rules[0].other_actions, ["authenticate-oidc"]);
        assert_eq!(
            target_groups.last(),
            Some(&TargetGroup {
                arn: "green".to_owned(),
                target_type: Some("ip".to_owned()),
                protocol: Some("HTTP".to_owned()),
                vpc: Some("vpc-1".to_owned()),
            })
        );
        assert_eq!(fake.operations().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_of_a_network_load_balancer_is_its_only_rule() {
        let fake = Fake::new(|request| match request.operation.as_str() {
            "DescribeListeners" if request.body.contains("gone") => {
                refused(400, "ListenerNotFound")
            }
            "DescribeListeners" => {
                let forward =
                    "<member><Type>forward</Type><TargetGroupArn>blue</TargetGroupArn></member>";
                let arn = "<ListenerArn>net</ListenerArn>";
                let actions = format!("<DefaultActions>{forward}</DefaultActions>");
                let one = format!("<Listeners><member>{arn}{actions}</member></Listeners>");
                result("DescribeListeners", &one)
            }
            _ => region(request),
        });
        let listeners = ["gone", "net"].map(str::to_owned).into();
        let asked = BalancingQuestion { listeners, ..question(&[]) };
        let read = fake.cloud().balancing.read(&asked, Lane::Sweep).await.unwrap();
        let listener = ListenerRule {
            arn: "net".to_owned(),
            forwards: vec![("blue".to_owned(), 1)],
            other_actions: Vec::new(),
            is_default: true,
        };
        assert_eq!(read.rules, [listener], "and the one that does not exist is left out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_is_missing_hides_no_other() {
        let fake = Fake::new(region);
        let read = fake.cloud().balancing.read(&question(&["gone", "one"]), Lane::Sweep).await;
        let rules = read.unwrap().rules;
        assert_eq!(rules.iter().map(|rule| rule.arn.as_str()).collect::<Vec<_>>(), ["one"]);
        assert_eq!(fake.operations().len(), 4, "all rules, each rule, and all groups");
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_is_missing_hides_no_other() {
        let fake = Fake::new(|request| {
            let is_there = request.operation == "DescribeRules" || !request.body.contains("green");
            if is_there { region(request) } else { refused(400, "TargetGroupNotFound") }
        });
        let read = fake.cloud().balancing.read(&question(&["one"]), Lane::Sweep).await.unwrap();
        assert!(read.target_groups.iter().any(|group| group.arn == "blue"), "{read:?}");
        assert_eq!(fake.operations().len(), 4, "all groups, each group, and all rules");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_serves_the_pass_after_it_and_not_the_next_rollout() {
        let fake = Fake::new(region);
        let cloud = fake.cloud();
        for (later, calls) in [(0, 2), (5, 2), (30, 4)] {
            tokio::time::advance(Duration::from_secs(later)).await;
            cloud.balancing.read(&question(&["one"]), Lane::Sweep).await.unwrap();
            assert_eq!(fake.operations().len(), calls, "{later} s later");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_as_old_as_the_question_says_and_no_older() {
        let fake = Fake::new(region);
        let cloud = fake.cloud();
        let asked = async |seconds| {
            let max_age = Duration::from_secs(seconds);
            let asked = BalancingQuestion { max_age, ..question(&["one"]) };
            cloud.balancing.read(&asked, Lane::Sweep).await.unwrap();
            fake.operations().len()
        };
        assert_eq!([asked(900).await, asked(0).await, asked(0).await], [2, 4, 6]);
        tokio::time::advance(Duration::from_secs(899)).await;
        assert_eq!(asked(900).await, 6);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asked(900).await, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_told_by_its_class_and_asked_again() {
        for (status, code, class) in
            [(403, "AccessDenied", "denied"), (400, "Throttling", "throttled")]
        {
            let fails = Arc::new(AtomicBool::new(true));
            let fake = Fake::new({
                let fails = Arc::clone(&fails);
                move |request| {
                    if fails.load(Ordering::Relaxed) {
                        refused(status, code)
                    } else {
                        region(request)
                    }
                }
            });
            let cloud = fake.cloud();
            let read = cloud.balancing.read(&question(&["one"]), Lane::Sweep).await;
            assert_eq!(read.unwrap_err().class(), class);
            fails.store(false, Ordering::Relaxed);
            let read = cloud.balancing.read(&question(&["one"]), Lane::Sweep).await;
            assert_eq!(read.unwrap().rules.len(), 1);
        }
    }
}
