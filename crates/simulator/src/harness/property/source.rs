//! S34: what is written tells truly which commit and which file it came from; never whether that commit may be trusted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Service, ServiceKey};

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::call::Write;
use super::memory::{COMMIT, OWNER};
use super::ordering::told;
use super::passes::Passes;

/// S34: the commit and the file that a write puts into tags are those of a manifest that was in force for the daemon in the
/// pass that the write is of, which may last for two minutes.
#[derive(Debug, Default)]
pub(super) struct DesiredSource {
    passes: Passes,
    in_force: BTreeMap<(Replica, ServiceKey), Vec<InForce>>,
    frozen: BTreeMap<Replica, At>,
}

/// Where what a daemon wants of a service comes from.
#[derive(Clone, Debug)]
struct InForce {
    since: At,
    /// `None` when no manifest names the service.
    source: Option<(Option<Arc<str>>, Arc<str>)>,
}

/// A pass may have begun so long before its first call about the service: many are looked at in one, and calls wait for
/// their turn.
const UNSEEN: Duration = Duration::from_secs(40);
/// Longer than a pass lasts, by the slowest of clocks.
const REMEMBERED: Duration = Duration::from_mins(5);

impl Property for DesiredSource {
    fn name(&self) -> &'static str {
        "S34 desired source"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Started(replica) => self.started(at, *replica),
            Event::Frozen { by, until } => {
                self.frozen.insert(*by, *until);
            }
            Event::Wanted { by, key, service } => self.wanted(at, *by, key, *service),
            _ => {}
        }
        self.passes.note(at, event);
        match event {
            Event::Sent(call) => self.sent(at, call),
            _ => Ok(()),
        }
    }
}

impl DesiredSource {
    /// What the life before was yet to hear of when it thawed, it never did.
    fn started(&mut self, at: At, replica: Replica) {
        self.frozen.remove(&replica);
        let own = self.in_force.iter_mut().filter(|((by, _), _)| *by == replica);
        own.for_each(|(_, all)| all.retain(|one| one.since <= at));
    }

    fn wanted(&mut self, at: At, by: Replica, key: &ServiceKey, service: Option<&Service>) {
        // Who is frozen hears of it later.
        let since = self.frozen.get(&by).map_or(at, |until| at.max(*until));
        let source = service
            .map(|service| (service.source.commit.clone(), Arc::clone(&service.source.file)));
        let all = self.in_force.entry((by, key.clone())).or_default();
        all.push(InForce { since, source });
        let old = all.iter().rposition(|one| one.since + REMEMBERED < at).unwrap_or_default();
        all.drain(..old);
    }

    fn sent(&self, at: At, call: &Sent) -> Result<(), String> {
        let Some(write) = Write::of(call) else { return Ok(()) };
        let sources = || self.sources(at, call);
        if let Some(commit) = write.tag(COMMIT)
            && !sources().any(|(known, _)| known.as_deref() == Some(commit))
        {
            return Err(format!("{} names {commit}, which is not in force", told(call)));
        }
        let file = |owner: &'_ str| owner.splitn(3, ':').nth(2).map(str::to_owned);
        match write.tag(OWNER).and_then(file) {
            Some(file) if !sources().any(|(_, known)| **known == *file) => {
                Err(format!("{} names {file}, which no manifest in force is in", told(call)))
            }
            _ => Ok(()),
        }
    }

    /// Those that were in force at some moment of the pass.
    fn sources(&self, at: At, call: &Sent) -> impl Iterator<Item = &(Option<Arc<str>>, Arc<str>)> {
        let all = call.about.clone().and_then(|key| self.in_force.get(&(call.by, key)));
        let all = all.map_or(&[][..], Vec::as_slice);
        let began = self.passes.of(call).map_or(at, |pass| pass.began);
        let began = began.checked_sub(UNSEEN).unwrap_or(began);
        let first = all.iter().rposition(|one| one.since < began).unwrap_or_default();
        let then = all.iter().skip(first).take_while(move |one| one.since <= at);
        then.filter_map(|one| one.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::super::course::{Course, FIRST, manifest, tagging};
    use super::*;

    fn committed(image: &str, commit: &str) -> Service {
        let mut service = manifest(image);
        service.source.commit = Some(Arc::from(commit));
        service
    }

    /// `a` brought revision 1, and `b` a minute later revision 2, in the midst of a pass.
    fn two_commits() -> Course<DesiredSource> {
        let mut course = Course::of(DesiredSource::default());
        course.wants(FIRST, Some(&committed("1", "a")));
        course.pause(60);
        course.looks(FIRST);
        course.wants(FIRST, Some(&committed("2", "b")));
        course
    }

    #[test]
    fn the_commit_in_force_and_the_one_of_a_pass_before_it_are_named() {
        let mut course = two_commits();
        course.pause(90);
        for commit in ["a", "b"] {
            let tags = [(COMMIT, commit), (OWNER, "v1:evenkeel:web.yaml")];
            course.writes("TagResource", tagging(&tags));
        }
        course.passes();
    }

    #[test]
    fn a_commit_of_long_ago_and_one_that_nobody_has_are_found() {
        for commit in ["a", "c"] {
            let mut course = two_commits();
            course.pause(60);
            course.pass("TagResource", tagging(&[(COMMIT, commit)]));
            course.breaks("which is not in force");
        }
    }

    #[test]
    fn a_frozen_daemon_may_name_what_it_knew() {
        let mut course = two_commits();
        let until = course.at + Duration::from_mins(5);
        course.tell(&Event::Frozen { by: FIRST, until });
        course.wants(FIRST, Some(&committed("3", "c")));
        course.pause(310);
        course.writes("TagResource", tagging(&[(COMMIT, "b")]));
        course.holds();
        course.pause(60);
        course.pass("TagResource", tagging(&[(COMMIT, "b")]));
        course.breaks("which is not in force");
    }

    #[test]
    fn one_that_starts_anew_while_it_is_frozen_knows_the_newest() {
        let mut course = two_commits();
        let until = course.at + Duration::from_mins(5);
        course.tell(&Event::Frozen { by: FIRST, until });
        let newest = committed("3", "c");
        course.wants(FIRST, Some(&newest));
        course.tell(&Event::Started(FIRST));
        course.wants(FIRST, Some(&newest));
        course.pause(60);
        course.writes("TagResource", tagging(&[(COMMIT, "c")]));
        course.passes();
    }

    #[test]
    fn another_file_is_found() {
        let mut course = two_commits();
        course.writes("TagResource", tagging(&[(OWNER, "v1:evenkeel:api.yaml")]));
        course.breaks("which no manifest in force is in");
    }
}
