#!/usr/bin/env bash
# A session of the AWS CLI with a running local region: AWS_ENDPOINT_URL, TARGET_GROUP and BALANCER say where.
set -euo pipefail
export AWS_PAGER=
export AWS_MAX_ATTEMPTS=1

fail() { echo "aws_cli.sh: $1" >&2; exit 1; }
# is WHAT GOT WANTED
is() { [ "$2" = "$3" ] || fail "$1 is '$2' and should be '$3'"; }
# refused CODE aws ...: the call fails with that code.
refused() {
  local code=$1 said; shift
  if said=$("$@" 2>&1); then fail "$* was not refused"; fi
  case $said in *"($code)"*) ;; *) fail "$* said: $said";; esac
}

register() {
  aws ecs register-task-definition --family cli --network-mode awsvpc --requires-compatibilities FARGATE --cpu 256 --memory 512 \
    --container-definitions "[{\"name\":\"web\",\"image\":\"evenkeel-demo:$1\",\"portMappings\":[{\"containerPort\":8080}]}]" \
    --query taskDefinition.revision --output text
}
service() { aws ecs describe-services --cluster cli --services web --query "services[0].$1" --output text; }

is account "$(aws sts get-caller-identity --query Account --output text)" 123456789012

# Create.
aws ecs create-cluster --cluster-name cli >/dev/null
is revision "$(register v1)" 1
aws ecs create-service --cluster cli --service-name web --task-definition cli:1 --desired-count 2 --launch-type FARGATE \
  --network-configuration 'awsvpcConfiguration={subnets=[subnet-0000000000000000a]}' \
  --load-balancers "targetGroupArn=$TARGET_GROUP,containerName=web,containerPort=8080" --tags key=team,value=shop >/dev/null
aws ecs wait services-stable --cluster cli --services web
is runningCount "$(service runningCount)" 2
is answer "$(curl -fsS "$BALANCER")" v1

# Roll.
is revision "$(register v2)" 2
aws ecs update-service --cluster cli --service web --task-definition cli:2 >/dev/null
aws ecs wait services-stable --cluster cli --services web
is taskDefinition "$(service taskDefinition | sed 's|.*/||')" cli:2
is rolloutState "$(service 'deployments[0].rolloutState')" COMPLETED
is answer "$(curl -fsS "$BALANCER")" v2
is healthy "$(aws elbv2 describe-target-health --target-group-arn "$TARGET_GROUP" --output text \
  --query "length(TargetHealthDescriptions[?TargetHealth.State=='healthy'])")" 2

# A bad image never becomes stable; ECS's own words say why.
is revision "$(register v5)" 3
aws ecs update-service --cluster cli --service web --task-definition cli:3 >/dev/null
for _ in $(seq 100); do
  stopped=$(aws ecs list-tasks --cluster cli --service-name web --desired-status STOPPED --query 'taskArns' --output text)
  reasons=$(aws ecs describe-tasks --cluster cli --tasks $stopped --query 'tasks[].stoppedReason' --output text)
  case $reasons in *CannotPullContainerError*) break;; esac
  sleep 0.2
done
case $reasons in *CannotPullContainerError*) ;; *) fail "no task failed to pull: $reasons";; esac
is answer "$(curl -fsS "$BALANCER")" v2
aws ecs update-service --cluster cli --service web --task-definition cli:2 >/dev/null

# Listings in pages.
is revisions "$(aws ecs list-task-definitions --family-prefix cli --page-size 1 --query 'length(taskDefinitionArns)' --output json)" 3
next=$(aws ecs list-task-definitions --family-prefix cli --max-items 2 --query NextToken --output text)
[ -n "$next" ] || fail "the listing says no NextToken"
is families "$(aws ecs list-task-definition-families --family-prefix cli --query 'families[0]' --output text)" cli

# Tags.
arn=$(service serviceArn)
aws ecs tag-resource --resource-arn "$arn" --tags key=tier,value=1
aws ecs untag-resource --resource-arn "$arn" --tag-keys team
is tags "$(aws ecs list-tags-for-resource --resource-arn "$arn" --query 'tags[].key' --output text)" tier
is tags "$(aws ecs describe-services --cluster cli --services web --include TAGS --query 'services[0].tags[0].value' --output text)" 1

# CloudWatch.
aws cloudwatch put-metric-alarm --alarm-name cli --namespace Shop --metric-name Errors --statistic Sum --period 60 \
  --evaluation-periods 1 --threshold 5 --comparison-operator GreaterThanThreshold
aws cloudwatch set-alarm-state --alarm-name cli --state-value ALARM --state-reason 'by hand'
is state "$(aws cloudwatch describe-alarms --alarm-names cli --query 'MetricAlarms[0].StateValue' --output text)" ALARM

# Errors.
refused ClusterNotFoundException aws ecs list-services --cluster none
refused ServiceNotFoundException aws ecs update-service --cluster cli --service none --desired-count 1
refused ClientException aws ecs describe-task-definition --task-definition none
refused TargetGroupNotFound aws elbv2 describe-target-groups --names none
refused InvalidParameterException aws ecs create-service --cluster cli --service-name web --task-definition cli:1 --desired-count 9 --launch-type FARGATE \
  --network-configuration 'awsvpcConfiguration={subnets=[subnet-0000000000000000a]}'

# Delete.
aws ecs delete-service --cluster cli --service web --force >/dev/null
aws ecs wait services-inactive --cluster cli --services web
echo "aws cli: all as it should be"
