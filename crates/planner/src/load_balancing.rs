//! What AWS knows of the load balancing that a manifest moves traffic with: what is asked about, and what was
//! seen; never says whether it will do.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_manifest::{Service, target_groups};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a manifest moves traffic with, by ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalancingQuestion {
    /// Of Application Load Balancers.
    pub rules: BTreeSet<String>,
    /// Of Network Load Balancers, which have no rules.
    #[serde(default)]
    pub listeners: BTreeSet<String>,
    pub target_groups: BTreeSet<String>,
    /// How old an answer may be that will do.
    pub max_age: Duration,
}

/// The answer: what was asked about and is not listed does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancing {
    /// A listener of a Network Load Balancer is here as its only rule, by its own ARN.
    pub rules: Vec<ListenerRule>,
    pub target_groups: Vec<TargetGroup>,
}

/// `DescribeRules.Rules[]`, or `DescribeListeners.Listeners[]` with its default actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRule {
    pub arn: String,
    /// Target groups with their weights; none where it answers or redirects by itself.
    pub forwards: Vec<(String, u32)>,
    /// What it does besides: `authenticate-oidc`, `redirect`, …
    #[serde(default)]
    pub other_actions: Vec<String>,
    /// Whether it is the last one of its listener, which takes what no other takes.
    pub is_default: bool,
}

/// `DescribeTargetGroups.TargetGroups[]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub arn: String,
    /// `ip`, `instance`, `lambda`, `alb`, or a newer word.
    pub target_type: Option<String>,
    /// `HTTP`, `HTTPS`, `TCP`, …
    pub protocol: Option<String>,
    pub vpc: Option<String>,
}

/// One element of `loadBalancers` between whose two groups traffic moves.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) groups: [String; 2],
    pub(crate) production_rule: String,
    pub(crate) test_rule: Option<String>,
}

/// A rollout registers its content first, and starts in the pass after that.
const BEFORE_A_START: Duration = Duration::from_secs(30);
/// Weights are about to be changed.
const BEFORE_A_WRITE: Duration = Duration::ZERO;
/// Of a service at rest, which is looked at more often than that; what differs is asked for anew.
const AT_REST: Duration = Duration::from_mins(15);

impl BalancingQuestion {
    /// `None` for a manifest that moves no traffic, or not by load balancers.
    pub fn of(desired: &Service) -> Option<Self> {
        let is_stepped = desired.rollout.strategy.steps().is_some();
        let max_age = if is_stepped { BEFORE_A_WRITE } else { BEFORE_A_START };
        let mut question = Self { max_age, ..Self::default() };
        for pair in Pair::all(desired) {
            let arns = pair.rules().map(str::to_owned);
            let (rules, listeners): (Vec<_>, Vec<_>) = arns.partition(|arn| is_rule(arn));
            question.rules.extend(rules);
            question.listeners.extend(listeners);
            question.target_groups.extend(pair.groups);
        }
        (!question.target_groups.is_empty()).then_some(question)
    }

    /// Who gets the production traffic of a service whose steps are ours, while nothing is rolled out.
    pub(crate) fn at_rest(desired: &Service) -> Option<Self> {
        desired.rollout.strategy.steps()?;
        let rules: BTreeSet<String> = Pair::all(desired)
            .into_iter()
            .map(|pair| pair.production_rule)
            .filter(|arn| is_rule(arn))
            .collect();
        let question = Self { rules, max_age: AT_REST, ..Self::default() };
        (!question.rules.is_empty()).then_some(question)
    }
}

impl LoadBalancing {
    pub(crate) fn rule(&self, arn: &str) -> Option<&ListenerRule> {
        self.rules.iter().find(|rule| rule.arn == arn)
    }

    pub(crate) fn target_group(&self, arn: &str) -> Option<&TargetGroup> {
        self.target_groups.iter().find(|group| group.arn == arn)
    }
}

impl ListenerRule {
    pub(crate) fn names(&self, group: &str) -> bool {
        self.forwards.iter().any(|(arn, _)| arn == group)
    }

    /// The groups that get some of its traffic.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &str> {
        self.forwards.iter().filter(|(_, weight)| *weight > 0).map(|(arn, _)| arn.as_str())
    }
}

impl Pair {
    /// None for a strategy that moves no traffic.
    pub(crate) fn all(desired: &Service) -> Vec<Self> {
        let strategy = &desired.rollout.strategy;
        if strategy.shift().is_none() && strategy.steps().is_none() {
            return Vec::new();
        }
        let balancers = desired.service.member("loadBalancers");
        let balancers = balancers.as_ref().and_then(Value::as_array);
        balancers.into_iter().flatten().filter_map(Self::read).collect()
    }

    /// Listeners of a Network Load Balancer included.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &str> {
        self.test_rule.iter().chain([&self.production_rule]).map(String::as_str)
    }

    fn read(balancer: &Value) -> Option<Self> {
        let mut groups = target_groups(balancer).map(str::to_owned);
        let advanced = balancer.get("advancedConfiguration")?;
        let rule = |name: &str| Some(advanced.get(name)?.as_str()?.to_owned());
        Some(Self {
            groups: [groups.next()?, groups.next()?],
            production_rule: rule("productionListenerRule")?,
            test_rule: rule("testListenerRule"),
        })
    }
}

/// Whether it is the ARN of a rule, and not of a Network Load Balancer's listener.
pub(crate) fn is_rule(arn: &str) -> bool {
    arn.contains(":listener-rule/")
}
