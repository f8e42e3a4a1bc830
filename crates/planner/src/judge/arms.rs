//! The numbers of the new revision and of the stable one, told apart by their target groups; never judged
//! here.

use std::collections::BTreeMap;

use evenkeel_manifest::{MetricSource, ServiceKey};
use jiff::Timestamp;

use super::asked::{BalancedGroup, balanced_groups, closed_until, of_the_service, question};
use super::series::{MetricId, Minutes, minute_from, next_minute};
use super::windows::{Weighed, Window, each, grown};
use crate::view::{View, explain};
use crate::{Fact, Observed};

/// What this look read of both revisions.
pub(super) enum Arms<'a> {
    Read(Numbers<'a>),
    /// No minute since the deployment began is closed.
    TooEarly,
}

/// The numbers of a look.
pub(super) struct Numbers<'a> {
    series: BTreeMap<&'a MetricId, &'a Minutes>,
    evaluated: BTreeMap<&'a str, &'a Minutes>,
    observed: &'a Observed,
    key: &'a ServiceKey,
    /// Closed minutes since the deployment began.
    minutes: Vec<Timestamp>,
    pub(super) new: Option<BalancedGroup>,
    pub(super) stable: Option<BalancedGroup>,
}

impl<'a> Arms<'a> {
    pub(super) fn of(view: &View<'a>, target: Option<&str>, began: Timestamp) -> Self {
        let (desired, now) = (view.desired, view.now());
        let question = question(desired, view.service, began, now);
        let Some(until) = question.and_then(|_| closed_until(desired, now)) else {
            return Self::TooEarly;
        };
        let observed = view.observed();
        let told = observed.code_deploy.known().and_then(|seen| seen.group.balancer());
        let groups = balanced_groups(desired, view.service).into_iter();
        let (new, stable) = groups
            .filter_map(|one| one.behind(told))
            .partition::<Vec<_>, _>(|one| Some(one.arn.as_str()) == target);
        let series = observed.metrics.known().map(Vec::as_slice).unwrap_or_default();
        let evaluated = observed.expressions.known().map(Vec::as_slice).unwrap_or_default();
        Self::Read(Numbers {
            series: series.iter().map(|one| (&one.metric, &one.minutes)).collect(),
            evaluated: evaluated
                .iter()
                .map(|one| (one.expression.as_str(), &one.minutes))
                .collect(),
            observed,
            key: &desired.key,
            minutes: minutes_between(began, until),
            new: new.into_iter().next(),
            stable: stable.into_iter().next(),
        })
    }
}

fn unread<T>(from: &str, fact: &Fact<T>) -> Option<String> {
    match fact {
        Fact::Known(_) => None,
        Fact::Absent => Some(format!("{from} does not know it")),
        Fact::Unknown(why) => Some(format!("{from}: {}", explain(why))),
    }
}

fn minutes_between(began: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    const DAY: usize = 1_440;
    let first = minute_from(
        began.max(until.checked_sub(jiff::SignedDuration::from_hours(24)).unwrap_or(began)),
    );
    std::iter::successors(Some(first), |minute| Some(next_minute(*minute)))
        .take(DAY)
        .take_while(|minute| *minute < until)
        .collect()
}

impl Numbers<'_> {
    /// Why the numbers of a source cannot be told; `None` when they were read.
    pub(super) fn unread(&self, source: &MetricSource) -> Option<String> {
        match source {
            MetricSource::Prometheus(_) => unread("Prometheus", &self.observed.expressions),
            _ => unread("CloudWatch", &self.observed.metrics),
        }
    }

    fn of(&self, metric: &MetricId) -> Minutes {
        self.series.get(metric).map(|minutes| (*minutes).clone()).unwrap_or_default()
    }

    /// The windows of one source since `since`, oldest first; of a target group when it is of one.
    pub(super) fn windows(
        &self,
        source: &MetricSource,
        group: Option<&BalancedGroup>,
        least: u32,
        since: Timestamp,
    ) -> Vec<Window> {
        let after = |mut minutes: Minutes| minutes.split_off(&minute_from(since));
        match (source, group) {
            (MetricSource::ErrorRate, Some(group)) => {
                let errors = self.errors(group);
                let percent = |minute, _| errors.get(&minute).copied().unwrap_or(0.0) * 100.0;
                let requests = after(self.of(&group.requests()));
                grown(&requests, f64::from(least), |minute, number| Weighed {
                    weight: number,
                    sum: percent(minute, number),
                })
            }
            (MetricSource::Latency(statistic), Some(group)) => {
                let times = self.of(&group.response_time(statistic.word()));
                let requests = after(self.of(&group.requests()));
                grown(&requests, f64::from(least), |minute, number| match times.get(&minute) {
                    Some(time) => Weighed { weight: number, sum: number * time },
                    None => Weighed::default(),
                })
            }
            (MetricSource::RequestCount, Some(group)) => each(&after(self.of(&group.requests()))),
            (MetricSource::HealthyHosts, Some(group)) => {
                each(&after(self.of(&group.healthy_hosts())))
            }
            (source, _) => each(&after(self.of_the_service(source))),
        }
    }

    /// Answers with 5xx and connections that failed, by the minute.
    pub(super) fn errors(&self, group: &BalancedGroup) -> Minutes {
        let mut errors = self.of(&group.server_errors());
        for (minute, number) in self.of(&group.connection_errors()) {
            *errors.entry(minute).or_default() += number;
        }
        errors
    }

    pub(super) fn requests(&self, group: &BalancedGroup) -> Minutes {
        self.of(&group.requests())
    }

    pub(super) fn response_times(&self, group: &BalancedGroup, statistic: &str) -> Minutes {
        self.of(&group.response_time(statistic))
    }

    /// The first minute of all.
    pub(super) fn began(&self) -> Timestamp {
        self.minutes.first().copied().unwrap_or(Timestamp::MAX)
    }

    pub(super) fn minutes(&self) -> &[Timestamp] {
        &self.minutes
    }

    fn of_the_service(&self, source: &MetricSource) -> Minutes {
        if let MetricSource::Prometheus(expression) = source {
            let minutes = self.evaluated.get(expression.as_str());
            return minutes.map(|minutes| (*minutes).clone()).unwrap_or_default();
        }
        let Some(metric) = of_the_service(source, self.key) else { return Minutes::new() };
        let mut known = self.of(&metric);
        if matches!(source, MetricSource::Query(query) if query.missing_is_zero) {
            let asked = |minute: &&Timestamp| Some(**minute) < self.observed.measured_until;
            for minute in self.minutes.iter().filter(asked) {
                known.entry(*minute).or_insert(0.0);
            }
        }
        known
    }
}
