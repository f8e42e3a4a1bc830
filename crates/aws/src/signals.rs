//! What load balancers and `CloudWatch` alarms say; never says whether it is good or bad.

use std::collections::BTreeSet;

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription};
use evenkeel_planner::{Alarm, Lane, TargetGroupHealth, TargetHealth};
use evenkeel_reconciler::CloudError;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::caller::Caller;
use crate::operation::Operation;

/// Most names in one DescribeAlarms call.
const ALARMS_MAX: usize = 100;

/// The health of all targets of each target group.
pub(crate) async fn target_groups(
    caller: &Caller,
    arns: &BTreeSet<String>,
    lane: Lane,
) -> Result<Vec<TargetGroupHealth>, CloudError> {
    try_join_all(arns.iter().map(|arn| target_group(caller, arn, lane))).await
}

async fn target_group(
    caller: &Caller,
    arn: &str,
    lane: Lane,
) -> Result<TargetGroupHealth, CloudError> {
    let request = caller.load_balancing.describe_target_health().target_group_arn(arn);
    let reply = caller.read(Operation::DescribeTargetHealth, lane, request.send()).await?;
    let targets = reply.target_health_descriptions().iter().map(target).collect();
    Ok(TargetGroupHealth { arn: arn.to_owned(), targets })
}

fn target(description: &TargetHealthDescription) -> TargetHealth {
    let target = description.target();
    let port = target.and_then(TargetDescription::port);
    let health = description.target_health();
    let state = health.and_then(|health| health.state());
    let reason = health.and_then(|health| health.reason());
    TargetHealth {
        id: target.and_then(|target| target.id()).unwrap_or_default().to_owned(),
        port: port.and_then(|port| u16::try_from(port).ok()),
        state: state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        reason: reason.map(|reason| reason.as_str().to_owned()),
        description: health.and_then(|health| health.description()).map(str::to_owned),
    }
}

/// The alarms among these names that exist, metric and composite.
pub(crate) async fn alarms(
    caller: &Caller,
    names: &BTreeSet<String>,
    lane: Lane,
) -> Result<Vec<Alarm>, CloudError> {
    let names: Vec<String> = names.iter().cloned().collect();
    let chunks = names.chunks(ALARMS_MAX).map(|chunk| described(caller, chunk, lane));
    Ok(try_join_all(chunks).await?.concat())
}

async fn described(
    caller: &Caller,
    names: &[String],
    lane: Lane,
) -> Result<Vec<Alarm>, CloudError> {
    let request = caller
        .cloudwatch
        .describe_alarms()
        .set_alarm_names(Some(names.to_vec()))
        // Without types AWS returns metric alarms only.
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .max_records(100);
    let reply = caller.read(Operation::DescribeAlarms, lane, request.send()).await?;
    let metric = reply.metric_alarms().iter().map(|alarm| State {
        name: alarm.alarm_name(),
        value: alarm.state_value(),
        reason: alarm.state_reason(),
        since: alarm.state_transitioned_timestamp().or(alarm.state_updated_timestamp()),
    });
    let composite = reply.composite_alarms().iter().map(|alarm| State {
        name: alarm.alarm_name(),
        value: alarm.state_value(),
        reason: alarm.state_reason(),
        since: alarm.state_transitioned_timestamp().or(alarm.state_updated_timestamp()),
    });
    Ok(metric.chain(composite).map(State::read).collect())
}

/// What both kinds of alarm have.
struct State<'a> {
    name: Option<&'a str>,
    value: Option<&'a StateValue>,
    reason: Option<&'a str>,
    since: Option<&'a aws_sdk_cloudwatch::primitives::DateTime>,
}

impl State<'_> {
    fn read(self) -> Alarm {
        Alarm {
            name: self.name.unwrap_or_default().to_owned(),
            state: self.value.map(|value| value.as_str().to_owned()).unwrap_or_default(),
            reason: self.reason.map(str::to_owned),
            since: self.since.and_then(|since| Timestamp::from_second(since.secs()).ok()),
        }
    }
}
