//! Plans that the guard refuses: it shares no code with the planner and sees the same, so one of the two is wrong; never which.

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Status;

use super::super::Violation;
use super::super::event::Replica;
use super::Course;

const NAME: &str = "no plan is refused";

impl Course {
    /// A pass begins: what came of the one before is told.
    pub(super) fn tell_refused(&mut self, by: Replica, about: &ServiceKey) {
        let status = self.seats.get(&by).and_then(|seat| seat.board.get(about));
        let Some(message) = status.as_deref().and_then(refusal) else { return };
        let (at, what) = (self.simulation.now(), format!("{about}: {message}"));
        self.violation.get_or_insert(Violation { property: NAME, at, what });
        self.over.notify_one();
    }
}

fn refusal(status: &Status) -> Option<&str> {
    let refused = status.conditions.iter().find(|one| one.reason == "PlanRefused");
    refused.map(|one| one.message.as_str())
}

#[cfg(test)]
mod tests {
    use evenkeel_planner::{Depth, DriftMemory, Input, Observed, Outcome, plan, status};
    use jiff::Timestamp;

    use super::super::super::{Keeps, Perturbation, Weather};
    use super::*;
    use crate::Simulation;

    fn after(outcome: &Outcome) -> Option<Violation> {
        let weather = Weather::new(Perturbation::Nothing);
        let mut course = Course::new(Simulation::new(1), weather, Vec::new(), Keeps::Count);
        let key = ServiceKey::new("main", "web");
        let observed = Observed::unasked(Timestamp::UNIX_EPOCH, Depth::Deep);
        let input = Input {
            key: &key,
            desired: None,
            observed: &observed,
            now: observed.at,
            instance: "evenkeel",
            drift: &DriftMemory::default(),
        };
        let seat = course.seats.entry(Replica(0)).or_default();
        seat.board.publish(status(&input, &plan(&input), outcome));
        course.begin_pass(Replica(0), &key);
        course.violation
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_that_was_refused_is_a_violation_and_a_call_that_failed_is_none() {
        let refused = after(&Outcome::Refused(vec!["it scales to zero".to_owned()]));
        let told = refused.map(|one| one.to_string()).unwrap_or_default();
        assert!(told.contains(NAME) && told.contains("it scales to zero"), "{told}");
        let failed = Outcome::Failed { class: "denied", message: "no".to_owned() };
        assert_eq!(after(&failed), None);
    }
}
