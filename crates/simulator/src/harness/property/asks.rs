//! What people asked daemons for and may still be carried out; never what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Command;
use evenkeel_reconciler::NotFollowed;

use super::super::event::At;
use super::super::{Event, Replica, Sent};

/// The commands that each daemon has been given and may be carrying out.
#[derive(Debug, Default)]
pub(super) struct Asks {
    services: BTreeMap<ServiceKey, Vec<Ask>>,
}

#[derive(Debug)]
struct Ask {
    of: Replica,
    who: String,
    command: Command,
    /// Nobody waits for the answer since then.
    given_up: Option<At>,
}

/// A pass that has begun to carry one out ends by then, whoever waits.
const PASS_TIMEOUT: Duration = Duration::from_mins(2);

impl Asks {
    /// Whether somebody asked the daemon behind a call for such a thing.
    pub(super) fn for_call(&self, call: &Sent, is_it: impl Fn(&Command) -> bool) -> bool {
        let asks = call.about.as_ref().and_then(|key| self.services.get(key));
        asks.into_iter().flatten().any(|ask| ask.of == call.by && is_it(&ask.command))
    }

    pub(super) fn note(&mut self, at: At, event: &Event<'_>) {
        match event {
            Event::Asked { of, key, who, command } => {
                let asks = self.services.entry((*key).clone()).or_default();
                let (who, command) = ((*who).to_owned(), (*command).clone());
                asks.push(Ask { of: *of, who, command, given_up: None });
            }
            Event::Sent(call) if call.is_write() => {
                if let Some(asks) = call.about.as_ref().and_then(|key| self.services.get_mut(key)) {
                    asks.retain(|ask| ask.given_up.is_none_or(|since| since + PASS_TIMEOUT > at));
                }
            }
            Event::Heard { from, key, who, answer, .. } => {
                let Some(asks) = self.services.get_mut(*key) else { return };
                let is_it = |ask: &Ask| ask.of == *from && ask.who == *who;
                if matches!(answer, Err(NotFollowed::Unanswered)) {
                    let its = asks.iter_mut().filter(|ask| is_it(ask));
                    its.for_each(|ask| ask.given_up = ask.given_up.or(Some(at)));
                } else {
                    asks.retain(|ask| !is_it(ask) || ask.given_up.is_some());
                }
            }
            Event::Ended(replica) => {
                self.services.values_mut().for_each(|asks| asks.retain(|ask| ask.of != *replica));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Property;
    use super::super::course::{Course, FIRST, SECOND, key};
    use super::*;

    /// Finds every write that nobody asked for.
    #[derive(Default)]
    struct Asked(Asks);

    impl Property for Asked {
        fn name(&self) -> &'static str {
            "asked for"
        }

        fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
            self.0.note(at, event);
            let Event::Sent(call) = event else { return Ok(()) };
            let is_asked = self.0.for_call(call, |command| *command == Command::Hold);
            if is_asked { Ok(()) } else { Err("nobody asked".to_owned()) }
        }
    }

    fn asked() -> Course<Asked> {
        let mut course = Course::quiet(Asked::default());
        course.asks(&Command::Hold);
        course
    }

    fn gives_up(course: &mut Course<Asked>) {
        let (key, command) = (key(), Command::Hold);
        let (who, answer) = ("ann", Err(&NotFollowed::Unanswered));
        course.tell(&Event::Heard { from: FIRST, key: &key, who, command: &command, answer });
    }

    fn writes(course: &mut Course<Asked>, by: Replica) {
        let call = course.write(by, "TagResource", json!({}));
        course.sent(&call);
    }

    #[test]
    fn what_was_asked_for_may_be_done_until_it_is_answered() {
        let mut course = asked();
        writes(&mut course, FIRST);
        course.passes();
        let mut course = asked();
        writes(&mut course, SECOND);
        course.breaks("nobody asked");
        let mut course = asked();
        course.hears(&Command::Hold);
        writes(&mut course, FIRST);
        course.breaks("nobody asked");
        let mut course = asked();
        course.tell(&Event::Ended(FIRST));
        writes(&mut course, FIRST);
        course.breaks("nobody asked");
    }

    #[test]
    fn what_nobody_waits_for_any_longer_may_be_under_way_for_as_long_as_a_pass() {
        for (later, broken) in [(60, false), (121, true)] {
            let mut course = asked();
            gives_up(&mut course);
            course.pause(later);
            writes(&mut course, FIRST);
            if broken { course.breaks("nobody asked") } else { course.passes() }
        }
    }
}
