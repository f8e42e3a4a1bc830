//! Windows of time in which rollouts may start, or may not; never reads a clock.

pub(super) mod read;

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::schedule::{Fault, time_zone};
use crate::{Schedule, spelling};

/// A window: when it opens, for how long, and what it means for rollouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "WrittenWindow")]
pub struct Window {
    pub rule: Rule,
    pub opens: Schedule,
    /// By a clock that nobody puts forward or back.
    pub duration: Duration,
    pub in_flight: InFlight,
    /// For people; may be empty.
    pub reason: String,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Rollouts start only while such a window is open.
    Allow,
    /// No rollout starts while it is open.
    Deny,
}

/// What becomes of a rollout that was begun before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum InFlight {
    /// It goes on: traffic that is moved by half is no place to stay.
    #[default]
    Continue,
    /// It goes no further than its next gate or its probe.
    Pause,
}

/// Whose window it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Manifest,
    /// The configuration of the daemon.
    Configuration,
}

/// A window as it is written down, its types seen to and no meaning checked.
#[derive(Clone, Debug, Default)]
pub struct WindowText {
    pub allow: Option<String>,
    pub deny: Option<String>,
    pub duration: Option<String>,
    pub time_zone: Option<String>,
    pub in_flight: Option<String>,
    pub reason: Option<String>,
}

/// What is wrong with a window: the member, or nothing where it is about several, and what was expected.
pub type WindowFault = (Option<&'static str>, String);

impl Window {
    pub const MEMBERS: [&str; 6] = ["allow", "deny", "duration", "timeZone", "inFlight", "reason"];
    const SHORTEST: Duration = Duration::from_mins(1);
    const LONGEST: Duration = Duration::from_hours(31 * 24);
    const REASON_MAX: usize = 200;

    /// Gives meaning to what was written.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn read(text: &WindowText, origin: Origin) -> Result<Self, Vec<WindowFault>> {
        let mut faults = Vec::new();
        let zone = text.time_zone.as_deref().map_or(Ok(TimeZone::UTC), time_zone);
        let zone = kept(&mut faults, "timeZone", zone).unwrap_or(TimeZone::UTC);
        let opens = rule(text).map_err(|fault| (None, fault)).and_then(|(rule, name, cron)| {
            let opens = Schedule::parse(cron, zone).map_err(|fault| (Some(name), fault))?;
            Ok((rule, opens))
        });
        let opens = opens.map_err(|fault| faults.push(fault)).ok();
        let duration = kept(&mut faults, "duration", duration(text.duration.as_deref()));
        let in_flight = kept(&mut faults, "inFlight", in_flight(text.in_flight.as_deref()));
        let reason = text.reason.clone().unwrap_or_default();
        if reason.chars().count() > Self::REASON_MAX {
            let expected = format!("expected at most {} characters", Self::REASON_MAX);
            faults.push((Some("reason"), expected));
        }
        match (opens, duration, in_flight) {
            (Some((rule, opens)), Some(duration), Some(in_flight)) if faults.is_empty() => {
                Ok(Self { rule, opens, duration, in_flight, reason, origin })
            }
            _ => Err(faults),
        }
    }

    /// The first moment later than `at` at which it opens, also when it is open already.
    pub fn opens_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.opens.next_after(at)
    }

    /// Until when it is open, at least; `None` when it is not open at `at`.
    pub fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        let opened = self.opens.next_after(at.checked_sub(self.duration).ok()?)?;
        if opened > at {
            return None;
        }
        opened.checked_add(self.duration).ok()
    }
}

fn kept<T>(
    faults: &mut Vec<WindowFault>,
    member: &'static str,
    read: Result<T, Fault>,
) -> Option<T> {
    read.map_err(|fault| faults.push((Some(member), fault))).ok()
}

fn rule(text: &WindowText) -> Result<(Rule, &'static str, &str), Fault> {
    match (&text.allow, &text.deny) {
        (Some(cron), None) => Ok((Rule::Allow, "allow", cron)),
        (None, Some(cron)) => Ok((Rule::Deny, "deny", cron)),
        (Some(_), Some(_)) => Err("expected either `allow` or `deny`, not both".to_owned()),
        (None, None) => Err("`allow` or `deny` is missing: a cron expression".to_owned()),
    }
}

fn duration(text: Option<&str>) -> Result<Duration, Fault> {
    let Some(text) = text else {
        return Err("how long the window stays open is missing".to_owned());
    };
    let parsed = text.parse::<SignedDuration>().ok().and_then(|one| Duration::try_from(one).ok());
    match parsed {
        Some(duration) if (Window::SHORTEST..=Window::LONGEST).contains(&duration) => Ok(duration),
        Some(_) => Err("expected a duration from 1m to 744h, which is 31 days".to_owned()),
        None => Err("expected a duration with its unit, such as `30m` or `62h`".to_owned()),
    }
}

fn in_flight(text: Option<&str>) -> Result<InFlight, Fault> {
    match text {
        None => Ok(InFlight::default()),
        Some("Continue") => Ok(InFlight::Continue),
        Some("Pause") => Ok(InFlight::Pause),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let suggestion = spelling::suggestion(other, &["Continue", "Pause"]);
            Err(format!("`{shown}` is not known{suggestion}"))
        }
    }
}

/// ``deny `0 18 * * FRI` for 62h, Europe/Berlin``
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.rule {
            Rule::Allow => "allow",
            Rule::Deny => "deny",
        };
        let (text, zone) = (self.opens.text(), self.opens.zone_name());
        let duration = SignedDuration::try_from(self.duration).unwrap_or(SignedDuration::MAX);
        write!(f, "{rule} `{text}` for {duration:#}, {zone}")
    }
}

/// A window in which no rollout starts, or the only ones in which one does.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    deny_unknown_fields,
    extend("oneOf" = [{ "required": ["allow"] }, { "required": ["deny"] }])
)]
pub(super) struct WrittenWindow {
    /// A cron expression of five fields: rollouts start only in such windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<String>,
    /// A cron expression of five fields: no rollout starts in such a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    deny: Option<String>,
    /// How long it stays open: `1m` to `744h`.
    #[serde(serialize_with = "super::friendly")]
    #[schemars(with = "String")]
    duration: Duration,
    /// Whose clocks the expression is read by, such as `Europe/Berlin`.
    #[schemars(default = "utc")]
    time_zone: String,
    /// What becomes of rollouts that were begun before.
    #[schemars(default)]
    in_flight: InFlight,
    /// Why, for all who wonder.
    #[schemars(default, length(max = 200))]
    reason: String,
}

fn utc() -> &'static str {
    "UTC"
}

impl From<Window> for WrittenWindow {
    fn from(window: Window) -> Self {
        let cron = |rule| (window.rule == rule).then(|| window.opens.text().to_owned());
        Self {
            allow: cron(Rule::Allow),
            deny: cron(Rule::Deny),
            duration: window.duration,
            time_zone: window.opens.zone_name().to_owned(),
            in_flight: window.in_flight,
            reason: window.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(cron: &str, duration: &str) -> Window {
        let text = WindowText {
            deny: Some(cron.to_owned()),
            duration: Some(duration.to_owned()),
            time_zone: Some("Europe/Berlin".to_owned()),
            ..WindowText::default()
        };
        Window::read(&text, Origin::Manifest).unwrap()
    }

    fn is_open(window: &Window, at: &str) -> bool {
        window.open_until(at.parse().unwrap()).is_some()
    }

    /// From its opening, but not at its end.
    fn assert_lasts(window: &Window, from: &str, until: &str) {
        let before = |at: &str| {
            let at: Timestamp = at.parse().unwrap();
            at.checked_sub(SignedDuration::from_secs(1)).unwrap().to_string()
        };
        assert!(!is_open(window, &before(from)), "before {from}");
        assert!(is_open(window, from) && is_open(window, &before(until)), "{from} to {until}");
        assert!(!is_open(window, until), "at {until}");
    }

    #[test]
    fn a_weekend_lasts_as_long_as_it_says_over_both_changes_of_the_clock() {
        let weekend = window("0 18 * * FRI", "62h");
        assert_lasts(&weekend, "2026-01-09T17:00:00Z", "2026-01-12T07:00:00Z");
        assert_lasts(&weekend, "2026-03-27T17:00:00Z", "2026-03-30T07:00:00Z");
        assert_lasts(&weekend, "2026-10-23T16:00:00Z", "2026-10-26T06:00:00Z");
    }

    #[test]
    fn a_window_that_opens_in_the_hour_that_is_left_out_opens_at_its_end() {
        assert_lasts(&window("30 2 * * *", "2h"), "2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z");
    }

    #[test]
    fn a_window_that_opens_in_the_hour_that_comes_twice_opens_once() {
        assert_lasts(&window("30 2 * * *", "30m"), "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z");
        assert!(!is_open(&window("30 2 * * *", "30m"), "2026-10-25T01:30:00Z"));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text = WindowText {
            duration: Some("0s".to_owned()),
            time_zone: Some("Europa/Berlin".to_owned()),
            in_flight: Some("pause".to_owned()),
            reason: Some("x".repeat(201)),
            ..WindowText::default()
        };
        let faults = Window::read(&text, Origin::Manifest).unwrap_err();
        let members: Vec<_> = faults.iter().map(|(member, _)| *member).collect();
        let named = [Some("timeZone"), None, Some("duration"), Some("inFlight"), Some("reason")];
        assert_eq!(members, named, "{faults:?}");
    }
}
