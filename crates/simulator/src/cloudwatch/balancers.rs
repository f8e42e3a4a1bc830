//! What load balancers report about themselves, minute by minute; never counts a request.
//!
//! Source: the reference page, section 10.3. A minute without requests has no points of their metrics, and no
//! count has a point of zero.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::metrics::{MetricKey, Minute, Sample};
use crate::RequestTally;
use crate::elb::TargetState;
use crate::region::{State, Timer, size};

const NAMESPACE: &str = "AWS/ApplicationELB";
const ANSWERS: [&str; 4] = [
    "HTTPCode_Target_2XX_Count",
    "HTTPCode_Target_3XX_Count",
    "HTTPCode_Target_4XX_Count",
    "HTTPCode_Target_5XX_Count",
];

/// What is not readable yet, by the second in which its minute began.
pub(super) type Unsent = BTreeMap<i64, BTreeMap<MetricKey, Minute>>;

/// Which load balancer and target group a metric is about, in the tails of their ARNs.
#[derive(Clone, Copy, Debug)]
struct About<'a> {
    balancer: &'a str,
    group: Option<&'a str>,
}

impl About<'_> {
    fn key(self, name: &str) -> MetricKey {
        let balancer = ("LoadBalancer", self.balancer);
        match self.group {
            Some(group) => {
                MetricKey::of_platform(NAMESPACE, name, &[balancer, ("TargetGroup", group)])
            }
            None => MetricKey::of_platform(NAMESPACE, name, &[balancer]),
        }
    }
}

impl State {
    /// Takes what load balancers did since they last reported. Target groups are counted at each report.
    pub(crate) fn balancers_reported(&mut self, tallies: &[RequestTally]) {
        for tally in tallies {
            self.count_requests(tally);
        }
        self.count_hosts();
    }

    fn count_requests(&mut self, tally: &RequestTally) {
        let balancer = balancer_tail(&tally.load_balancer);
        let all = About { balancer, group: None };
        self.measure(all, "HTTPCode_ELB_5XX_Count", ones(tally.balancer_errors));
        let Some(group) = &tally.target_group else { return };
        if let Some(group) = self.elb.target_groups.get_mut(group) {
            group.failed_requests += u64::from(tally.failed());
        }
        for about in [all, About { balancer, group: Some(group_tail(group)) }] {
            self.measure(about, "RequestCount", ones(tally.requests()));
            self.measure(about, "TargetConnectionErrorCount", ones(tally.refused));
            for (name, count) in ANSWERS.iter().zip(tally.answers) {
                self.measure(about, name, ones(count));
            }
            let times = tally.response_times.iter().map(|time| Sample::once(time.as_secs_f64()));
            self.measure(about, "TargetResponseTime", times);
        }
    }

    /// Groups without targets, or without a load balancer, have no hosts to count.
    fn count_hosts(&mut self) {
        let counted: Vec<(String, String, [u32; 2])> = self
            .elb
            .target_groups
            .iter()
            .filter(|(_, group)| !group.targets.is_empty())
            .filter_map(|(arn, group)| {
                let balancer = self.elb.load_balancer_of(arn)?;
                let count = |state| {
                    let targets = group.targets.values();
                    size(targets.filter(|target| target.shown_state(true) == state).count())
                };
                let hosts = [count(TargetState::Healthy), count(TargetState::Unhealthy)];
                Some((balancer_tail(balancer).to_owned(), group_tail(arn).to_owned(), hosts))
            })
            .collect();
        for (balancer, group, [healthy, unhealthy]) in counted {
            let about = About { balancer: &balancer, group: Some(&group) };
            self.measure(about, "HealthyHostCount", [Sample::once(healthy.into())]);
            self.measure(about, "UnHealthyHostCount", [Sample::once(unhealthy.into())]);
        }
    }

    /// Adds to the minute that is now, which is sent when it is over.
    fn measure(&mut self, about: About<'_>, name: &str, samples: impl IntoIterator<Item = Sample>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let start = self.now.as_second().div_euclid(60) * 60;
        if !self.cloudwatch.unsent.contains_key(&start)
            && let Ok(end) = Timestamp::from_second(start + 60)
        {
            self.timers.add(end + self.timings.balancer_metrics, Timer::SendMetrics(start));
        }
        let minute = self.cloudwatch.unsent.entry(start).or_default();
        let minute = minute.entry(about.key(name)).or_default();
        samples.for_each(|sample| minute.add(sample));
    }

    /// The minute that began at that second can be read from now on.
    pub(crate) fn send_metrics(&mut self, start: i64) {
        let metrics = self.cloudwatch.unsent.remove(&start).unwrap_or_default();
        let Ok(at) = Timestamp::from_second(start) else { return };
        for (key, minute) in metrics {
            self.cloudwatch.add(key, at, minute.samples());
        }
        self.arm_evaluation();
    }
}

/// Each a point of value 1, as every one of these counts is reported.
fn ones(times: u32) -> Option<Sample> {
    (times > 0).then_some(Sample { value: 1.0, times })
}

/// `app/front/0123456789abcdef`
fn balancer_tail(arn: &str) -> &str {
    arn.split_once(":loadbalancer/").map_or(arn, |(_, tail)| tail)
}

/// `targetgroup/blue/0123456789abcdef`
fn group_tail(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}
