//! The numbers that the loop works with; never reads a configuration.

use std::time::Duration;

use crate::{Mode, PruneSettings};

/// Every number of the control loop. All durations are in real time.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopSettings {
    /// The name of this daemon, written into the owner tag. Default: `evenkeel`.
    pub instance: String,
    /// Whether passes may change anything. Default: they may.
    pub mode: Mode,
    /// The most passes at the same time, at least 1. Default: 32, three full DescribeServices
    /// calls of ten and a little.
    pub passes_max: usize,
    /// How many of those places are kept for urgent services: with a rollout in flight, asked for
    /// by a person, or changed together with few others. So a change of thousands, whose passes
    /// wait for tokens of a throttled API, holds up no rollback. At most half. Where urgent ones
    /// take all other places, one start in [`crate::ORDINARY_EVERY`] is left to the others, until
    /// they have that part of all places. Default: 8.
    pub passes_kept_for_urgent: usize,
    /// How often a settled service is looked at. Default: 5 minutes, which costs 0.02 calls a
    /// service and minute.
    pub resync_every: Duration,
    /// The longest time between two looks while a rollout is in flight, whatever the plan says; it doubles
    /// with every pass in a row that fails, up to `back_off_max`. Default: 10 seconds.
    pub look_again_max_in_rollout: Duration,
    /// By which fraction of itself a delay may be shortened, so that services do not move in
    /// step; 0 to 1. Default: 0.1.
    pub jitter: f64,
    /// Over which time the first passes after a change of manifests are spread, ten services
    /// together. Default: 200 milliseconds.
    pub change_spread: Duration,
    /// After which a pass is cancelled and counts as an unknown outcome. Default: 2 minutes,
    /// above the longest wait for a token of a throttled API at normal load.
    pub pass_timeout: Duration,
    /// How old the look behind a plan may be when a call of the plan is sent, counted from the
    /// beginning of the look. An older plan is dropped and the service looked at again. Default:
    /// 30 seconds, above a deep look and the wait for a token at normal load.
    pub look_age_max: Duration,
    /// The first delay after a failure that another try may cure; it doubles with every further
    /// one and is drawn between zero and that ("full jitter"). Default: 1 second.
    pub back_off_first: Duration,
    /// Where doubling ends. Default: 2 minutes.
    pub back_off_max: Duration,
    /// The delay after a failure that waits for a person: rejected, refused, panicked, and denied
    /// for the second time. In a rollout as above. Default: 5 minutes.
    pub back_off_person: Duration,
    /// The delay after the first denial; permissions take seconds to reach everywhere.
    /// Default: 1 minute.
    pub back_off_denied_first: Duration,
    /// The delay after an unknown outcome or a conflict: the next pass reads before it does
    /// anything. Default: 500 milliseconds.
    pub look_again_soon: Duration,
    /// Which services go when no manifest names them any more. Default: `None`, so that none does.
    pub prune: Option<PruneSettings>,
    /// From which jitter is drawn; `None` takes one from the operating system. A simulation sets
    /// it. Default: `None`.
    pub seed: Option<u64>,
}

impl Default for LoopSettings {
    fn default() -> Self {
        Self {
            instance: "evenkeel".to_owned(),
            mode: Mode::Apply,
            passes_max: 32,
            passes_kept_for_urgent: 8,
            resync_every: Duration::from_mins(5),
            look_again_max_in_rollout: Duration::from_secs(10),
            jitter: 0.1,
            change_spread: Duration::from_millis(200),
            pass_timeout: Duration::from_mins(2),
            look_age_max: Duration::from_secs(30),
            back_off_first: Duration::from_secs(1),
            back_off_max: Duration::from_mins(2),
            back_off_person: Duration::from_mins(5),
            back_off_denied_first: Duration::from_mins(1),
            look_again_soon: Duration::from_millis(500),
            prune: None,
            seed: None,
        }
    }
}
