//! What people command in a random course; never without taking back, in the end, what would hold a
//! service up for ever.

use evenkeel_planner::{Command, Gates};
use fastrand::Rng;

use super::fleet::Fleet;
use super::pick;
use crate::harness::{Request, Step};

/// One command about a service. Who looks after it says most of them, one after the other; now and then
/// somebody else speaks at the same time.
pub(super) fn order(rng: &mut Rng, name: &str) -> Step {
    let command = match rng.u8(..20) {
        0..2 => Command::Hold,
        2..5 => Command::Release,
        5..7 => Command::Pause,
        7..10 => Command::Resume,
        10..12 => Command::Promote(if rng.bool() { Gates::All } else { Gates::Now }),
        12..14 => Command::Abort,
        14..16 => Command::Undo { to: None },
        _ => Command::Retry,
    };
    let lasts = matches!(command, Command::Hold | Command::Pause);
    let who = if lasts { "ann" } else { *pick(rng, &["ann", "ann", "ann", "bob"]) };
    says(who, name, command)
}

/// Nothing is left on hold or paused.
pub(super) fn ending(fleet: &Fleet) -> Vec<Step> {
    let names = fleet.wishes.iter().map(|wish| &*wish.name);
    let frees =
        |name| [Command::Release, Command::Resume].map(|command| says("ann", name, command));
    names.flat_map(frees).collect()
}

fn says(who: &str, name: &str, command: Command) -> Step {
    let (who, why) = (format!("{who}-of-{name}"), "the soak".to_owned());
    Step::Ask(name.to_owned(), Request { command, who, why })
}
