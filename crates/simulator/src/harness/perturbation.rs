//! What is made to go wrong in an otherwise fine course; never by chance.
//!
//! Written as one word, so that a failure names the command that shows it again:
//! `crash:17:sent-no-answer`, `crash:17:before-send+wake:203`, `stale:33:1767225812000`,
//! `frozen:33:1767225812000`, `unobserved:33:1767225871000`, `source:emptied:1767225812000` (milliseconds since
//! the epoch).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

/// Where in a call its daemon dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    BeforeSend,
    SentNoAnswer,
    AnsweredNotActedOn,
}

impl Phase {
    pub const ALL: [Self; 3] = [Self::BeforeSend, Self::SentNoAnswer, Self::AnsweredNotActedOn];
}

/// Where a daemon dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrashPoint {
    /// In the call of that number.
    Call(u64, Phase),
    /// When the loop is about to be woken for that time, counted over all its lives.
    Wake(u64),
}

/// What is made to go wrong in an otherwise fine course, exactly once or twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Perturbation {
    #[default]
    Nothing,
    Crashes(Vec<CrashPoint>),
    /// The read of that number is answered from the past; with `frozen`, so are all reads of the same
    /// object and operation until that state is five minutes old.
    Stale {
        read: u64,
        as_of: Timestamp,
        frozen: bool,
    },
    /// The daemon sees nothing from that call on until then.
    Unobserved {
        call: u64,
        until: Timestamp,
    },
    /// What manifests are read from fails from then on, for five minutes or until manifests change.
    Source {
        failure: SourceFailure,
        from: Timestamp,
    },
}

/// What a set of manifests has become for somebody who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFailure {
    /// There may be more than was read.
    Incomplete,
    /// No manifest can be understood.
    Garbled,
    /// There is none.
    Emptied,
}

impl SourceFailure {
    pub const ALL: [Self; 3] = [Self::Incomplete, Self::Garbled, Self::Emptied];

    fn word(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Garbled => "garbled",
            Self::Emptied => "emptied",
        }
    }
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Self::BeforeSend => "before-send",
            Self::SentNoAnswer => "sent-no-answer",
            Self::AnsweredNotActedOn => "answered-not-acted-on",
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(number, phase) => write!(f, "crash:{number}:{}", phase.word()),
            Self::Wake(count) => write!(f, "wake:{count}"),
        }
    }
}

impl fmt::Display for Perturbation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Crashes(points) => {
                let points: Vec<String> = points.iter().map(ToString::to_string).collect();
                f.write_str(&points.join("+"))
            }
            Self::Stale { read, as_of, frozen } => {
                let word = if *frozen { "frozen" } else { "stale" };
                write!(f, "{word}:{read}:{}", as_of.as_millisecond())
            }
            Self::Unobserved { call, until } => {
                write!(f, "unobserved:{call}:{}", until.as_millisecond())
            }
            Self::Source { failure, from } => {
                write!(f, "source:{}:{}", failure.word(), from.as_millisecond())
            }
        }
    }
}

/// A word that says no perturbation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no perturbation; one looks like crash:17:sent-no-answer")]
pub struct NoPerturbation(String);

impl FromStr for Perturbation {
    type Err = NoPerturbation;

    fn from_str(text: &str) -> Result<Self, NoPerturbation> {
        read(text).ok_or_else(|| NoPerturbation(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Perturbation> {
    let parts: Vec<&str> = text.split(':').collect();
    let at = |text: &str| Timestamp::from_millisecond(text.parse().ok()?).ok();
    match parts.as_slice() {
        ["nothing"] => Some(Perturbation::Nothing),
        [word @ ("stale" | "frozen"), read, as_of] => Some(Perturbation::Stale {
            read: read.parse().ok()?,
            as_of: at(as_of)?,
            frozen: *word == "frozen",
        }),
        ["unobserved", call, until] => {
            Some(Perturbation::Unobserved { call: call.parse().ok()?, until: at(until)? })
        }
        ["source", word, from] => {
            let failure = SourceFailure::ALL.into_iter().find(|one| one.word() == *word)?;
            Some(Perturbation::Source { failure, from: at(from)? })
        }
        _ => text.split('+').map(crash_point).collect::<Option<_>>().map(Perturbation::Crashes),
    }
}

fn crash_point(text: &str) -> Option<CrashPoint> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        ["wake", count] => Some(CrashPoint::Wake(count.parse().ok()?)),
        ["crash", number, word] => {
            let phase = Phase::ALL.into_iter().find(|phase| phase.word() == *word)?;
            Some(CrashPoint::Call(number.parse().ok()?, phase))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_perturbation_reads_back_as_written() {
        let at = Timestamp::from_millisecond(1_767_225_812_034).expect("a time");
        let all = [
            Perturbation::Nothing,
            Perturbation::Crashes(vec![
                CrashPoint::Call(17, Phase::BeforeSend),
                CrashPoint::Call(18, Phase::SentNoAnswer),
                CrashPoint::Call(19, Phase::AnsweredNotActedOn),
                CrashPoint::Wake(203),
            ]),
            Perturbation::Stale { read: 33, as_of: at, frozen: false },
            Perturbation::Stale { read: 33, as_of: at, frozen: true },
            Perturbation::Unobserved { call: 5, until: at },
            Perturbation::Source { failure: SourceFailure::Incomplete, from: at },
            Perturbation::Source { failure: SourceFailure::Garbled, from: at },
            Perturbation::Source { failure: SourceFailure::Emptied, from: at },
        ];
        for one in all {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        assert!("crash:17:at-noon".parse::<Perturbation>().is_err());
    }
}
