//! Metrics by minute and the questions about them; never keeps more than a day.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{CloudWatch, invalid, required};
use crate::region::{ApiError, State, count, epoch, list, text};

/// Namespace, name and dimensions in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MetricKey {
    namespace: String,
    name: String,
    dimensions: Vec<(String, String)>,
}

impl MetricKey {
    pub(super) fn read(input: &Value, namespace: &str) -> Option<Self> {
        let mut dimensions: Vec<(String, String)> = list(input, "Dimensions")
            .iter()
            .filter_map(|one| Some((text(one, "Name")?.to_owned(), text(one, "Value")?.to_owned())))
            .collect();
        dimensions.sort_unstable();
        let name = text(input, "MetricName")?.to_owned();
        Some(Self { namespace: namespace.to_owned(), name, dimensions })
    }
}

/// The values of one minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Minute(Vec<f64>);

/// A minute keeps this many values, and a metric this many minutes.
const VALUES: usize = 10_000;
const MINUTES: usize = 1_440;

impl CloudWatch {
    pub(crate) fn add(
        &mut self,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        at: Timestamp,
        value: f64,
    ) {
        let mut dimensions: Vec<(String, String)> = dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        dimensions.sort_unstable();
        let key = MetricKey { namespace: namespace.to_owned(), name: name.to_owned(), dimensions };
        self.add_to(key, at, std::iter::once(value));
    }

    fn add_to(&mut self, key: MetricKey, at: Timestamp, values: impl Iterator<Item = f64>) {
        let minutes = self.metrics.entry(key).or_default();
        let start = at.as_second().div_euclid(60) * 60;
        let minute = minutes.entry(start).or_default();
        minute.0.extend(values);
        minute.0.truncate(VALUES);
        while minutes.len() > MINUTES {
            minutes.pop_first();
        }
    }

    pub(super) fn has_data(&self, key: &MetricKey) -> bool {
        self.metrics.contains_key(key)
    }

    /// All values of `[start, end)` in seconds since the epoch.
    pub(super) fn values(&self, key: &MetricKey, start: i64, end: i64) -> Vec<f64> {
        let minutes = self.metrics.get(key).into_iter();
        minutes.flat_map(|all| all.range(start..end)).flat_map(|(_, one)| one.0.clone()).collect()
    }

    /// Start and value of each period that has data, oldest first.
    fn periods(
        &self,
        key: &MetricKey,
        range: (i64, i64),
        period: i64,
        statistic: &str,
    ) -> Vec<(i64, f64)> {
        let period = period.max(60);
        let (start, end) = (range.0.div_euclid(period) * period, range.1);
        let mut starts: Vec<i64> = self
            .metrics
            .get(key)
            .into_iter()
            .flat_map(|minutes| minutes.range(start..end.max(start)))
            .map(|(minute, _)| minute.div_euclid(period) * period)
            .collect();
        starts.dedup();
        starts
            .into_iter()
            .filter_map(|from| {
                Some((from, compute(&self.values(key, from, (from + period).min(end)), statistic)?))
            })
            .collect()
    }
}

/// A statistic of some values; `None` of none.
pub(super) fn compute(values: &[f64], statistic: &str) -> Option<f64> {
    let number = f64::from(u32::try_from(values.len()).ok().filter(|number| *number > 0)?);
    let sum = values.iter().sum::<f64>();
    match statistic {
        "Sum" => Some(sum),
        "SampleCount" => Some(number),
        "Average" => Some(sum / number),
        "Minimum" => values.iter().copied().reduce(f64::min),
        "Maximum" => values.iter().copied().reduce(f64::max),
        _ => percentile(values, statistic.strip_prefix('p')?.parse().ok()?),
    }
}

/// The smallest value that at least `percent` of all do not exceed.
fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let number = f64::from(u32::try_from(sorted.len()).ok()?);
    let passed = (1..).map(f64::from).zip(&sorted);
    let rank = |(index, _): &(f64, &f64)| index / number * 100.0 >= percent;
    passed.into_iter().find(rank).map(|(_, value)| *value)
}

impl State {
    pub(super) fn put_metric_data(&mut self, input: &Value) -> Result<Value, ApiError> {
        let namespace = required(input, "Namespace")?.to_owned();
        if namespace.starts_with("AWS/") {
            return Err(ApiError::client(
                "InvalidParameterValue",
                "The value AWS/ for parameter Namespace is invalid.",
            ));
        }
        for datum in list(input, "MetricData") {
            let key = MetricKey::read(datum, &namespace)
                .ok_or_else(|| invalid("MetricName must be specified"))?;
            let at = time(datum, "Timestamp").unwrap_or(self.now);
            let mut values: Vec<f64> = datum.get("Value").and_then(number).into_iter().collect();
            let counts = list(datum, "Counts");
            for (index, value) in list(datum, "Values").iter().filter_map(number).enumerate() {
                let times = counts.get(index).and_then(number).unwrap_or(1.0).clamp(0.0, 1000.0);
                values.extend((1..=1000).take_while(|n| f64::from(*n) <= times).map(|_| value));
            }
            self.cloudwatch.add_to(key, at, values.into_iter());
        }
        self.arm_evaluation();
        Ok(json!({}))
    }

    pub(super) fn get_metric_data(&self, input: &Value) -> Result<Value, ApiError> {
        let queries = list(input, "MetricDataQueries");
        if queries.len() > 500 {
            return Err(invalid("At most 500 MetricDataQueries can be given."));
        }
        let range = (seconds(input, "StartTime")?, seconds(input, "EndTime")?);
        let ascending = text(input, "ScanBy") == Some("TimestampAscending");
        let mut results = Vec::new();
        for query in queries {
            let stat = query.get("MetricStat").ok_or_else(|| {
                invalid("Only queries with MetricStat are supported; Expression is not.")
            })?;
            let metric = stat.get("Metric").unwrap_or(&Value::Null);
            let namespace = required(metric, "Namespace")?;
            let key = MetricKey::read(metric, namespace)
                .ok_or_else(|| invalid("MetricName must be specified"))?;
            let period = i64::from(count(stat, "Period").unwrap_or(60));
            let statistic = required(stat, "Stat")?;
            let mut points = self.cloudwatch.periods(&key, range, period, statistic);
            if !ascending {
                points.reverse();
            }
            results.push(json!({
                "Id": text(query, "Id").unwrap_or_default(),
                "Label": text(query, "Label").unwrap_or(&key.name),
                "Timestamps": points.iter().map(|(at, _)| at_second(*at)).collect::<Value>(),
                "Values": points.iter().map(|(_, value)| *value).collect::<Value>(),
                "StatusCode": "Complete",
            }));
        }
        Ok(json!({"MetricDataResults": results, "Messages": []}))
    }

    pub(super) fn get_metric_statistics(&self, input: &Value) -> Result<Value, ApiError> {
        let key = MetricKey::read(input, required(input, "Namespace")?)
            .ok_or_else(|| invalid("MetricName must be specified"))?;
        let range = (seconds(input, "StartTime")?, seconds(input, "EndTime")?);
        let period = i64::from(count(input, "Period").unwrap_or(60));
        let statistics: Vec<&str> =
            list(input, "Statistics").iter().filter_map(Value::as_str).collect();
        let starts = self.cloudwatch.periods(&key, range, period, "SampleCount");
        let points = starts.into_iter().map(|(start, _)| {
            let values = self.cloudwatch.values(&key, start, (start + period.max(60)).min(range.1));
            let mut point = json!({"Timestamp": at_second(start), "Unit": "None"});
            for statistic in &statistics {
                if let (Some(point), Some(value)) =
                    (point.as_object_mut(), compute(&values, statistic))
                {
                    point.insert((*statistic).to_owned(), json!(value));
                }
            }
            point
        });
        Ok(json!({"Label": key.name, "Datapoints": points.collect::<Value>()}))
    }

    pub(super) fn list_metrics(&self, input: &Value) -> Value {
        let (namespace, name) = (text(input, "Namespace"), text(input, "MetricName"));
        let wanted = list(input, "Dimensions");
        let fits = |key: &&MetricKey| {
            namespace.is_none_or(|one| one == key.namespace)
                && name.is_none_or(|one| one == key.name)
                && wanted.iter().all(|dimension| {
                    key.dimensions.iter().any(|(name, value)| {
                        text(dimension, "Name") == Some(name)
                            && text(dimension, "Value").is_none_or(|wanted| wanted == value)
                    })
                })
        };
        let metrics = self.cloudwatch.metrics.keys().filter(fits).map(|key| {
            let dimensions: Value = key
                .dimensions
                .iter()
                .map(|(name, value)| json!({"Name": name, "Value": value}))
                .collect();
            json!({"Namespace": key.namespace, "MetricName": key.name, "Dimensions": dimensions})
        });
        json!({"Metrics": metrics.collect::<Value>()})
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// A time as seconds since the epoch or as ISO 8601 text.
fn time(input: &Value, name: &str) -> Option<Timestamp> {
    let value = input.get(name)?;
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    let duration = SignedDuration::try_from_secs_f64(value.as_f64()?).ok()?;
    Timestamp::from_duration(duration).ok()
}

fn seconds(input: &Value, name: &str) -> Result<i64, ApiError> {
    let at = time(input, name).ok_or_else(|| {
        ApiError::client("MissingParameter", format!("The parameter {name} is required."))
    })?;
    Ok(at.as_second())
}

fn at_second(second: i64) -> Value {
    Timestamp::from_second(second).map_or(Value::Null, epoch)
}
