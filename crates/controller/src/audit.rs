//! The record of every command: who, when, why, what, about which service, and what came of it; never
//! left out, also when nobody waits for the answer.

use prometheus::{IntCounterVec, Opts, Registry};
use tracing_subscriber::filter::{Directive, LevelFilter};

/// The target of its log lines.
const TARGET: &str = "audit";

/// Says its lines whatever `log.level` is.
pub(crate) fn directive() -> Directive {
    let named = TARGET.parse::<Directive>();
    let all = Directive::from(LevelFilter::INFO);
    format!("{TARGET}=info").parse().or(named).unwrap_or(all)
}

/// Counts commands. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    commands: IntCounterVec,
}

impl Audit {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "evenkeel_commands_total",
            "People's commands by what came of them: followed, unchanged, or why they were not.",
        );
        let commands = IntCounterVec::new(opts, &["command", "outcome"])?;
        registry.register(Box::new(commands.clone()))?;
        Ok(Self { commands })
    }

    /// Begins the record of a command; it is written when it is dropped.
    pub(crate) fn record(&self, command: &'static str, service: String) -> Record {
        Record {
            audit: self.clone(),
            command,
            service,
            token: None,
            who: String::new(),
            why: String::new(),
            outcome: "unanswered",
            answer: "who asked left before the answer".to_owned(),
        }
    }
}

/// One command.
#[derive(Debug)]
pub(crate) struct Record {
    audit: Audit,
    command: &'static str,
    /// Or the scope, such as `cluster prod`.
    service: String,
    token: Option<String>,
    who: String,
    why: String,
    outcome: &'static str,
    answer: String,
}

impl Record {
    /// By which token the command was allowed.
    pub(crate) fn allowed_by(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    /// Who says to command, and why.
    pub(crate) fn said(&mut self, who: &str, why: &str) {
        who.clone_into(&mut self.who);
        why.clone_into(&mut self.why);
    }

    /// Which services are meant.
    pub(crate) fn about(&mut self, scope: String) {
        self.service = scope;
    }

    /// The record of one service of many, by the same person.
    pub(crate) fn of_one(&self, service: String) -> Self {
        let mut record = self.audit.record(self.command, service);
        record.token.clone_from(&self.token);
        record.said(&self.who, &self.why);
        record
    }

    /// What came of it; the outcome is a metric label.
    pub(crate) fn ends(mut self, outcome: &'static str, answer: &str) {
        self.outcome = outcome;
        answer.clone_into(&mut self.answer);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.audit.commands.with_label_values(&[self.command, self.outcome]).inc();
        tracing::info!(
            target: TARGET,
            command = self.command,
            service = self.service,
            who = self.who,
            token = self.token,
            why = self.why,
            outcome = self.outcome,
            answer = self.answer,
            "command"
        );
    }
}
