//! How long the inner workings of the region take; never what an API call sets.

use std::time::Duration;

/// Virtual durations, taken from captures of real accounts where there are any
/// (an UpdateService timeline of 2026-04-30 and a breaker lab of 2026-09-24, Fargate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// From the API call to the first look of the scheduler. Seen: tasks start 14 s after.
    pub schedule_after_call: Duration,
    /// From a change of a task to the next look of the scheduler.
    pub schedule_after_change: Duration,
    /// From the creation of a service deployment to its start, and between its states.
    pub service_deployment_step: Duration,
    /// PROVISIONING.
    pub provisioning: Duration,
    /// PENDING.
    pub pending: Duration,
    /// DEPROVISIONING.
    pub deprovisioning: Duration,
    /// The same for a task that is stopped before anything of it was started.
    pub deprovisioning_unstarted: Duration,
    /// How long a task without any health check runs before it counts as healthy.
    pub healthy_without_check: Duration,
    /// From the count reaching the threshold to the trip. Seen: 5 s and 44 s.
    pub breaker_delay: Duration,
    /// From an alarm turning red to the failure of the deployment.
    pub alarm_poll: Duration,
    /// Bake time with alarms when none was set ("less than 5 minutes").
    pub alarm_bake: Duration,
    /// Delay before another task starts after 1, 2, … starts in a row failed; the last one is
    /// kept. Seen: none after the first, about 4 minutes after the second; documented cap 27.
    pub start_back_off: Vec<Duration>,
    /// How long a task that does not answer SIGKILL takes to be given up.
    pub kill_grace: Duration,
    /// How long stopped tasks are described.
    pub stopped_tasks_kept: Duration,
    /// How long INACTIVE services are described.
    pub inactive_services_kept: Duration,
    /// From a change of weights to the end of the stage that made it.
    pub traffic_shift: Duration,
    /// How long the function of a hook takes to say that all is well.
    pub lambda_hook: Duration,
    /// From one step of a CodeDeploy deployment to the next, and from StopDeployment to the stop.
    pub code_deploy_step: Duration,
    /// How long CodeDeploy waits for the answer of a hook's function. Documented: one hour.
    pub code_deploy_hook: Duration,
    /// How long CodeDeploy waits for the replacement task set to be steady.
    pub code_deploy_install: Duration,
    /// How long a stage of a deployment that shifts traffic may take. Documented: 24 hours.
    pub stage_limit: Duration,
    /// From the end of a minute until what load balancers measured in it can be read. Undocumented.
    pub balancer_metrics: Duration,
    /// How long a placement that failed for lack of capacity waits.
    pub placement_retry: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            schedule_after_call: Duration::from_secs(12),
            schedule_after_change: Duration::from_secs(2),
            service_deployment_step: Duration::from_millis(1600),
            provisioning: Duration::from_secs(10),
            pending: Duration::from_secs(5),
            deprovisioning: Duration::from_secs(14),
            deprovisioning_unstarted: Duration::from_secs(2),
            healthy_without_check: Duration::from_secs(40),
            breaker_delay: Duration::from_secs(5),
            alarm_poll: Duration::from_secs(10),
            alarm_bake: Duration::from_mins(3),
            start_back_off: [0, 4, 8, 16, 27].map(Duration::from_mins).to_vec(),
            kill_grace: Duration::from_secs(5),
            stopped_tasks_kept: Duration::from_hours(1),
            inactive_services_kept: Duration::from_hours(1),
            traffic_shift: Duration::from_secs(5),
            lambda_hook: Duration::from_secs(3),
            code_deploy_step: Duration::from_millis(1600),
            code_deploy_hook: Duration::from_hours(1),
            code_deploy_install: Duration::from_hours(1),
            stage_limit: Duration::from_hours(24),
            balancer_metrics: Duration::from_secs(20),
            placement_retry: Duration::from_secs(30),
        }
    }
}
