//! When to look at a service again, by how the last pass over it ended; never waits itself.

use std::time::Duration;

use crate::{CloudError, LoopSettings, PassReport, Withheld};
use evenkeel_planner::{Lane, Outcome, Plan, Wait, WaitReason};

/// The longest time between two looks at a rollout that waits for a person, whose word may be a tag.
const HELD_LOOK_MAX: Duration = Duration::from_mins(1);

/// The shortest delay there is, so that no defect elsewhere can make a loop spin.
const DELAY_MIN: Duration = Duration::from_millis(50);

/// Delays from here on end at whole seconds.
const ROUNDED_FROM: Duration = Duration::from_secs(2);

/// How a pass ended, as far as the next one is concerned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PassEnd {
    /// Nothing to do and nothing to wait for.
    Settled,
    /// Nothing to do now.
    Waiting(LookAgain),
    /// All actions were carried out.
    Acted(LookAgain),
    /// The service was seen, but not enough of what belongs to it to go on.
    PartlySeen(LookAgain),
    Failed(CloudError),
    /// As `Failed`, of the call that was to begin a rollout: it is announced, and not in flight.
    NotBegun(CloudError),
    /// Nothing failed, but the plan could not be carried out to its end.
    Withheld(Withheld),
    Refused,
    Panicked,
    TimedOut,
}

/// What the plan said about the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LookAgain {
    pub(crate) after: Duration,
    pub(crate) rollout: Pace,
}

/// How a rollout goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    NoRollout,
    /// By what AWS does.
    Moves,
    /// By a person's word only.
    Held,
}

impl PassEnd {
    /// `is_stale` says that the look was older than the last write.
    pub(crate) fn of(report: &PassReport, is_stale: bool) -> Self {
        let is_unknown = |wait: &Wait| wait.reason == WaitReason::Unknown;
        let look_again = LookAgain {
            after: report.plan.look_again,
            rollout: match report.status.rollout {
                None => Pace::NoRollout,
                Some(_) if waits_for_a_person(&report.plan) => Pace::Held,
                Some(_) => Pace::Moves,
            },
        };
        if let Some(why) = report.withheld {
            return Self::Withheld(why);
        }
        match (&report.error, &report.outcome) {
            (Some(error), _) if failed_to_begin(report) => Self::NotBegun(error.clone()),
            (Some(error), _) => Self::Failed(error.clone()),
            (None, Outcome::Refused(_)) => Self::Refused,
            // What is planned and not done is planned again at the next turn.
            (None, Outcome::DryRun) if !report.plan.actions.is_empty() => Self::Settled,
            (None, _) if !report.applied.is_empty() => Self::Acted(look_again),
            (None, _) if report.plan.waiting.is_empty() => Self::Settled,
            (None, _) if !is_stale && report.plan.waiting.iter().any(is_unknown) => {
                Self::PartlySeen(look_again)
            }
            (None, _) => Self::Waiting(look_again),
        }
    }

    /// All words that [`Self::word`] can say.
    pub(crate) const WORDS: [&str; 18] = [
        "settled",
        "waiting",
        "acted",
        "partly_seen",
        "throttled",
        "transient",
        "unknown_outcome",
        "rejected",
        "denied",
        "quota",
        "conflict",
        "capability_missing",
        "refused",
        "panicked",
        "timed_out",
        "superseded",
        "look_expired",
        "lease_lost",
    ];

    /// One word for metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Waiting(_) => "waiting",
            Self::Acted(_) => "acted",
            Self::PartlySeen(_) => "partly_seen",
            Self::Failed(error) | Self::NotBegun(error) => error.class(),
            Self::Withheld(why) => why.word(),
            Self::Refused => "refused",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
        }
    }

    pub(crate) fn is_failure(&self) -> bool {
        match self {
            Self::Settled | Self::Waiting(_) | Self::Acted(_) | Self::Withheld(_) => false,
            Self::PartlySeen(_)
            | Self::Failed(_)
            | Self::NotBegun(_)
            | Self::Refused
            | Self::Panicked
            | Self::TimedOut => true,
        }
    }
}

/// Whether it was the call right after an announcement that failed.
fn failed_to_begin(report: &PassReport) -> bool {
    let done = report.applied.len();
    let failed = report.plan.actions.get(done).filter(|_| done > 0);
    failed.is_some_and(|action| action.lane == Lane::NewChange)
}

/// Whether nothing that AWS does by itself can be what the plan waits for.
fn waits_for_a_person(plan: &Plan) -> bool {
    let persons = |wait: &Wait| match wait.reason {
        WaitReason::Paused
        | WaitReason::Held
        | WaitReason::Rejected
        | WaitReason::Preflight
        | WaitReason::NotOwned
        | WaitReason::PruneHeld
        | WaitReason::Unsupported => true,
        WaitReason::Probe
        | WaitReason::Deployment
        | WaitReason::Gate
        | WaitReason::Person
        | WaitReason::Frozen
        | WaitReason::Rollback
        | WaitReason::Drift
        | WaitReason::ForeignDeployment
        | WaitReason::Capacity
        | WaitReason::Alarm
        | WaitReason::Draining
        | WaitReason::Pruning
        | WaitReason::CapabilityMissing
        | WaitReason::NotPermitted
        | WaitReason::Unverified
        | WaitReason::Unknown => false,
    };
    !plan.waiting.is_empty() && plan.waiting.iter().all(persons)
}

/// Everything that the next delay depends on besides how the pass ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    /// Failed passes in a row, this one included.
    pub(crate) failures: u32,
    /// Whether the last look that succeeded showed a rollout in flight.
    pub(crate) in_rollout: bool,
    /// Until the service's next turn in the sweep.
    pub(crate) resync_in: Duration,
    /// Since the loop began.
    pub(crate) now: Duration,
    /// Drawn evenly from 0 to 1.
    pub(crate) dice: f64,
    pub(crate) settings: &'a LoopSettings,
}

/// When to look again. The only place that knows.
pub(crate) fn next_delay(end: &PassEnd, circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    let delay = match end {
        PassEnd::Settled => circumstances.resync_in,
        PassEnd::Waiting(look_again) | PassEnd::Acted(look_again) => {
            look_again_in(*look_again, circumstances)
        }
        PassEnd::PartlySeen(look_again) => {
            let doubled = doubled(look_again.after, circumstances.failures);
            shortened(doubled.min(settings.back_off_max), circumstances)
        }
        PassEnd::Failed(error) if circumstances.in_rollout => in_rollout(error, circumstances),
        PassEnd::Failed(error) | PassEnd::NotBegun(error) => after_error(error, circumstances),
        PassEnd::TimedOut => soon_then_back_off(circumstances),
        PassEnd::Withheld(_) => settings.look_again_soon,
        PassEnd::Refused | PassEnd::Panicked => shortened(settings.back_off_person, circumstances),
    };
    delay.max(DELAY_MIN)
}

/// A look that is not wanted before the next sweep is left to the sweep, which shares its calls.
fn look_again_in(look_again: LookAgain, circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    let longest = match look_again.rollout {
        Pace::Moves => settings.look_again_max_in_rollout,
        Pace::Held => HELD_LOOK_MAX.max(settings.look_again_max_in_rollout),
        Pace::NoRollout if look_again.after >= settings.resync_every => {
            return circumstances.resync_in;
        }
        Pace::NoRollout => look_again.after,
    };
    shortened(look_again.after.min(longest), circumstances)
}

/// Each look may bring the verdict, whatever else a person must mend. Doubled, so that the call itself is not made again and
/// again.
fn in_rollout(error: &CloudError, circumstances: Circumstances<'_>) -> Duration {
    let delay = after_error(error, circumstances);
    if matches!(error, CloudError::Throttled { .. } | CloudError::Transient { .. }) {
        return delay;
    }
    let settings = circumstances.settings;
    let longest = doubled(settings.look_again_max_in_rollout, circumstances.failures);
    delay.min(shortened(longest.min(settings.back_off_max), circumstances))
}

fn after_error(error: &CloudError, circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    match error {
        CloudError::Throttled { retry_after, .. } => {
            back_off(circumstances).max(retry_after.unwrap_or_default())
        }
        CloudError::Transient { .. } => back_off(circumstances),
        // Nothing was refused: whoever hands them out did not answer.
        CloudError::Denied { .. } if error.is_for_want_of_credentials() => back_off(circumstances),
        CloudError::UnknownOutcome { .. } | CloudError::Conflict { .. } => {
            soon_then_back_off(circumstances)
        }
        CloudError::Denied { .. } | CloudError::Quota { .. } if circumstances.failures <= 1 => {
            shortened(settings.back_off_denied_first, circumstances)
        }
        CloudError::Denied { .. }
        | CloudError::Quota { .. }
        | CloudError::Rejected { .. }
        | CloudError::CapabilityMissing { .. } => {
            shortened(settings.back_off_person, circumstances)
        }
    }
}

/// The first time soon, because all that is needed is a look; after that it is a failure like any
/// other, or a black hole in the network would be asked twice a second.
fn soon_then_back_off(circumstances: Circumstances<'_>) -> Duration {
    let soon = circumstances.settings.look_again_soon;
    if circumstances.failures <= 1 { soon } else { back_off(circumstances).max(soon) }
}

/// Exponential, with full jitter.
fn back_off(circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    let ceiling =
        doubled(settings.back_off_first, circumstances.failures).min(settings.back_off_max);
    ceiling.mul_f64(circumstances.dice.clamp(0.0, 1.0))
}

/// Twice as long with every failure in a row after the first.
fn doubled(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
}

/// By jitter, and then to a whole second since the loop began: what comes due within one second comes due together, so that
/// its reads can be shared, and a look that takes some milliseconds more does not put off all that follow.
fn shortened(delay: Duration, circumstances: Circumstances<'_>) -> Duration {
    let jitter = circumstances.settings.jitter.clamp(0.0, 1.0);
    let shortened = delay.mul_f64(1.0 - jitter * circumstances.dice.clamp(0.0, 1.0));
    if jitter == 0.0 || delay < ROUNDED_FROM {
        return shortened;
    }
    let due = circumstances.now + shortened;
    Duration::from_secs(due.as_secs()).saturating_sub(circumstances.now)
}

#[cfg(test)]
mod tests {
    use evenkeel_planner::{Action, Call, RolloutPhase, RolloutStatus};

    use super::*;
    use crate::testing::key;

    /// A whole number of seconds: what is left of a second is told in a test of its own.
    const NOW: Duration = Duration::from_secs(1_000);
    const RESYNC_IN: Duration = Duration::from_secs(123);

    /// The delay in milliseconds after `failures` such ends in a row.
    fn delay(end: &PassEnd, failures: u32, dice: f64) -> u128 {
        delay_where(false, end, failures, dice)
    }

    /// As [`delay`], while a rollout is in flight.
    fn delay_in_rollout(end: &PassEnd, failures: u32, dice: f64) -> u128 {
        delay_where(true, end, failures, dice)
    }

    fn delay_where(in_rollout: bool, end: &PassEnd, failures: u32, dice: f64) -> u128 {
        let settings = LoopSettings::default();
        let circumstances = Circumstances {
            failures,
            in_rollout,
            resync_in: RESYNC_IN,
            now: NOW,
            dice,
            settings: &settings,
        };
        next_delay(end, circumstances).as_millis()
    }

    fn look_again(seconds: u64, rollout: Pace) -> LookAgain {
        LookAgain { after: Duration::from_secs(seconds), rollout }
    }

    fn throttled(retry_after: Option<Duration>) -> PassEnd {
        let (operation, message) = ("UpdateService".to_owned(), "slow down".to_owned());
        PassEnd::Failed(CloudError::Throttled { operation, message, retry_after })
    }

    fn failed(make: impl FnOnce(String, String, String) -> CloudError) -> PassEnd {
        PassEnd::Failed(make("UpdateService".to_owned(), "Code".to_owned(), "no".to_owned()))
    }

    #[test]
    fn a_settled_service_waits_for_its_turn_in_the_sweep() {
        assert_eq!(delay(&PassEnd::Settled, 0, 0.5), RESYNC_IN.as_millis());
    }

    #[test]
    fn a_waiting_service_is_looked_at_when_its_plan_says_so() {
        assert_eq!(delay(&PassEnd::Waiting(look_again(60, Pace::NoRollout)), 0, 0.0), 60_000);
        assert_eq!(delay(&PassEnd::Acted(look_again(60, Pace::NoRollout)), 0, 1.0), 54_000);
    }

    #[test]
    fn jitter_ends_at_a_whole_second_since_the_loop_began_and_a_short_delay_where_it_ends() {
        let settings = LoopSettings::default();
        let now = Duration::from_millis(10_060);
        let circumstances = Circumstances {
            failures: 0,
            in_rollout: false,
            resync_in: RESYNC_IN,
            now,
            dice: 0.5,
            settings: &settings,
        };
        let due = |seconds| {
            let end = PassEnd::Waiting(look_again(seconds, Pace::NoRollout));
            now + next_delay(&end, circumstances)
        };
        assert_eq!(due(60), Duration::from_secs(67), "57 s, and not the 60 ms");
        assert_eq!(due(2), Duration::from_secs(11), "1.9 s, and not the 960 ms");
        assert_eq!(due(1), Duration::from_millis(11_010), "0.95 s");
    }

    #[test]
    fn a_look_that_can_wait_for_the_sweep_is_left_to_it() {
        let end = PassEnd::Waiting(look_again(300, Pace::NoRollout));
        assert_eq!(delay(&end, 0, 0.5), RESYNC_IN.as_millis());
    }

    #[test]
    fn in_a_rollout_the_settings_bound_how_long_a_plan_may_look_away() {
        assert_eq!(delay(&PassEnd::Waiting(look_again(300, Pace::Moves)), 0, 0.0), 10_000);
        assert_eq!(delay(&PassEnd::Waiting(look_again(3, Pace::Moves)), 0, 0.0), 3_000);
    }

    #[test]
    fn a_rollout_that_waits_for_a_person_is_looked_at_once_a_minute() {
        assert_eq!(delay(&PassEnd::Waiting(look_again(300, Pace::Held)), 0, 0.0), 60_000);
        let waits =
            |reason: &WaitReason| Wait { reason: *reason, sentence: String::new(), until: None };
        let plan = |reasons: &[WaitReason]| Plan {
            actions: Vec::new(),
            waiting: reasons.iter().map(waits).collect(),
            verdict: None,
            look_again: Duration::from_mins(5),
        };
        assert!(waits_for_a_person(&plan(&[WaitReason::Held])));
        assert!(!waits_for_a_person(&plan(&[WaitReason::Held, WaitReason::Rollback])));
        assert!(!waits_for_a_person(&plan(&[])));
    }

    #[test]
    fn a_plan_that_wants_to_look_at_once_cannot_make_the_loop_spin() {
        assert_eq!(delay(&PassEnd::Waiting(look_again(0, Pace::Moves)), 0, 0.0), 50);
    }

    #[test]
    fn what_another_try_may_cure_backs_off_with_full_jitter_up_to_two_minutes() {
        let end = failed(|operation, _, message| CloudError::Transient { operation, message });
        let ceilings: Vec<u128> = (1..=9).map(|failures| delay(&end, failures, 1.0)).collect();
        let seconds = [1, 2, 4, 8, 16, 32, 64, 120, 120];
        assert_eq!(ceilings, seconds.map(|seconds| seconds * 1000));
        assert_eq!(delay(&end, 7, 0.25), 16_000);
        assert_eq!(delay(&end, u32::MAX, 1.0), 120_000);
    }

    #[test]
    fn a_service_of_which_parts_cannot_be_read_is_looked_at_less_and_less_often() {
        let end = PassEnd::PartlySeen(look_again(5, Pace::Moves));
        let seconds: Vec<u128> = (1..=7).map(|n| delay(&end, n, 0.0) / 1000).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 120, 120]);
    }

    #[test]
    fn throttling_waits_at_least_as_long_as_it_was_told_to() {
        assert_eq!(delay(&throttled(Some(Duration::from_secs(30))), 1, 0.5), 30_000);
        assert_eq!(delay(&throttled(Some(Duration::from_secs(30))), 8, 1.0), 120_000);
        assert_eq!(delay(&throttled(None), 1, 0.5), 500);
    }

    #[test]
    fn an_unknown_outcome_is_read_soon_and_then_backs_off() {
        let unknown =
            failed(|operation, _, message| CloudError::UnknownOutcome { operation, message });
        let conflict =
            failed(|operation, code, message| CloudError::Conflict { operation, code, message });
        for end in [unknown, conflict, PassEnd::TimedOut] {
            assert_eq!(delay(&end, 1, 1.0), 500, "{end:?}");
            assert_eq!(delay(&end, 4, 1.0), 8_000, "{end:?}");
            assert_eq!(delay(&end, 4, 0.0), 500, "{end:?}");
        }
    }

    #[test]
    fn what_needs_a_person_waits_long_and_a_denial_gets_one_early_chance() {
        let rejected =
            failed(|operation, code, message| CloudError::Rejected { operation, code, message });
        let missing = failed(|operation, _, _| CloudError::CapabilityMissing { operation });
        for end in [rejected, missing, PassEnd::Refused, PassEnd::Panicked] {
            assert_eq!(delay(&end, 1, 0.0), 300_000, "{end:?}");
        }
        let denied =
            failed(|operation, code, message| CloudError::Denied { operation, code, message });
        let quota =
            failed(|operation, code, message| CloudError::Quota { operation, code, message });
        for end in [denied, quota] {
            assert_eq!(delay(&end, 1, 0.0), 60_000, "{end:?}");
            assert_eq!(delay(&end, 2, 0.0), 300_000, "{end:?}");
        }
    }

    #[test]
    fn a_call_that_fails_in_a_rollout_does_not_keep_the_rollout_from_being_judged() {
        let rejected =
            failed(|operation, code, message| CloudError::Rejected { operation, code, message });
        let denied =
            failed(|operation, code, message| CloudError::Denied { operation, code, message });
        let quota =
            failed(|operation, code, message| CloudError::Quota { operation, code, message });
        let missing = failed(|operation, _, _| CloudError::CapabilityMissing { operation });
        for end in [rejected, denied, quota, missing] {
            let seconds = [1, 2, 3, 4, 5, 40].map(|n| delay_in_rollout(&end, n, 0.0) / 1000);
            assert_eq!(seconds, [10, 20, 40, 80, 120, 120], "{end:?}");
        }
        let unknown =
            failed(|operation, _, message| CloudError::UnknownOutcome { operation, message });
        let conflict =
            failed(|operation, code, message| CloudError::Conflict { operation, code, message });
        for end in [unknown, conflict] {
            assert_eq!(delay_in_rollout(&end, 1, 1.0), 500, "{end:?}");
            assert_eq!(delay_in_rollout(&end, 4, 1.0), 8_000, "{end:?}");
        }
    }

    #[test]
    fn an_api_that_is_throttled_or_down_is_not_asked_more_often_for_a_rollout() {
        let down = failed(|operation, _, message| CloudError::Transient { operation, message });
        for end in [down, throttled(None)] {
            assert_eq!(delay_in_rollout(&end, 8, 1.0), 120_000, "{end:?}");
        }
    }

    #[test]
    fn credentials_that_cannot_be_got_for_a_moment_are_asked_for_again_soon() {
        let code = || "NoCredentials".to_owned();
        let end =
            failed(|operation, _, message| CloudError::Denied { operation, code: code(), message });
        let seconds = [1, 2, 3, 9].map(|n| delay(&end, n, 1.0) / 1000);
        assert_eq!(seconds, [1, 2, 4, 120]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_aws_refuses_is_no_rollout_in_flight_though_it_was_announced() {
        let call = |lane| Action {
            call: Call::UpdateService { input: serde_json::json!({}) },
            lane,
            why: String::new(),
        };
        let error = CloudError::Rejected {
            operation: "UpdateService".to_owned(),
            code: "InvalidParameterException".to_owned(),
            message: "no".to_owned(),
        };
        let mut report = waited_for(&[]).await;
        report.error = Some(error.clone());
        report.applied = vec![evenkeel_planner::Applied::Done];
        report.plan.actions = vec![call(Lane::RolloutStep), call(Lane::NewChange)];
        let end = PassEnd::of(&report, false);
        assert_eq!(end, PassEnd::NotBegun(error.clone()));
        assert_eq!((end.word(), end.is_failure()), ("rejected", true));
        assert_eq!(delay_in_rollout(&end, 2, 0.0), 300_000);
        report.plan.actions = vec![call(Lane::RolloutStep), call(Lane::RolloutStep)];
        assert_eq!(PassEnd::of(&report, false), PassEnd::Failed(error));
    }

    /// A pass that did nothing and waits for this; a rollout is under way.
    async fn waited_for(reasons: &[WaitReason]) -> PassReport {
        let (cloud, key) = (crate::testing::ScriptedCloud::new(Duration::ZERO), key("web"));
        let mut report = crate::reconcile(&cloud, &key, None, "test", crate::Mode::DryRun).await;
        let wait =
            |reason: &WaitReason| Wait { reason: *reason, sentence: String::new(), until: None };
        report.plan.waiting = reasons.iter().map(wait).collect();
        report.plan.look_again = Duration::from_secs(7);
        report.status.rollout = Some(RolloutStatus {
            phase: RolloutPhase::Probing,
            digest: evenkeel_manifest::Digest::from_tag("v1:1"),
            deployment: None,
            since: None,
            task_definition: None,
            running_count: 0,
            desired_count: 1,
            healthy_count: None,
            shift: None,
        });
        report
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_ends_as_its_plan_says() {
        let held = waited_for(&[WaitReason::Held]).await;
        assert_eq!(PassEnd::of(&held, false), PassEnd::Waiting(look_again(7, Pace::Held)));
        let probing = waited_for(&[WaitReason::Probe]).await;
        assert_eq!(PassEnd::of(&probing, false), PassEnd::Waiting(look_again(7, Pace::Moves)));
        let mut quiet = waited_for(&[]).await;
        assert_eq!(PassEnd::of(&quiet, false), PassEnd::Settled);
        quiet.applied = vec![evenkeel_planner::Applied::Done];
        assert_eq!(PassEnd::of(&quiet, false), PassEnd::Acted(look_again(7, Pace::Moves)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_look_that_is_not_from_the_past_counts_as_partly_seen() {
        let blind = waited_for(&[WaitReason::Probe, WaitReason::Unknown]).await;
        assert_eq!(PassEnd::of(&blind, false), PassEnd::PartlySeen(look_again(7, Pace::Moves)));
        assert_eq!(PassEnd::of(&blind, true), PassEnd::Waiting(look_again(7, Pace::Moves)));
    }
}
