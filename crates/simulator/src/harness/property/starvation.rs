//! L4: no service is forgotten, whatever happens to others; never how quickly it is served.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

use super::super::event::At;
use super::super::{Event, Property, Replica};

/// L4: while all is well and a daemon is awake, every service that its manifests name is looked at once in twice the time
/// that a settled one waits, ten minutes by default.
#[derive(Debug)]
pub(super) struct NoStarvation {
    most: Duration,
    /// When each was last looked at, or named for the first time.
    looked_at: BTreeMap<ServiceKey, At>,
    /// Since when each daemon is awake; in the future of one that is frozen.
    awake: BTreeMap<Replica, At>,
    calm: Calm,
    checked: Option<At>,
}

#[derive(Debug)]
enum Calm {
    /// There were no faults so far.
    Always,
    Never,
    Since(At),
}

/// All services are gone through no more often.
const CHECKED_EVERY: Duration = Duration::from_mins(1);

impl Property for NoStarvation {
    fn name(&self) -> &'static str {
        "L4 starvation"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Started(replica) => {
                self.awake.insert(*replica, at);
            }
            Event::Ended(replica) => {
                self.awake.remove(replica);
            }
            Event::Frozen { by, until } => {
                self.awake.insert(*by, *until);
            }
            Event::Calm(true) => self.calm = Calm::Since(at),
            Event::Calm(false) => self.calm = Calm::Never,
            Event::Wanted { key, service: Some(_), .. } => {
                self.looked_at.entry((*key).clone()).or_insert(at);
            }
            Event::Wanted { key, service: None, .. } => {
                self.looked_at.remove(*key);
            }
            Event::Sent(call) if !call.is_write() => {
                let key = call.about.as_ref();
                if let Some(looked_at) = key.and_then(|key| self.looked_at.get_mut(key)) {
                    *looked_at = at;
                }
            }
            _ => {}
        }
        if self.checked.is_none_or(|checked| checked + CHECKED_EVERY <= at) {
            self.checked = Some(at);
            return self.look_for_the_forgotten(at);
        }
        Ok(())
    }
}

impl NoStarvation {
    /// Where settled services are looked at so often.
    pub(super) fn at(resync_every: Duration) -> Self {
        let (looked_at, awake) = (BTreeMap::new(), BTreeMap::new());
        Self { most: resync_every * 2, looked_at, awake, calm: Calm::Always, checked: None }
    }

    fn look_for_the_forgotten(&self, at: At) -> Result<(), String> {
        let calm_since = match self.calm {
            Calm::Always => At::MIN,
            Calm::Never => return Ok(()),
            Calm::Since(since) => since,
        };
        let Some(awake_since) = self.awake.values().min() else { return Ok(()) };
        let since = calm_since.max(*awake_since);
        match self.looked_at.iter().find(|(_, looked_at)| since.max(**looked_at) + self.most < at) {
            Some((key, looked_at)) => Err(format!("nobody has looked at {key} since {looked_at}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::course::{Course, FIRST, SECOND};
    use super::*;

    fn every_five_minutes() -> NoStarvation {
        NoStarvation::at(Duration::from_mins(5))
    }

    fn waits(course: &mut Course<NoStarvation>, minutes: u64) {
        course.pause(minutes * 60);
        course.tell(&Event::Over);
    }

    #[test]
    fn a_service_that_is_looked_at_is_not_forgotten() {
        let mut course = Course::of(every_five_minutes());
        for _ in 0..5 {
            waits(&mut course, 9);
            course.looks(FIRST);
        }
        course.holds();
        waits(&mut course, 11);
        course.breaks("nobody has looked at");
    }

    #[test]
    fn nobody_looks_while_all_are_gone_or_frozen() {
        let mut course = Course::of(every_five_minutes());
        course.tell(&Event::Started(SECOND));
        course.tell(&Event::Ended(FIRST));
        let until = course.at + Duration::from_mins(20);
        course.tell(&Event::Frozen { by: SECOND, until });
        waits(&mut course, 29);
        course.holds();
        waits(&mut course, 2);
        course.breaks("nobody has looked at");
    }

    #[test]
    fn the_time_counts_from_when_all_is_well() {
        let mut course = Course::of(every_five_minutes());
        course.tell(&Event::Calm(false));
        waits(&mut course, 60);
        course.tell(&Event::Calm(true));
        waits(&mut course, 9);
        course.holds();
        waits(&mut course, 2);
        course.breaks("nobody has looked at");
    }

    #[test]
    fn what_no_manifest_names_is_nobody_s() {
        let mut course = Course::of(every_five_minutes());
        course.wants(FIRST, None);
        waits(&mut course, 60);
        course.passes();
    }
}
