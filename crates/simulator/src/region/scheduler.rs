//! The service scheduler: starts, stops and replaces tasks; never counts failures itself.

use std::fmt::Write as _;

use super::service::{Deployment, Rollout, Service, ServiceId, ServiceStatus};
use super::service_reply::present;
use super::stages::CrewCount;
use super::task::{Start, StopCode};
use super::{State, TaskId, Timer, size};
use crate::elb::TargetState;

/// A task that should exist, as the scheduler sees it.
#[derive(Clone, Copy, Debug)]
struct Seat {
    id: TaskId,
    healthy: bool,
    failing: bool,
    protected: bool,
}

/// The tasks of one deployment.
#[derive(Clone, Debug, Default)]
struct Crew {
    seats: Vec<Seat>,
    /// Tasks on their way out, which still take room under maximumPercent.
    leaving: u32,
}

impl Crew {
    fn live(&self) -> u32 {
        size(self.seats.len())
    }

    fn healthy(&self) -> u32 {
        size(self.seats.iter().filter(|seat| seat.healthy && !seat.failing).count())
    }

    fn failing(&self) -> u32 {
        size(self.seats.iter().filter(|seat| seat.failing).count())
    }

    fn good(&self) -> u32 {
        self.live() - self.failing()
    }

    fn without_failing(&self) -> Self {
        let seats = self.seats.iter().copied().filter(|seat| !seat.failing).collect();
        Self { seats, leaving: self.leaving }
    }
}

/// All tasks of a service, by deployment and in the order of its deployments.
struct Census {
    crews: Vec<Crew>,
    /// ceil(desired * minimumHealthyPercent / 100).
    floor: u32,
    /// floor(desired * maximumPercent / 100): of all tasks, or of each crew while traffic shifts, when
    /// each revision stands beside the others with all of its tasks.
    ceiling: u32,
    is_shifting: bool,
}

impl Census {
    /// How many tasks may be started besides those of all crews.
    fn room(&self) -> u32 {
        self.room_beside(self.crews.iter())
    }

    /// How many tasks may be started for this crew.
    fn room_of(&self, crew: &Crew) -> u32 {
        if self.is_shifting { self.room_beside(std::iter::once(crew)) } else { self.room() }
    }

    fn room_beside<'a>(&self, crews: impl Iterator<Item = &'a Crew>) -> u32 {
        let taken = crews.map(|crew| crew.live() + crew.leaving).sum::<u32>();
        self.ceiling.saturating_sub(taken)
    }

    fn healthy(&self) -> u32 {
        self.crews.iter().map(Crew::healthy).sum()
    }
}

/// The two bounds of a service. Source: reference page 2.1.
pub(crate) fn bounds(desired: u32, least: u32, most: u32) -> (u32, u32) {
    let part = |percent: u32| u64::from(desired) * u64::from(percent);
    let fits = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    (fits(part(least).div_ceil(100)), fits(part(most) / 100))
}

impl Deployment {
    /// Whether tasks that are lost are replaced from this deployment once it is not PRIMARY.
    fn replaces(&self) -> bool {
        self.has_completed && self.rollout != Rollout::Failed
    }
}

impl State {
    /// One look of the scheduler at a service.
    pub(crate) fn schedule(&mut self, id: ServiceId) {
        let Some(service) = self.services.get_mut(&id) else { return };
        service.next_look = None;
        match service.status {
            ServiceStatus::Active if service.shifts_traffic() => {
                self.judge_tasks(id);
                self.stop_failing(id);
                self.stop_beyond_goals(id);
                self.start_missing(id);
                self.retire(id);
                self.tell_stages(id);
            }
            ServiceStatus::Active if service.controller == "ECS" => {
                self.judge_tasks(id);
                self.stop_failing(id);
                self.stop_surplus(id);
                self.start_missing(id);
                self.retire(id);
                self.report_stuck(id);
                self.complete(id);
            }
            ServiceStatus::Active => {
                self.judge_tasks(id);
                self.schedule_task_sets(id);
                self.code_deploy_sees_tasks(id);
            }
            ServiceStatus::Draining => self.drain_service(id),
            ServiceStatus::Inactive => {}
        }
    }

    fn census(&self, service: &Service) -> Census {
        let mut crews = vec![Crew::default(); service.deployments.len()];
        let without_check = self.timings.healthy_without_check;
        for task in service.tasks.iter().filter_map(|id| self.tasks.get(id)) {
            let index = service.deployments.iter().position(|one| one.id == task.deployment);
            let Some(crew) = index.and_then(|index| crews.get_mut(index)) else { continue };
            if task.is_wanted() {
                crew.seats.push(Seat {
                    id: task.id,
                    healthy: task.is_healthy(self.now, without_check),
                    failing: task.failing.is_some(),
                    protected: task.protected,
                });
            } else if !task.is_stopped() {
                crew.leaving += 1;
            }
        }
        let configuration = &service.configuration;
        let (floor, ceiling) = bounds(service.desired, configuration.least, configuration.most);
        Census { crews, floor, ceiling, is_shifting: service.shifts_traffic() }
    }

    /// Finds which tasks became healthy and which fail their health checks.
    fn judge_tasks(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let grace = service.grace;
        let (mut cured, mut sick, mut look) = (Vec::new(), Vec::new(), None);
        for task in service.tasks.iter().filter_map(|id| self.tasks.get(id)) {
            if !task.is_running() || !task.wanted {
                continue;
            }
            if !task.was_healthy && task.is_healthy(self.now, self.timings.healthy_without_check) {
                cured.push((task.id, task.deployment));
            }
            let judged_from = task.times.started.unwrap_or(self.now) + grace;
            let complaint = self.complaint(task);
            if complaint.is_some() && self.now < judged_from {
                look = Some(look.map_or(judged_from, |at: jiff::Timestamp| at.min(judged_from)));
            } else if complaint.is_some() != task.failing.is_some() {
                sick.push((task.id, complaint));
            }
        }
        for (task, deployment) in cured {
            self.task_became_healthy(id, task, deployment);
        }
        for (task, complaint) in sick {
            self.task_complained(id, task, complaint);
        }
        if let Some(at) = look {
            self.look_at(id, at);
        }
    }

    /// What stoppedReason will say if the task is replaced for its health now.
    fn complaint(&self, task: &super::task::Task) -> Option<String> {
        if task.container_unhealthy() {
            return Some("Task failed container health checks".to_owned());
        }
        let address = task.address.to_string();
        let unhealthy = |target: &&super::task::TaskTarget| {
            self.elb.state_of(&target.target_group, &address, target.port)
                == Some(TargetState::Unhealthy)
        };
        task.targets.iter().find(unhealthy).map(|target| {
            format!("Task failed ELB health checks in (target-group {})", target.target_group)
        })
    }

    fn task_complained(&mut self, id: ServiceId, task: TaskId, complaint: Option<String>) {
        let Some(found) = self.tasks.get_mut(&task) else { return };
        found.failing = complaint;
        let Some(target) = found.targets.first().filter(|_| found.failing.is_some()) else {
            return;
        };
        let (hex, port, group) = (found.hex.clone(), target.port, target.target_group.clone());
        let address = found.address.to_string();
        let why = self.elb.complaint_of(&group, &address, port);
        self.say(id, |service| {
            format!(
                "(service {}) (task {hex}) (port {port}) is unhealthy in (target-group {group}) \
                 due to (reason {why})",
                service.name
            )
        });
        if let Some(service) = self.services.get_mut(&id) {
            service.steady = false;
        }
    }

    /// Replaces tasks that fail health checks: replacement first while there is room, else one
    /// at a time.
    fn stop_failing(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let census = self.census(service);
        let mut stops = Vec::new();
        for (index, (deployment, crew)) in service.deployments.iter().zip(&census.crews).enumerate()
        {
            let failing = || crew.seats.iter().filter(|seat| seat.failing).map(|seat| seat.id);
            let goal = goal(service, index, deployment, crew);
            let replaced = crew.healthy() >= goal;
            let stuck = (census.room_of(crew) == 0 || goal <= crew.good()) && crew.leaving == 0;
            let count = if replaced { usize::MAX } else { usize::from(stuck) };
            stops.extend(failing().take(count));
        }
        for task in stops {
            self.replace_failing(id, task);
        }
    }

    pub(crate) fn replace_failing(&mut self, id: ServiceId, task: TaskId) {
        let Some(found) = self.tasks.get(&task) else { return };
        let (deployment, reason) = (found.deployment, found.failing.clone().unwrap_or_default());
        self.stop_task_for(task, StopCode::ServiceSchedulerInitiated, &reason);
        self.say_stopped(id, &[task]);
        self.health_failure(id, deployment);
    }

    /// Stops tasks that others have replaced, and, where there is no room to start new ones, as
    /// many as minimumHealthyPercent allows.
    fn stop_surplus(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let Some(primary) = service.deployments.first() else { return };
        let census = self.census(service);
        let Some((crew, others)) = census.crews.split_first() else { return };
        let keep = service.desired.saturating_sub(crew.healthy());
        let count = |of: fn(&Crew) -> u32| others.iter().map(of).sum::<u32>();
        let old = count(Crew::live);
        // One that fails its checks and is yet to be replaced is not there besides its replacement.
        let kept = if count(Crew::healthy) < keep { count(Crew::good) } else { old };
        let missing = if primary.rollout == Rollout::Failed {
            0
        } else {
            service.desired.saturating_sub(crew.good()).saturating_sub(census.room())
        };
        // A crew that already leaves makes room by itself.
        let leaving = census.crews.iter().map(|crew| crew.leaving).sum::<u32>();
        let for_room = missing.saturating_sub(leaving).min(old);
        let surplus = kept.saturating_sub(keep).max(for_room);
        let spare = census.healthy().saturating_sub(census.floor);
        let mut stops = stoppable(&others.iter().rev().collect::<Vec<_>>(), surplus, spare);
        // What is stopped is not wanted back.
        let keep = if stops.is_empty() { keep } else { keep.min(old - size(stops.len())) };
        let spare = spare.saturating_sub(size(stops.iter().filter(|seat| seat.healthy).count()));
        // One that fails its checks is stopped for that, and until then does not count.
        let excess = crew.good().saturating_sub(service.desired);
        stops.extend(stoppable(&[&crew.without_failing()], excess, spare));
        let reason = format!("Scaling activity initiated by (deployment {})", primary.started_by());
        let stops: Vec<TaskId> = stops.into_iter().map(|seat| seat.id).collect();
        for task in &stops {
            self.stop_task_for(*task, StopCode::ServiceSchedulerInitiated, &reason);
        }
        if !stops.is_empty() {
            self.say_stopped(id, &stops);
        }
        self.lower_desired(id, keep);
    }

    /// While traffic shifts each deployment has its own number of tasks.
    fn stop_beyond_goals(&mut self, id: ServiceId) {
        let now = self.now;
        let Some(service) = self.services.get(&id) else { return };
        let census = self.census(service);
        let (mut stops, mut goals) = (Vec::new(), Vec::new());
        for (index, (deployment, crew)) in service.deployments.iter().zip(&census.crews).enumerate()
        {
            let goal = goal(service, index, deployment, crew);
            goals.push(goal);
            let excess = crew.good().saturating_sub(goal);
            stops.extend(stoppable(&[&crew.without_failing()], excess, u32::MAX));
            if goal == 0 {
                stops.extend(crew.seats.iter().filter(|seat| seat.failing));
            }
        }
        let reason = service.deployments.first().map_or_else(String::new, |primary| {
            format!("Scaling activity initiated by (deployment {})", primary.started_by())
        });
        let stops: Vec<TaskId> = stops.into_iter().map(|seat| seat.id).collect();
        for task in &stops {
            self.stop_task_for(*task, StopCode::ServiceSchedulerInitiated, &reason);
        }
        if !stops.is_empty() {
            self.say_stopped(id, &stops);
        }
        let Some(service) = self.services.get_mut(&id) else { return };
        for (deployment, goal) in service.deployments.iter_mut().zip(goals) {
            set_desired(deployment, goal, now);
        }
    }

    fn tell_stages(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let crews = self.census(service).crews;
        let count = |(deployment, crew): (&Deployment, &Crew)| CrewCount {
            revision: deployment.revision.number,
            healthy: crew.healthy(),
            live: crew.live(),
            leaving: crew.leaving,
        };
        let counts: Vec<CrewCount> = service.deployments.iter().zip(&crews).map(count).collect();
        self.tasks_moved(id, &counts);
    }

    /// What the other deployments still want falls as the PRIMARY takes over.
    fn lower_desired(&mut self, id: ServiceId, keep: u32) {
        let Some(service) = self.services.get(&id) else { return };
        let live: Vec<u32> = self.census(service).crews.iter().map(Crew::live).collect();
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let desired = service.desired;
        let mut left = keep;
        for (deployment, live) in service.deployments.iter_mut().zip(live).skip(1) {
            let wanted = if deployment.replaces() { deployment.desired.min(left) } else { 0 };
            let wanted = wanted.max(live);
            left = left.saturating_sub(wanted);
            set_desired(deployment, wanted, now);
        }
        if let Some(primary) = service.deployments.first_mut() {
            set_desired(primary, primary.desired.min(desired), now);
        }
    }

    fn start_missing(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let numbers = missing(service, &self.census(service));
        let starts =
            service.deployments.iter().zip(numbers).rev().filter(|(_, number)| *number > 0);
        let starts: Vec<_> =
            starts.map(|(one, number)| (one.id, number, one.no_start_before)).collect();
        for (deployment, number, not_before) in starts {
            match not_before.filter(|at| *at > self.now) {
                Some(at) => self.look_at(id, at),
                None => self.start_tasks(id, deployment, number),
            }
        }
    }

    pub(crate) fn start_tasks(&mut self, id: ServiceId, deployment: u64, number: u32) {
        let zones = self.open_zones();
        if zones.is_empty() {
            self.report_placement(id, deployment, number);
            return;
        }
        let mut started = Vec::new();
        for zone in zones.iter().cycle().skip(usize::try_from(self.sequence % 3).unwrap_or(0)) {
            if size(started.len()) == number {
                break;
            }
            let start = Start { service: id, deployment, zone: *zone };
            let Some(task) = self.start_task(&start) else { break };
            started.push(task);
        }
        let now = self.now;
        if let Some(service) = self.services.get_mut(&id) {
            service.steady = false;
            let desired = service.desired;
            let live = size(started.len());
            if let Some(deployment) = service.launcher_mut(deployment) {
                deployment.placement_reported = false;
                let raised = deployment.desired.saturating_add(live).min(desired);
                set_desired(deployment, raised.max(deployment.desired.min(desired)), now);
            }
        }
        self.raise_desired(id);
        let names = self.names_of(&started);
        let count = started.len();
        self.say(id, |service| {
            format!("(service {}) has started {count} tasks:{names}.", service.name)
        });
    }

    /// The PRIMARY's desiredCount is what it has been given so far, not its failed attempts.
    fn raise_desired(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id).filter(|one| !one.shifts_traffic()) else {
            return;
        };
        let live = self.census(service).crews.first().map_or(0, Crew::live);
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let desired = service.desired;
        if let Some(primary) = service.deployments.first_mut()
            && !primary.has_completed
        {
            set_desired(primary, live.min(desired), now);
        }
    }

    /// Tasks that find no room are tried again, and count for ECS's breaker each time.
    fn report_placement(&mut self, id: ServiceId, deployment: u64, number: u32) {
        let retry = self.now + self.timings.placement_retry;
        self.look_at(id, retry);
        self.placement_failure(id, deployment, number);
        let Some(service) = self.services.get_mut(&id) else { return };
        let Some(found) = service.launcher_mut(deployment) else { return };
        if std::mem::replace(&mut found.placement_reported, true) {
            return;
        }
        self.say(id, |service| {
            format!(
                "(service {}) was unable to place a task because there is no capacity. Reason: \
                 Capacity is unavailable at this time. Please try again later or in a different \
                 availability zone.",
                service.name
            )
        });
        self.emit_service_action(id, "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", "RESOURCE:FARGATE");
    }

    /// Removes deployments that have nothing left.
    fn retire(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let tally = self.tally(service);
        let Some(service) = self.services.get_mut(&id) else { return };
        let bakes = service.bakes();
        let primary = service.deployments.first().map(|primary| primary.id);
        let source = service.shift_source();
        service.deployments.retain(|deployment| {
            let replaces = deployment.replaces() || Some(deployment.revision.number) == source;
            let gone =
                present(&tally, deployment.id) == 0 && (deployment.desired == 0 || !replaces);
            Some(deployment.id) == primary || !gone || (bakes && deployment.has_completed)
        });
    }

    /// Nothing can move because of the two percentages: an event, not an error.
    fn report_stuck(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let Some(primary) = service.deployments.first() else { return };
        if primary.rollout != Rollout::InProgress || primary.stuck_reported {
            return;
        }
        let census = self.census(service);
        let settled = |crew: &Crew| crew.leaving == 0 && crew.healthy() == crew.live();
        let missing = census.crews.first().is_some_and(|crew| crew.live() < service.desired);
        let waits = primary.no_start_before.is_some_and(|at| at > self.now);
        if !missing || waits || census.room() > 0 || !census.crews.iter().all(settled) {
            return;
        }
        if let Some(primary) =
            self.services.get_mut(&id).and_then(|service| service.deployments.first_mut())
        {
            primary.stuck_reported = true;
        }
        self.say(id, |service| {
            format!(
                "(service {}) was unable to stop or start tasks during a deployment because of the \
                 service deployment configuration. Update the minimumHealthyPercent or \
                 maximumPercent value and try again.",
                service.name
            )
        });
    }

    /// All target tasks healthy, all others gone, baked: the deployment is complete.
    fn complete(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let Some(primary) = service.deployments.first() else { return };
        let census = self.census(service);
        let Some((crew, others)) = census.crews.split_first() else { return };
        let full = crew.healthy() == service.desired && crew.live() == service.desired;
        if !full || others.iter().any(|crew| crew.live() + crew.leaving > 0) {
            return;
        }
        match primary.rollout {
            Rollout::InProgress => {}
            Rollout::Completed => return self.say_steady(id),
            Rollout::Failed => return,
        }
        let bake = service.bake_time(self.timings.alarm_bake);
        let until = primary.bake_until.unwrap_or(self.now + bake);
        if self.now < until {
            self.timers.add(until, Timer::Schedule(id));
            if let Some(primary) =
                self.services.get_mut(&id).and_then(|service| service.deployments.first_mut())
            {
                primary.bake_until = Some(until);
            }
            return;
        }
        self.deployment_completed(id);
        self.say_steady(id);
    }

    fn say_steady(&mut self, id: ServiceId) {
        let Some(service) = self.services.get_mut(&id) else { return };
        if std::mem::replace(&mut service.steady, true) {
            return;
        }
        self.say(id, |service| format!("(service {}) has reached a steady state.", service.name));
        self.emit_service_action(id, "INFO", "SERVICE_STEADY_STATE", "");
    }

    fn drain_service(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let live: Vec<TaskId> = service.tasks.iter().copied().collect();
        let present =
            live.iter().filter_map(|id| self.tasks.get(id)).any(|task| !task.is_stopped());
        let reason = service.deployments.first().map_or_else(String::new, |primary| {
            format!("Scaling activity initiated by (deployment {})", primary.started_by())
        });
        for task in live {
            self.stop_task_for(task, StopCode::ServiceSchedulerInitiated, &reason);
        }
        if present {
            return;
        }
        if let Some(service) = self.services.get_mut(&id) {
            service.status = ServiceStatus::Inactive;
            service.deployments.clear();
            service.task_sets.clear();
        }
        self.after(self.timings.inactive_services_kept, Timer::ForgetService(id));
    }

    fn say_stopped(&mut self, id: ServiceId, tasks: &[TaskId]) {
        let (names, count) = (self.names_of(tasks), tasks.len());
        self.say(id, |service| {
            format!("(service {}) has stopped {count} running tasks:{names}.", service.name)
        });
        if let Some(service) = self.services.get_mut(&id) {
            service.steady = false;
        }
    }

    fn names_of(&self, tasks: &[TaskId]) -> String {
        tasks.iter().filter_map(|id| self.tasks.get(id)).fold(String::new(), |mut text, task| {
            // Writing to a String cannot fail.
            let _ = write!(text, " (task {})", task.hex);
            text
        })
    }
}

impl Service {
    /// Whether the rollout in flight has a bake time.
    fn bakes(&self) -> bool {
        let watched = self.configuration.alarms.is_some();
        self.deployments.first().is_some_and(|primary| {
            primary.rollout == Rollout::InProgress
                && ((watched && !primary.alarms_ignored) || !self.configuration.bake.is_zero())
        })
    }

    fn bake_time(&self, with_alarms: std::time::Duration) -> std::time::Duration {
        match (self.bakes(), self.configuration.bake.is_zero()) {
            (false, _) => std::time::Duration::ZERO,
            (true, false) => self.configuration.bake,
            (true, true) => with_alarms,
        }
    }
}

/// How many tasks a deployment should have; what it has if none are started from it any more.
fn goal(service: &Service, index: usize, deployment: &Deployment, crew: &Crew) -> u32 {
    if let Some(goal) = service.shift_goal(&deployment.revision, crew.good()) {
        return goal;
    }
    match (index, deployment.rollout) {
        (_, Rollout::Failed) => crew.good(),
        (0, _) => service.desired,
        _ if deployment.replaces() => deployment.desired,
        _ => crew.good(),
    }
}

/// How many tasks each deployment is to be given. What others lost is replaced first, from the revision that they belong to, and
/// what fails its checks there after what the PRIMARY lacks: tasks that never get healthy would keep it out for ever.
fn missing(service: &Service, census: &Census) -> Vec<u32> {
    let earlier = || (1..census.crews.len()).rev();
    let (lost, failing) = (earlier().map(|one| (one, false)), earlier().map(|one| (one, true)));
    let mut given = vec![0; census.crews.len()];
    for (index, is_beside_failing) in lost.chain([(0, true)]).chain(failing) {
        let crew = service.deployments.get(index).zip(census.crews.get(index));
        let Some((deployment, crew)) = crew else { continue };
        let all = given.iter().sum::<u32>();
        let Some(own) = given.get_mut(index) else { continue };
        let there = *own + if is_beside_failing { crew.good() } else { crew.live() };
        let need = goal(service, index, deployment, crew).saturating_sub(there);
        let taken = if census.is_shifting { *own } else { all };
        *own += need.min(census.room_of(crew).saturating_sub(taken));
    }
    given
}

/// At most `number` tasks: those that are not healthy first, of the healthy ones at most `spare`.
fn stoppable(crews: &[&Crew], number: u32, spare: u32) -> Vec<Seat> {
    let seats = || crews.iter().flat_map(|crew| crew.seats.iter().copied());
    let limit = usize::try_from(number).unwrap_or(usize::MAX);
    let spare = usize::try_from(spare).unwrap_or(usize::MAX);
    let idle = seats().filter(|seat| !seat.healthy && !seat.protected);
    let busy = seats().filter(|seat| seat.healthy && !seat.protected).take(spare);
    idle.chain(busy).take(limit).collect()
}

fn set_desired(deployment: &mut Deployment, desired: u32, now: jiff::Timestamp) {
    if deployment.desired != desired {
        deployment.desired = desired;
        deployment.updated_at = now;
    }
}
