//! `evenkeel hold`, `release`, `prune` and the commands of `evenkeel rollout`: says them to a daemon and shows its
//! answer; never writes to AWS itself.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::{Map, Value, json};

use super::write_data;
use crate::args::{
    AbortArgs, CallerArgs, GoOnArgs, HoldArgs, Output, PromoteArgs, ReleaseArgs, ScopeArgs,
    StopArgs, UndoArgs,
};
use crate::cli::{CommandError, Exit};
use crate::client::{Client, Token};
use crate::config::Config;
use crate::style::{self, paint, safe};

/// A command, as it is said to a daemon.
struct Saying<'a> {
    word: &'static str,
    caller: &'a CallerArgs,
    body: Map<String, Value>,
}

impl<'a> Saying<'a> {
    fn new(word: &'static str, caller: &'a CallerArgs, reason: &str) -> Self {
        let who = caller.who.clone().unwrap_or_else(who);
        let mut body = Map::new();
        body.insert("who".to_owned(), json!(who));
        body.insert("reason".to_owned(), json!(reason));
        Self { word, caller, body }
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.body.insert(member.to_owned(), value);
        self
    }

    /// Says it about one service.
    async fn about(
        self,
        service: &str,
        config: &Config,
        out: &mut dyn Write,
    ) -> Result<Exit, CommandError> {
        let (cluster, name) = cluster_and_name(service)?;
        let path = format!("/v1/services/{cluster}/{name}/{}", self.word);
        let answer = self.post(&path, config).await?;
        let output = self.caller.daemon.output;
        if output != Output::Text {
            write_data(out, output, &answer)?;
            return Ok(Exit::Done);
        }
        let sentence = answer.get("sentence").and_then(Value::as_str).unwrap_or("done");
        writeln!(out, "{} {}: {}", safe(service), self.word, safe(sentence))?;
        Ok(Exit::Done)
    }

    /// Says it about many; some may fail.
    async fn about_many(self, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
        let answer = self.post(&format!("/v1/{}", self.word), config).await?;
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        let output = self.caller.daemon.output;
        if output == Output::Text {
            self.write_tally(&answer, out)?;
        } else {
            write_data(out, output, &answer)?;
        }
        Ok(if count("failed") > 0 { Exit::Bad } else { Exit::Done })
    }

    fn write_tally(&self, answer: &Value, out: &mut dyn Write) -> Result<(), CommandError> {
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        let failures = answer.get("failures").and_then(Value::as_array);
        for failure in failures.into_iter().flatten() {
            let text = |name: &str| failure.get(name).and_then(Value::as_str).unwrap_or("?");
            let mark = paint(style::BAD, "!");
            writeln!(out, "{mark} {}: {}", safe(text("service")), safe(text("error")))?;
        }
        let (changed, unchanged) = (count("changed"), count("unchanged"));
        let (word, failed) = (self.word, count("failed"));
        writeln!(out, "{word}: {changed} changed, {unchanged} were so already, {failed} failed")?;
        if let Some(note) = answer.get("note").and_then(Value::as_str) {
            writeln!(out, "{}", safe(note))?;
        }
        if failed > 0 {
            writeln!(out, "say it again to try those that failed")?;
        }
        Ok(())
    }

    async fn post(&self, path: &str, config: &Config) -> Result<Value, CommandError> {
        let token = Token::read(self.caller.token_file.as_deref())?;
        let client = Client::of(config, self.caller.daemon.server.as_deref())?;
        Ok(client.post(path, &token, &Value::Object(self.body.clone())).await?)
    }
}

pub(crate) async fn hold(
    config: Config,
    args: HoldArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    scoped(Saying::new("hold", &args.caller, &args.reason), &args.scope, &config, out).await
}

pub(crate) async fn release(
    config: Config,
    args: ReleaseArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    scoped(Saying::new("release", &args.caller, &args.reason), &args.scope, &config, out).await
}

pub(crate) async fn prune(
    config: Config,
    args: StopArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    stop("prune", &config, &args, out).await
}

async fn scoped(
    saying: Saying<'_>,
    scope: &ScopeArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    match (&scope.service, &scope.cluster) {
        (Some(service), _) => saying.about(service, config, out).await,
        (None, Some(cluster)) => {
            saying.with("cluster", json!(cluster)).about_many(config, out).await
        }
        (None, None) => saying.with("all", json!(true)).about_many(config, out).await,
    }
}

pub(super) async fn stop(
    word: &'static str,
    config: &Config,
    args: &StopArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    Saying::new(word, &args.caller, &args.reason).about(&args.service, config, out).await
}

pub(super) async fn go_on(
    word: &'static str,
    config: &Config,
    args: &GoOnArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    Saying::new(word, &args.caller, &args.reason).about(&args.service, config, out).await
}

pub(super) async fn promote(
    config: &Config,
    args: &PromoteArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut saying =
        Saying::new("promote", &args.caller, &args.comment).with("full", json!(args.full));
    if let Some(gate) = &args.gate {
        saying = saying.with("gate", json!(gate));
    }
    saying.about(&args.service, config, out).await
}

pub(super) async fn abort(
    config: &Config,
    args: &AbortArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let service = &args.stop.service;
    sure(args.yes, &format!("Reject what is rolled out on {}, and return?", safe(service)))?;
    stop("abort", config, &args.stop, out).await
}

pub(super) async fn undo(
    config: &Config,
    args: &UndoArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let stop = &args.stop;
    let to = args.to.as_deref().unwrap_or("the revision before");
    let question = format!("Leave what runs on {} for {}?", safe(&stop.service), safe(to));
    sure(args.yes, &question)?;
    let mut saying = Saying::new("undo", &stop.caller, &stop.reason);
    if let Some(to) = &args.to {
        saying = saying.with("to", json!(to));
    }
    saying.about(&stop.service, config, out).await
}

/// What moves tasks at once is asked for twice on a terminal; elsewhere it must be said with --yes.
fn sure(yes: bool, question: &str) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let sentence = "this acts at once: say --yes where nobody can be asked";
        return Err(CommandError::Sentence(sentence.to_owned()));
    }
    write!(anstream::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CommandError::Sentence("nothing was done".to_owned())),
    }
}

/// The two parts of `cluster/name`.
pub(super) fn cluster_and_name(service: &str) -> Result<(&str, &str), CommandError> {
    let is_part = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !part.is_empty() && part.chars().all(fits)
    };
    let parts = service.split_once('/').filter(|(cluster, name)| is_part(cluster) && is_part(name));
    parts.ok_or_else(|| {
        let service = safe(service);
        CommandError::Sentence(format!(
            "`{service}` is no service; say cluster/name, as `evenkeel get` lists them"
        ))
    })
}

/// `ann@laptop`
fn who() -> String {
    let variable = |name| std::env::var(name).ok().filter(|name: &String| !name.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let who = format!("{}@{host}", user.as_deref().unwrap_or("someone"));
    who.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_its_cluster() {
        assert_eq!(cluster_and_name("prod/web-1").unwrap(), ("prod", "web-1"));
        for bad in ["web", "", "/", "prod/", "/web", "a/b/c", "prod/w b", "prod/..", "prod/web?x"] {
            assert!(cluster_and_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn somebody_says_so() {
        assert!(who().contains('@') && who().chars().count() <= 64);
    }
}
