//! The course of a deployment in time: what each step does; never how it ends early.
//!
//! Source: reference page, sections 6.1 and 6.5.

use serde_json::{Value, json};

use super::deployments::{Deployment, Sides, Status, Work};
use super::ends::Cause;
use super::lifecycle::Step;
use crate::region::{ApiError, ServiceId, ServiceStatus, Share, State, Strategy, TaskSet, Timer};

impl State {
    /// The time of a step is over.
    pub(crate) fn code_deploy_due(&mut self, number: u64, entered: u64) {
        let Some(found) = self.code_deploy.deployments.get(&number) else { return };
        if !found.is_active() || found.entered != entered {
            return;
        }
        if let Some(does) = found.called {
            return self.code_deploy_answers(number, does);
        }
        match found.step {
            Step::Install => self.end_early(number, &Cause::Unsteady),
            Step::ReadyWait => self.end_early(number, &Cause::NotContinued),
            _ => self.leave_step(number),
        }
    }

    /// The scheduler has looked at a service: its replacement may be steady now.
    pub(crate) fn code_deploy_sees_tasks(&mut self, id: ServiceId) {
        let Some(number) = self.code_deploy_number(id) else { return };
        let Some(found) = self.code_deploy.deployments.get(&number) else { return };
        let green = found.sides.as_ref().and_then(|sides| sides.green);
        let set = green.and_then(|green| self.services.get(&id)?.task_set(green));
        if found.step == Step::Install && set.is_some_and(TaskSet::is_steady) {
            self.leave_step(number);
        }
    }

    /// An alarm that the deployment watches turned red, and may still be.
    pub(crate) fn code_deploy_polls_alarms(&mut self, number: u64) {
        let found = self.code_deploy.deployments.get(&number).filter(|one| one.is_active());
        if found.is_some_and(|one| self.is_alarmed(one)) {
            self.end_early(number, &Cause::Alarms);
        }
    }

    fn is_alarmed(&self, found: &Deployment) -> bool {
        !self.cloudwatch.red(&found.plan.alarms).is_empty()
    }

    pub(super) fn leave_step(&mut self, number: u64) {
        let Some(found) = self.code_deploy.deployments.get(&number) else { return };
        let (step, next) = (found.step, found.next());
        if self.is_alarmed(found) {
            return self.end_early(number, &Cause::Alarms);
        }
        let Some(service) = self.deployed_service(number) else {
            return self.end_early(number, &Cause::NoService);
        };
        let green = found.sides.as_ref().and_then(|sides| sides.green);
        if let (Step::AfterAllowTraffic, Some(green)) = (step, green) {
            self.promote_task_set(service, green);
        }
        self.enter_step(number, service, next);
    }

    /// The service of a deployment, if CodeDeploy still has a say in it.
    fn deployed_service(&self, number: u64) -> Option<ServiceId> {
        let id = self.service_of_deployment(number)?;
        let service = self.services.get(&id)?;
        let is_ours =
            service.status == ServiceStatus::Active && service.controller == "CODE_DEPLOY";
        is_ours.then_some(id)
    }

    fn enter_step(&mut self, number: u64, service: ServiceId, step: Step) {
        let now = self.now;
        let Some(found) = self.code_deploy.deployments.get_mut(&number) else { return };
        found.note_step(step, now);
        found.started_at.get_or_insert(now);
        found.status = match step {
            Step::ReadyWait => Status::Ready,
            Step::Ended => Status::Succeeded,
            _ => Status::InProgress,
        };
        if step == Step::Ended {
            found.completed_at = Some(now);
            return;
        }
        if let Err(cause) = self.work_on(number, service, step) {
            return self.end_early(number, &cause);
        }
        self.code_deploy.call_function(number);
        let Some(found) = self.code_deploy.deployments.get(&number) else { return };
        self.after(self.time_of(found), Timer::CodeDeploy(number, found.entered));
    }

    /// How long the step in which it is takes, at most.
    fn time_of(&self, found: &Deployment) -> std::time::Duration {
        let timings = &self.timings;
        if let Some(does) = found.called {
            return self.time_of_call(does);
        }
        match (found.step, &found.work) {
            (Step::Install, _) => timings.code_deploy_install,
            (Step::AllowTraffic, Work::Deploy(_)) => {
                timings.traffic_shift.max(found.strategy.bake(found.share))
            }
            (Step::AllowTestTraffic | Step::AllowTraffic, _) => timings.traffic_shift,
            (Step::ReadyWait, _) => found.plan.ready.unwrap_or_default(),
            (Step::TerminationWait, _) => found.plan.termination_wait,
            _ => timings.code_deploy_step,
        }
    }

    fn work_on(&mut self, number: u64, service: ServiceId, step: Step) -> Result<(), Cause> {
        let Some(found) = self.code_deploy.deployments.get(&number) else { return Ok(()) };
        match (step, &found.work) {
            (Step::Install, Work::Deploy(_)) => return self.install(number, service),
            (Step::AllowTestTraffic, _) => self.route_test(number, true),
            (Step::AllowTraffic, Work::Deploy(_)) => {
                let share = found.strategy.next(found.share);
                self.route_production(number, share);
            }
            (Step::AllowTraffic, Work::Reroute) => self.take_back(number, service),
            (Step::Terminate, _) => self.terminate(number, service),
            _ => {}
        }
        Ok(())
    }

    /// Makes the replacement in the target group that the PRIMARY task set is not in. Production rules know
    /// that group from now on, with weight 0, or its targets would never be checked.
    fn install(&mut self, number: u64, service: ServiceId) -> Result<(), Cause> {
        let sides = self.sides(number, service)?;
        let (blue, group) = (sides.blue, sides.green_group.clone());
        let Some(found) = self.code_deploy.deployments.get_mut(&number) else { return Ok(()) };
        let Work::Deploy(spec) = &found.work else { return Ok(()) };
        let (mut change, id) = (spec.change.clone(), found.id.clone());
        found.sides = Some(sides);
        self.route_production(number, Share::NONE);
        // What an earlier deployment left behind; how CodeDeploy gets rid of it is not documented.
        let left = self.services.get(&service).into_iter().flat_map(|one| &one.task_sets);
        let left: Vec<u64> = left.map(|set| set.deployment.id).filter(|id| *id != blue).collect();
        for set in left {
            self.drain_task_set(service, set);
        }
        let balancer = change.get_mut("loadBalancers").and_then(|all| all.get_mut(0));
        if let Some(balancer) = balancer.and_then(Value::as_object_mut) {
            balancer.insert("targetGroupArn".to_owned(), json!(group));
        }
        let green = self.replace_task_set(service, &id, &change).map_err(Cause::Refused)?;
        let found = self.code_deploy.deployments.get_mut(&number);
        if let Some(sides) = found.and_then(|found| found.sides.as_mut()) {
            sides.green = Some(green);
        }
        Ok(())
    }

    /// What a deployment finds when it looks at its service and its load balancer.
    fn sides(&self, number: u64, service: ServiceId) -> Result<Sides, Cause> {
        let found = self.code_deploy.deployments.get(&number).ok_or(Cause::NoService)?;
        let primary = self.services.get(&service).and_then(|one| one.primary_task_set());
        let primary = primary.ok_or(Cause::NoService)?;
        let revision = &primary.deployment.revision;
        let groups = found.plan.groups.iter().map(|name| {
            let arn = self.elb.group_named(name).map(str::to_owned);
            arn.ok_or_else(|| Cause::Balancer(format!("Target group {name} was not found")))
        });
        let groups = groups.collect::<Result<Vec<String>, Cause>>()?;
        let used = revision.load_balancers.first().map(|one| one.target_group.as_str());
        let blue = groups.iter().find(|group| Some(group.as_str()) == used);
        let green = groups.iter().find(|group| Some(group.as_str()) != used);
        let (Some(blue), Some(green)) = (blue, green) else {
            return Err(Cause::Balancer(
                "Primary taskset target group is not one of the deployment group's".to_owned(),
            ));
        };
        let production = &found.plan.production;
        let production_rules = self.elb.rules_to(production, &[blue]);
        if production_rules.is_empty() {
            return Err(Cause::Balancer(format!(
                "Primary taskset target group must be behind listener {production}"
            )));
        }
        let test = found.plan.test.as_ref();
        let test_rules = test.map(|test| self.elb.rules_to(test, &[blue, green]));
        Ok(Sides {
            blue: primary.deployment.id,
            replaced: std::sync::Arc::clone(revision),
            green: None,
            blue_group: blue.clone(),
            green_group: green.clone(),
            production_rules,
            test_rules: test_rules.unwrap_or_default(),
        })
    }

    /// All at once ends with one target group; everything else is a matter of weights.
    fn route_production(&mut self, number: u64, share: Share) {
        let Some(found) = self.code_deploy.deployments.get_mut(&number) else { return };
        found.share = share;
        let Some(sides) = found.sides.clone() else { return };
        let is_whole = found.strategy == Strategy::BlueGreen && share == Share::ALL;
        let (old, new) = share.weights();
        let weights = if is_whole {
            vec![(sides.green_group, 1)]
        } else {
            vec![(sides.blue_group, old), (sides.green_group, new)]
        };
        for rule in &sides.production_rules {
            self.set_weights(rule, &weights);
        }
    }

    fn route_test(&mut self, number: u64, to_green: bool) {
        let found = self.code_deploy.deployments.get(&number);
        let Some(sides) = found.and_then(|one| one.sides.clone()) else { return };
        let group = if to_green { sides.green_group } else { sides.blue_group };
        for rule in &sides.test_rules {
            self.set_weights(rule, &[(group.clone(), 1)]);
        }
    }

    /// All traffic goes back at once, and what had it is PRIMARY again.
    fn take_back(&mut self, number: u64, service: ServiceId) {
        self.route_production(number, Share::NONE);
        self.route_test(number, false);
        let found = self.code_deploy.deployments.get(&number);
        if let Some(blue) = found.and_then(|one| one.sides.as_ref()).map(|sides| sides.blue) {
            self.promote_task_set(service, blue);
        }
    }

    /// Deletes the task set that has no traffic any more.
    fn terminate(&mut self, number: u64, service: ServiceId) {
        let Some(found) = self.code_deploy.deployments.get(&number) else { return };
        let Some(sides) = &found.sides else { return };
        let leaving = if found.is_reroute() { sides.green } else { Some(sides.blue) };
        if let Some(leaving) = leaving {
            self.drain_task_set(service, leaving);
        }
    }
}

/// ECS's answer, as CodeDeploy tells of it.
pub(super) fn unexpected(error: &ApiError) -> String {
    format!(
        "The ECS service cannot be updated due to an unexpected error: {} (Service: AmazonECS; Status \
         Code: {}; Error Code: {})",
        error.message, error.status, error.code
    )
}
