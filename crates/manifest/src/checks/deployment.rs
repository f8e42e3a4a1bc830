//! Whether ECS can carry out a deployment of the service at all; never judges how fast.

use super::Wanted;
use crate::problem::Report;

pub(super) fn check(wanted: &Wanted<'_, '_>, report: &mut Report) {
    check_controller(wanted, report);
    check_desired_count(wanted, report);
    check_percentages(wanted, report);
    check_capacity(wanted, report);
}

fn check_controller(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let controller = wanted.strategy.controller();
    if let Some(at) = wanted.service.descendant("deploymentController.type")
        && at.text().is_some_and(|text| text != controller)
    {
        let message =
            format!("`spec.rollout.strategy` decides, and it takes `{controller}`: remove this");
        report.error(&at, message);
    }
}

fn check_desired_count(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let Some(at) = wanted.service.member("desiredCount") else { return };
    if wanted.is_daemon() {
        let message = "a daemon runs one task on each instance: remove `desiredCount`";
        report.error(&at, message);
    } else if at.integer().is_some_and(|count| count < 0) {
        report.error(&at, "expected 0 or more");
    }
}

fn check_percentages(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let Some(configuration) = wanted.service.member("deploymentConfiguration") else { return };
    for name in ["minimumHealthyPercent", "maximumPercent"] {
        if let Some(at) = configuration.member(name)
            && at.integer().is_some_and(|percent| percent < 0)
        {
            return report.error(&at, "expected 0 or more");
        }
    }
    if let Some(at) = configuration.member("maximumPercent")
        && wanted.is_daemon()
        && at.integer().is_some_and(|percent| percent != 100)
    {
        return report.error(&at, "a daemon runs one task on each instance: only 100 is possible");
    }
    let default = if wanted.is_daemon() { (0, 100) } else { (100, 200) };
    let minimum = configuration.integer_of("minimumHealthyPercent").unwrap_or(default.0);
    let maximum = configuration.integer_of("maximumPercent").unwrap_or(default.1);
    if minimum > maximum {
        let message =
            format!("minimumHealthyPercent {minimum} is more than maximumPercent {maximum}");
        return report.error(&configuration, message);
    }
    if let Some(why) = stuck(wanted.service.integer_of("desiredCount"), minimum, maximum) {
        let advice = "lower minimumHealthyPercent or raise maximumPercent";
        report.error(&configuration, format!("{why}; {advice}"));
    }
}

/// ECS keeps at least ceil(desired × minimum %) tasks healthy and at most floor(desired × maximum %)
/// tasks running: when neither leaves room, a deployment stands still and never fails. A count that
/// is not known may be any.
/// Source: Amazon ECS Developer Guide, service definition parameters.
fn stuck(desired: Option<i64>, minimum: i64, maximum: i64) -> Option<String> {
    match desired {
        Some(desired) if desired <= 0 || can_move(desired, minimum, maximum) => None,
        Some(desired) => Some(format!(
            "a deployment of {desired} tasks could never move: at least {} must stay healthy and at \
             most {} may run",
            ceil_percent(desired, minimum),
            floor_percent(desired, maximum),
        )),
        None => (maximum <= 100 && minimum >= 100).then(|| {
            "a deployment could never move: no task may stop and none may start".to_owned()
        }),
    }
}

fn can_move(desired: i64, minimum: i64, maximum: i64) -> bool {
    floor_percent(desired, maximum) > desired || ceil_percent(desired, minimum) < desired
}

fn floor_percent(count: i64, percent: i64) -> i64 {
    count.saturating_mul(percent) / 100
}

fn ceil_percent(count: i64, percent: i64) -> i64 {
    count.saturating_mul(percent).saturating_add(99) / 100
}

/// ECS refuses: "Specifying both a launch type and capacity provider strategy is not supported".
fn check_capacity(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let providers = wanted.service.elements_of("capacityProviderStrategy");
    if let Some(at) = wanted.service.member("launchType")
        && !providers.is_empty()
    {
        report.error(&at, "expected either `launchType` or `capacityProviderStrategy`, not both");
    }
    let mut with_base =
        providers.iter().filter(|at| at.integer_of("base").is_some_and(|base| base > 0));
    if let (Some(_), Some(second)) = (with_base.next(), with_base.next()) {
        report.error(second, "only one capacity provider can have a `base`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_where_the_developer_guide_says_so() {
        // 50 % of 4 may stop two; 200 % of 4 may start four.
        assert!(can_move(4, 50, 100));
        assert!(can_move(4, 100, 200));
        // 75 % of 2 rounds up to two, 125 % of 3 rounds down to three.
        assert!(!can_move(2, 75, 100));
        assert!(!can_move(3, 100, 125));
        assert!(can_move(1, 0, 100));
        assert!(!can_move(1, 100, 199));
    }
}
