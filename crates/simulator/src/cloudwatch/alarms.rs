//! Alarms: each is evaluated once a minute; never acts on anything.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::metrics::{MetricKey, compute};
use super::{CloudWatch, invalid, required};
use crate::region::{ApiError, State, Timer, count, epoch, list, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
}

impl AlarmState {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|one| one.word() == word)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Alarm {
    /// The members of `PutMetricAlarm`.
    definition: Map<String, Value>,
    arn: String,
    state: AlarmState,
    reason: String,
    reason_data: Option<String>,
    updated_at: Timestamp,
    transitioned_at: Timestamp,
    configured_at: Timestamp,
}

impl Alarm {
    pub(crate) fn is_red(&self) -> bool {
        self.state == AlarmState::Alarm
    }

    pub(crate) fn word(&self) -> &'static str {
        self.state.word()
    }

    fn member(&self, name: &str) -> Option<&str> {
        self.definition.get(name).and_then(Value::as_str)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.definition.get(name).and_then(Value::as_f64).and_then(|number| {
            // Counts and periods: whole numbers far below 2^31.
            format!("{number:.0}").parse().ok()
        })
    }

    fn breaches(&self, value: f64) -> bool {
        let threshold = self.definition.get("Threshold").and_then(Value::as_f64).unwrap_or(0.0);
        match self.member("ComparisonOperator") {
            Some("GreaterThanOrEqualToThreshold") => value >= threshold,
            Some("GreaterThanThreshold") => value > threshold,
            Some("LessThanThreshold") => value < threshold,
            Some("LessThanOrEqualToThreshold") => value <= threshold,
            _ => false,
        }
    }

    /// What the values of the last closed periods say; `None` to keep the state.
    fn evaluate(&self, cloudwatch: &CloudWatch, now: Timestamp) -> Option<AlarmState> {
        let definition = Value::Object(self.definition.clone());
        let key = MetricKey::read(&definition, self.member("Namespace")?)?;
        if !cloudwatch.has_data(&key) {
            return None;
        }
        let period = self.number("Period").unwrap_or(60).max(60);
        let periods = self.number("EvaluationPeriods").unwrap_or(1).max(1);
        let needed = self.number("DatapointsToAlarm").unwrap_or(periods);
        let statistic =
            self.member("Statistic").or(self.member("ExtendedStatistic")).unwrap_or("Average");
        let end = now.as_second().div_euclid(period) * period;
        let (mut breaching, mut missing) = (0_i64, 0_i64);
        for index in 0..periods {
            let from = end - period * (index + 1);
            match compute(&cloudwatch.samples(&key, from, from + period), statistic) {
                Some(value) if self.breaches(value) => breaching += 1,
                Some(_) => {}
                None => missing += 1,
            }
        }
        match self.member("TreatMissingData") {
            Some("breaching") => breaching += missing,
            Some("notBreaching") => {}
            Some("ignore") if missing == periods => return None,
            _ if missing == periods => return Some(AlarmState::InsufficientData),
            _ => {}
        }
        Some(if breaching >= needed { AlarmState::Alarm } else { AlarmState::Ok })
    }

    fn read(&self) -> Value {
        let mut map = self.definition.clone();
        map.remove("Tags");
        let mut default = |name: &str, value: Value| {
            map.entry(name).or_insert(value);
        };
        default("ActionsEnabled", json!(true));
        for name in ["OKActions", "AlarmActions", "InsufficientDataActions", "Dimensions"] {
            default(name, json!([]));
        }
        default("TreatMissingData", json!("missing"));
        default("AlarmArn", json!(self.arn));
        default("StateValue", json!(self.state.word()));
        default("StateReason", json!(self.reason));
        default("StateUpdatedTimestamp", epoch(self.updated_at));
        default("StateTransitionedTimestamp", epoch(self.transitioned_at));
        default("AlarmConfigurationUpdatedTimestamp", epoch(self.configured_at));
        if let Some(data) = &self.reason_data {
            default("StateReasonData", json!(data));
        }
        Value::Object(map)
    }
}

impl State {
    pub(super) fn put_metric_alarm(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "AlarmName")?.to_owned();
        required(input, "ComparisonOperator")?;
        if count(input, "EvaluationPeriods").is_none() {
            return Err(ApiError::client(
                "MissingParameter",
                "The parameter EvaluationPeriods is required.",
            ));
        }
        let known = self.cloudwatch.alarms.get(&name);
        let alarm = Alarm {
            definition: input.as_object().cloned().unwrap_or_default(),
            arn: format!(
                "arn:aws:cloudwatch:{}:{}:alarm:{name}",
                self.settings.region, self.settings.account
            ),
            state: known.map_or(AlarmState::InsufficientData, |known| known.state),
            reason: known.map_or_else(
                || "Unchecked: Initial alarm creation".to_owned(),
                |known| known.reason.clone(),
            ),
            reason_data: None,
            updated_at: self.now,
            transitioned_at: known.map_or(self.now, |known| known.transitioned_at),
            configured_at: self.now,
        };
        self.cloudwatch.alarms.insert(name, alarm);
        self.arm_evaluation();
        Ok(json!({}))
    }

    pub(super) fn describe_alarms(&self, input: &Value) -> Result<Value, ApiError> {
        let names: Vec<&str> = list(input, "AlarmNames").iter().filter_map(Value::as_str).collect();
        if names.len() > 100 {
            return Err(invalid("At most 100 AlarmNames can be given."));
        }
        let types = list(input, "AlarmTypes");
        let metric_alarms = types.is_empty() || types.contains(&json!("MetricAlarm"));
        let (prefix, state) = (text(input, "AlarmNamePrefix"), text(input, "StateValue"));
        let most = usize::try_from(count(input, "MaxRecords").unwrap_or(100).clamp(1, 100));
        let after = text(input, "NextToken").unwrap_or_default();
        let mut found = self.cloudwatch.alarms.iter().filter(|(name, alarm)| {
            metric_alarms
                && (names.is_empty() || names.contains(&name.as_str()))
                && prefix.is_none_or(|prefix| name.starts_with(prefix))
                && state.is_none_or(|state| state == alarm.state.word())
                && name.as_str() > after
        });
        let page: Vec<(&String, &Alarm)> = found.by_ref().take(most.unwrap_or(100)).collect();
        let mut reply = json!({
            "MetricAlarms": page.iter().map(|(_, alarm)| alarm.read()).collect::<Value>(),
            "CompositeAlarms": [],
        });
        if let (Some(_), Some((last, _)), Some(reply)) =
            (found.next(), page.last(), reply.as_object_mut())
        {
            reply.insert("NextToken".to_owned(), json!(last));
        }
        Ok(reply)
    }

    pub(super) fn set_alarm_state(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "AlarmName")?.to_owned();
        let state = AlarmState::read(required(input, "StateValue")?)
            .ok_or_else(|| invalid("StateValue must be OK, ALARM or INSUFFICIENT_DATA."))?;
        let reason = required(input, "StateReason")?.to_owned();
        let data = text(input, "StateReasonData").map(str::to_owned);
        if !self.cloudwatch.alarms.contains_key(&name) {
            return Err(ApiError {
                code: "ResourceNotFound".to_owned(),
                message: String::new(),
                status: 404,
            });
        }
        self.enter_alarm_state(&name, state, reason, data);
        self.arm_evaluation();
        Ok(json!({}))
    }

    pub(super) fn delete_alarms(&mut self, input: &Value) -> Value {
        for name in list(input, "AlarmNames").iter().filter_map(Value::as_str) {
            self.cloudwatch.alarms.remove(name);
        }
        json!({})
    }

    fn enter_alarm_state(
        &mut self,
        name: &str,
        state: AlarmState,
        reason: String,
        data: Option<String>,
    ) {
        let now = self.now;
        let Some(alarm) = self.cloudwatch.alarms.get_mut(name) else { return };
        alarm.reason = reason;
        alarm.reason_data = data;
        alarm.updated_at = now;
        let changed = alarm.state != state;
        if changed {
            alarm.state = state;
            alarm.transitioned_at = now;
        }
        if changed && state == AlarmState::Alarm {
            self.alarm_turned_red(name);
        }
    }

    /// The next whole minute, if there is an alarm that has data.
    pub(crate) fn arm_evaluation(&mut self) {
        let due = self.cloudwatch.evaluation_due.is_some_and(|at| at > self.now);
        if due || self.cloudwatch.alarms.is_empty() || self.cloudwatch.metrics.is_empty() {
            return;
        }
        let next = (self.now.as_second().div_euclid(60) + 1) * 60;
        if let Ok(at) = Timestamp::from_second(next) {
            self.cloudwatch.evaluation_due = Some(at);
            self.timers.add(at, Timer::EvaluateAlarms);
        }
    }

    pub(crate) fn evaluate_alarms(&mut self) {
        let now = self.now;
        let cloudwatch = &self.cloudwatch;
        let changed: Vec<(String, AlarmState)> = cloudwatch
            .alarms
            .iter()
            .filter_map(|(name, alarm)| {
                let state = alarm.evaluate(cloudwatch, now)?;
                (state != alarm.state).then(|| (name.clone(), state))
            })
            .collect();
        for (name, state) in changed {
            let reason = match state {
                AlarmState::Alarm => "Threshold Crossed: datapoints were beyond the threshold.",
                AlarmState::Ok => "Threshold Crossed: datapoints were within the threshold.",
                AlarmState::InsufficientData => "Insufficient Data: no datapoints were received.",
            };
            self.enter_alarm_state(&name, state, reason.to_owned(), None);
        }
        self.cloudwatch.evaluation_due = None;
        self.arm_evaluation();
    }
}
