"""A session of boto3 with a running local region: AWS_ENDPOINT_URL and TARGET_GROUP, BALANCER say where.

Every reply of ECS is compared with botocore's own model before botocore reads it: a member that the
model does not have, or that has another type, fails the session.
"""

import json
import os
import threading
import time
import urllib.request

import boto3
from botocore.exceptions import ClientError

FAST = {"Delay": 1, "MaxAttempts": 120}


def fits(shape, value, path):
    """Fails unless a JSON value is what the model says."""
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), f"{path} is no structure: {value!r}"
        for name, member in value.items():
            assert name in shape.members, f"{path}.{name} is not in botocore's model"
            if member is not None:
                fits(shape.members[name], member, f"{path}.{name}")
    elif kind == "list":
        assert isinstance(value, list), f"{path} is no list: {value!r}"
        for element in value:
            fits(shape.member, element, f"{path}[]")
    elif kind == "map":
        assert isinstance(value, dict), f"{path} is no map: {value!r}"
        for element in value.values():
            fits(shape.value, element, f"{path}{{}}")
    else:
        expected = {
            "string": str,
            "boolean": bool,
            "integer": int,
            "long": int,
            "double": (int, float),
            "float": (int, float),
            "timestamp": (int, float),
        }[kind]
        right = isinstance(value, expected) and (kind == "boolean" or not isinstance(value, bool))
        assert right, f"{path} is no {kind}: {value!r}"


def check_reply(operation_model, response_dict, **_):
    if response_dict["status_code"] == 200 and response_dict["body"]:
        body = json.loads(response_dict["body"])
        if operation_model.output_shape is not None:
            fits(operation_model.output_shape, body, operation_model.name)


def refused(code, call, **arguments):
    """Calls and expects exactly this error."""
    try:
        call(**arguments)
    except ClientError as error:
        got = error.response["Error"]["Code"]
        assert got == code, f"{got} and not {code}: {error}"
        assert error.response["ResponseMetadata"]["RequestId"], "a reply has a request id"
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} was expected")


class Users:
    """Sends requests through the load balancer for as long as it lives, and counts the failures."""

    def __init__(self, balancer):
        self.balancer, self.answers, self.failures = balancer, [], []
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.send)

    def send(self):
        while not self.end.wait(0.02):
            try:
                with urllib.request.urlopen(self.balancer, timeout=5) as answer:
                    self.answers.append(answer.read().decode())
            except Exception as error:
                self.failures.append(str(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


def until(what, condition, patience=60):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {patience} s: {what}"
        time.sleep(0.1)


def container(tag):
    return {
        "name": "web",
        "image": f"evenkeel-demo:{tag}",
        "portMappings": [{"containerPort": 8080}],
        "environment": [{"name": "APP_LATENCY_MS", "value": "20"}],
    }


def register(ecs, tag):
    return ecs.register_task_definition(
        family="shop",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[container(tag)],
        tags=[{"key": "release", "value": tag}],
    )["taskDefinition"]["taskDefinitionArn"]


NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-0000000000000000a"]}}


def services(ecs, target_group, balancer):
    ecs.create_cluster(clusterName="boto3")
    first = register(ecs, "v1")
    described = ecs.describe_task_definition(taskDefinition="shop", include=["TAGS"])
    assert described["taskDefinition"]["taskDefinitionArn"] == first
    assert described["tags"] == [{"key": "release", "value": "v1"}], described["tags"]

    created = ecs.create_service(
        cluster="boto3",
        serviceName="shop",
        taskDefinition=first,
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=NETWORK,
        loadBalancers=[
            {"targetGroupArn": target_group, "containerName": "web", "containerPort": 8080}
        ],
        tags=[{"key": "team", "value": "checkout"}],
    )["service"]
    assert created["deployments"][0]["desiredCount"] == 0, "a deployment is born with desired 0"
    ecs.get_waiter("services_stable").wait(cluster="boto3", services=["shop"], WaiterConfig=FAST)
    with urllib.request.urlopen(balancer, timeout=5) as answer:
        assert answer.read() == b"v1"

    second = register(ecs, "v2")
    with Users(balancer) as users:
        updated = ecs.update_service(cluster="boto3", service="shop", taskDefinition=second)
        assert len(updated["service"]["deployments"]) == 2
        ecs.get_waiter("services_stable").wait(
            cluster="boto3", services=["shop"], WaiterConfig=FAST
        )
    assert not users.failures, users.failures[:3]
    assert users.answers[0] == "v1" and users.answers[-1] == "v2", users.answers
    stopped = ecs.list_tasks(cluster="boto3", serviceName="shop", desiredStatus="STOPPED")
    tasks = ecs.describe_tasks(cluster="boto3", tasks=stopped["taskArns"])["tasks"]
    assert {task["stopCode"] for task in tasks} == {"ServiceSchedulerInitiated"}, tasks

    deployments = ecs.list_service_deployments(cluster="boto3", service="shop")
    arns = [one["serviceDeploymentArn"] for one in deployments["serviceDeployments"]]
    detail = ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
    assert {one["status"] for one in detail} == {"SUCCESSFUL"}, detail
    revision = detail[0]["targetServiceRevision"]["arn"]
    revisions = ecs.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"]
    assert len(revisions) == 1, revisions
    return created["serviceArn"]


def listings(ecs, task_definition):
    for number in range(12):
        ecs.create_service(
            cluster="boto3",
            serviceName=f"idle-{number}",
            taskDefinition=task_definition,
            desiredCount=0,
            launchType="FARGATE",
            networkConfiguration=NETWORK,
        )
    pages = list(ecs.get_paginator("list_services").paginate(cluster="boto3", PaginationConfig={"PageSize": 5}))
    assert [len(page["serviceArns"]) for page in pages] == [5, 5, 3], pages
    arns = [arn for page in pages for arn in page["serviceArns"]]
    assert len(set(arns)) == 13, arns
    refused("InvalidParameterException", ecs.describe_services, cluster="boto3", services=arns)
    some = ecs.describe_services(cluster="boto3", services=[*arns[:3], "missing"])
    assert len(some["services"]) == 3
    assert [failure["reason"] for failure in some["failures"]] == ["MISSING"], some["failures"]


def tags(ecs, service):
    ecs.tag_resource(resourceArn=service, tags=[{"key": "tier", "value": "1"}])
    ecs.untag_resource(resourceArn=service, tagKeys=["team"])
    listed = ecs.list_tags_for_resource(resourceArn=service)["tags"]
    assert listed == [{"key": "tier", "value": "1"}], listed
    plain = ecs.describe_services(cluster="boto3", services=["shop"])["services"][0]
    assert not plain.get("tags"), "tags come only when they are asked for"


def errors(ecs):
    refused("ClusterNotFoundException", ecs.describe_services, cluster="none", services=["x"])
    refused("ServiceNotFoundException", ecs.update_service, cluster="boto3", service="none")
    refused("ClientException", ecs.describe_task_definition, taskDefinition="none")
    message = refused(
        "InvalidParameterException",
        ecs.create_service,
        cluster="boto3",
        serviceName="shop",
        taskDefinition="shop",
        desiredCount=7,
        launchType="FARGATE",
        networkConfiguration=NETWORK,
    )
    assert message == "Creation of service was not idempotent.", message


def load_balancing(elb, target_group):
    group = elb.describe_target_groups(TargetGroupArns=[target_group])["TargetGroups"][0]
    listeners = elb.describe_listeners(LoadBalancerArn=group["LoadBalancerArns"][0])["Listeners"]
    health = elb.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    states = [target["TargetHealth"]["State"] for target in health]
    assert states.count("healthy") == 2, states
    green = elb.create_target_group(
        Name="green", Protocol="HTTP", Port=8080, VpcId=group["VpcId"], TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    weights = [
        {"TargetGroupArn": target_group, "Weight": 90},
        {"TargetGroupArn": green, "Weight": 10},
    ]
    rule = elb.create_rule(
        ListenerArn=listeners[0]["ListenerArn"],
        Priority=10,
        Conditions=[{"Field": "path-pattern", "Values": ["/canary/*"]}],
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}],
    )["Rules"][0]
    read = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
    assert {one["TargetGroupArn"]: one["Weight"] for one in read} == {target_group: 90, green: 10}
    elb.delete_rule(RuleArn=rule["RuleArn"])
    elb.delete_target_group(TargetGroupArn=green)
    none = target_group.rsplit("/", 2)[0] + "/none/0123456789abcdef"
    refused("TargetGroupNotFound", elb.describe_target_health, TargetGroupArn=none)


def alarms(cloudwatch):
    cloudwatch.put_metric_alarm(
        AlarmName="errors",
        Namespace="Shop",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="by hand")
    alarm = cloudwatch.describe_alarms(AlarmNames=["errors", "missing"])["MetricAlarms"]
    assert [one["StateValue"] for one in alarm] == ["ALARM"], alarm
    assert alarm[0]["StateUpdatedTimestamp"].tzinfo, "times are times"
    now = alarm[0]["StateUpdatedTimestamp"].timestamp()
    cloudwatch.put_metric_data(
        Namespace="Shop", MetricData=[{"MetricName": "Errors", "Value": 7.0, "Timestamp": now}]
    )
    query = {
        "Id": "e",
        "MetricStat": {
            "Metric": {"Namespace": "Shop", "MetricName": "Errors"},
            "Period": 60,
            "Stat": "Sum",
        },
    }
    data = cloudwatch.get_metric_data(
        MetricDataQueries=[query], StartTime=now - 600, EndTime=now + 600
    )
    assert data["MetricDataResults"][0]["Values"] == [7.0], data
    cloudwatch.delete_alarms(AlarmNames=["errors"])
    assert cloudwatch.describe_alarms(AlarmNames=["errors"])["MetricAlarms"] == []


def request_metrics(elb, cloudwatch, target_group, balancer):
    """What was sent to the target group until now is what CloudWatch counts, once its minute is over."""
    group = elb.describe_target_groups(TargetGroupArns=[target_group])["TargetGroups"][0]
    dimensions = [
        {"Name": "LoadBalancer", "Value": group["LoadBalancerArns"][0].split(":loadbalancer/")[1]},
        {"Name": "TargetGroup", "Value": target_group.split(":")[-1]},
    ]
    listed = cloudwatch.list_metrics(Namespace="AWS/ApplicationELB", Dimensions=dimensions)["Metrics"]
    assert "HealthyHostCount" in {metric["MetricName"] for metric in listed}, listed

    def total(name):
        query = {
            "Id": "q",
            "MetricStat": {
                "Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions},
                "Period": 60,
                "Stat": "Sum",
            },
        }
        far = time.time() + 7 * 24 * 3600
        data = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=0, EndTime=far)
        return sum(data["MetricDataResults"][0]["Values"])

    before = total("RequestCount")
    for _ in range(30):
        with urllib.request.urlopen(balancer, timeout=5) as answer:
            assert answer.read() == b"v2"
    until("30 more requests are counted", lambda: total("RequestCount") >= before + 30)
    until("each was answered well", lambda: total("HTTPCode_Target_2XX_Count") == total("RequestCount"))
    assert total("HTTPCode_Target_5XX_Count") == 0


def deletion(ecs):
    ecs.delete_service(cluster="boto3", service="shop", force=True)
    ecs.get_waiter("services_inactive").wait(cluster="boto3", services=["shop"], WaiterConfig=FAST)
    until(
        "no task is left",
        lambda: not ecs.list_tasks(cluster="boto3", serviceName="shop")["taskArns"],
    )


def main():
    ecs, elb = boto3.client("ecs"), boto3.client("elbv2")
    ecs.meta.events.register("before-parse.ecs", check_reply)
    target_group, balancer = os.environ["TARGET_GROUP"], os.environ["BALANCER"]
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
    service = services(ecs, target_group, balancer)
    listings(ecs, "shop:2")
    tags(ecs, service)
    errors(ecs)
    load_balancing(elb, target_group)
    cloudwatch = boto3.client("cloudwatch")
    alarms(cloudwatch)
    request_metrics(elb, cloudwatch, target_group, balancer)
    deletion(ecs)
    print("boto3: all as it should be")


main()
