//! The record of one course, for telling whether two are the same; never read by what runs.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;

use super::event::{Event, Sent};
use crate::ServiceFacts;

/// A hash of every event, and on demand their text.
#[derive(Clone, Debug)]
pub struct Trace {
    began: Timestamp,
    hasher: DefaultHasher,
    /// Of what came after the start of the first daemon whose predecessor was killed on purpose, without the
    /// numbers of calls.
    tail: Option<DefaultHasher>,
    events: u64,
    line: String,
    keeps: Keeps,
    /// Whether the last event is kept in words, whatever else is.
    keeps_last: bool,
    lines: Vec<String>,
}

/// How much of a course is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeps {
    /// How many events there were.
    #[default]
    Count,
    /// A hash of all of them.
    Hash,
    /// Their text, too.
    Lines,
}

impl Trace {
    pub(crate) fn new(began: Timestamp, keeps: Keeps) -> Self {
        Self {
            began,
            // Always with the same keys.
            hasher: DefaultHasher::new(),
            tail: None,
            events: 0,
            line: String::new(),
            keeps,
            keeps_last: false,
            lines: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, at: Timestamp, event: &Event<'_>) {
        self.events += 1;
        if self.keeps == Keeps::Count && !self.keeps_last {
            return;
        }
        self.line.clear();
        let seconds = at.duration_since(self.began).as_secs_f64();
        // Writing to a string cannot fail.
        let _ = write!(self.line, "{seconds:>9.3} ");
        describe(&mut self.line, event);
        if self.keeps == Keeps::Count {
            return;
        }
        self.line.hash(&mut self.hasher);
        if let Some(tail) = &mut self.tail {
            without_number(&self.line).hash(tail);
        }
        if self.keeps == Keeps::Lines {
            self.lines.push(self.line.clone());
        }
    }

    /// From now on the last event can be asked for.
    pub(crate) fn keeps_last(&mut self) {
        self.keeps_last = true;
    }

    /// The last event without the time and without the number of a call, while that is kept.
    pub(crate) fn last(&self) -> &str {
        without_number(&self.line).1
    }

    /// The tail begins here, unless it has begun.
    pub(crate) fn begin_tail(&mut self) {
        self.tail.get_or_insert_default();
    }

    /// Equal where everything was the same from the start of the next daemon on, when it is kept.
    pub fn tail(&self) -> Option<u64> {
        self.tail.as_ref().map(Hasher::finish)
    }

    /// Equal for equal courses, when it is kept.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    /// Empty unless they were asked for.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// The time and the event of a line, without the number of a call.
fn without_number(line: &str) -> (&str, &str) {
    let (time, event) = line.trim_start().split_once(' ').unwrap_or((line, ""));
    let (number, rest) = event.split_once(' ').unwrap_or((event, ""));
    (time, if number.bytes().all(|byte| byte.is_ascii_digit()) { rest } else { event })
}

fn describe(line: &mut String, event: &Event<'_>) {
    let _ = match event {
        Event::Started(replica) => write!(line, "daemon {} starts", replica.0),
        Event::Ended(replica) => write!(line, "daemon {} is gone", replica.0),
        Event::Frozen { by, until } => write!(line, "daemon {} is frozen until {until}", by.0),
        Event::Wanted { by, key, service } => {
            let digest = service.map_or("nothing", |service| service.revision_digest.as_str());
            let paused = service.is_some_and(|service| service.paused);
            write!(
                line,
                "daemon {} wants {digest} of {key}{}",
                by.0,
                if paused { ", paused" } else { "" }
            )
        }
        Event::Incomplete { by, is } => write!(line, "daemon {} lacks manifests: {is}", by.0),
        Event::Invalid { by, key, is } => write!(line, "daemon {} finds {key} invalid: {is}", by.0),
        Event::Sent(call) => write!(line, "{} sent: {}", named(call), call.input),
        Event::CarriedOut { call, reply: Ok(_) } => write!(line, "{} carried out", named(call)),
        Event::CarriedOut { call, reply: Err(error) } => {
            write!(line, "{} refused: {error}", named(call))
        }
        Event::Answered { call, answer: Ok(_), is_stale } => {
            write!(
                line,
                "{} answered{}",
                named(call),
                if *is_stale { " from the past" } else { "" }
            )
        }
        Event::Answered { call, answer: Err(error), .. } => {
            write!(line, "{} answered: {error}", named(call))
        }
        Event::Edited { by, operation, input } => write!(line, "{by} calls {operation}: {input}"),
        Event::Asked { of, key, who, command } => {
            write!(line, "{who} asks daemon {}: {} {key}", of.0, command.word())
        }
        Event::Heard { from, key, who, command, answer } => {
            let (word, sentence) = super::people::told(*answer);
            write!(
                line,
                "{who} hears of daemon {}: {} {key} {word}: {sentence}",
                from.0,
                command.word()
            )
        }
        Event::Changed(facts) => {
            let (healthy, desired) = (facts.healthy_tasks(), facts.desired);
            let name = format_args!("{}/{}", facts.cluster, facts.name);
            let (primary, stop) = (primary(facts), last_stop(facts));
            write!(line, "{name} has {healthy} of {desired} healthy{primary}{stop}")
        }
        Event::Calm(is) => write!(line, "calm: {is}"),
        Event::Over => write!(line, "over"),
    };
}

/// The PRIMARY deployment, and the mark of the rollout.
fn primary(facts: &ServiceFacts) -> String {
    let mark = facts.tags.get("evenkeel:rollout").map_or("none", String::as_str);
    facts.primary().map_or(String::new(), |one| {
        format!(", {} {:?} runs {}, mark {mark}", one.id, one.course, one.definition)
    })
}

/// Why the youngest task that stops did so.
fn last_stop(facts: &ServiceFacts) -> String {
    let stops = facts.tasks.iter().filter_map(|task| Some((task.stopping_at?, task)));
    let Some((_, last)) = stops.max_by_key(|(at, task)| (*at, task.id)) else {
        return String::new();
    };
    let reason = last.stopped_reason.as_deref().or(last.stop_code).unwrap_or("no reason");
    format!(", last stopped: {reason}")
}

fn named(call: &Sent) -> String {
    let about = call.about.as_ref().map_or(String::new(), |key| format!(" {key}"));
    format!("{} {}{about}", call.number, call.operation)
}

/// What a daemon did, for people; `None` for what only the simulation sees.
pub(crate) fn act(since: std::time::Duration, event: &Event<'_>) -> Option<String> {
    let clock = crate::scenario::clock(since);
    let who = |call: &Sent| {
        let about = call.about.as_ref().map_or("", |key| key.name.as_str());
        let replica =
            if call.by.0 == 0 { String::new() } else { format!(" (daemon {})", call.by.0) };
        format!("{clock}   {about}{replica} {}", call.operation)
    };
    match event {
        Event::Sent(call) => {
            call.action.as_ref().map(|(_, why)| format!("{}: {}", who(call), without_ids(why)))
        }
        Event::Answered { call, answer: Err(error), .. } => {
            Some(format!("{} failed: {}", who(call), without_ids(&error.to_string())))
        }
        Event::Heard { from, key, who, command, answer } => {
            let (word, sentence) = super::people::told(*answer);
            let sentence = without_ids(&sentence);
            let of = if from.0 == 0 { String::new() } else { format!(" of daemon {}", from.0) };
            let command = command.word();
            Some(format!("{clock}   {who} hears{of}: {} {command} {word}: {sentence}", key.name))
        }
        Event::Started(replica) => Some(format!("{clock}   daemon {} starts", replica.0)),
        Event::Ended(replica) => Some(format!("{clock}   daemon {} is gone", replica.0)),
        _ => None,
    }
}

/// Ids and digests are as good as random: they would make every transcript differ from the next.
pub(crate) fn without_ids(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (core, end) = match word.char_indices().next_back() {
            Some((at, c)) if !c.is_ascii_alphanumeric() => word.split_at(at),
            _ => (word, ""),
        };
        let is_id = core.len() >= 16 && core.chars().any(|c| c.is_ascii_digit());
        short.push_str(if is_id { "…" } else { core });
        short.push_str(end);
    }
    short
}
