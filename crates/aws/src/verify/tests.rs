use aws_smithy_cbor::Encoder;
use evenkeel_reconciler::Cloud;

use super::*;
use crate::fake::{Fake, Reply, Request, answer, error, ok};

fn xml(status: u16, body: &str) -> Reply {
    Reply::Body { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

fn ec2_error(code: &str) -> Reply {
    xml(
        400,
        &format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Errors><Error><Code>{code}</Code>\
             <Message>no</Message></Error></Errors><RequestID>1</RequestID></Response>"
        ),
    )
}

fn query_error(status: u16, code: &str) -> Reply {
    xml(
        status,
        &format!(
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        ),
    )
}

/// As Lambda says it.
fn rest_error(status: u16, code: &str) -> Reply {
    let headers = vec![("x-amzn-errortype", code.to_owned())];
    let body = json!({ "Type": "User", "Message": "no" }).to_string().into_bytes();
    Reply::Body { status, headers, body }
}

async fn look(
    asked: Asked,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Fact<Shown> {
    Fake::new(reply).cloud().look_at(&asked).await
}

/// One question of each kind.
fn every_question() -> [Asked; 9] {
    let (name, region) = ("x".to_owned(), None);
    [
        Asked::Role { name: name.clone() },
        Asked::Secret { id: name.clone() },
        Asked::Parameter { name: name.clone(), region: region.clone() },
        Asked::LogGroup { name: name.clone(), region: region.clone() },
        Asked::Function { id: name.clone(), region },
        Asked::TargetGroup { arn: name.clone() },
        Asked::Alarm { name: name.clone() },
        Asked::Subnet { id: name.clone() },
        Asked::SecurityGroup { id: name },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_role_is_shown_with_its_trust_policy_decoded() {
    let asked = Asked::Role { name: "we+b".to_owned() };
    let fake = Fake::new(|_| {
        xml(
            200,
            "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role>\
             <Path>/</Path><AssumeRolePolicyDocument>%7B%22Statement%22%3A%20%5B%5D%7D</AssumeRolePolicyDocument>\
             <RoleName>web</RoleName><Arn>arn:aws:iam::1:role/web</Arn></Role></GetRoleResult></GetRoleResponse>",
        )
    });
    let trust_policy = "{\"Statement\": []}".to_owned();
    let shown = Shown::Role { arn: "arn:aws:iam::1:role/web".to_owned(), trust_policy };
    assert_eq!(fake.cloud().look_at(&asked).await, Fact::Known(shown));
    let request = fake.requests().pop().unwrap();
    assert_eq!(request.body, "Action=GetRole&RoleName=we%2Bb&Version=2010%2D05%2D08");
    assert_eq!(request.uri, "https://iam.amazonaws.com/");
    let signature = request.header("authorization").unwrap();
    assert!(signature.contains("/us-east-1/iam/aws4_request"), "{signature}");
    assert!(signature.contains("SignedHeaders=content-type;host;x-amz-date"), "{signature}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_shown_without_its_value_and_asked_for_in_its_region() {
    let id = "arn:aws:secretsmanager:us-east-2:1:secret:db-AbCdEf".to_owned();
    let reply = json!({"ARN": id, "VersionIdsToStages": {"9d4c": ["AWSCURRENT"], "77aa": []}});
    let fake = Fake::new(move |_| ok(&reply));
    let versions = BTreeMap::from([
        ("9d4c".to_owned(), BTreeSet::from(["AWSCURRENT".to_owned()])),
        ("77aa".to_owned(), BTreeSet::new()),
    ]);
    let shown = Shown::Secret { versions, is_to_be_deleted: false };
    assert_eq!(fake.cloud().look_at(&Asked::Secret { id: id.clone() }).await, Fact::Known(shown));
    let request = fake.requests().pop().unwrap();
    assert_eq!(request.header("x-amz-target"), Some("secretsmanager.DescribeSecret"));
    assert_eq!(request.uri, "https://secretsmanager.us-east-2.amazonaws.com/");
    assert_eq!(request.json(), json!({ "SecretId": id }));
    let deleted = json!({ "DeletedDate": 1_790_000_000.0 });
    let shown = look(Asked::Secret { id }, move |_| ok(&deleted)).await;
    assert!(matches!(shown, Fact::Known(Shown::Secret { is_to_be_deleted: true, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_parameter_is_found_on_a_later_page_by_either_of_its_names() {
    let region = |request: &Request| match request.json().get("NextToken") {
        None => ok(&json!({ "Parameters": [], "NextToken": "2" })),
        Some(_) => ok(&json!({ "Parameters": [{ "Name": "/shop/db" }] })),
    };
    let fake = Fake::new(region);
    let of_arn =
        Asked::Parameter { name: "shop/db".to_owned(), region: Some("us-east-2".to_owned()) };
    assert_eq!(fake.cloud().look_at(&of_arn).await, Fact::Known(Shown::Exists));
    let bodies = fake.bodies("DescribeParameters");
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0]["ParameterFilters"][0]["Values"], json!(["shop/db", "/shop/db"]));
    let endless = |_: &Request| ok(&json!({ "Parameters": [], "NextToken": "2" }));
    let shown = look(of_arn, endless).await;
    assert!(matches!(shown, Fact::Unknown(Unknown::Failed { .. })), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_log_group_must_have_the_whole_name() {
    let asked = || Asked::LogGroup { name: "/shop/web".to_owned(), region: None };
    let named = |name: &str| {
        let reply = json!({ "logGroups": [{ "logGroupName": name }] });
        move |_: &Request| ok(&reply)
    };
    assert_eq!(look(asked(), named("/shop/web")).await, Fact::Known(Shown::Exists));
    assert_eq!(look(asked(), named("/shop/web-2")).await, Fact::Absent);
}

#[tokio::test(start_paused = true)]
async fn subnets_and_security_groups_are_shown_with_their_vpc() {
    let fake = Fake::new(|_| {
        xml(
            200,
            "<DescribeSubnetsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><subnetSet><item>\
             <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId></item></subnetSet></DescribeSubnetsResponse>",
        )
    });
    let cloud = fake.cloud();
    for asked in [Asked::Subnet { id: "a".to_owned() }, Asked::SecurityGroup { id: "b".to_owned() }]
    {
        assert_eq!(cloud.look_at(&asked).await, Fact::Known(Shown::InVpc("vpc-1".to_owned())));
    }
    let bodies: Vec<_> = fake.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies[0].starts_with("Action=DescribeSubnets&SubnetId.1=a&"), "{bodies:?}");
    assert!(bodies[1].starts_with("Action=DescribeSecurityGroups&GroupId.1=b&"), "{bodies:?}");
}

#[tokio::test(start_paused = true)]
async fn a_function_is_asked_for_in_its_region_and_without_its_environment() {
    let fake = Fake::new(|_| ok(&json!({})));
    let id = "arn:aws:lambda:us-east-2:123456789012:function:smoke".to_owned();
    let asked = Asked::Function { id, region: Some("us-east-2".to_owned()) };
    assert_eq!(fake.cloud().look_at(&asked).await, Fact::Known(Shown::Exists));
    let request = fake.requests().pop().unwrap();
    assert_eq!(
        request.uri,
        "https://lambda.us-east-2.amazonaws.com/2019-09-30/functions/\
         arn%3Aaws%3Alambda%3Aus%2Deast%2D2%3A123456789012%3Afunction%3Asmoke/concurrency"
    );
    assert_eq!(request.body, "");
    let signature = request.header("authorization").unwrap();
    assert!(signature.contains("/us-east-2/lambda/aws4_request"), "{signature}");
}

#[tokio::test(start_paused = true)]
async fn a_target_group_is_shown_with_its_load_balancers() {
    let shown = look(Asked::TargetGroup { arn: "blue".to_owned() }, |_| {
        xml(
            200,
            "<DescribeTargetGroupsResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
             <DescribeTargetGroupsResult><TargetGroups><member><TargetGroupArn>blue</TargetGroupArn>\
             <Protocol>HTTP</Protocol><VpcId>vpc-1</VpcId><TargetType>ip</TargetType>\
             <LoadBalancerArns><member>front</member></LoadBalancerArns></member></TargetGroups>\
             </DescribeTargetGroupsResult></DescribeTargetGroupsResponse>",
        )
    });
    let group = AttachedGroup {
        target_type: Some("ip".to_owned()),
        protocol: Some("HTTP".to_owned()),
        vpc: Some("vpc-1".to_owned()),
        load_balancers: 1,
    };
    assert_eq!(shown.await, Fact::Known(Shown::TargetGroup(group)));
}

/// A reply of CloudWatch with these composite alarms.
fn alarms(names: &[&str]) -> Reply {
    let mut body = Encoder::new(Vec::new());
    body.map(1).str("CompositeAlarms").array(names.len());
    for name in names {
        body.map(1).str("AlarmName").str(name);
    }
    let headers = vec![("smithy-protocol", "rpc-v2-cbor".to_owned())];
    Reply::Body { status: 200, headers, body: body.into_writer() }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_may_be_of_either_kind() {
    let asked = Asked::Alarm { name: "errors".to_owned() };
    let shown = look(asked, |_| alarms(&["errors"])).await;
    assert_eq!(shown, Fact::Known(Shown::Exists));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_absent_in_the_words_of_every_service() {
    let gone = |request: &Request| match request.operation.as_str() {
        "GetRole" => query_error(404, "NoSuchEntity"),
        "concurrency" => rest_error(404, "ResourceNotFoundException"),
        "DescribeSecret" => error("ResourceNotFoundException", "no"),
        "DescribeSubnets" => ec2_error("InvalidSubnetID.NotFound"),
        "DescribeSecurityGroups" => ec2_error("InvalidGroupId.Malformed"),
        "DescribeTargetGroups" => query_error(400, "TargetGroupNotFound"),
        "DescribeAlarms" => alarms(&[]),
        _ => ok(&json!({})),
    };
    let cloud = Fake::new(gone).cloud();
    for asked in every_question() {
        assert_eq!(cloud.look_at(&asked).await, Fact::Absent, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_iam_forbids_is_told_with_the_action_that_is_missing() {
    let forbidden = |request: &Request| match request.operation.as_str() {
        "GetRole" | "DescribeTargetGroups" => query_error(403, "AccessDenied"),
        "concurrency" => rest_error(403, "AccessDeniedException"),
        "DescribeSubnets" | "DescribeSecurityGroups" => xml(
            403,
            "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>",
        ),
        _ => answer(400, &json!({ "__type": "com.amazon#AccessDeniedException", "Message": "no" })),
    };
    let cloud = Fake::new(forbidden).cloud();
    for asked in every_question() {
        if matches!(asked, Asked::Alarm { .. }) {
            continue;
        }
        let operation = action(&asked);
        let message = String::new();
        let expected = Fact::Unknown(Unknown::Denied { operation, message });
        assert_eq!(cloud.look_at(&asked).await, expected, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_failures_are_unknown_and_an_expired_session_is_one() {
    let asked = || Asked::Secret { id: "x".to_owned() };
    let failed = |message: &str| {
        let (operation, message) = ("secretsmanager:DescribeSecret".to_owned(), message.to_owned());
        Fact::Unknown(Unknown::Failed { operation, message })
    };
    let expired = look(asked(), |_| error("ExpiredTokenException", "it is old")).await;
    assert_eq!(expired, failed("ExpiredTokenException: it is old"));
    assert_eq!(look(asked(), |_| xml(502, "<html>")).await, failed("HTTP status 502"));
    assert_eq!(look(asked(), |_| Reply::Silence).await, failed("no answer within 10 s"));
    let strange = look(asked(), |_| xml(200, "<html>")).await;
    assert!(matches!(strange, Fact::Unknown(Unknown::Failed { .. })), "{strange:?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_look_is_made_three_times_at_most() {
    let fake = Fake::new(|_| error("ThrottlingException", "Rate exceeded"));
    let shown = fake.cloud().look_at(&Asked::Secret { id: "x".to_owned() }).await;
    assert!(matches!(shown, Fact::Unknown(Unknown::Failed { .. })), "{shown:?}");
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_registry_is_for_its_region() {
    let fake =
        Fake::new(|_| ok(&json!({ "authorizationData": [{ "authorizationToken": "dG9rZW4=" }] })));
    assert_eq!(fake.cloud().registry_token("eu-north-1").await.as_deref(), Ok("dG9rZW4="));
    let request = fake.requests().pop().unwrap();
    assert_eq!(request.uri, "https://api.ecr.eu-north-1.amazonaws.com/");
    let denied = Fake::new(|_| error("AccessDeniedException", "no")).cloud();
    let operation = "ecr:GetAuthorizationToken".to_owned();
    let expected = Unknown::Denied { operation, message: String::new() };
    assert_eq!(denied.registry_token("eu-north-1").await, Err(expected));
}
