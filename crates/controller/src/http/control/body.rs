//! The body of a command: a small JSON object without a member too many; never trusted.

use evenkeel_planner::{Command, Gates, Order};
use serde::Deserialize;

use super::Denied;

/// A tag's value has 256 characters.
const REASON_MAX: usize = 256;
const WHO_MAX: usize = 64;
/// A body of the longest members, escaped.
pub(in crate::http) const BYTES_MAX: usize = 8 << 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Body {
    pub who: String,
    #[serde(default)]
    pub reason: String,
    /// Of `undo`.
    #[serde(default)]
    to: Option<String>,
    /// Of `promote`: every gate, or the one that is named.
    #[serde(default)]
    full: bool,
    #[serde(default)]
    gate: Option<String>,
    /// Of a hold or a release of many: this cluster, or all.
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Which services are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Cluster(String),
    All,
}

impl Body {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Denied> {
        let body: Self = serde_json::from_slice(bytes).map_err(|error| {
            Denied::malformed(format!(
                "the body is not as expected ({error}); it is JSON such as {{\"who\": \"ann@laptop\", \
                 \"reason\": \"errors after the release\"}}"
            ))
        })?;
        let fits = |text: &str, most: usize| {
            text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        if body.who.trim().is_empty() || !fits(&body.who, WHO_MAX) {
            return Err(Denied::malformed("`who` is a name of 1 to 64 characters"));
        }
        if !fits(&body.reason, REASON_MAX) {
            return Err(Denied::malformed("`reason` is a line of at most 256 characters"));
        }
        Ok(body)
    }

    /// The command with what the body adds to it.
    pub(super) fn order(self, command: Command) -> Result<Order, Denied> {
        let (word, why) = (command.word(), self.reason.trim().to_owned());
        if self.cluster.is_some() || self.all {
            return Err(Denied::malformed("`cluster` and `all` are for /v1/hold and /v1/release"));
        }
        if (self.full || self.gate.is_some()) && !matches!(command, Command::Promote(_)) {
            return Err(Denied::malformed("`full` and `gate` are for promote"));
        }
        if self.to.is_some() && !matches!(command, Command::Undo { .. }) {
            return Err(Denied::malformed("`to` is for undo"));
        }
        if needs_a_reason(&command) && why.is_empty() {
            return Err(Denied::malformed(format!("{word} needs a `reason`")));
        }
        let command = match command {
            Command::Promote(_) => Command::Promote(gates(self.full, self.gate)?),
            Command::Undo { .. } => Command::Undo { to: self.to },
            other => other,
        };
        Ok(Order { command, who: self.who.trim().to_owned(), why })
    }

    /// The command for each service of a scope.
    pub(super) fn order_for_many(mut self, command: Command) -> Result<(Scope, Order), Denied> {
        let scope = match (self.cluster.take(), std::mem::take(&mut self.all)) {
            (Some(cluster), false) => Scope::Cluster(cluster),
            (None, true) => Scope::All,
            _ => {
                return Err(Denied::malformed("say which: `\"cluster\": NAME` or `\"all\": true`"));
            }
        };
        Ok((scope, self.order(command)?))
    }
}

fn gates(full: bool, gate: Option<String>) -> Result<Gates, Denied> {
    match (full, gate) {
        (true, Some(_)) => Err(Denied::malformed("either `full` or `gate`, not both")),
        (true, None) => Ok(Gates::All),
        (false, Some(gate)) if gate.trim().is_empty() => {
            Err(Denied::malformed("`gate` is empty: name one, or leave it out"))
        }
        (false, Some(gate)) => Ok(Gates::Named(gate)),
        (false, None) => Ok(Gates::Now),
    }
}

/// What stops or turns something must say why; what lets it go on need not.
fn needs_a_reason(command: &Command) -> bool {
    match command {
        Command::Hold | Command::Pause | Command::Abort | Command::Undo { .. } | Command::Prune => {
            true
        }
        Command::Release | Command::Resume | Command::Promote(_) | Command::Retry => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str, command: Command) -> Result<Order, String> {
        Body::read(text.as_bytes())
            .and_then(|body| body.order(command))
            .map_err(|denied| denied.message)
    }

    #[test]
    fn a_body_adds_who_why_and_what_the_command_takes() {
        let said = r#"{"who": " ann ", "reason": " slow ", "to": "web:7"}"#;
        let undo = order(said, Command::Undo { to: None }).unwrap();
        let to = Some("web:7".to_owned());
        assert_eq!(
            undo,
            Order { command: Command::Undo { to }, who: "ann".into(), why: "slow".into() }
        );
        for (text, gates) in [
            (r#"{"who": "ann"}"#, Gates::Now),
            (r#"{"who": "ann", "full": true}"#, Gates::All),
            (r#"{"who": "ann", "gate": "ecs-pause-1"}"#, Gates::Named("ecs-pause-1".to_owned())),
        ] {
            let order = order(text, Command::Promote(Gates::Now)).unwrap();
            assert_eq!(order.command, Command::Promote(gates));
        }
    }

    #[test]
    fn a_body_with_anything_wrong_or_too_much_is_refused() {
        let long = format!(r#"{{"who": "ann", "reason": "{}"}}"#, "x".repeat(257));
        let bad = [
            "",
            "[]",
            "{}",
            r#"{"who": ""}"#,
            r#"{"who": "ann"}"#,
            r#"{"who": "ann", "reason": " "}"#,
            r#"{"who": "ann", "reason": "x", "whom": 1}"#,
            r#"{"who": "ann", "reason": "a\nb"}"#,
            r#"{"who": "ann", "reason": "x", "full": true}"#,
            r#"{"who": "ann", "reason": "x", "gate": "ecs-pause-1"}"#,
            r#"{"who": "ann", "reason": "x", "to": "1"}"#,
            r#"{"who": "ann", "reason": "x", "all": true}"#,
            &long,
        ];
        for text in bad {
            assert!(order(text, Command::Hold).is_err(), "{text}");
        }
        assert!(order(r#"{"who": "ann"}"#, Command::Release).is_ok());
        for text in
            [r#"{"who": "ann", "full": true, "gate": "a"}"#, r#"{"who": "ann", "gate": " "}"#]
        {
            assert!(order(text, Command::Promote(Gates::Now)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_scope_is_one_cluster_or_all_and_is_said() {
        let scope = |text: &str| {
            let body = Body::read(text.as_bytes()).map_err(|denied| denied.message).unwrap();
            body.order_for_many(Command::Hold).map(|(scope, _)| scope).ok()
        };
        let cluster = r#"{"who": "ann", "reason": "x", "cluster": "prod"}"#;
        assert_eq!(scope(cluster), Some(Scope::Cluster("prod".to_owned())));
        assert_eq!(scope(r#"{"who": "ann", "reason": "x", "all": true}"#), Some(Scope::All));
        assert_eq!(scope(r#"{"who": "ann", "reason": "x"}"#), None);
        assert_eq!(scope(r#"{"who": "ann", "reason": "x", "cluster": "a", "all": true}"#), None);
    }
}
