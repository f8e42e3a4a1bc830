//! Whether ECS can move traffic as the strategy asks; never what only AWS knows.
//!
//! Source: Amazon ECS Developer Guide, resources for blue/green deployments; error texts of
//! CreateService.

use std::collections::BTreeSet;

use super::Wanted;
use crate::node::Cursor;
use crate::problem::Report;
use crate::{Gate, Strategy, application_balancer};

pub(super) fn check(wanted: &Wanted<'_, '_>, report: &mut Report) {
    check_configuration(wanted, report);
    let balancers = wanted.service.elements_of("loadBalancers");
    check_all_or_none(&balancers, report);
    check_groups(&balancers, report);
    for balancer in &balancers {
        check_rules(balancer, report);
    }
    let moves = wanted.strategy.shift().is_some() || wanted.strategy.steps().is_some();
    if moves {
        check_shift(wanted, &balancers, report);
        check_external(wanted, &balancers, report);
        check_pauses(wanted, report);
        check_measured(wanted, &balancers, report);
        check_compared(wanted, report);
    }
}

/// What an Application Load Balancer counts is only known where there is one.
fn check_measured(wanted: &Wanted<'_, '_>, balancers: &[Cursor<'_>], report: &mut Report) {
    const RULE: &str = "advancedConfiguration.productionListenerRule";
    const COUNTED: [&str; 4] = ["errorRate", "latency", "requestCount", "healthyHosts"];
    let counts = |at: &Cursor<'_>| {
        let rule = at.descendant(RULE);
        rule.is_some_and(|rule| rule.text().is_some_and(|arn| application_balancer(arn).is_some()))
    };
    if balancers.iter().any(counts) {
        return;
    }
    for metric in wanted.metrics.iter().filter_map(|at| at.member("metric")) {
        if metric.text().is_some_and(|word| COUNTED.contains(&word)) {
            let message = "only an Application Load Balancer counts this, and the service has none: \
                           use `query`";
            report.error(&metric, message);
        }
    }
}

/// Before all traffic moves at once the new revision has no users, and afterwards the stable one has none.
fn check_compared(wanted: &Wanted<'_, '_>, report: &mut Report) {
    if !matches!(wanted.strategy, Strategy::BlueGreen(_)) {
        return;
    }
    for compared in wanted.metrics.iter().filter_map(|at| at.member("compare")) {
        let message = "`BlueGreen` moves all traffic at once, so both revisions hardly ever have users in the same \
                       minutes, and a gate waits for them in vain: use `max`, or the strategy `Canary`";
        report.warning(&compared, message);
    }
}

/// Nobody can tell whose of two pauses is answered.
fn check_pauses(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let Some(configuration) = wanted.service.member("deploymentConfiguration") else { return };
    let hooks = configuration.elements_of("lifecycleHooks");
    let pauses = hooks.iter().filter(|hook| hook.text_of("targetType") == Some("PAUSE"));
    for stage in pauses.flat_map(|pause| pause.elements_of("lifecycleStages")) {
        if stage.text().is_some_and(|word| Gate::in_stage(word).is_some()) {
            report.error(&stage, "Evenkeel's own gate is in this stage: pause in another one");
        }
    }
}

/// What `spec.rollout` says is not said twice.
fn check_configuration(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let Some(configuration) = wanted.service.member("deploymentConfiguration") else { return };
    let word = wanted.strategy.word();
    if let Some(at) = configuration.member("strategy")
        && at.text().is_some_and(|text| text != word)
    {
        report
            .error(&at, format!("`spec.rollout.strategy` decides, and it is {word}: remove this"));
    }
    let elsewhere = [
        ("bakeTimeInMinutes", "bake"),
        ("canaryConfiguration", "canary"),
        ("linearConfiguration", "linear"),
    ];
    for (name, instead) in elsewhere {
        if let Some(at) =
            configuration.member(name).filter(|_| *wanted.strategy != Strategy::Rolling)
        {
            report.error(&at, format!("given as `spec.rollout.{instead}`: remove this"));
        }
    }
}

fn check_all_or_none(balancers: &[Cursor<'_>], report: &mut Report) {
    let is_advanced = |at: &&Cursor<'_>| at.member("advancedConfiguration").is_some();
    let plain = balancers.iter().find(|at| !is_advanced(at));
    if let Some(plain) = plain.filter(|_| balancers.iter().any(|at| is_advanced(&at))) {
        report.error(plain, "either all load balancers have an `advancedConfiguration`, or none");
    }
}

/// No target group twice, be it as the alternate one.
fn check_groups(balancers: &[Cursor<'_>], report: &mut Report) {
    let mut seen = BTreeSet::new();
    for balancer in balancers.iter().filter(|at| at.member("advancedConfiguration").is_some()) {
        let groups = ["targetGroupArn", "advancedConfiguration.alternateTargetGroupArn"];
        for at in groups.into_iter().filter_map(|path| balancer.descendant(path)) {
            if at.text().is_some_and(|arn| !seen.insert(arn)) {
                report.error(&at, "this target group is used twice: blue and green need one each");
            }
        }
    }
}

fn check_rules(balancer: &Cursor<'_>, report: &mut Report) {
    let Some(advanced) = balancer.member("advancedConfiguration") else { return };
    let production = advanced.member("productionListenerRule");
    let test = advanced.member("testListenerRule");
    for at in [&production, &test].into_iter().flatten() {
        if at.text().is_some_and(|arn| !is_rule(arn)) {
            let message = "expected the ARN of a listener rule (ALB; the default rule has one, too) \
                           or of a listener (NLB)";
            report.error(at, message);
        }
    }
    if let (Some(production), Some(test)) = (&production, &test)
        && production.text() == test.text()
    {
        report.error(test, "the same rule cannot carry production and test traffic");
    }
}

fn is_rule(arn: &str) -> bool {
    arn.contains(":listener-rule/app/") || arn.contains(":listener/net/")
}

/// What an EXTERNAL controller cannot have. Source: Amazon ECS Developer Guide, external deployment.
fn check_external(wanted: &Wanted<'_, '_>, balancers: &[Cursor<'_>], report: &mut Report) {
    if wanted.strategy.steps().is_none() {
        return;
    }
    if let Some(second) = balancers.get(1) {
        report.error(second, "a task set has one load balancer, so `Steps` can move one only");
    }
    for balancer in balancers {
        if let Some(rule) = balancer.descendant("advancedConfiguration.productionListenerRule")
            && rule.text().is_some_and(|arn| arn.contains(":listener/net/"))
        {
            report.error(
                &rule,
                "a Network Load Balancer has no weights: use an Application Load Balancer",
            );
        }
    }
    for name in ["serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations"]
    {
        if let Some(at) = wanted.service.member(name) {
            report.error(&at, "task sets have no such member: use another strategy than `Steps`");
        }
    }
}

fn check_shift(wanted: &Wanted<'_, '_>, balancers: &[Cursor<'_>], report: &mut Report) {
    if wanted.is_daemon()
        && let Some(at) = wanted.service.member("schedulingStrategy")
    {
        report.error(&at, "a daemon can be deployed with the strategy `Rolling` only");
    }
    for balancer in balancers {
        match balancer.member("advancedConfiguration") {
            None => {
                let message = "this strategy needs an `advancedConfiguration`: a second target group \
                               and the rule that moves traffic between the two";
                report.error(balancer, message);
            }
            Some(advanced) => {
                // Where Evenkeel moves the traffic ECS needs no role for it.
                let role = wanted.strategy.steps().is_none().then_some("roleArn");
                let needed = ["alternateTargetGroupArn", "productionListenerRule"];
                for name in needed.into_iter().chain(role) {
                    if advanced.member(name).is_none() {
                        crate::envelope::missing(&advanced, name, report);
                    }
                }
            }
        }
    }
    let others = ["serviceConnectConfiguration", "vpcLatticeConfigurations"];
    let has_traffic =
        !balancers.is_empty() || others.iter().any(|name| wanted.service.member(name).is_some());
    if !has_traffic && !matches!(wanted.strategy, Strategy::BlueGreen(_)) {
        let message = "a service without load balancers has no traffic to move in steps: use \
                       `BlueGreen` or `Rolling`";
        report.error(wanted.service, message);
    }
}
