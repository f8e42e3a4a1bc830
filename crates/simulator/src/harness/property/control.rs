//! S32 and S36: people stop everything with one word, and secrets are told to nobody.

use evenkeel_planner::Command;

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::asks::Asks;
use super::call::{self, Write};
use super::memory::{HOLD, PAUSE};
use super::ordering::told;
use super::origins::Origins;
use super::passes::Passes;
use super::pruning;

pub(super) const PAUSE_NAME: &str = "S32 pause";

/// S32: nothing is written to a service that is paused, held, or no longer named by a manifest, but for
/// the words about that themselves: what a person asks to be held, paused, or set free of either. A hold
/// is seen by the next look, the others by the next call.
#[derive(Debug, Default)]
pub(super) struct Pause {
    origins: Origins,
    passes: Passes,
    asks: Asks,
    /// Whether services may go that no manifest names.
    is_pruned: bool,
}

impl Property for Pause {
    fn name(&self) -> &'static str {
        PAUSE_NAME
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.asks.note(at, event);
        let said = match event {
            Event::Sent(call) if Write::of(call).is_some() => self.sent(call),
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl Pause {
    /// Where services may go that no manifest names.
    pub(super) fn where_pruned() -> Self {
        Self { is_pruned: true, ..Self::default() }
    }

    fn sent(&self, call: &Sent) -> Result<(), String> {
        let wishes = self.origins.wishes_of(call);
        if wishes.is_empty() && !self.is_pruned {
            return Err(format!("{} although no manifest names the service", told(call)));
        }
        if self.is_a_word_about_it(call) {
            return Ok(());
        }
        if wishes.is_empty() && !is_a_step_out(call) {
            return Err(format!("{} although no manifest names the service", told(call)));
        }
        if !wishes.is_empty() && wishes.iter().all(|wish| wish.paused) {
            return Err(format!("{} although the manifest is paused", told(call)));
        }
        let shown = self.passes.shown(call).filter(|shown| !shown.is_gone);
        if shown.is_some_and(|shown| shown.tags.contains_key(HOLD)) {
            return Err(format!("{} although the service is on hold", told(call)));
        }
        Ok(())
    }

    /// One tag and no other, as somebody has just asked for.
    fn is_a_word_about_it(&self, call: &Sent) -> bool {
        let asked = |command: Command| self.asks.for_call(call, |one| *one == command);
        match Write::of(call) {
            Some(Write::Tag(input)) => {
                let mut keys = call::tags(input).map(|(key, _)| key);
                match (keys.next(), keys.next()) {
                    (Some(HOLD), None) => asked(Command::Hold),
                    (Some(PAUSE), None) => asked(Command::Pause),
                    _ => false,
                }
            }
            Some(Write::Untag(input)) => match call::untagged(input).as_slice() {
                [HOLD] => asked(Command::Release),
                [PAUSE] => asked(Command::Resume),
                _ => false,
            },
            _ => false,
        }
    }
}

/// A tombstone, a scale-in or a delete.
fn is_a_step_out(call: &Sent) -> bool {
    match Write::of(call) {
        Some(Write::Tag(input)) => call::tags(input).all(|(key, _)| key == pruning::TOMBSTONE),
        Some(write @ Write::Update(_)) => write.count() == Some(0),
        Some(Write::Delete) => true,
        _ => false,
    }
}

/// What every planted secret begins with.
pub(super) const SECRET: &str = "SECRET-";

/// S36: no planted secret appears in what is said about a call, or in a tag. (All other output is the
/// harness's to search.)
#[derive(Debug, Default)]
pub(super) struct Secrets;

impl Property for Secrets {
    fn name(&self) -> &'static str {
        "S36 secrets"
    }

    fn check(&mut self, _: At, event: &Event<'_>) -> Result<(), String> {
        let Event::Sent(call) = event else { return Ok(()) };
        let Some((_, why)) = &call.action else { return Ok(()) };
        if why.contains(SECRET) {
            return Err(format!("why call {} is made holds a secret", call.number));
        }
        let is_tag = call.operation == "TagResource";
        if is_tag && call.input.to_string().contains(SECRET) {
            return Err(format!("a tag that call {} sets holds a secret", call.number));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_planner::Lane;
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, SECOND, manifest, manifest_with, tagging, untagging, update,
    };
    use super::*;

    fn count() -> serde_json::Value {
        update(&json!({"desiredCount": 4}))
    }

    fn paused() -> evenkeel_manifest::Service {
        manifest_with("1", "    desiredCount: 4\n", "  paused: true\n")
    }

    #[test]
    fn another_daemon_may_hear_of_the_pause_later_and_a_pause_ends() {
        let mut course = Course::of(Pause::default());
        course.tell(&Event::Started(SECOND));
        course.wants(SECOND, Some(&manifest("1")));
        course.wants(FIRST, Some(&paused()));
        course.pause(1);
        course.looks(SECOND);
        let call = course.write(SECOND, "UpdateService", count());
        course.sent(&call);
        course.wants(FIRST, Some(&manifest("1")));
        course.pause(1);
        course.pass("UpdateService", count());
        course.passes();
    }

    #[test]
    fn nothing_is_written_after_a_pause_not_even_a_rollback_of_a_pass_in_its_midst() {
        let mut course = Course::of(Pause::default());
        course.looks(FIRST);
        course.wants(FIRST, Some(&paused()));
        course.pause(1);
        course.returns("UpdateService", update(&json!({"taskDefinition": "web:1"})));
        course.breaks("paused");
    }

    #[test]
    fn a_service_that_no_manifest_names_is_left_alone() {
        let mut course = Course::of(Pause::default());
        course.wants(FIRST, None);
        course.pause(1);
        course.pass("UpdateService", count());
        course.breaks("no manifest names");
        let mut course = Course::of(Pause::default());
        course.tell(&Event::Ended(FIRST));
        course.tell(&Event::Started(FIRST));
        course.pause(1);
        course.pass("UpdateService", count());
        course.breaks("no manifest names");
    }

    #[test]
    fn a_hold_that_was_shown_is_kept_and_one_that_nobody_was_shown_cannot_be() {
        let mut course = Course::of(Pause::default());
        course.looks(FIRST);
        course.tags(HOLD, "on");
        course.writes("UpdateService", count());
        course.looks(FIRST);
        course.writes("UntagResource", untagging(HOLD));
        course.breaks("on hold");
    }

    #[test]
    fn a_hold_that_was_not_shown_is_no_fault() {
        let mut course = Course::of(Pause::default());
        course.looks(FIRST);
        course.tags(HOLD, "on");
        course.writes("UpdateService", count());
        course.passes();
    }

    #[test]
    fn on_hold_only_the_words_that_people_ask_for_are_written() {
        let said = |course: &mut Course<Pause>, key: &str| {
            course.looks(FIRST);
            course.writes("UntagResource", untagging(key));
        };
        let held = || {
            let mut course = Course::of(Pause::default());
            course.tags(HOLD, "on");
            course.tags(PAUSE, "on");
            course
        };
        let mut course = held();
        course.asks(&Command::Resume);
        said(&mut course, PAUSE);
        course.hears(&Command::Resume);
        course.asks(&Command::Release);
        said(&mut course, HOLD);
        course.passes();
        let mut course = held();
        course.asks(&Command::Release);
        said(&mut course, PAUSE);
        course.breaks("on hold");
        let mut course = held();
        course.asks(&Command::Release);
        course.hears(&Command::Release);
        said(&mut course, HOLD);
        course.breaks("on hold");
        let mut course = held();
        course.asks(&Command::Release);
        course.pass("UpdateService", count());
        course.breaks("on hold");
    }

    #[test]
    fn secrets_may_be_registered_and_are_told_nowhere_else() {
        let registered = json!({"family": "web", "environment": [{"value": "SECRET-1"}]});
        let mut course = Course::of(Secrets);
        course.pass("RegisterTaskDefinition", registered);
        course.passes();
        let mut course = Course::of(Secrets);
        course.pass("TagResource", tagging(&[("team", "SECRET-1")]));
        course.breaks("a tag");
        let mut course = Course::of(Secrets);
        let why = "sets KEY from SECRET-1 to SECRET-2".to_owned();
        let call = course.call(FIRST, "UpdateService", count());
        course.sent(&Sent { action: Some((Lane::NewChange, why)), ..call });
        course.breaks("holds a secret");
    }
}
