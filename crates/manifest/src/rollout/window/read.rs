//! `spec.rollout.windows` from its nodes; never gives meaning to a text itself.

use super::{Origin, Window, WindowText};
use crate::envelope::known_members;
use crate::node::{Cursor, Kind};
use crate::problem::Report;

/// More than anybody's calendar needs, and few enough to ask each at every look.
const MOST: usize = 20;

pub(in crate::rollout) fn windows(at: &Cursor<'_>, report: &mut Report) -> Vec<Window> {
    if !matches!(at.node.kind, Kind::List(_)) {
        let found = at.node.kind.noun();
        report.error(at, format!("expected a list of windows, found {found}"));
    }
    let all: Vec<_> = at.elements().collect();
    if all.len() > MOST {
        report.error(at, format!("expected at most {MOST} windows, found {}", all.len()));
    }
    all.iter().take(MOST).filter_map(|one| window(one, report)).collect()
}

fn window(at: &Cursor<'_>, report: &mut Report) -> Option<Window> {
    known_members(at, &Window::MEMBERS, |_| false, report);
    if !matches!(at.node.kind, Kind::Mapping(_)) {
        return None;
    }
    let mut text = |name: &str| {
        let member = at.member(name)?;
        if member.text().is_none() {
            let found = member.node.kind.noun();
            report.error(&member, format!("expected a string, found {found}: put it in quotes"));
        }
        // What is there and no string was reported, and is not missing.
        Some(member.text())
    };
    let [allow, deny, duration, time_zone, in_flight, reason] = Window::MEMBERS.map(&mut text);
    let is_mistyped = [allow, deny, duration, time_zone, in_flight, reason].contains(&Some(None));
    let owned = |text: Option<Option<&str>>| text.flatten().map(str::to_owned);
    let text = WindowText {
        allow: owned(allow),
        deny: owned(deny),
        duration: owned(duration),
        time_zone: owned(time_zone),
        in_flight: owned(in_flight),
        reason: owned(reason),
    };
    let faults = match Window::read(&text, Origin::Manifest) {
        Ok(window) => return Some(window),
        Err(faults) => faults,
    };
    for (name, fault) in faults {
        match name.map(|name| (name, at.member(name))) {
            Some((_, Some(member))) if member.text().is_some() => report.error(&member, fault),
            None if !is_mistyped => report.error(at, fault),
            Some((name, None)) => report.error(at, format!("`{name}`: {fault}")),
            Some((_, Some(_))) | None => {}
        }
    }
    None
}
