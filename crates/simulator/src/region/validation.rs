//! Refuses inputs with AWS's codes and texts; never changes anything.

use serde_json::Value;

use super::ApiError;
use super::input::{count, flag, given, invalid, list, refused, text, texts};
use super::strategy::Strategy;
use super::task_definition::TaskContent;
use crate::elb::Elb;

/// Letters, digits, hyphens and underscores, at most 255.
pub(crate) fn name(what: &str, name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
        return Err(invalid(format!(
            "{what} must be between 1 and 255 characters, and can only contain letters, numbers, \
             hyphens and underscores."
        )));
    }
    Ok(())
}

pub(crate) fn task_definition(input: &Value) -> Result<(), ApiError> {
    let family = text(input, "family").unwrap_or_default();
    if family.is_empty() {
        return Err(refused("Family should not be null or empty."));
    }
    if name("Family", family).is_err() {
        return Err(refused("Family contains invalid characters."));
    }
    let containers = list(input, "containerDefinitions");
    if containers.is_empty() {
        return Err(refused("Container list cannot be empty."));
    }
    if containers.len() > 10 {
        return Err(refused("Task definition should not have more than 10 containers."));
    }
    let fargate = texts(input, "requiresCompatibilities").any(|word| word == "FARGATE");
    if fargate {
        fargate_task_definition(input)?;
    }
    containers.iter().try_for_each(|definition| container(definition, input))?;
    if !containers.iter().any(|definition| flag(definition, "essential").unwrap_or(true)) {
        return Err(refused("At least one container must be marked as essential."));
    }
    let mut names: Vec<_> = containers.iter().filter_map(|one| text(one, "name")).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(refused(format!(
            "Container name '{}' is used more than once.",
            pair.first().copied().unwrap_or_default()
        ))),
        None => Ok(()),
    }
}

fn fargate_task_definition(input: &Value) -> Result<(), ApiError> {
    for member in ["cpu", "memory"] {
        if text(input, member).is_none() {
            return Err(refused(format!(
                "Fargate requires that '{member}' be defined at the task level."
            )));
        }
    }
    if text(input, "networkMode") != Some("awsvpc") {
        return Err(refused("Fargate only supports network mode ‘awsvpc’."));
    }
    Ok(())
}

fn container(definition: &Value, task: &Value) -> Result<(), ApiError> {
    let name = text(definition, "name").unwrap_or_default();
    if name.is_empty() {
        return Err(refused("Container.name should not be null or empty."));
    }
    if text(definition, "image").unwrap_or_default().is_empty() {
        return Err(refused("Container.image should not be null or empty."));
    }
    let limited =
        ["memory", "memoryReservation"].iter().any(|member| given(definition, member).is_some());
    if !limited && text(task, "memory").is_none() {
        return Err(refused(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or \
             'memoryReservation' must be specified."
        )));
    }
    Ok(())
}

pub(crate) fn client_token(input: &Value) -> Result<(), ApiError> {
    match text(input, "clientToken") {
        Some(token) if token.len() > 36 => {
            Err(invalid("Client token must be at most 36 characters."))
        }
        _ => Ok(()),
    }
}

/// The members that a controller type does not take, by presence and not by difference.
pub(crate) fn created_members(input: &Value, controller: &str) -> Result<(), ApiError> {
    const FORBIDDEN: [(&str, &str); 7] = [
        ("networkConfiguration", "NetworkConfiguration must be null."),
        (
            "taskDefinition",
            "TaskDefinition must be blank for services with an EXTERNAL deployment controller.",
        ),
        (
            "launchType",
            "LaunchType must be blank for services with an EXTERNAL deployment controller.",
        ),
        (
            "capacityProviderStrategy",
            "CapacityProviderStrategy must be empty for services with an EXTERNAL deployment controller.",
        ),
        (
            "platformVersion",
            "PlatformVersion must be blank for services with an EXTERNAL deployment controller.",
        ),
        (
            "loadBalancers",
            "LoadBalancers must be empty for services with an EXTERNAL deployment controller.",
        ),
        (
            "serviceRegistries",
            "ServiceRegistries must be empty for services with an EXTERNAL deployment controller.",
        ),
    ];
    if controller != "EXTERNAL" {
        return Ok(());
    }
    refuse_members(input, FORBIDDEN.into_iter())
}

/// As above for UpdateService. Source: captured texts, reference page 1.4.
pub(crate) fn updated_members(input: &Value, controller: &str) -> Result<(), ApiError> {
    let forbidden = [
        ("taskDefinition", "Unable to update task definition"),
        ("networkConfiguration", "Unable to update network parameters"),
        ("platformVersion", "Unable to update platform version"),
        ("loadBalancers", "Unable to update load balancers"),
        ("serviceRegistries", "Unable to update service registries"),
        ("capacityProviderStrategy", "Unable to update capacity providers"),
        ("serviceConnectConfiguration", "Unable to update Service Connect"),
        ("volumeConfigurations", "Unable to update volumes"),
        ("vpcLatticeConfigurations", "Unable to update VPC Lattice"),
        ("enableExecuteCommand", "Unable to update execute command"),
        ("availabilityZoneRebalancing", "Unable to update Availability Zone rebalancing"),
        ("forceNewDeployment", "Cannot force a new deployment"),
    ];
    let external = (controller == "EXTERNAL")
        .then_some(("deploymentConfiguration", "Unable to update deployment configuration"));
    let advice = match controller {
        "CODE_DEPLOY" => "Use AWS CodeDeploy to trigger a new deployment.",
        "EXTERNAL" => "Create a new task set instead.",
        _ => return Ok(()),
    };
    for (member, what) in forbidden.into_iter().chain(external) {
        if sent(input, member) {
            return Err(invalid(format!(
                "{what} on services with a {controller} deployment controller. {advice}"
            )));
        }
    }
    Ok(())
}

fn refuse_members<'a>(
    input: &Value,
    mut members: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), ApiError> {
    match members.find(|(member, _)| sent(input, member)) {
        Some((_, message)) => Err(invalid(message)),
        None => Ok(()),
    }
}

/// A `false` for forceNewDeployment is as good as nothing.
fn sent(input: &Value, member: &str) -> bool {
    given(input, member).is_some_and(|value| *value != Value::Bool(false))
}

pub(crate) fn deployment_configuration(configuration: &Value) -> Result<(), ApiError> {
    let least = count(configuration, "minimumHealthyPercent").unwrap_or(0);
    let most = count(configuration, "maximumPercent").unwrap_or(0);
    if most == 100 && least == 100 {
        return Err(invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block \
             deployments.",
        ));
    }
    if most < 100 || most < least {
        return Err(invalid(
            "maximumPercent must be at least 100 and not less than minimumHealthyPercent.",
        ));
    }
    if let Some(alarms) = given(configuration, "alarms") {
        let complete = ["alarmNames", "enable", "rollback"]
            .iter()
            .all(|member| given(alarms, member).is_some());
        if !complete {
            return Err(invalid("alarms needs alarmNames, enable and rollback."));
        }
        if flag(alarms, "enable") == Some(true) && list(alarms, "alarmNames").is_empty() {
            return Err(invalid("Alarm names must be specified when alarms are enabled."));
        }
    }
    breaker(configuration.get("deploymentCircuitBreaker").unwrap_or(&Value::Null))
}

fn breaker(configuration: &Value) -> Result<(), ApiError> {
    let Some(threshold) = given(configuration, "thresholdConfiguration") else { return Ok(()) };
    let value = count(threshold, "value").unwrap_or(0);
    match text(threshold, "type") {
        Some("COUNT") if value >= 1 => Ok(()),
        Some("BOUNDED_PERCENT" | "UNBOUNDED_PERCENT") if (1..=100).contains(&value) => Ok(()),
        _ => Err(invalid("The deployment circuit breaker threshold configuration is invalid.")),
    }
}

/// Whether the network and the load balancers fit the task definition.
pub(crate) fn revision(
    spec: &serde_json::Map<String, Value>,
    content: &TaskContent,
    elb: &Elb,
) -> Result<(), ApiError> {
    let network = spec.get("networkConfiguration").is_some();
    if content.awsvpc && !network {
        return Err(invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ));
    }
    if !content.awsvpc && network {
        return Err(invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ));
    }
    let balancers = spec.get("loadBalancers").and_then(Value::as_array);
    balancers.into_iter().flatten().try_for_each(|one| load_balancer(one, content, elb))
}

fn load_balancer(entry: &Value, content: &TaskContent, elb: &Elb) -> Result<(), ApiError> {
    let container = text(entry, "containerName").unwrap_or_default();
    let port = count(entry, "containerPort").unwrap_or(0);
    let found = content.container(container).ok_or_else(|| {
        invalid(format!("The container {container} does not exist in the task definition."))
    })?;
    if !found.ports.iter().any(|open| u32::from(*open) == port) {
        return Err(invalid(format!(
            "The container {container} did not have a container port {port} defined."
        )));
    }
    let Some(arn) = text(entry, "targetGroupArn") else { return Ok(()) };
    let group = elb
        .target_groups
        .get(arn)
        .ok_or_else(|| invalid(format!("The specified target group {arn} does not exist.")))?;
    if content.awsvpc && group.target_type != "ip" {
        return Err(invalid(format!(
            "The provided target group {arn} has target type {}, which is incompatible with the \
             awsvpc network mode specified in the task definition.",
            group.target_type
        )));
    }
    if !elb.in_use(arn) {
        return Err(invalid(format!(
            "The target group with targetGroupArn {arn} does not have an associated load balancer."
        )));
    }
    Ok(())
}

/// Whether the load balancers fit a strategy. Source: the reference page, section 4.2.
pub(crate) fn shifting(
    spec: &serde_json::Map<String, Value>,
    strategy: Strategy,
    elb: &Elb,
) -> Result<(), ApiError> {
    let balancers = spec.get("loadBalancers").and_then(Value::as_array);
    let balancers = balancers.map_or(&[][..], Vec::as_slice);
    let advanced = |one: &Value| given(one, "advancedConfiguration").is_some();
    let number = balancers.iter().filter(|one| advanced(one)).count();
    if number > 0 && number < balancers.len() {
        return Err(invalid(
            "Either all or none of the provided loadBalancers must have advancedConfiguration \
             defined",
        ));
    }
    if number == 0 && !balancers.is_empty() && strategy.shifts_traffic() {
        return Err(invalid(
            "advancedConfiguration field is required for all loadBalancers when using a \
             non-ROLLING deployment strategy",
        ));
    }
    balancers.iter().try_for_each(|one| advanced_configuration(one, elb))
}

/// Whether it is a Network Load Balancer's listener, which has no rules. Source: the reference page, section 4.2.
pub(crate) fn is_listener(arn: &str) -> bool {
    arn.contains(":listener/net/")
}

fn advanced_configuration(balancer: &Value, elb: &Elb) -> Result<(), ApiError> {
    let Some(advanced) = given(balancer, "advancedConfiguration") else { return Ok(()) };
    let part = |name: &str| text(advanced, name).unwrap_or_default();
    let group = text(balancer, "targetGroupArn").unwrap_or_default();
    let (alternate, production) = (part("alternateTargetGroupArn"), part("productionListenerRule"));
    if group == alternate {
        return Err(invalid(format!("Duplicate targetGroupArn found: {group}")));
    }
    if !elb.target_groups.contains_key(alternate) {
        return Err(invalid(format!("The specified target group {alternate} does not exist.")));
    }
    let is_of_a_network = is_listener(production);
    if !production.contains(":listener-rule/app/") && !is_of_a_network {
        return Err(invalid(format!(
            "productionListenerRule has an invalid ARN format. Must be RuleArn for ALB or \
             ListenerArn for NLB. Got: {production}"
        )));
    }
    match text(advanced, "testListenerRule") {
        Some(test) if test == production => Err(invalid(format!(
            "The following rules cannot be used as both production and test listener rules: {test}"
        ))),
        Some(_) => Ok(()),
        None if is_of_a_network => Ok(()),
        None => {
            let known = elb.forwards_of(production);
            let has = |arn: &str| known.iter().any(|(group, _)| group == arn);
            if has(group) && has(alternate) {
                return Ok(());
            }
            Err(invalid(
                "For Application LoadBalancer, testListenerRule is required when \
                 productionListenerRule is not associated with both targetGroup and \
                 alternateTargetGroup",
            ))
        }
    }
}
