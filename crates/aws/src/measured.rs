//! Metrics by the minute for all rollouts together, one call for as many as ask at the same time; never
//! asks twice for a minute that is closed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode,
};
use evenkeel_planner::{Lane, MetricId, MetricQuestion, Minutes, Series};
use evenkeel_reconciler::CloudError;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::operation::Operation;

/// Gathers the questions about one closed minute for a moment, and keeps its answers until the next.
#[derive(Debug)]
pub(crate) struct Measured {
    caller: Arc<Caller>,
    kept: Arc<Mutex<ByMinute>>,
}

/// By the end of the last minute that was asked for: manifests may wait for different times.
type ByMinute = BTreeMap<Timestamp, Kept>;

/// All about one last minute.
#[derive(Debug)]
struct Kept {
    used: Instant,
    answers: Answers,
    open: Option<Batch>,
}

type Answers = BTreeMap<MetricId, Answer>;

/// What came of asking: the failure of one query is no other's.
type Told = BTreeMap<MetricId, Result<Answer, CloudError>>;

/// What is known of one metric up to the end of the minute.
#[derive(Clone, Debug)]
struct Answer {
    from: Timestamp,
    minutes: Arc<Minutes>,
}

#[derive(Debug)]
struct Batch {
    asked: Arc<Mutex<Asked>>,
    /// Gone when everyone who waited has given up.
    reply: WeakShared<Fetch>,
}

/// Driven by everyone who waits for it, so that it goes on when some of them give up.
type Fetched = Shared<Fetch>;

type Fetch = BoxFuture<'static, Result<Arc<Told>, CloudError>>;

/// Each metric with the earliest minute that somebody needs.
type Asked = BTreeMap<MetricId, Timestamp>;

/// What one reader lacks, and the batch that fetches it together with what others lack.
#[derive(Debug)]
struct Missing {
    own: Asked,
    together: Arc<Mutex<Asked>>,
    reply: Fetched,
}

/// Most queries in one `GetMetricData` call (API reference).
const QUERIES_MAX: usize = 500;
/// What was not asked for during this long is the past of everybody.
const KEPT_FOR: Duration = Duration::from_mins(2);
/// How long a batch waits for company at least, as for services.
const GATHER: Duration = Duration::from_millis(20);
/// Pages of one call; a page holds 100,800 values, and a call asks for 720,000 at most.
const PAGES_MAX: usize = 20;

impl Measured {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, kept: Arc::default() }
    }

    /// Every metric asked for; one without data has no minutes.
    pub(crate) async fn read(&self, question: &MetricQuestion) -> Result<Vec<Series>, CloudError> {
        let (known, missing) = self.known(question);
        let told = match missing {
            Some(missing) => self.told(missing, question.until).await?,
            None => Arc::default(),
        };
        let series = |metric: &MetricId| {
            let answer = match told.get(metric) {
                Some(told) => Some(told.as_ref().map_err(Clone::clone)?),
                None => known.get(metric),
            };
            let minutes = answer.map(|one| one.within(question)).unwrap_or_default();
            Ok(Series { metric: metric.clone(), minutes })
        };
        question.metrics.iter().map(series).collect()
    }

    /// What is kept of the metrics asked for, and the others.
    fn known(&self, question: &MetricQuestion) -> (Answers, Option<Missing>) {
        let mut minutes = lock(&self.kept);
        minutes.retain(|_, kept| kept.used.elapsed() < KEPT_FOR);
        let kept = minutes.entry(question.until).or_insert_with(Kept::new);
        kept.used = Instant::now();
        let (mut known, mut own) = (Answers::new(), Asked::new());
        for metric in &question.metrics {
            match kept.answers.get(metric).filter(|answer| answer.from <= question.from) {
                Some(answer) => drop(known.insert(metric.clone(), answer.clone())),
                None => drop(own.insert(metric.clone(), question.from)),
            }
        }
        let missing = (!own.is_empty()).then(|| self.join(kept, own, question.until));
        (known, missing)
    }

    /// Adds what is missing to the open batch, or opens one.
    fn join(&self, kept: &mut Kept, own: Asked, until: Timestamp) -> Missing {
        let open = kept.open.as_ref();
        let open = open.and_then(|batch| Some((batch.asked.clone(), batch.reply.upgrade()?)));
        let (together, reply) = open.unwrap_or_else(|| self.open_batch(kept, until));
        let mut asked = lock(&together);
        for (metric, from) in &own {
            let earliest = asked.entry(metric.clone()).or_insert(*from);
            *earliest = (*earliest).min(*from);
        }
        drop(asked);
        Missing { own, together, reply }
    }

    fn open_batch(&self, kept: &mut Kept, until: Timestamp) -> (Arc<Mutex<Asked>>, Fetched) {
        let asked: Arc<Mutex<Asked>> = Arc::default();
        let reply = self.fetch(until, Arc::clone(&asked)).shared();
        // There is a handle as long as it was not driven to its end.
        let open = reply.downgrade();
        kept.open = open.map(|reply| Batch { asked: Arc::clone(&asked), reply });
        (asked, reply)
    }

    fn fetch(&self, until: Timestamp, gathered: Arc<Mutex<Asked>>) -> Fetch {
        let (caller, kept) = (Arc::clone(&self.caller), Arc::clone(&self.kept));
        let reply = async move {
            tokio::time::sleep(GATHER).await;
            if let Some(kept) = lock(&kept).get_mut(&until) {
                kept.close(&gathered);
            }
            let asked = lock(&gathered).clone();
            told(&caller, &kept, &asked, until).await
        };
        reply.boxed()
    }

    /// One metric that cannot be asked for makes AWS refuse the whole call, so then what is missing here is asked
    /// for without the others'.
    async fn told(&self, missing: Missing, until: Timestamp) -> Result<Arc<Told>, CloudError> {
        let Missing { own, together, reply } = missing;
        match reply.await {
            Err(CloudError::Rejected { .. }) if lock(&together).len() > own.len() => {
                // The futures of the SDK are large, and this one is part of those of every look.
                Box::pin(told(&self.caller, &self.kept, &own, until)).await
            }
            told => told,
        }
    }
}

/// What AWS tells, of which answers are kept.
async fn told(
    caller: &Caller,
    kept: &Mutex<ByMinute>,
    asked: &Asked,
    until: Timestamp,
) -> Result<Arc<Told>, CloudError> {
    let told = answers(caller, asked, until).await?;
    if let Some(kept) = lock(kept).get_mut(&until) {
        let answers = told.iter().filter_map(|(metric, one)| Some((metric, one.as_ref().ok()?)));
        kept.answers.extend(answers.map(|(metric, one)| (metric.clone(), one.clone())));
    }
    Ok(Arc::new(told))
}

impl Kept {
    fn new() -> Self {
        Self { used: Instant::now(), answers: Answers::new(), open: None }
    }

    /// Takes the batch of these metrics from the open place, unless a later one has it.
    fn close(&mut self, asked: &Arc<Mutex<Asked>>) {
        self.open.take_if(|batch| Arc::ptr_eq(&batch.asked, asked));
    }
}

impl Answer {
    fn within(&self, question: &MetricQuestion) -> Minutes {
        let minutes = self.minutes.range(question.from..question.until);
        minutes.map(|(at, value)| (*at, *value)).collect()
    }
}

/// As many calls as it takes.
async fn answers(caller: &Caller, asked: &Asked, until: Timestamp) -> Result<Told, CloudError> {
    let all: Vec<(&MetricId, Timestamp)> = asked.iter().map(|(one, from)| (one, *from)).collect();
    let mut told = Told::new();
    for chunk in all.chunks(QUERIES_MAX) {
        let from = chunk.iter().map(|(_, from)| *from).min().unwrap_or(until);
        let metrics: Vec<&MetricId> = chunk.iter().map(|(metric, _)| *metric).collect();
        let found = described(caller, &metrics, from, until).await?;
        for (metric, one) in metrics.into_iter().zip(found) {
            let answer = one.minutes(metric).map(|minutes| Answer { from, minutes });
            told.insert(metric.clone(), answer);
        }
    }
    Ok(told)
}

/// What the pages so far say of one query.
#[derive(Clone, Debug)]
struct Found {
    minutes: Minutes,
    status: Option<StatusCode>,
}

impl Found {
    /// One that a reply says nothing of has no data for all we know, and no errors for all we hope.
    fn nothing() -> Self {
        Self { minutes: Minutes::new(), status: Some(StatusCode::PartialData) }
    }

    /// A failure is one whatever other pages say.
    fn take(&mut self, result: &MetricDataResult) {
        self.minutes.extend(minutes_of(result));
        if let Some(StatusCode::Complete | StatusCode::PartialData) = self.status {
            self.status = result.status_code().cloned();
        }
    }

    fn minutes(self, metric: &MetricId) -> Result<Arc<Minutes>, CloudError> {
        match self.status {
            Some(StatusCode::Complete) => Ok(Arc::new(self.minutes)),
            other => Err(unread(other.as_ref(), &metric.name)),
        }
    }
}

/// All pages of one call, in the order of `metrics`.
async fn described(
    caller: &Caller,
    metrics: &[&MetricId],
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Found>, CloudError> {
    let queries: Vec<MetricDataQuery> =
        metrics.iter().enumerate().map(|(index, metric)| query(index, metric)).collect();
    let mut found = vec![Found::nothing(); metrics.len()];
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let request = caller
            .cloudwatch
            .get_metric_data()
            .set_metric_data_queries(Some(queries.clone()))
            .start_time(DateTime::from_secs(from.as_second()))
            .end_time(DateTime::from_secs(until.as_second()))
            .set_next_token(token);
        let reply =
            caller.read(Operation::GetMetricData, Lane::RolloutStep, request.send()).await?;
        for result in reply.metric_data_results() {
            if let Some(one) = index_of(result).and_then(|index| found.get_mut(index)) {
                one.take(result);
            }
        }
        token = reply.next_token().map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
    Err(unread(Some(&StatusCode::PartialData), "a metric"))
}

fn query(index: usize, metric: &MetricId) -> MetricDataQuery {
    let dimension =
        |(name, value): (&String, &String)| Dimension::builder().name(name).value(value).build();
    let named = Metric::builder()
        .namespace(&metric.namespace)
        .metric_name(&metric.name)
        .set_dimensions(Some(metric.dimensions.iter().map(dimension).collect()))
        .build();
    let statistic = MetricStat::builder().metric(named).period(60).stat(&metric.statistic).build();
    MetricDataQuery::builder().id(format!("m{index}")).metric_stat(statistic).build()
}

fn index_of(result: &MetricDataResult) -> Option<usize> {
    result.id()?.strip_prefix('m')?.parse().ok()
}

fn minutes_of(result: &MetricDataResult) -> impl Iterator<Item = (Timestamp, f64)> {
    let at = |at: &DateTime| Timestamp::from_second(at.secs()).ok();
    let points = result.timestamps().iter().zip(result.values());
    points.filter_map(move |(time, value)| Some((at(time)?, *value)))
}

fn unread(status: Option<&StatusCode>, name: &str) -> CloudError {
    let status = status.map_or("no status", StatusCode::as_str);
    let message = format!("{name} came back with {status}");
    CloudError::Transient { operation: Operation::GetMetricData.name().to_owned(), message }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ciborium::Value;
    use futures_util::future::join_all;

    use super::*;
    use crate::fake::{Fake, Reply, Request};

    /// A full minute.
    const BEGAN: i64 = 1_795_410_000;

    fn metric(name: &str) -> MetricId {
        MetricId {
            namespace: "AWS/ApplicationELB".to_owned(),
            name: name.to_owned(),
            dimensions: BTreeMap::from([("TargetGroup".to_owned(), "targetgroup/a/1".to_owned())]),
            statistic: "Sum".to_owned(),
        }
    }

    fn question(names: &[&str], from: i64, until: i64) -> MetricQuestion {
        let at = |minute: i64| Timestamp::from_second(BEGAN + 60 * minute).unwrap();
        let metrics = names.iter().map(|name| metric(name)).collect();
        MetricQuestion {
            metrics,
            behind_the_group: BTreeSet::new(),
            expressions: BTreeSet::new(),
            from: at(from),
            until: at(until),
        }
    }

    /// A `CloudWatch` in which each metric counts one a minute.
    fn counting(status: &'static str) -> impl Fn(&Request) -> Reply {
        move |request| {
            let asked = body(request);
            let (from, until) = (time(&asked, "StartTime"), time(&asked, "EndTime"));
            let minutes: Vec<i64> = (from..until).step_by(60).collect();
            let queries = member(&asked, "MetricDataQueries").as_array().unwrap();
            let results = queries.iter().map(|query| {
                let id = member(query, "Id").as_text().unwrap();
                result(id, status, &minutes)
            });
            reply(results.collect(), None)
        }
    }

    fn result(id: &str, status: &str, minutes: &[i64]) -> Value {
        let times = minutes.iter().map(|at| Value::Tag(1, Box::new(Value::from(*at))));
        let values = minutes.iter().map(|_| Value::from(1.0));
        map([
            ("Id", id.into()),
            ("StatusCode", status.into()),
            ("Timestamps", Value::Array(times.collect())),
            ("Values", Value::Array(values.collect())),
        ])
    }

    fn reply(results: Vec<Value>, token: Option<&str>) -> Reply {
        let mut members = vec![("MetricDataResults", Value::Array(results))];
        members.extend(token.map(|token| ("NextToken", token.into())));
        let mut body = Vec::new();
        ciborium::into_writer(&map(members), &mut body).unwrap();
        let headers = vec![("smithy-protocol", "rpc-v2-cbor".to_owned())];
        Reply::Body { status: 200, headers, body }
    }

    fn map(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        Value::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    fn body(request: &Request) -> Value {
        ciborium::from_reader(&request.bytes[..]).unwrap()
    }

    fn found<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
        let members = value.as_map().unwrap();
        members.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
    }

    fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
        found(value, name).unwrap()
    }

    fn time(value: &Value, name: &str) -> i64 {
        let (_, seconds) = member(value, name).as_tag().unwrap();
        seconds.as_float().map_or_else(
            || seconds.as_integer().unwrap().try_into().unwrap(),
            |seconds| format!("{seconds:.0}").parse().unwrap(),
        )
    }

    fn calls(fake: &Fake) -> usize {
        fake.requests().len()
    }

    #[tokio::test(start_paused = true)]
    async fn rollouts_that_ask_at_the_same_time_share_a_call_and_a_closed_minute_is_asked_for_once()
    {
        let fake = Fake::new(counting("Complete"));
        let cloud = fake.cloud();
        let names: Vec<String> = (0..40).map(|number| format!("Metric{number}")).collect();
        let questions: Vec<_> = names.iter().map(|name| question(&[name], 0, 5)).collect();
        let answers = join_all(questions.iter().map(|one| cloud.measured.read(one))).await;
        assert_eq!(calls(&fake), 1);
        for (answer, name) in answers.into_iter().zip(&names) {
            let [series] = &answer.unwrap()[..] else { panic!() };
            assert_eq!((&series.metric.name, series.minutes.len()), (name, 5));
        }
        let shorter = cloud.measured.read(&question(&["Metric3"], 2, 5)).await.unwrap();
        assert_eq!((calls(&fake), shorter[0].minutes.len()), (1, 3));
        cloud.measured.read(&question(&["Metric3"], 2, 6)).await.unwrap();
        assert_eq!(calls(&fake), 2, "a new minute");
        let longer = cloud.measured.read(&question(&["Metric3"], -4, 6)).await.unwrap();
        assert_eq!((calls(&fake), longer[0].minutes.len()), (3, 10), "an earlier rollout");
    }

    #[tokio::test(start_paused = true)]
    async fn looks_on_both_sides_of_a_new_minute_both_get_their_own() {
        let fake = Fake::new(counting("Complete"));
        let cloud = fake.cloud();
        let (old, new) = (question(&["A", "B"], 0, 5), question(&["A"], 0, 6));
        let both = join_all([cloud.measured.read(&old), cloud.measured.read(&new)]).await;
        let lengths: Vec<Vec<usize>> = both
            .into_iter()
            .map(|one| one.unwrap().iter().map(|series| series.minutes.len()).collect())
            .collect();
        assert_eq!(lengths, [vec![5, 5], vec![6]]);
    }

    #[tokio::test(start_paused = true)]
    async fn manifests_that_wait_for_different_times_do_not_ask_each_other_s_minutes_anew() {
        let fake = Fake::new(counting("Complete"));
        let cloud = fake.cloud();
        for _ in 0..3 {
            for until in [5, 8] {
                cloud.measured.read(&question(&["A"], 0, until)).await.unwrap();
            }
        }
        assert_eq!(calls(&fake), 2);
        tokio::time::advance(KEPT_FOR).await;
        cloud.measured.read(&question(&["A"], 0, 10)).await.unwrap();
        assert_eq!(lock(&cloud.measured.kept).len(), 1, "what nobody asks for is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn what_everybody_gave_up_on_is_not_asked_for() {
        let fake = Fake::new(counting("Complete"));
        let cloud = fake.cloud();
        let (given_up, asked) = (question(&["A"], 0, 5), question(&["B"], 0, 5));
        let gave_up = tokio::time::timeout(GATHER / 2, cloud.measured.read(&given_up)).await;
        assert!(gave_up.is_err());
        cloud.measured.read(&asked).await.unwrap();
        let sent = body(&fake.requests()[0]);
        assert_eq!(member(&sent, "MetricDataQueries").as_array().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_metric_that_a_reply_leaves_out_is_unknown_and_not_without_data() {
        let fake = Fake::new(|_| reply(vec![result("m0", "Complete", &[BEGAN])], None));
        let cloud = fake.cloud();
        assert!(cloud.measured.read(&question(&["A"], 0, 5)).await.is_ok());
        let error = cloud.measured.read(&question(&["B", "C"], 0, 5)).await.unwrap_err();
        assert!(error.to_string().contains('C'), "{error}");
    }

    /// A `CloudWatch` in which each metric counts, and that refuses every call in which one is `Bad`.
    fn refusing(request: &Request) -> Reply {
        if !names(&body(request)).contains(&"Bad".to_owned()) {
            return counting("Complete")(request);
        }
        let (code, message) = ("com.amazonaws.cloudwatch#InvalidParameterValueException", "no");
        let mut body = Vec::new();
        let members = [("__type", code.into()), ("message", message.into())];
        ciborium::into_writer(&map(members), &mut body).unwrap();
        let headers = vec![("smithy-protocol", "rpc-v2-cbor".to_owned())];
        Reply::Body { status: 400, headers, body }
    }

    /// The metrics that a call asks for.
    fn names(call: &Value) -> Vec<String> {
        let queries = member(call, "MetricDataQueries").as_array().unwrap().iter();
        let named = |query| member(member(member(query, "MetricStat"), "Metric"), "MetricName");
        queries.map(|query| named(query).as_text().unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_metric_that_cannot_be_asked_for_takes_nobody_else_s_numbers_away() {
        let fake = Fake::new(refusing);
        let cloud = fake.cloud();
        let [good, bad] = [question(&["A", "B"], 0, 5), question(&["Bad", "B"], 0, 5)];
        let both = join_all([cloud.measured.read(&good), cloud.measured.read(&bad)]).await;
        let [read, refused] = &both[..] else { panic!() };
        assert_eq!(read.as_ref().unwrap()[0].minutes.len(), 5);
        assert_eq!(refused.as_ref().unwrap_err().class(), "rejected");
        assert_eq!(calls(&fake), 3, "together, and then each for itself");
        cloud.measured.read(&good).await.unwrap();
        assert_eq!(calls(&fake), 3, "it was kept");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_alone_and_was_refused_does_not_ask_the_same_again() {
        let fake = Fake::new(refusing);
        let refused = fake.cloud().measured.read(&question(&["Bad"], 0, 5)).await;
        assert_eq!((refused.unwrap_err().class(), calls(&fake)), ("rejected", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_failed_takes_nobody_else_s_numbers_away() {
        for status in ["InternalError", "Forbidden", "PartialData"] {
            let fake = Fake::new(move |request| {
                let told = names(&body(request)).into_iter().enumerate().map(|(index, name)| {
                    let status = if name == "Bad" { status } else { "Complete" };
                    result(&format!("m{index}"), status, &[BEGAN])
                });
                reply(told.collect(), None)
            });
            let cloud = fake.cloud();
            let [good, bad] = [question(&["A", "B"], 0, 5), question(&["Bad", "B"], 0, 5)];
            let both = join_all([cloud.measured.read(&good), cloud.measured.read(&bad)]).await;
            let [read, failed] = &both[..] else { panic!() };
            assert_eq!(read.as_ref().unwrap()[1].minutes.len(), 1);
            assert!(failed.as_ref().unwrap_err().to_string().contains(status));
            assert_eq!(calls(&fake), 1, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_complete_is_an_error_and_not_kept() {
        for status in ["InternalError", "Forbidden", "PartialData"] {
            let fake = Fake::new(counting(status));
            let cloud = fake.cloud();
            let asked = question(&["RequestCount"], 0, 5);
            let error = cloud.measured.read(&asked).await.unwrap_err();
            assert!(error.to_string().contains(status), "{error}");
            assert!(cloud.measured.read(&asked).await.is_err(), "{status}");
            assert_eq!(calls(&fake), 2, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pages_are_put_together() {
        let fake = Fake::new(|request| match found(&body(request), "NextToken") {
            None => reply(vec![result("m0", "PartialData", &[BEGAN])], Some("more")),
            Some(_) => reply(vec![result("m0", "Complete", &[BEGAN + 60])], None),
        });
        let series = fake.cloud().measured.read(&question(&["RequestCount"], 0, 5)).await.unwrap();
        assert_eq!((calls(&fake), series[0].minutes.len()), (2, 2));
    }
}
