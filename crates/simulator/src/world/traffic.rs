//! Users' requests in virtual time, spread by weight and without chance; never waits for an answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::{Step, World};
use crate::region::size;
use crate::{Happening, ListenerView, Region, RequestTally, RuleView};

/// How often the load balancer reports what the users sent meanwhile.
const PERIOD: Duration = Duration::from_secs(10);
const SECONDS: u64 = 10;

/// The requests to one listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    per_second: u32,
    /// What was too little for a whole request, in thousandths, by target group.
    owed_requests: BTreeMap<String, u64>,
    /// What was too little for a whole error, in hundredths, by target group.
    owed_errors: BTreeMap<String, u64>,
}

impl World {
    /// From now on so many requests a second come in on a listener, by ARN; 0 ends it. They are sent by its
    /// first rule that forwards, whatever its conditions.
    pub fn send_traffic(&mut self, listener: &str, per_second: u32, now: Timestamp) {
        let is_new = !self.traffic.contains_key(listener);
        self.traffic.entry(listener.to_owned()).or_default().per_second = per_second;
        if is_new {
            self.plan(now + PERIOD, Step::Traffic { listener: listener.to_owned() });
        }
    }

    /// What the users sent since the last time is answered and reported.
    pub(super) fn answer_traffic(&mut self, listener: String, region: &mut Region) {
        let Some(mut traffic) = self.traffic.remove(&listener) else { return };
        let view = region.listeners().into_iter().find(|view| view.arn == listener);
        let Some(view) = view.filter(|_| traffic.per_second > 0) else { return };
        let tallies = self.tallies(&view, &mut traffic, region);
        region.report(Happening::BalancersReport(tallies));
        self.plan(region.now() + PERIOD, Step::Traffic { listener: listener.clone() });
        self.traffic.insert(listener, traffic);
    }

    fn tallies(
        &mut self,
        view: &ListenerView,
        traffic: &mut Traffic,
        region: &Region,
    ) -> Vec<RequestTally> {
        let rule = view.rules.iter().find(|rule| !rule.forwards.is_empty());
        let groups = rule.map(|rule| traffic.by_group(rule)).unwrap_or_default();
        let tally = |(group, requests): (String, u32)| {
            let tally = self.tally(&group, requests, traffic, region);
            RequestTally { load_balancer: view.load_balancer.clone(), ..tally }
        };
        groups.into_iter().filter(|(_, requests)| *requests > 0).map(tally).collect()
    }

    /// What becomes of requests to one target group, spread evenly over its targets.
    fn tally(
        &mut self,
        group: &str,
        requests: u32,
        traffic: &mut Traffic,
        region: &Region,
    ) -> RequestTally {
        let targets = takers(group, region);
        let Some(least) = requests.checked_div(size(targets.len())) else {
            return RequestTally { balancer_errors: requests, ..RequestTally::default() };
        };
        let more = requests % size(targets.len());
        let mut tally =
            RequestTally { target_group: Some(group.to_owned()), ..RequestTally::default() };
        for (address, index) in targets.into_iter().zip(0..) {
            let number = least + u32::from(index < more);
            self.note_requests(address, number);
            let Some((error_percent, latency)) = self.answers_of(address) else {
                tally.balancer_errors += number;
                tally.refused += number;
                continue;
            };
            let errors = traffic.errors(group, number, error_percent);
            let [good, _, _, bad] = &mut tally.answers;
            *good += number - errors;
            *bad += errors;
            tally.response_times.extend((0..number).map(|_| latency));
        }
        tally
    }

    fn note_requests(&mut self, address: IpAddr, number: u32) {
        let run = self.addresses.get(&address).and_then(|task| self.runs.get(task));
        for container in run.into_iter().flat_map(|run| &run.launch.containers) {
            let noted = self.requested.entry(container.image.clone()).or_default();
            *noted += u64::from(number);
        }
    }

    /// Percentage of errors and latency of what runs at an address; `None` if nothing runs there.
    fn answers_of(&self, address: IpAddr) -> Option<(u32, Duration)> {
        let run = self.runs.get(self.addresses.get(&address)?)?;
        run.running_since?;
        let behaviours = || run.launch.containers.iter().map(|one| self.behaviour(&one.image));
        let errors = behaviours().map(|one| one.error_percent).max()?;
        Some((errors, behaviours().map(|one| one.latency).max()?))
    }
}

impl Traffic {
    /// Requests of one period by target group.
    fn by_group(&mut self, rule: &RuleView) -> Vec<(String, u32)> {
        let requests = u64::from(self.per_second) * SECONDS;
        let total: u64 = rule.forwards.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let share = |(group, weight): &(String, u32)| {
            let thousandths = (u64::from(*weight) * 1000).checked_div(total).unwrap_or(0);
            let owed = self.owed_requests.entry(group.clone()).or_default();
            *owed += requests * thousandths;
            (group.clone(), take_whole(owed, 1000))
        };
        rule.forwards.iter().map(share).collect()
    }

    fn errors(&mut self, group: &str, requests: u32, percent: u32) -> u32 {
        let owed = self.owed_errors.entry(group.to_owned()).or_default();
        *owed += u64::from(requests) * u64::from(percent);
        take_whole(owed, 100).min(requests)
    }
}

fn take_whole(owed: &mut u64, unit: u64) -> u32 {
    let whole = *owed / unit;
    *owed %= unit;
    u32::try_from(whole).unwrap_or(u32::MAX)
}

/// The addresses that take requests: of the healthy targets, or, if there are none, of all that are not
/// leaving.
fn takers(group: &str, region: &Region) -> Vec<IpAddr> {
    let targets = region.target_group(group).map(|view| view.targets).unwrap_or_default();
    let in_state = |states: &[&str]| -> Vec<IpAddr> {
        let fits = targets.iter().filter(|(_, _, state)| states.contains(&state.as_str()));
        fits.map(|(address, _, _)| *address).collect()
    };
    let healthy = in_state(&["healthy"]);
    if healthy.is_empty() { in_state(&["initial", "unhealthy"]) } else { healthy }
}
