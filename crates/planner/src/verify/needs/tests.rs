use evenkeel_manifest::{File, load};

use super::*;

/// A service whose manifest has this below `spec:`.
fn service(spec: &str) -> Service {
    let text = format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n{spec}"
    );
    let set = load(&[File { name: "web.yaml".into(), text }]);
    set.services.into_iter().next().unwrap_or_else(|| panic!("{:?}", set.problems))
}

fn of(check: Check, spec: &str) -> Vec<(&'static str, String)> {
    let needs = needs(&service(spec)).into_iter().filter(|need| need.check == check);
    needs.map(|need| (need.member, need.text)).collect()
}

/// A task definition on Fargate whose container has these further members.
fn task(container: &str) -> String {
    format!(
        "  cluster: prod
  taskDefinition:
    networkMode: awsvpc
    requiresCompatibilities: [FARGATE]
    cpu: '256'
    memory: '512'
    executionRoleArn: arn:aws:iam::12:role/exec
    containerDefinitions:
      - name: app
        image: web:1
        portMappings: [{{containerPort: 80}}]
{container}"
    )
}

const NETWORK: &str = "    networkConfiguration: {awsvpcConfiguration: {subnets: [subnet-1, subnet-2], securityGroups: [sg-1]}}\n";

#[test]
fn roles_of_tasks_and_of_the_infrastructure_are_for_different_principals() {
    let spec = task("")
        + "  service:\n"
        + NETWORK
        + "    launchType: FARGATE
    volumeConfigurations:
      - name: data
        managedEBSVolume: {roleArn: 'arn:aws:iam::12:role/volumes', sizeInGiB: 10, filesystemType: xfs}
";
    let spec = spec.replace(
        "    containerDefinitions:",
        "    taskRoleArn: app\n    volumes: [{name: data, configuredAtLaunch: true}]\n    containerDefinitions:",
    );
    let needs = needs(&service(&spec));
    let roles = needs.iter().filter_map(|need| match &need.demand {
        Demand::Role { asked: Asked::Role { name }, principal } => {
            Some((name.as_str(), *principal))
        }
        _ => None,
    });
    let roles: Vec<_> = roles.collect();
    assert_eq!(roles, [("app", TASKS), ("exec", TASKS), ("volumes", ECS)]);
}

#[test]
fn an_architecture_is_asked_for_where_it_is_decided() {
    let wanted = |spec: &str| {
        let needs = needs(&service(spec)).into_iter();
        let mut images = needs.filter_map(|need| match need.demand {
            Demand::Image { os, architecture, .. } => Some((os, architecture)),
            _ => None,
        });
        images.next().unwrap()
    };
    let fargate = task("") + "  service:\n" + NETWORK;
    let runtime = |family: &str| {
        let platform = format!("    runtimePlatform: {family}\n    containerDefinitions:");
        fargate.replace("    containerDefinitions:", &platform)
    };
    assert_eq!(wanted(&fargate), ("linux", Some("amd64")));
    assert_eq!(wanted(&runtime("{cpuArchitecture: ARM64}")), ("linux", Some("arm64")));
    let windows = "{operatingSystemFamily: WINDOWS_SERVER_2022_CORE, cpuArchitecture: X86_64}";
    let windows = runtime(windows).replace("'256'", "'1024'").replace("'512'", "'2048'");
    assert_eq!(wanted(&windows), ("windows", Some("amd64")));
    let ec2 = "  cluster: prod\n  taskDefinition:\n    containerDefinitions: [{name: app, image: 'web:1', memory: 9}]\n";
    assert_eq!(wanted(ec2), ("linux", None));
}

#[test]
fn an_image_with_credentials_of_its_own_is_not_looked_at_and_its_secret_is() {
    let spec = task(
        "        repositoryCredentials: {credentialsParameter: 'arn:aws:secretsmanager:eu-west-1:12:secret:hub-AbCdEf'}\n",
    ) + "  service:\n"
        + NETWORK;
    let needs = needs(&service(&spec));
    let image = needs.iter().find(|need| need.check == Check::Image).unwrap();
    assert_eq!(image.asked(), None);
    let secret = needs.iter().find(|need| need.check == Check::Secret).unwrap();
    assert_eq!(secret.member, "credentialsParameter");
}

#[test]
fn secrets_of_containers_and_of_logging_are_asked_for_once() {
    let arn = "arn:aws:secretsmanager:eu-west-1:12:secret:db-AbCdEf";
    let spec = task(&format!(
        "        secrets:
          - {{name: A, valueFrom: '{arn}:user::'}}
          - {{name: B, valueFrom: '{arn}:password::'}}
          - {{name: C, valueFrom: /shop/key}}
          - {{name: D, valueFrom: 'arn:aws:ssm:eu-west-1:99:parameter/theirs'}}
        logConfiguration:
          logDriver: splunk
          secretOptions: [{{name: splunk-token, valueFrom: /shop/key}}]
"
    )) + "  service:\n"
        + NETWORK;
    let needs = needs(&service(&spec));
    let secrets: Vec<_> = needs.iter().filter(|need| need.check == Check::Secret).collect();
    let asked: Vec<_> = secrets.iter().map(|need| need.asked().cloned()).collect();
    let secret = Some(Asked::Secret { id: arn.to_owned() });
    let parameter = Some(Asked::Parameter { name: "/shop/key".to_owned(), region: None });
    assert_eq!(asked, [secret.clone(), secret, parameter, None]);
}

#[test]
fn a_log_group_that_the_driver_makes_is_not_needed() {
    let logging = |options: &str| {
        let driver = "        logConfiguration: {logDriver: awslogs, options: ";
        let options =
            format!("{{awslogs-group: /shop/web, awslogs-region: eu-north-1{options}}}}}\n");
        of(Check::LogGroup, &(task(&(driver.to_owned() + &options)) + "  service:\n" + NETWORK))
    };
    assert_eq!(logging(""), [("awslogs-group", "/shop/web".to_owned())]);
    assert_eq!(logging(", awslogs-create-group: 'false'").len(), 1);
    assert_eq!(logging(", awslogs-create-group: 'true'"), []);
}

#[test]
fn target_groups_are_for_the_network_mode_and_the_port_of_the_container() {
    let spec = task("")
        + "  service:\n"
        + NETWORK
        + "    loadBalancers: [{targetGroupArn: blue, containerName: app, containerPort: 80}]\n";
    let needs = needs(&service(&spec));
    let group = needs.iter().find(|need| need.check == Check::TargetGroup).unwrap();
    let (container, protocol) = ("app".to_owned(), "tcp".to_owned());
    let port = Some(Port { container, number: 80, protocol });
    let asked = Asked::TargetGroup { arn: "blue".to_owned() };
    assert_eq!(group.demand, Demand::TargetGroup { asked, target_type: "ip", port });
}

#[test]
fn functions_that_code_deploy_asks_are_needed_in_their_order() {
    let arn =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef";
    let balancer = format!("{{targetGroupArn: '{arn}', containerName: app, containerPort: 80}}");
    let spec = |rollout: &str| {
        task("")
            + &format!(
                "  service:\n{NETWORK}    loadBalancers: [{balancer}]\n  rollout: {rollout}\n"
            )
    };
    let hooks = "{AfterAllowTraffic: orders, BeforeInstall: 'smoke:live'}";
    let hooked = spec(&format!("{{strategy: CodeDeploy, codeDeploy: {{hooks: {hooks}}}}}"));
    let both =
        [("BeforeInstall", "smoke:live".to_owned()), ("AfterAllowTraffic", "orders".to_owned())];
    assert_eq!(of(Check::Function, &hooked), both);
    let needs = needs(&service(&hooked));
    let first = needs.iter().find(|need| need.check == Check::Function).and_then(Need::asked);
    assert_eq!(first, Some(&Asked::Function { id: "smoke".to_owned(), region: None }));
    assert_eq!(of(Check::Function, &spec("{strategy: CodeDeploy}")), []);
}

#[test]
fn alarms_of_the_service_and_of_the_rollout_are_needed() {
    let spec = task("") + "  service:\n" + NETWORK
        + "    deploymentConfiguration: {alarms: {alarmNames: [errors], enable: true, rollback: true}}
  rollout: {breaker: {alarms: [latency]}}\n";
    let both = [("alarmNames", "errors".to_owned()), ("alarms", "latency".to_owned())];
    assert_eq!(of(Check::Alarm, &spec), both);
    let off = spec.replace("enable: true, rollback: true", "enable: false, rollback: false");
    assert_eq!(of(Check::Alarm, &off), [("alarms", "latency".to_owned())]);
}

#[test]
fn every_subnet_and_security_group_is_needed() {
    let spec = task("") + "  service:\n" + NETWORK;
    let subnets = [("subnets", "subnet-1".to_owned()), ("subnets", "subnet-2".to_owned())];
    assert_eq!(of(Check::Subnet, &spec), subnets);
    assert_eq!(of(Check::SecurityGroup, &spec), [("securityGroups", "sg-1".to_owned())]);
}
