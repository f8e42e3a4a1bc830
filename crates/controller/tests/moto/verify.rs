//! `evenkeel verify` against what boto3 made in moto, and a registry on this machine.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::server::{Daemon, Moto};

/// Makes one of everything, and some that do not fit; prints their names.
const MADE: &str = "\
import boto3, json, sys
def client(name): return boto3.client(name)
def trust(service): return json.dumps({'Version': '2012-10-17', 'Statement': [
    {'Effect': 'Allow', 'Principal': {'Service': service}, 'Action': 'sts:AssumeRole'}]})
iam, ec2, elb = client('iam'), client('ec2'), client('elbv2')
def role(name, service):
    made = iam.create_role(RoleName=name, Path='/shop/', AssumeRolePolicyDocument=trust(service))
    return made['Role']['Arn']
def network(block):
    vpc = ec2.create_vpc(CidrBlock=f'{block}.0.0/16')['Vpc']['VpcId']
    zones = zip('abc', range(2))
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f'{block}.{n}.0/24',
        AvailabilityZone=f'eu-central-1{z}')['Subnet']['SubnetId'] for z, n in zones]
    group = ec2.create_security_group(GroupName='web', Description='web', VpcId=vpc)['GroupId']
    return vpc, subnets, group
def target_group(name, vpc, kind):
    made = elb.create_target_group(Name=name, Protocol='HTTP', Port=80, VpcId=vpc, TargetType=kind)
    return made['TargetGroups'][0]['TargetGroupArn']
vpc, subnets, group = network('10.1')
_, elsewhere, _ = network('10.2')
blue, idle = target_group('blue', vpc, 'ip'), target_group('idle', vpc, 'ip')
front = elb.create_load_balancer(Name='front', Subnets=subnets)['LoadBalancers'][0]['LoadBalancerArn']
elb.create_listener(LoadBalancerArn=front, Protocol='HTTP', Port=80,
    DefaultActions=[{'Type': 'forward', 'TargetGroupArn': blue}])
secret = client('secretsmanager').create_secret(Name='db', SecretString='{\"user\": \"s3cr3t\"}')['ARN']
client('ssm').put_parameter(Name='/shop/key', Type='SecureString', Value='s3cr3t')
client('logs').create_log_group(logGroupName='/shop/web')
json.dump({'exec': role('exec', 'ecs-tasks.amazonaws.com'), 'lambda': role('fn', 'lambda.amazonaws.com'),
    'subnets': subnets, 'elsewhere': elsewhere[0], 'group': group, 'secret': secret,
    'blue': blue, 'idle': idle}, sys.stdout)";

/// A registry with the image `web:7` for both architectures of Linux and nothing else.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().unwrap().is_ok_and(|line| !line.is_empty()) {}
            let platform =
                |arch| format!(r#"{{"platform":{{"os":"linux","architecture":"{arch}"}}}}"#);
            let index = format!(r#"{{"manifests":[{},{}]}}"#, platform("amd64"), platform("arm64"));
            let is_known = first.contains("/v2/web/manifests/7 ");
            let status = if is_known { "200 OK" } else { "404 Not Found" };
            let length = index.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{index}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    host
}

struct Wanted<'a> {
    role: &'a str,
    image: &'a str,
    secret: &'a str,
    parameter: &'a str,
    log_group: &'a str,
    target_group: &'a str,
    alarm: &'a str,
    subnet: &'a str,
    security_group: &'a str,
}

fn manifest(wanted: &Wanted<'_>) -> String {
    let Wanted { role, image, secret, parameter, log_group, .. } = wanted;
    let Wanted { target_group, alarm, subnet, security_group, .. } = wanted;
    format!(
        "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {{name: web}}
spec:
  cluster: prod
  taskDefinition:
    requiresCompatibilities: [FARGATE]
    networkMode: awsvpc
    cpu: '256'
    memory: '512'
    executionRoleArn: {role}
    containerDefinitions:
      - name: app
        image: {image}
        portMappings: [{{containerPort: 80}}]
        secrets:
          - name: USER
            valueFrom: '{secret}:user::'
          - name: KEY
            valueFrom: {parameter}
        logConfiguration:
          logDriver: awslogs
          options:
            awslogs-group: {log_group}
            awslogs-region: eu-central-1
            awslogs-stream-prefix: web
  service:
    launchType: FARGATE
    desiredCount: 1
    loadBalancers: [{{targetGroupArn: '{target_group}', containerName: app, containerPort: 80}}]
    networkConfiguration:
      awsvpcConfiguration:
        subnets: [{subnet}]
        securityGroups: [{security_group}]
  rollout:
    breaker:
      alarms: [{alarm}]
"
    )
}

#[test]
fn what_boto3_made_is_found_and_what_it_did_not_is_told_with_its_place() {
    let (moto, host) = (Moto::start(1), registry());
    let made = moto.python(MADE);
    let name = |key: &str| made[key].as_str().unwrap();
    let image = format!("{host}/web:7");
    let good = Wanted {
        role: name("exec"),
        image: &image,
        secret: name("secret"),
        parameter: "/shop/key",
        log_group: "/shop/web",
        target_group: name("blue"),
        alarm: "errors",
        subnet: made["subnets"][0].as_str().unwrap(),
        security_group: name("group"),
    };
    moto.manifest("web.yaml", &manifest(&good));
    let (code, said) = moto.run(&["verify", "manifests", "--all"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches(": ok\n").count(), 8, "{said}");
    // moto's CloudWatch does not speak the protocol of today's SDKs.
    let alarm = "alarm errors: not checked: the server does not know cloudwatch:DescribeAlarms";
    assert!(said.contains(alarm), "{said}");
    assert!(said.contains("1 service: 8 checked, 1 not checked\n"), "{said}");

    let (image, secret) = (format!("{host}/web:8"), name("secret").replace("db", "other"));
    let bad = Wanted {
        role: name("lambda"),
        image: &image,
        secret: &secret,
        parameter: "/shop/none",
        log_group: "/shop/we",
        target_group: name("idle"),
        alarm: "none",
        subnet: name("elsewhere"),
        security_group: name("group"),
    };
    moto.manifest("web.yaml", &manifest(&bad));
    let (code, said) = moto.run(&["verify", "manifests", "-o", "json"]);
    assert_eq!(code, Some(7), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let findings = report["services"][0]["findings"].as_array().unwrap();
    let shown = findings.iter().map(|one| {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        (text("check"), text("outcome"), one["place"]["line"].as_u64().unwrap())
    });
    let expected = [
        ("role", "failed", 11),
        ("image", "failed", 14),
        ("secret", "failed", 20),
        ("secret", "failed", 18),
        ("log-group", "failed", 24),
        ("target-group", "failed", 30),
        ("alarm", "unknown", 37),
        ("subnet", "ok", 33),
        ("security-group", "failed", 34),
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected, "{said}");
    let (code, said) = moto.run(&["verify", "manifests", "--only", "subnet"]);
    assert_eq!((code, said.contains("1 checked")), (Some(0), true), "{said}");
    assert_eq!(moto.writes(), Vec::<String>::new());
}

/// A role that tasks may assume, made later than the manifest.
const ROLE: &str = "\
import boto3, json, sys
policy = {'Statement': {'Effect': 'Allow', 'Principal': {'Service': ['ecs-tasks.amazonaws.com']},
    'Action': 'sts:AssumeRole'}}
role = boto3.client('iam').create_role(RoleName='late', AssumeRolePolicyDocument=json.dumps(policy))
json.dump(role['Role']['Arn'], sys.stdout)";

const NAMES_A_ROLE: &str = "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: web}
spec:
  cluster: prod
  taskDefinition:
    memory: '512'
    taskRoleArn: arn:aws:iam::123456789012:role/late
    containerDefinitions: [{name: app, image: 'app:1'}]
  service: {desiredCount: 1}
  rollout: {probe: {enabled: false}}
";

#[test]
fn a_daemon_that_holds_creates_nothing_until_what_is_missing_is_there() {
    let moto = Moto::start(1);
    moto.manifest("web.yaml", NAMES_A_ROLE);
    let variables = [("EVENKEEL_VERIFY__MODE", "hold"), ("EVENKEEL_VERIFY__SKIP", "[image]")];
    let mut daemon = Daemon::configured(&moto, &variables);
    daemon.wait_until("the preflight to hold it", |daemon| {
        daemon.condition("web", "Ready").is_some_and(|[_, reason, _]| reason == "Preflight")
    });
    let [_, _, message] = daemon.condition("web", "Ready").unwrap();
    assert!(message.contains("the account has no role late: create it"), "{message}");
    assert_eq!(moto.writes(), Vec::<String>::new());

    moto.python(ROLE);
    drop(daemon);
    // A daemon remembers for minutes that it is missing; another one looks anew.
    let mut daemon = Daemon::configured(&moto, &variables);
    daemon.wait_until("the service", |_| moto.writes().contains(&"CreateService".to_owned()));
}

#[test]
fn a_daemon_that_warns_says_what_is_missing_and_goes_on() {
    let moto = Moto::start(1);
    moto.manifest("web.yaml", NAMES_A_ROLE);
    let variables = [("EVENKEEL_VERIFY__MODE", "warn"), ("EVENKEEL_VERIFY__SKIP", "[image]")];
    let mut daemon = Daemon::configured(&moto, &variables);
    daemon.wait_until("the service", |_| moto.writes().contains(&"CreateService".to_owned()));
    let told = daemon.said("not verified");
    assert!(told.contains("the account has no role late: create it"), "{told}");
}
