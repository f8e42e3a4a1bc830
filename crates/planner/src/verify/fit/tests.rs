use super::*;

const TRUSTED: &str = r#"{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"}}}"#;

fn need(check: Check, text: &str, demand: Demand) -> Need {
    Need { check, member: "member", text: text.to_owned(), demand }
}

fn role(text: &str) -> Need {
    let asked = Asked::Role { name: "web".to_owned() };
    need(Check::Role, text, Demand::Role { asked, principal: "ecs-tasks.amazonaws.com" })
}

fn secret(stage: Option<&str>, version: Option<&str>) -> Need {
    let (stage, version) = (stage.map(str::to_owned), version.map(str::to_owned));
    let asked = Asked::Secret { id: "db".to_owned() };
    need(Check::Secret, "db", Demand::Secret { asked, stage, version })
}

fn target_group() -> Need {
    let asked = Asked::TargetGroup { arn: "blue".to_owned() };
    let (container, protocol) = ("app".to_owned(), "tcp".to_owned());
    let port = Some(Port { container, number: 80, protocol });
    need(Check::TargetGroup, "blue", Demand::TargetGroup { asked, target_type: "ip", port })
}

fn group(change: impl FnOnce(&mut AttachedGroup)) -> Fact<Shown> {
    let mut group = AttachedGroup {
        target_type: Some("ip".to_owned()),
        protocol: Some("HTTP".to_owned()),
        vpc: Some("vpc-1".to_owned()),
        load_balancers: 1,
    };
    change(&mut group);
    Fact::Known(Shown::TargetGroup(group))
}

fn subnet(id: &str) -> Need {
    let asked = Asked::Subnet { id: id.to_owned() };
    need(Check::Subnet, id, Demand::Vpc { asked })
}

fn security_group(id: &str) -> Need {
    let asked = Asked::SecurityGroup { id: id.to_owned() };
    need(Check::SecurityGroup, id, Demand::Vpc { asked })
}

fn in_vpc(id: &str) -> Fact<Shown> {
    Fact::Known(Shown::InVpc(id.to_owned()))
}

fn one(need: &Need, answer: Fact<Shown>) -> Verified {
    let answers = Answers::from([(need.asked().unwrap().clone(), answer)]);
    verify(std::slice::from_ref(need), &answers).remove(0)
}

fn failure(need: &Need, answer: Fact<Shown>) -> String {
    match one(need, answer) {
        Verified::Failed(sentence) => sentence,
        other => panic!("{other:?}"),
    }
}

fn trusted(arn: &str, trust_policy: &str) -> Fact<Shown> {
    let (arn, trust_policy) = (arn.to_owned(), trust_policy.to_owned());
    Fact::Known(Shown::Role { arn, trust_policy })
}

#[test]
fn what_does_not_exist_has_failed_with_what_to_do() {
    let asked = |asked: Asked| need(asked.check(), "x", Demand::Existence { asked });
    let (name, region) = ("x".to_owned(), Some("eu-west-1".to_owned()));
    let all = [
        Asked::Role { name: name.clone() },
        Asked::Image { reference: name.clone() },
        Asked::Secret { id: name.clone() },
        Asked::Parameter { name: name.clone(), region: None },
        Asked::LogGroup { name: name.clone(), region },
        Asked::TargetGroup { arn: name.clone() },
        Asked::Alarm { name: name.clone() },
        Asked::Subnet { id: name.clone() },
        Asked::SecurityGroup { id: name },
    ];
    let said = all.map(|one| failure(&asked(one), Fact::Absent)).join("\n");
    insta::assert_snapshot!(said, @r#"
    the account has no role x: create it, or name another
    the registry has no image x: push it, or name another
    there is no secret x: create it, or name another
    there is no parameter x: create it, or name another
    there is no log group x in eu-west-1: create it, or set `awslogs-create-group` to "true"
    there is no such target group: create it, or name another
    there is no alarm x: create it, or take it out of the list
    there is no subnet x in this region: name another
    there is no security group x in this region: name another
    "#);
}

#[test]
fn what_could_not_be_seen_is_neither_good_nor_bad() {
    let (operation, message) = ("iam:GetRole".to_owned(), "no answer within 15 s".to_owned());
    let denied = Unknown::Denied { operation: operation.clone(), message: String::new() };
    let text = "not checked: IAM does not allow iam:GetRole";
    assert_eq!(one(&role("web"), Fact::Unknown(denied)), Verified::Forbidden(text.to_owned()));
    let failed = Unknown::Failed { operation, message };
    let text = "not checked: iam:GetRole: no answer within 15 s";
    assert_eq!(one(&role("web"), Fact::Unknown(failed)), Verified::Unknown(text.to_owned()));
    let unseen =
        need(Check::Image, "web:1", Demand::Unseen { why: "of another account".to_owned() });
    let text = "not checked: of another account";
    assert_eq!(verify(&[unseen], &Answers::new()), [Verified::Unknown(text.to_owned())]);
    assert!(matches!(verify(&[role("web")], &Answers::new()).as_slice(), [Verified::Unknown(_)]));
}

#[test]
fn a_role_must_be_the_one_named_and_trust_who_assumes_it() {
    let arn = "arn:aws:iam::1:role/web";
    assert_eq!(one(&role("web"), trusted(arn, TRUSTED)), Verified::Ok);
    assert_eq!(one(&role(arn), trusted(arn, TRUSTED)), Verified::Ok);
    let other = failure(&role(arn), trusted("arn:aws:iam::1:role/shop/web", TRUSTED));
    let lambda = TRUSTED.replace("ecs-tasks", "lambda");
    let untrusted = failure(&role(arn), trusted(arn, &lambda));
    let denied = failure(&role(arn), trusted(arn, &TRUSTED.replace("Allow", "Deny")));
    insta::assert_snapshot!([other, untrusted, denied].join("\n"), @"
    the account's role of this name is arn:aws:iam::1:role/shop/web: name it so, or another one
    its trust policy does not let ecs-tasks.amazonaws.com assume it, but lambda.amazonaws.com: allow ecs-tasks.amazonaws.com sts:AssumeRole, or name another role
    its trust policy denies ecs-tasks.amazonaws.com sts:AssumeRole: take the denial away, or name another role
    ");
    let unreadable = one(&role(arn), trusted(arn, "?"));
    assert!(matches!(unreadable, Verified::Unknown(_)), "{unreadable:?}");
}

#[test]
fn an_image_must_be_for_the_platform_of_the_task() {
    let image = |architecture| {
        let asked = Asked::Image { reference: "web:1".to_owned() };
        need(Check::Image, "web:1", Demand::Image { asked, os: "linux", architecture })
    };
    let platforms = |all: &[(&str, &str)]| {
        let platform = |(os, architecture): &(&str, &str)| Platform {
            os: (*os).to_owned(),
            architecture: (*architecture).to_owned(),
        };
        Fact::Known(Shown::Image(all.iter().map(platform).collect()))
    };
    let both = [("linux", "amd64"), ("linux", "arm64")];
    assert_eq!(one(&image(Some("arm64")), platforms(&both)), Verified::Ok);
    assert_eq!(one(&image(None), platforms(&[("linux", "riscv64")])), Verified::Ok);
    assert_eq!(one(&image(Some("arm64")), platforms(&[])), Verified::Ok, "it does not say");
    let arm = failure(&image(Some("arm64")), platforms(&[("linux", "amd64")]));
    let windows = failure(&image(None), platforms(&[("windows", "amd64")]));
    insta::assert_snapshot!([arm, windows].join("\n"), @"
    the image is for linux/amd64, and the task runs on linux/arm64: push one for linux/arm64, or change `runtimePlatform`
    the image is for windows/amd64, and the task runs on linux: push one for linux, or change `runtimePlatform`
    ");
}

#[test]
fn a_secret_must_have_the_version_that_is_named() {
    let shown = |is_to_be_deleted| {
        let labels = BTreeSet::from(["AWSCURRENT".to_owned()]);
        let versions = BTreeMap::from([("9d4c".to_owned(), labels)]);
        Fact::Known(Shown::Secret { versions, is_to_be_deleted })
    };
    for (stage, version) in [
        (None, None),
        (Some("AWSCURRENT"), None),
        (None, Some("9d4c")),
        (Some("AWSCURRENT"), Some("9d4c")),
    ] {
        assert_eq!(one(&secret(stage, version), shown(false)), Verified::Ok);
    }
    let said = [
        failure(&secret(Some("AWSPREVIOUS"), None), shown(false)),
        failure(&secret(None, Some("0000")), shown(false)),
        failure(&secret(None, None), shown(true)),
    ];
    insta::assert_snapshot!(said.join("\n"), @"
    no version of the secret has the label AWSPREVIOUS: give it to one, or name another
    the secret has no version 0000: name another
    the secret is scheduled for deletion: restore it, or name another
    ");
}

#[test]
fn a_target_group_must_take_the_tasks_and_be_used_by_a_load_balancer() {
    assert_eq!(one(&target_group(), group(|_| ())), Verified::Ok);
    let instance = group(|group| group.target_type = Some("instance".to_owned()));
    let udp = group(|group| group.protocol = Some("UDP".to_owned()));
    let said = [instance, udp, group(|group| group.load_balancers = 0)];
    insta::assert_snapshot!(said.map(|answer| failure(&target_group(), answer)).join("\n"), @"
    the target group is for targets of type instance, and tasks of this network mode are of type ip: name one of that type
    the target group speaks UDP, and the container `app` maps port 80 for tcp: map it for udp, or name another target group
    no load balancer uses the target group, so ECS refuses it: name it in a listener or in a rule of one
    ");
    let both = group(|group| group.protocol = Some("TCP_UDP".to_owned()));
    assert_eq!(one(&target_group(), both), Verified::Ok);
}

#[test]
fn all_of_a_service_is_in_the_vpc_of_its_first_subnet() {
    let needs = [target_group(), subnet("subnet-1"), subnet("subnet-2"), security_group("sg-1")];
    let answers = |vpcs: [&str; 3]| {
        let mut answers = Answers::from([(needs[0].asked().unwrap().clone(), group(|_| ()))]);
        for (need, vpc) in needs.iter().skip(1).zip(vpcs) {
            answers.insert(need.asked().unwrap().clone(), in_vpc(vpc));
        }
        answers
    };
    let all = verify(&needs, &answers(["vpc-1", "vpc-1", "vpc-1"]));
    assert!(all.iter().all(|one| *one == Verified::Ok), "{all:?}");
    let said = verify(&needs, &answers(["vpc-1", "vpc-2", "vpc-3"]));
    let said: Vec<_> = said.iter().filter_map(Verified::sentence).collect();
    insta::assert_snapshot!(said.join("\n"), @"
    subnet-2 is in the VPC vpc-2, and subnet-1 is in vpc-1: all must be in the same one
    sg-1 is in the VPC vpc-3, and subnet-1 is in vpc-1: all must be in the same one
    ");
    let said = verify(&needs, &answers(["vpc-2", "vpc-2", "vpc-2"]));
    assert!(
        matches!(&said[0], Verified::Failed(text) if text.starts_with("the target group is in"))
    );
}

#[test]
fn without_a_subnet_that_can_be_seen_a_security_group_shows_the_vpc() {
    let needs = [subnet("subnet-1"), security_group("sg-1"), security_group("sg-2")];
    let mut answers = Answers::new();
    answers.insert(needs[1].asked().unwrap().clone(), in_vpc("vpc-1"));
    answers.insert(needs[2].asked().unwrap().clone(), in_vpc("vpc-2"));
    let said = verify(&needs, &answers);
    assert!(matches!(said[0], Verified::Unknown(_)));
    assert_eq!(said[1], Verified::Ok);
    assert!(matches!(said[2], Verified::Failed(_)));
}
