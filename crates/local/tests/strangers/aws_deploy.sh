#!/usr/bin/env bash
# Deployments by CodeDeploy, as the AWS CLI makes them, on a running local region: AWS_ENDPOINT_URL, TARGET_GROUP and BALANCER
# say where.
set -euo pipefail
export AWS_PAGER=
export AWS_MAX_ATTEMPTS=1
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

fail() { echo "aws_deploy.sh: $1" >&2; exit 1; }
# is WHAT GOT WANTED
is() { [ "$2" = "$3" ] || fail "$1 is '$2' and should be '$3'"; }
# refused CODE aws ...: the call fails with that code.
refused() {
  local code=$1 said; shift
  if said=$("$@" 2>&1); then fail "$* was not refused"; fi
  case $said in *"($code)"*) ;; *) fail "$* said: $said";; esac
}

# definition IMAGE: the input of RegisterTaskDefinition.
definition() {
  echo "{\"family\":\"deployed\",\"networkMode\":\"awsvpc\",\"requiresCompatibilities\":[\"FARGATE\"],\"cpu\":\"256\",\"memory\":\"512\",
    \"containerDefinitions\":[{\"name\":\"web\",\"image\":\"evenkeel-demo:$1\",\"portMappings\":[{\"containerPort\":8080}]}]}" >"$files/definition.json"
}
register() {
  definition "$1"
  aws ecs register-task-definition --cli-input-json "file://$files/definition.json" --query taskDefinition.taskDefinitionArn --output text
}
# spec ARN: an AppSpec.
spec() {
  echo "{\"version\":0.0,\"Resources\":[{\"TargetService\":{\"Type\":\"AWS::ECS::Service\",\"Properties\":{
    \"TaskDefinition\":\"$1\",\"LoadBalancerInfo\":{\"ContainerName\":\"web\",\"ContainerPort\":8080}}}}]}"
}
service() { aws ecs describe-services --cluster deploys --services web --query "services[0].$1" --output text; }
info() { aws deploy get-deployment --deployment-id "$1" --query "deploymentInfo.$2" --output text; }
# Waits for the one that waits, and tells it to go on.
go_on() {
  local ready=None
  for _ in $(seq 100); do
    ready=$(aws deploy list-deployments --application-name shop --deployment-group-name web --include-only-statuses Ready \
      --query 'deployments[0]' --output text)
    [ "$ready" != None ] && break; sleep 0.2
  done
  [ "$ready" != None ] || fail "no deployment waits to be told to go on"
  aws deploy continue-deployment --deployment-id "$ready" --deployment-wait-type READY_WAIT
}

# A service, its second target group, its application and its deployment group.
aws ecs create-cluster --cluster-name deploys >/dev/null
first=$(register v1)
aws ecs create-service --cluster deploys --service-name web --task-definition "$first" --desired-count 1 --launch-type FARGATE \
  --deployment-controller type=CODE_DEPLOY --network-configuration 'awsvpcConfiguration={subnets=[subnet-0000000000000000a]}' \
  --load-balancers "targetGroupArn=$TARGET_GROUP,containerName=web,containerPort=8080" >/dev/null
for _ in $(seq 100); do [ "$(service 'taskSets[0].stabilityStatus')" = STEADY_STATE ] && break; sleep 0.2; done
is stabilityStatus "$(service 'taskSets[0].stabilityStatus')" STEADY_STATE
blue=$(aws elbv2 describe-target-groups --target-group-arns "$TARGET_GROUP" --query 'TargetGroups[0].TargetGroupName' --output text)
aws elbv2 create-target-group --name deploys-green --protocol HTTP --port 8080 --target-type ip --vpc-id vpc-1 \
  --health-check-interval-seconds 5 --health-check-timeout-seconds 2 --health-check-path /health >/dev/null
balancer=$(aws elbv2 describe-load-balancers --query 'LoadBalancers[0].LoadBalancerArn' --output text)
listener=$(aws elbv2 describe-listeners --load-balancer-arn "$balancer" --query 'Listeners[0].ListenerArn' --output text)
aws deploy create-application --application-name shop --compute-platform ECS >/dev/null
aws deploy create-deployment-group --application-name shop --deployment-group-name web \
  --service-role-arn arn:aws:iam::123456789012:role/deploys --ecs-services serviceName=web,clusterName=deploys \
  --deployment-style deploymentType=BLUE_GREEN,deploymentOption=WITH_TRAFFIC_CONTROL \
  --load-balancer-info "targetGroupPairInfoList=[{targetGroups=[{name=$blue},{name=deploys-green}],prodTrafficRoute={listenerArns=[$listener]}}]" \
  --blue-green-deployment-configuration 'terminateBlueInstancesOnDeploymentSuccess={action=TERMINATE,terminationWaitTimeInMinutes=0},deploymentReadyOption={actionOnTimeout=STOP_DEPLOYMENT,waitTimeInMinutes=600}' >/dev/null

# A deployment by hand, which is on its way until it is told to go on.
second=$(register v2)
spec "$second" | python3 -c 'import json, sys
content = sys.stdin.read()
print(json.dumps({"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}))' >"$files/revision.json"
id=$(aws deploy create-deployment --application-name shop --deployment-group-name web --revision "file://$files/revision.json" \
  --query deploymentId --output text)
refused DeploymentLimitExceededException aws deploy create-deployment --application-name shop --deployment-group-name web \
  --revision "file://$files/revision.json"
go_on
aws deploy wait deployment-successful --deployment-id "$id"
is status "$(info "$id" status)" Succeeded
is answer "$(curl -fsS "$BALANCER")" v2
is taskDefinition "$(service taskDefinition)" "$second"
is target "$(aws deploy list-deployment-targets --deployment-id "$id" --query 'targetIds[0]' --output text)" deploys:web
is events "$(aws deploy batch-get-deployment-targets --deployment-id "$id" --target-ids deploys:web --output text \
  --query "length(deploymentTargets[0].ecsTarget.lifecycleEvents[?status=='Succeeded'])")" 6

# One as `aws ecs deploy` makes it: it says a digest, and waits by itself.
definition v1
spec ignored >"$files/appspec.json"
aws ecs deploy --cluster deploys --service web --task-definition "$files/definition.json" --codedeploy-appspec "$files/appspec.json" \
  --codedeploy-application shop --codedeploy-deployment-group web >/dev/null & deploys=$!
go_on
wait "$deploys"
is answer "$(curl -fsS "$BALANCER")" v1
is deployments "$(aws deploy list-deployments --application-name shop --deployment-group-name web --include-only-statuses Succeeded \
  --query 'length(deployments)' --output text)" 2

# Errors.
refused InvalidParameterException aws ecs update-service --cluster deploys --service web --task-definition "$first"
refused DeploymentDoesNotExistException aws deploy get-deployment --deployment-id d-NONE
refused DeploymentAlreadyCompletedException aws deploy stop-deployment --deployment-id "$id"
refused ApplicationDoesNotExistException aws deploy get-application --application-name none
echo "aws deploy: all as it should be"
