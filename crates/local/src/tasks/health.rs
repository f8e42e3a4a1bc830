//! Really runs a container's health check, again and again; never decides what the results mean.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use evenkeel_simulator::HealthCheck;
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::place::Place;
use crate::clock::Clock;

/// A process takes as long as it takes, however fast the region's time runs.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the check each interval of the region's time and passes on whether it passed.
pub(super) async fn watch(
    check: &HealthCheck,
    clock: Clock,
    place: &Place,
    environment: &BTreeMap<String, String>,
    tell: impl Fn(bool),
) {
    let period = clock.real(check.interval).max(Duration::from_millis(10));
    let limit = clock.real(check.timeout).max(SHORTEST_TIMEOUT);
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(mut command) = command(&check.command, place) {
        ticks.tick().await;
        command.env_clear().envs(environment).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let passed =
            matches!(timeout(limit, command.status()).await, Ok(Ok(status)) if status.success());
        tell(passed);
    }
}

/// `["CMD", program, …]` or `["CMD-SHELL", text]`; `["NONE"]` switches the check off.
fn command(words: &[String], place: &Place) -> Option<Command> {
    let (kind, rest) = words.split_first()?;
    let mut rest = rest.iter().map(|word| inside_container(word, place));
    match kind.as_str() {
        "CMD" => {
            let mut command = Command::new(rest.next()?);
            command.args(rest);
            Some(command)
        }
        "CMD-SHELL" => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(rest.next()?);
            Some(command)
        }
        _ => None,
    }
}

/// In a container, `localhost` is the task itself: here that is the task's own address.
fn inside_container(word: &str, place: &Place) -> String {
    place.ports.iter().fold(word.to_owned(), |word, (container_port, port)| {
        let here = format!("{}:{port}", place.address);
        ["localhost", "127.0.0.1"]
            .iter()
            .fold(word, |word, name| word.replace(&format!("{name}:{container_port}"), &here))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_in_a_health_check_is_the_task() {
        let place = Place { address: [127, 64, 0, 9].into(), ports: BTreeMap::from([(80, 80)]) };
        let word = "curl -f http://localhost:80/health || exit 1";
        let expected = "curl -f http://127.64.0.9:80/health || exit 1";
        assert_eq!(inside_container(word, &place), expected);
    }
}
