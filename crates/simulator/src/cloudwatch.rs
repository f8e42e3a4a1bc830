//! CloudWatch: metrics and alarms; never collects anything by itself.

mod alarms;
mod balancers;
mod metrics;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::region::{ApiError, Kept, State, text};

pub(crate) use alarms::Alarm;
use balancers::Unsent;
use metrics::{MetricKey, Minute, Sample};

#[derive(Clone, Debug, Default)]
pub(crate) struct CloudWatch {
    /// By name.
    alarms: Kept<String, Alarm>,
    /// Values by metric and minute (seconds since the epoch at its start).
    metrics: Kept<MetricKey, BTreeMap<i64, Minute>>,
    unsent: Unsent,
    evaluation_due: Option<Timestamp>,
}

impl CloudWatch {
    /// Adds one point of a metric of the platform's own.
    pub(crate) fn add_platform(
        &mut self,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        at: Timestamp,
        value: f64,
    ) {
        let key = MetricKey::of_platform(namespace, name, dimensions);
        self.add(key, at, [Sample::once(value)]);
    }

    /// Which of the named alarms are in ALARM.
    pub(crate) fn red(&self, names: &[String]) -> Vec<String> {
        let red = |name: &&String| self.alarms.get(*name).is_some_and(Alarm::is_red);
        names.iter().filter(red).cloned().collect()
    }

    /// The state of every alarm, by name.
    pub(crate) fn states(&self) -> BTreeMap<String, &'static str> {
        self.alarms.iter().map(|(name, alarm)| (name.clone(), alarm.word())).collect()
    }
}

impl State {
    /// Answers a CloudWatch call; `None` when there is no such operation.
    pub(crate) fn cloudwatch_call(
        &mut self,
        operation: &str,
        input: &Value,
    ) -> Option<Result<Value, ApiError>> {
        Some(match operation {
            "PutMetricAlarm" => self.put_metric_alarm(input),
            "DescribeAlarms" => self.describe_alarms(input),
            "SetAlarmState" => self.set_alarm_state(input),
            "DeleteAlarms" => Ok(self.delete_alarms(input)),
            "PutMetricData" => self.put_metric_data(input),
            "GetMetricData" => self.get_metric_data(input),
            "GetMetricStatistics" => self.get_metric_statistics(input),
            "ListMetrics" => Ok(self.list_metrics(input)),
            _ => return None,
        })
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::client("ValidationError", message)
}

fn required<'a>(input: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    text(input, name).ok_or_else(|| {
        ApiError::client("MissingParameter", format!("The parameter {name} is required."))
    })
}
