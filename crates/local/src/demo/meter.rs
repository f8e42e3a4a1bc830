//! Measures what a revision gets of production traffic while it rolls out; never moves any.

use std::time::Instant;

use super::report::{Figures, Step};
use super::stage::Stage;
use super::traffic::Counted;
use crate::balancer::{Route, RouteCounts};
use crate::front::{Front, Shares};

/// One revision's way through the strategy, seen from the load balancer and from the users.
#[derive(Debug)]
pub(super) struct Meter {
    front: Front,
    image: &'static str,
    version: &'static str,
    /// Where the revision's tasks are: the target group without traffic.
    group: String,
    shares: Shares,
    users: Counted,
    /// Requests to the revision before it was there.
    before: RouteCounts,
    steps: Vec<Step>,
    /// Users until now when the present share began.
    step_began: Counted,
    first_task: Option<Routed>,
    over: Option<Routed>,
}

/// Production requests until now: of all, and to the revision's group.
#[derive(Clone, Copy, Debug)]
struct Routed {
    all: u64,
    to_it: u64,
}

impl Meter {
    /// `None` where no traffic moves. `version` is what the application calls itself.
    pub(super) fn start(stage: &Stage, image: &'static str, version: &'static str) -> Option<Self> {
        let front = stage.front()?.clone();
        let region = stage.server().region();
        let is_live = |group: &str| front.shares(region, group).production > 0;
        let live = if is_live(&front.blue) { &front.blue } else { &front.green };
        let group = front.other_than(live).to_owned();
        let shares = front.shares(region, &group);
        let users = stage.traffic();
        let before = route_counts(stage, &front, &group);
        let step_began = users.clone();
        Some(Self {
            front,
            image,
            version,
            group,
            shares,
            users,
            before,
            steps: Vec::new(),
            step_began,
            first_task: None,
            over: None,
        })
    }

    /// What the revision's rules give it now; tells of changes.
    pub(super) fn look(&mut self, stage: &Stage) -> Shares {
        if self.first_task.is_none() && stage.server().news().begun(self.image) > 0 {
            self.first_task = Some(self.routed(stage));
        }
        let shares = self.front.shares(stage.server().region(), &self.group);
        if shares != self.shares {
            stage.narrator.traffic(&format!(
                "{} gets {}% of production and {}% of test traffic",
                self.version, shares.production, shares.test
            ));
        }
        if shares.production != self.shares.production {
            self.end_step(stage);
        }
        self.shares = shares;
        shares
    }

    /// The revision is live, or nothing of it is left.
    pub(super) fn end(&mut self, stage: &Stage) {
        self.look(stage);
        self.end_step(stage);
        self.over = Some(self.routed(stage));
    }

    fn end_step(&mut self, stage: &Stage) {
        let users = stage.traffic();
        let step = Step {
            percent: self.shares.production,
            requests: users.requests - self.step_began.requests,
            answered_by_it: users.by(self.version) - self.step_began.by(self.version),
        };
        self.step_began = users;
        self.steps.push(step);
    }

    /// `verdict` is when the daemon wrote that it rejects the revision.
    pub(super) fn figures(self, stage: &Stage, verdict: Option<Instant>) -> Figures {
        let users = stage.traffic();
        let counts = route_counts(stage, &self.front, &self.group);
        let spans = self.first_task.zip(self.over).filter(|_| verdict.is_some());
        let share_to_bad = spans.map(|(from, to)| from.share_until(to));
        let reached = counts.last_chosen.filter(|_| counts.requests > self.before.requests);
        let verdict_to_zero = verdict
            .zip(reached)
            .map(|(verdict, last)| last.saturating_duration_since(verdict).as_secs_f64());
        Figures {
            answered_by: users.since(&self.users).by_version,
            steps: self.steps,
            share_to_bad,
            failed_at_bad: verdict.map_or(0, |_| counts.failed() - self.before.failed()),
            verdict_to_zero,
        }
    }

    fn routed(&self, stage: &Stage) -> Routed {
        let to = |group: &str| route_counts(stage, &self.front, group).requests;
        let to_it = to(&self.group);
        Routed { all: to_it + to(self.front.other_than(&self.group)), to_it }
    }
}

impl Routed {
    /// 0 to 1.
    fn share_until(self, later: Self) -> f64 {
        let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let all = later.all - self.all;
        if all == 0 { 0.0 } else { number(later.to_it - self.to_it) / number(all) }
    }
}

/// Production requests to a target group, from the start of the region.
fn route_counts(stage: &Stage, front: &Front, group: &str) -> RouteCounts {
    let route = Route { port: front.ports.production, target_group: group.to_owned() };
    stage.server().counts().snapshot().get(&route).copied().unwrap_or_default()
}
