//! Who gets how much of the traffic, as the rules say, and the call that changes it; never when.

use evenkeel_manifest::Percent;

use crate::load_balancing::{ListenerRule, Pair};
use crate::view::{View, explain};
use crate::{Action, Call, Fact, Lane, Reweighing, TaskSet};

/// The rules of the service, as this look saw them.
#[derive(Debug)]
pub(crate) struct Traffic<'a> {
    pub(super) pair: Pair,
    production: &'a ListenerRule,
    test: Option<&'a ListenerRule>,
}

impl<'a> Traffic<'a> {
    /// Why not, where the rules were not seen or cannot be used.
    pub(crate) fn of(view: &View<'a>) -> Result<Self, String> {
        let all = Self::of_production(view)?;
        let test = all.pair.test_rule.as_deref().map(|arn| usable(view, arn, &all.pair));
        Ok(Self { test: test.transpose()?, ..all })
    }

    /// The same for a way back, which waits for the production rule alone: a test rule that cannot be used is left out.
    pub(super) fn of_return(view: &View<'a>) -> Result<Self, String> {
        let all = Self::of_production(view)?;
        let test = all.pair.test_rule.as_deref();
        let test = test.and_then(|arn| usable(view, arn, &all.pair).ok());
        Ok(Self { test, ..all })
    }

    /// The same without the test rule.
    pub(super) fn of_production(view: &View<'a>) -> Result<Self, String> {
        let pair = Pair::all(view.desired).into_iter().next();
        let pair = pair.ok_or("the manifest names no rule")?;
        Ok(Self { production: usable(view, &pair.production_rule, &pair)?, test: None, pair })
    }

    /// What a group gets of production traffic, in tenths of a percent.
    pub(crate) fn production_share(&self, group: &str) -> u64 {
        share(self.production, group)
    }

    /// The same of test traffic; `None` where there is none.
    pub(crate) fn test_share(&self, group: &str) -> Option<u64> {
        self.test.map(|rule| share(rule, group))
    }

    /// The group of the two that a set beside `primary` is registered in.
    pub(super) fn group_beside(&self, primary: Option<&TaskSet>) -> &str {
        let [one, other] = &self.pair.groups;
        match primary.and_then(TaskSet::target_group) {
            Some(group) if group == one => other,
            None if self.production_share(other) > self.production_share(one) => other,
            Some(_) | None => one,
        }
    }

    /// Gives a group its part of production traffic, and the other group the rest.
    pub(super) fn shift(&self, group: &str, to: Percent, lane: Lane) -> Action {
        let why = format!("gives {} {to} of production traffic", name_of(group));
        modify(self.production, self.weigh(group, to), lane, why)
    }

    /// Gives a group all test traffic.
    pub(super) fn test(&self, group: &str, lane: Lane) -> Option<Action> {
        let why = format!("gives {} the test traffic", name_of(group));
        Some(modify(self.test?, self.weigh(group, Percent::ALL), lane, why))
    }

    fn weigh(&self, group: &str, share: Percent) -> Vec<(String, u32)> {
        let other = self.pair.groups.iter().find(|one| *one != group).map_or(group, String::as_str);
        let (rest, own) = weights(share);
        vec![(other.to_owned(), rest), (group.to_owned(), own)]
    }
}

/// A weight is at most 999 (ecs-behaviour 9.1).
fn weights(share: Percent) -> (u32, u32) {
    match u32::from(share.tenths()) {
        0 => (100, 0),
        1000 => (0, 100),
        tenths => (1000 - tenths, tenths),
    }
}

fn share(rule: &ListenerRule, group: &str) -> u64 {
    let all: u64 = rule.forwards.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let own = rule.forwards.iter().find(|(arn, _)| arn == group);
    own.map_or(0, |(_, weight)| u64::from(*weight) * 1000 / all.max(1))
}

fn usable<'a>(view: &View<'a>, arn: &str, pair: &Pair) -> Result<&'a ListenerRule, String> {
    let seen = match &view.observed().load_balancing {
        Fact::Known(seen) => seen,
        Fact::Absent => return Err("the rules do not exist".to_owned()),
        Fact::Unknown(why) => return Err(format!("the rules: {}", explain(why))),
    };
    let rule = seen.rule(arn).ok_or(format!("the rule {arn} does not exist"))?;
    is_usable(rule, pair).map(|()| rule)
}

/// What is not ours is never written over.
fn is_usable(rule: &ListenerRule, pair: &Pair) -> Result<(), String> {
    let arn = &rule.arn;
    if rule.forwards.is_empty() {
        return Err(format!("the rule {arn} forwards to no target group"));
    }
    match rule.forwards.iter().find(|(group, _)| !pair.groups.contains(group)) {
        Some((group, _)) => {
            Err(format!("the rule {arn} forwards to {group}, which is not the service's"))
        }
        None => Ok(()),
    }
}

fn modify(rule: &ListenerRule, wanted: Vec<(String, u32)>, lane: Lane, why: String) -> Action {
    let weights = Reweighing { seen: rule.forwards.clone(), wanted };
    let rule_arn = rule.arn.clone();
    let call = match rule.is_default.then(|| listener_of(&rule.arn)).flatten() {
        // ELB refuses ModifyRule for it.
        Some(listener) => Call::ModifyListener { listener, rule: rule_arn, weights },
        None => Call::ModifyRule { rule: rule_arn, weights },
    };
    Action { call, lane, why }
}

/// `…:listener-rule/app/a/b/c/d` is a rule of `…:listener/app/a/b/c`.
fn listener_of(rule: &str) -> Option<String> {
    let (head, path) = rule.split_once(":listener-rule/")?;
    let (listener, _) = path.rsplit_once('/')?;
    Some(format!("{head}:listener/{listener}"))
}

/// `targetgroup/green/0123456789abcdef`, which tells enough.
fn name_of(group: &str) -> &str {
    group.rsplit(':').next().unwrap_or(group)
}
