//! Times that come again and again, as a cron expression in a time zone names them; never reads a clock.

use std::fmt;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::spelling;

/// A cron expression of five fields, read by the clocks on the wall of one time zone.
///
/// A time that a wall clock shows twice counts the first time. One that it leaves out counts at the
/// moment at which the clock is put forward.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    crontab: Crontab,
    zone: TimeZone,
}

/// What is wrong with an expression or a time zone, and what was expected.
pub(crate) type Fault = String;

/// Minutes that a wall clock can show again: it was put back by a day at most, anywhere, ever.
const REPEATED_MAX: usize = 24 * 60;

impl Schedule {
    pub(crate) fn parse(text: &str, zone: TimeZone) -> Result<Self, Fault> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if fields.len() != 5 || !text.is_ascii() {
            return Err(format!(
                "expected a cron expression of five fields (minute, hour, day of the month, month, \
                 day of the week) such as `0 18 * * FRI`, found {}",
                fields.len()
            ));
        }
        let text = fields.join(" ");
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = cronexpr::parse_crontab_with(&text, options)
            .map_err(|error| malformed(&text, &error.to_string()))?;
        let schedule = Self { text, crontab, zone };
        if schedule.next_on_the_wall(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)).is_none() {
            return Err("no such time comes within four years".to_owned());
        }
        Ok(schedule)
    }

    /// As it was written, without spare spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Whether it names this minute of a wall clock.
    pub fn names(&self, wall: DateTime) -> bool {
        let read = |at: Timestamp| self.crontab.matches(MakeTimestamp(at)).unwrap_or(false);
        TimeZone::UTC.to_timestamp(wall).is_ok_and(read)
    }

    /// The first of its times that is later than `at`; `None` when none comes within four years.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let mut wall = self.zone.to_datetime(at);
        for _ in 0..=REPEATED_MAX {
            wall = self.next_on_the_wall(wall)?;
            let comes = self.instant(wall)?;
            if comes > at {
                return Some(comes);
            }
        }
        None
    }

    /// The next minute that it names on a clock that nobody puts forward or back.
    fn next_on_the_wall(&self, wall: DateTime) -> Option<DateTime> {
        let from = TimeZone::UTC.to_timestamp(wall).ok()?;
        Some(self.crontab.find_next(MakeTimestamp(from)).ok()?.datetime())
    }

    fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        if !matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
            return ambiguous.earlier().ok();
        }
        let late = ambiguous.later().ok()?.checked_add(SignedDuration::from_secs(1)).ok()?;
        Some(self.zone.preceding(late).next()?.timestamp())
    }
}

/// The parser shows the expression again, and below it a mark and the reason.
fn malformed(text: &str, error: &str) -> Fault {
    let last = error.lines().last().unwrap_or(error);
    let (before, reason) = last.split_once("^ ").unwrap_or(("", last));
    let place = before.chars().count() + 1;
    let meant = misspelt(text).map_or(String::new(), |near| format!(": did you mean `{near}`?"));
    format!("at character {place} of the cron expression: {reason}{meant}")
}

/// The name that was probably meant by the first word that is none.
fn misspelt(text: &str) -> Option<&'static str> {
    let mut words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1);
    let word = words.find(|word| !NAMES.contains(&word.to_ascii_uppercase().as_str()))?;
    spelling::nearest(word, NAMES)
}

const NAMES: [&str; 19] = [
    "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", "JAN", "FEB", "MAR", "APR", "MAY", "JUN",
    "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl Eq for Schedule {}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({} {})", self.text, self.zone_name())
    }
}

/// The time zone of this name, from the tables that are built in: a container may have none.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, Fault> {
    let known = TimeZoneDatabase::bundled();
    if let Ok(zone) = known.get(name) {
        return Ok(zone);
    }
    let names: Vec<String> = known.available().map(|name| name.to_string()).collect();
    let shown: String = name.chars().take(40).collect();
    let near = spelling::nearest(name, names.iter().map(String::as_str));
    let advice = near.map_or_else(
        || "; expected a name such as `Europe/Berlin` or `UTC`".to_owned(),
        |near| format!(": did you mean `{near}`?"),
    );
    Err(format!("`{shown}` is no time zone{advice}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn berlin(text: &str) -> Schedule {
        Schedule::parse(text, time_zone("Europe/Berlin").unwrap()).unwrap()
    }

    fn next(schedule: &Schedule, after: &str) -> String {
        schedule.next_after(after.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn times_are_those_of_the_zone_s_clocks_in_summer_and_winter() {
        let evening = berlin("0 18 * * FRI");
        assert_eq!(next(&evening, "2026-01-05T00:00:00Z"), "2026-01-09T17:00:00Z");
        assert_eq!(next(&evening, "2026-07-01T00:00:00Z"), "2026-07-03T16:00:00Z");
        assert_eq!(next(&evening, "2026-07-03T15:59:59.9Z"), "2026-07-03T16:00:00Z");
        assert_eq!(next(&evening, "2026-07-03T16:00:00Z"), "2026-07-10T16:00:00Z");
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_comes_when_it_is_put_forward() {
        for minute in ["0 2 * * *", "30 2 * * *", "59 2 * * *"] {
            let night = berlin(minute);
            assert_eq!(next(&night, "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z", "{minute}");
        }
        let after = berlin("30 2 * * *");
        assert_eq!(next(&after, "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00Z");
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_comes_once() {
        let night = berlin("30 2 * * *");
        assert_eq!(next(&night, "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next(&night, "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
        assert_eq!(next(&night, "2026-10-25T01:10:00Z"), "2026-10-26T01:30:00Z");
        let often = berlin("*/20 * * * *");
        assert_eq!(next(&often, "2026-10-25T00:40:00Z"), "2026-10-25T02:00:00Z");
    }

    #[test]
    fn what_is_no_expression_says_what_was_expected_and_where() {
        let fault = |text: &str| Schedule::parse(text, TimeZone::UTC).unwrap_err();
        assert!(fault("0 18 * *").starts_with("expected a cron expression of five fields"));
        assert!(fault("0 18 * * FRI Europe/Berlin").ends_with("found 6"));
        assert!(fault("").ends_with("found 0"));
        assert_eq!(
            fault("0  24 * * FRI"),
            "at character 3 of the cron expression: value must be in range 0..=23; found 24"
        );
        let fry = fault("0 18 * * FRY");
        assert!(fry.starts_with("at character 10 of the cron expression"), "{fry}");
        assert!(fry.ends_with("did you mean `FRI`?"), "{fry}");
        assert_eq!(fault("0 0 31 2 *"), "no such time comes within four years");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_a_schedule_or_a_sentence(
            text in "([0-9*/,LW#?HMONFRI@-]{1,6} ){4}[0-9*/,LW#?HMONFRI-]{1,6}|\\PC{0,20}",
            second in 0_i64..4_000_000_000,
        ) {
            let zone = time_zone("Europe/Berlin").unwrap();
            match Schedule::parse(&text, zone) {
                Ok(schedule) => {
                    let at = Timestamp::from_second(second).unwrap();
                    prop_assert!(schedule.next_after(at).is_none_or(|next| next > at));
                }
                Err(fault) => prop_assert!(!fault.is_empty() && !fault.contains('\n'), "{}", fault),
            }
        }

        #[test]
        fn a_later_time_never_has_an_earlier_next_one(
            text in proptest::sample::select(vec!["30 2 * * *", "*/20 * * * *", "15 1,3 * * SUN"]),
            zone in proptest::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe", "UTC"]),
            second in 1_767_000_000_i64..1_800_000_000,
            later in 0_i64..200_000,
        ) {
            let schedule = Schedule::parse(text, time_zone(zone).unwrap()).unwrap();
            let next = |second| schedule.next_after(Timestamp::from_second(second).unwrap());
            let (one, other) = (next(second).unwrap(), next(second + later).unwrap());
            prop_assert!(one <= other);
            prop_assert!(other <= one || other.as_second() > second + later);
            prop_assert!(one.as_second() > second);
        }
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        let fault = |name: &str| time_zone(name).unwrap_err();
        assert_eq!(
            fault("Europe/Berln"),
            "`Europe/Berln` is no time zone: did you mean `Europe/Berlin`?"
        );
        assert!(fault("the office").ends_with("expected a name such as `Europe/Berlin` or `UTC`"));
        assert!(time_zone("UTC").is_ok());
    }
}
