//! Whether CodeDeploy can deploy the service; never what its deployment group says.
//!
//! Source: Amazon ECS Developer Guide, CodeDeploy blue/green deployments; AWS CodeDeploy User Guide, AppSpec
//! resources for ECS.

use super::Wanted;
use crate::node::Cursor;
use crate::problem::Report;

/// Members that a service with the `CODE_DEPLOY` controller cannot have.
const WITHOUT: [&str; 5] = [
    "serviceConnectConfiguration",
    "serviceRegistries",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "availabilityZoneRebalancing",
];

pub(super) fn check(wanted: &Wanted<'_, '_>, report: &mut Report) {
    if wanted.strategy.code_deploy().is_none() {
        return;
    }
    check_balancers(wanted.service, report);
    if wanted.is_daemon()
        && let Some(at) = wanted.service.member("schedulingStrategy")
    {
        report.error(&at, "a daemon can be deployed with the strategy `Rolling` only");
    }
    for at in WITHOUT.iter().filter_map(|name| wanted.service.member(name)) {
        report.error(&at, "services that CodeDeploy deploys have no such member");
    }
    for name in ["deploymentCircuitBreaker", "alarms"] {
        let path = format!("deploymentConfiguration.{name}");
        if let Some(at) = wanted.service.descendant(&path) {
            let message = "ECS judges no deployment of CodeDeploy's: use `spec.rollout.breaker`";
            report.error(&at, message);
        }
    }
}

/// One, for the AppSpec names one container and one port; the second target group is the deployment group's.
fn check_balancers(service: &Cursor<'_>, report: &mut Report) {
    let balancers = service.elements_of("loadBalancers");
    let Some(balancer) = balancers.first() else {
        let message = "CodeDeploy needs a load balancer: use `BlueGreen` or `Rolling`";
        report.error(service, message);
        return;
    };
    if let Some(second) = balancers.get(1) {
        report.error(second, "CodeDeploy moves the traffic of one load balancer only");
    }
    if let Some(at) = balancer.member("advancedConfiguration") {
        let message = "the CodeDeploy deployment group names the second target group: remove this";
        report.error(&at, message);
    }
    for name in ["targetGroupArn", "containerName", "containerPort"] {
        if balancer.member(name).is_none() {
            crate::envelope::missing(balancer, name, report);
        }
    }
}
