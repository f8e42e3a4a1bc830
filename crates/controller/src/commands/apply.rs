//! `evenkeel apply`: makes AWS match some manifests once and tells how it went; never stays longer
//! than it was told.

mod progress;
mod standing;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Service, Severity};
use evenkeel_reconciler::{Cloud, ControlLoop, DesiredState, LoopMetrics, Shutdown, StatusBoard};
use prometheus::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::validate::line;
use crate::args::ApplyArgs;
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::daemon::{connect, loop_settings};
use crate::input;
use progress::Progress;
use standing::{Standing, standing};

/// Without --wait: how long the first writes may take.
const BEGIN_WITHIN: Duration = Duration::from_mins(5);

pub(crate) async fn apply(
    config: Config,
    args: ApplyArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let input = input::load(&args.paths)?;
    for problem in &input.set.problems {
        writeln!(anstream::stderr(), "{}", line(problem))?;
    }
    if input.count(Severity::Error) > 0 {
        return Err(CommandError::Sentence(
            "nothing was applied, because some manifests are not valid; correct them, or name only \
             the valid ones"
                .to_owned(),
        ));
    }
    let (services, elsewhere) = input.services_of(&config.target);
    if services.is_empty() {
        return Err(CommandError::Sentence(format!(
            "no manifest is of the target `{}`, {elsewhere} are of others; choose with --target",
            config.target
        )));
    }
    let registry = Registry::new();
    let cloud = Arc::new(connect(&config, &registry).await?);
    let apply = Apply { config: &config, services, wait: args.wait };
    apply.run(cloud, &registry, out).await
}

struct Apply<'a> {
    config: &'a Config,
    services: Vec<Service>,
    wait: Option<Duration>,
}

impl Apply<'_> {
    /// The daemon's own loop over a fixed set of services, until all of them have come to rest.
    async fn run<C: Cloud>(
        self,
        cloud: Arc<C>,
        registry: &Registry,
        out: &mut dyn Write,
    ) -> Result<Exit, CommandError> {
        let services: BTreeMap<_, _> = self
            .services
            .into_iter()
            .map(|service| (service.key.clone(), Arc::new(service)))
            .collect();
        let desired = DesiredState { services, invalid: BTreeMap::new() };
        let (_desired, wanted) = watch::channel(Arc::new(desired.clone()));
        let board = Arc::new(StatusBoard::new());
        let metrics = LoopMetrics::register(registry).map_err(crate::daemon::StartError::from)?;
        let settings = loop_settings(self.config);
        let control_loop = ControlLoop::new(cloud, settings, metrics, wanted, board.clone());
        let shutdown = Shutdown::new();
        let deadline = Instant::now() + self.wait.unwrap_or(BEGIN_WITHIN);
        let mut progress = Progress::new(out);
        let watching = async {
            let ended =
                follow(&board, &desired, self.wait.is_some(), deadline, &mut progress).await;
            shutdown.drain.cancel();
            ended
        };
        let (looped, ended) = tokio::join!(control_loop.run(shutdown.clone()), watching);
        looped.map_err(|error| CommandError::Sentence(format!("the loop ended: {error}")))?;
        let standings = ended?;
        progress.summary(&standings)?;
        Ok(verdict(standings.values().map(|(standing, _)| *standing), self.wait.is_some()))
    }
}

type Standings = BTreeMap<String, (Standing, String)>;

/// Shows every change of the board until all services are at rest or the time is over.
async fn follow(
    board: &StatusBoard,
    desired: &DesiredState,
    wait: bool,
    deadline: Instant,
    progress: &mut Progress<'_>,
) -> Result<Standings, CommandError> {
    let mut changed = board.changed();
    let mut standings: Standings = BTreeMap::new();
    loop {
        changed.borrow_and_update();
        for key in desired.services.keys() {
            let (standing, sentence) = match board.get(key) {
                Some(status) => standing(&status),
                None => (Standing::Working, "is being looked at".to_owned()),
            };
            progress.show(&key.to_string(), standing, &sentence)?;
            standings.insert(key.to_string(), (standing, sentence));
        }
        let at_rest = |standing: Standing| match standing {
            Standing::Working => false,
            Standing::Begun => !wait,
            _ => true,
        };
        if standings.values().all(|(standing, _)| at_rest(*standing)) {
            return Ok(standings);
        }
        // The sender lives in the board, so only time can end this.
        if timeout_at(deadline, changed.changed()).await.is_err() {
            return Ok(standings);
        }
    }
}

/// The worst of all; an error to be told is worse than a revision that was caught.
fn verdict(standings: impl Iterator<Item = Standing>, wait: bool) -> Exit {
    let exit = |standing| match standing {
        Standing::Settled => Exit::Done,
        Standing::Begun if !wait => Exit::Done,
        Standing::Begun | Standing::Working => Exit::TimedOut,
        Standing::RolledBack => Exit::RolledBack,
        Standing::WaitsForPerson => Exit::WaitsForPerson,
    };
    let rank = |exit: &Exit| match exit {
        Exit::RolledBack => 3,
        Exit::WaitsForPerson => 2,
        Exit::TimedOut => 1,
        _ => 0,
    };
    standings.map(exit).max_by_key(rank).unwrap_or(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_that_was_rolled_back_decides() {
        let standings = [Standing::Settled, Standing::Working, Standing::RolledBack];
        assert_eq!(verdict(standings.into_iter(), true), Exit::RolledBack);
    }

    #[test]
    fn a_change_that_has_begun_is_enough_only_when_nobody_waits() {
        assert_eq!(verdict([Standing::Begun].into_iter(), false), Exit::Done);
        assert_eq!(verdict([Standing::Begun].into_iter(), true), Exit::TimedOut);
    }
}
