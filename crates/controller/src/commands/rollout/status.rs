//! `evenkeel rollout status`: where a rollout stands, once or until it ends; never decides when it does.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::super::order::cluster_and_name;
use super::super::write_data;
use crate::args::{Output, StatusArgs};
use crate::cli::{CommandError, Exit};
use crate::client::Client;
use crate::config::Config;
use crate::style::safe;
use crate::view::{self, Numbers, ServiceView};

/// How often the daemon is asked; it looks at a rollout every few seconds.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often a countdown is drawn anew.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// For how long a daemon that does not answer, or does not know the service yet, as in a restart, is asked again.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn status(
    config: &Config,
    args: &StatusArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let (cluster, name) = cluster_and_name(&args.service)?;
    let asked = Asked {
        client: Client::of(config, args.daemon.server.as_deref())?,
        cluster,
        name,
        service: &args.service,
    };
    if args.watch && args.daemon.output != Output::Text {
        let sentence = "--watch is for people; ask again and again for -o json or -o yaml";
        return Err(CommandError::Sentence(sentence.to_owned()));
    }
    if args.watch {
        return watch(&asked, out).await;
    }
    let value = asked.status().await?;
    let service = ServiceView::read(&value);
    match args.daemon.output {
        Output::Text => {
            let is_terminal = io::stdout().is_terminal();
            let numbers = if is_terminal { Numbers::AsBlocks } else { Numbers::AsNumbers };
            let text = view::rollout(&service, Timestamp::now(), numbers);
            out.write_all(text.as_bytes())?;
        }
        output => write_data(out, output, &value)?,
    }
    Ok(exit(&service))
}

struct Asked<'a> {
    client: Client,
    cluster: &'a str,
    name: &'a str,
    service: &'a str,
}

impl Asked<'_> {
    async fn status(&self) -> Result<Value, CommandError> {
        let found = self.client.service(self.cluster, self.name).await?;
        found.ok_or_else(|| {
            let service = safe(self.service);
            CommandError::Sentence(format!(
                "no manifest names the service `{service}`; `evenkeel get` lists all"
            ))
        })
    }
}

async fn watch(asked: &Asked<'_>, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let mut screen = Screen::new(out);
    let mut unanswered_since = None;
    loop {
        let next = Instant::now() + ASK_EVERY;
        let service = match asked.status().await {
            Ok(value) => ServiceView::read(&value),
            Err(CommandError::Client(error)) if error.may_pass() => {
                let since = *unanswered_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= PATIENCE {
                    return Err(error.into());
                }
                tokio::time::sleep_until(next).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        unanswered_since = None;
        screen.show(&service)?;
        if let Some(exit) = ended(&service) {
            screen.end(&service)?;
            return Ok(exit);
        }
        while Instant::now() < next {
            tokio::time::sleep(DRAW_EVERY).await;
            screen.tick(&service);
        }
    }
}

/// What is told of it once: a rollout that wants a person's word has not ended, for the word may come.
fn exit(service: &ServiceView) -> Exit {
    let is_stopped = waits(service, "Person") && !waits(service, "Rollback");
    let now = if is_stopped { Exit::WaitsForPerson } else { Exit::Done };
    ended(service).unwrap_or(now)
}

fn waits(service: &ServiceView, reason: &str) -> bool {
    service.waiting.iter().any(|wait| wait.reason == reason)
}

/// How a rollout ended, when it has: nothing more comes by itself.
fn ended(service: &ServiceView) -> Option<Exit> {
    if waits(service, "Rollback") || !service.did.is_empty() {
        return None;
    }
    let is_left_alone = waits(service, "NotOwned") || waits(service, "Unsupported");
    if service.is_true("Held") || is_left_alone {
        return Some(Exit::WaitsForPerson);
    }
    if service.rollout.is_none() && service.is_true("Rejected") {
        return Some(Exit::RolledBack);
    }
    (service.rollout.is_none() && service.is_true("Ready")).then_some(Exit::Done)
}

/// A terminal is drawn anew in place; elsewhere every change is a line.
struct Screen<'a> {
    out: &'a mut dyn Write,
    live: Option<MultiProgress>,
    /// One a line on the terminal.
    lines: Vec<ProgressBar>,
    /// What the last line elsewhere was about.
    said: String,
}

impl<'a> Screen<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        let is_live = io::stdout().is_terminal() && io::stderr().is_terminal();
        let live = is_live.then(MultiProgress::new);
        Self { out, live, lines: Vec::new(), said: String::new() }
    }

    fn show(&mut self, service: &ServiceView) -> Result<(), CommandError> {
        if self.live.is_some() {
            self.tick(service);
            return Ok(());
        }
        let line = view::rollout_line(service);
        if line.key != self.said {
            let at = service.observed_at.unwrap_or_else(Timestamp::now);
            writeln!(self.out, "{at:.0} {}", line.text)?;
            self.out.flush()?;
            self.said = line.key;
        }
        Ok(())
    }

    /// Draws it as of now: a countdown has changed in any case.
    fn tick(&mut self, service: &ServiceView) {
        let Some(live) = &self.live else { return };
        let text = view::rollout(service, Timestamp::now(), Numbers::AsBlocks);
        let lines: Vec<&str> = text.lines().collect();
        while self.lines.len() < lines.len() {
            let bar = live.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            self.lines.push(bar);
        }
        for gone in self.lines.split_off(lines.len().min(self.lines.len())) {
            gone.finish_and_clear();
            live.remove(&gone);
        }
        for (bar, line) in self.lines.iter().zip(lines) {
            bar.set_message(line.to_owned());
        }
    }

    /// What was shown last stays.
    fn end(mut self, service: &ServiceView) -> Result<(), CommandError> {
        if self.live.is_some() {
            for bar in self.lines.drain(..) {
                bar.finish_and_clear();
            }
            let text = view::rollout(service, Timestamp::now(), Numbers::AsBlocks);
            self.out.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(members: Value) -> ServiceView {
        let mut status = json!({
            "key": { "target": "default", "cluster": "prod", "name": "web" },
            "conditions": [], "waiting": [], "did": [],
        });
        if let (Some(status), Value::Object(members)) = (status.as_object_mut(), members) {
            status.extend(members);
        }
        ServiceView::read(&status)
    }

    fn conditions(kinds: &[&str]) -> Value {
        kinds.iter().map(|kind| json!({ "type": kind, "status": "True" })).collect()
    }

    #[test]
    fn a_rollout_has_ended_when_nothing_more_comes_by_itself() {
        let rollout = json!({ "phase": "Shifting" });
        let returning = json!([{ "reason": "Rollback", "sentence": "ECS returns" }]);
        let cases = [
            (json!({ "conditions": conditions(&["Ready"]) }), Some(Exit::Done)),
            (json!({ "conditions": conditions(&["Ready"]), "did": ["tagged it"] }), None),
            (json!({ "conditions": conditions(&["Progressing"]), "rollout": rollout }), None),
            (json!({ "conditions": conditions(&["Rejected"]), "rollout": rollout }), None),
            (json!({ "conditions": conditions(&["Rejected"]), "waiting": returning }), None),
            (json!({ "conditions": conditions(&["Rejected"]) }), Some(Exit::RolledBack)),
            (
                json!({ "conditions": conditions(&["Rejected", "Held"]), "rollout": rollout }),
                Some(Exit::WaitsForPerson),
            ),
            (json!({}), None),
        ];
        for (members, exit) in cases {
            assert_eq!(ended(&service(members.clone())), exit, "{members}");
        }
    }

    #[test]
    fn what_is_not_owned_or_not_supported_waits_for_a_person_and_ends_a_watch() {
        for reason in ["NotOwned", "Unsupported"] {
            let waiting = json!([{ "reason": reason, "sentence": "it is not ours" }]);
            let service = service(json!({ "waiting": waiting }));
            assert_eq!(ended(&service), Some(Exit::WaitsForPerson), "{reason}");
            assert_eq!(exit(&service), Exit::WaitsForPerson, "{reason}");
        }
    }

    /// The word of that person may come while somebody watches.
    #[test]
    fn a_rollout_that_is_paused_or_wants_an_approval_waits_for_a_person_and_has_not_ended() {
        let waiting = json!([{ "reason": "Person", "sentence": "rollouts are paused" }]);
        let rollout = json!({ "phase": "Shifting" });
        let paused = service(json!({ "waiting": waiting, "rollout": rollout }));
        assert_eq!(exit(&paused), Exit::WaitsForPerson);
        assert_eq!(ended(&paused), None);
        let returning = json!([waiting[0], { "reason": "Rollback", "sentence": "ECS returns" }]);
        let returning = service(json!({ "waiting": returning, "rollout": rollout }));
        assert_eq!(exit(&returning), Exit::Done, "a return waits for nobody");
    }

    #[test]
    fn elsewhere_than_on_a_terminal_a_change_is_a_line_and_the_same_is_none() {
        let mut out = Vec::new();
        let mut screen =
            Screen { out: &mut out, live: None, lines: Vec::new(), said: String::new() };
        let at = |share: u32, sentence: &str| {
            service(json!({
                "observedAt": "2026-01-01T00:00:00Z",
                "rollout": {
                    "phase": "Shifting", "digest": "v1:00112233445566778899aabbccddeeff",
                    "runningCount": 4, "desiredCount": 4, "healthyCount": 4,
                    "shift": { "strategy": "CANARY", "stage": "BAKE_TIME", "productionWeight": share },
                },
                "waiting": [{ "reason": "Deployment", "sentence": sentence }],
            }))
        };
        for service in [at(10, "for 1s"), at(10, "for 2s"), at(100, "for 3s")] {
            screen.show(&service).unwrap();
        }
        screen.end(&at(100, "for 4s")).unwrap();
        let text = String::from_utf8(out).unwrap();
        insta::assert_snapshot!(text, @"
        2026-01-01T00:00:00Z prod/web - Shifting v1:001122334455 CANARY in BAKE_TIME, 10% of production, 4 healthy and 4 running of 4: for 1s
        2026-01-01T00:00:00Z prod/web - Shifting v1:001122334455 CANARY in BAKE_TIME, 100% of production, 4 healthy and 4 running of 4: for 3s
        ");
    }
}
