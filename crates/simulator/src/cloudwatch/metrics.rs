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

    pub(super) fn of_platform(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut dimensions: Vec<(String, String)> = dimensions.iter().map(owned).collect();
        dimensions.sort_unstable();
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
    }
}

/// A value and how many times it was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) value: f64,
    pub(super) times: u32,
}

impl Sample {
    pub(super) fn once(value: f64) -> Self {
        Self { value, times: 1 }
    }
}

/// The values of one minute; equal ones in a row are one sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Minute(Vec<Sample>);

impl Minute {
    pub(super) fn samples(self) -> Vec<Sample> {
        self.0
    }

    pub(super) fn add(&mut self, sample: Sample) {
        let is_full = self.0.len() >= SAMPLES;
        match self.0.last_mut().filter(|last| last.value.total_cmp(&sample.value).is_eq()) {
            Some(last) => last.times = last.times.saturating_add(sample.times),
            None if is_full => {}
            None => self.0.push(sample),
        }
    }
}

/// A minute keeps this many samples, and a metric this many minutes.
const SAMPLES: usize = 10_000;
const MINUTES: usize = 1_440;

impl CloudWatch {
    /// Adds to the minute that contains `at`.
    pub(super) fn add(
        &mut self,
        key: MetricKey,
        at: Timestamp,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        let minutes = self.metrics.get_or_default(key);
        let start = at.as_second().div_euclid(60) * 60;
        let minute = minutes.entry(start).or_default();
        samples.into_iter().for_each(|sample| minute.add(sample));
        while minutes.len() > MINUTES {
            minutes.pop_first();
        }
    }

    pub(super) fn has_data(&self, key: &MetricKey) -> bool {
        self.metrics.contains_key(key)
    }

    /// All samples of `[start, end)` in seconds since the epoch.
    pub(super) fn samples(&self, key: &MetricKey, start: i64, end: i64) -> Vec<Sample> {
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
                Some((
                    from,
                    compute(&self.samples(key, from, (from + period).min(end)), statistic)?,
                ))
            })
            .collect()
    }
}

/// A statistic of some samples; `None` of none.
pub(super) fn compute(samples: &[Sample], statistic: &str) -> Option<f64> {
    let number: u64 = samples.iter().map(|sample| u64::from(sample.times)).sum();
    let number = f64::from(u32::try_from(number).ok().filter(|number| *number > 0)?);
    let sum = samples.iter().map(|sample| sample.value * f64::from(sample.times)).sum::<f64>();
    let values = || samples.iter().map(|sample| sample.value);
    match statistic {
        "Sum" => Some(sum),
        "SampleCount" => Some(number),
        "Average" => Some(sum / number),
        "Minimum" => values().reduce(f64::min),
        "Maximum" => values().reduce(f64::max),
        _ => percentile(samples, number, statistic.strip_prefix('p')?.parse().ok()?),
    }
}

/// The smallest value that at least `percent` of all do not exceed.
fn percentile(samples: &[Sample], number: f64, percent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
    let passed = sorted.iter().scan(0.0, |passed, sample| {
        *passed += f64::from(sample.times);
        Some((*passed, sample.value))
    });
    let reached = |(passed, _): &(f64, f64)| passed / number * 100.0 >= percent;
    passed.into_iter().find(reached).map(|(_, value)| value)
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
            let one = datum.get("Value").and_then(number).map(Sample::once);
            let counts = list(datum, "Counts").iter().map(times).chain(std::iter::repeat(1));
            let values = list(datum, "Values").iter().filter_map(number);
            let several = values.zip(counts).map(|(value, times)| Sample { value, times });
            self.cloudwatch.add(key, at, one.into_iter().chain(several));
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
            let values =
                self.cloudwatch.samples(&key, start, (start + period.max(60)).min(range.1));
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

/// One of `Counts`, a whole number that is written as a float.
fn times(value: &Value) -> u32 {
    number(value).and_then(|number| format!("{number:.0}").parse().ok()).unwrap_or(1)
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
