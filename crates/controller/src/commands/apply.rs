//! `evenkeel apply`: makes AWS match some manifests once and tells how it went; never stays longer
//! than it was told.

mod failures;
mod progress;
mod standing;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Service, ServiceKey, Severity};
use evenkeel_reconciler::{
    Cloud, ControlLoop, DesiredState, LoopMetrics, LoopSettings, Shutdown, StatusBoard,
};
use prometheus::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::validate::line;
use crate::args::ApplyArgs;
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::daemon::{StartError, connect, loop_settings};
use crate::input;
use crate::outside::Outside;
use failures::{Failures, Noting};
use progress::Progress;
use standing::{Standing, standing};

/// Without --wait: how long the first writes may take.
const BEGIN_WITHIN: Duration = Duration::from_mins(5);

pub(crate) async fn apply(
    config: Config,
    args: ApplyArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let input = input::load(&args.paths, config.manifests.environment.as_deref())?;
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
    let (services, elsewhere) = input.services_of(&config);
    if services.is_empty() {
        return Err(CommandError::Sentence(format!(
            "no manifest is of the target `{}`, {elsewhere} are of others; choose with --target",
            config.target
        )));
    }
    let registry = Registry::new();
    let cloud = Arc::new(connect(&config, &registry).await?);
    let cloud = Outside::new(cloud, &config.analysis, &config.verify);
    let cloud = cloud.map_err(StartError::from)?;
    let cloud = Arc::new(cloud);
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
        let desired = DesiredState { services, ..DesiredState::default() };
        let (_desired, wanted) = watch::channel(Arc::new(desired.clone()));
        let board = Arc::new(StatusBoard::new());
        let metrics = LoopMetrics::register(registry).map_err(StartError::from)?;
        // What was not named here has its manifests elsewhere.
        let settings = LoopSettings { prune: None, ..loop_settings(self.config) };
        let failures = Failures::default();
        let cloud = Arc::new(Noting::new(cloud, failures.clone()));
        let control_loop = ControlLoop::new(cloud, settings, metrics, wanted, board.clone());
        let shutdown = Shutdown::new();
        let deadline = Instant::now() + self.wait.unwrap_or(BEGIN_WITHIN);
        let mut progress = Progress::new(out);
        let wait = self.wait.is_some();
        let follow = Follow { board: &board, desired: &desired, failures: &failures, wait };
        let watching = async {
            let ended = follow.until(deadline, &mut progress).await;
            shutdown.drain.cancel();
            ended
        };
        let (looped, ended) = tokio::join!(control_loop.run(shutdown.clone()), watching);
        looped.map_err(|error| CommandError::Sentence(format!("the loop ended: {error}")))?;
        let standings = ended?;
        progress.summary(&standings)?;
        Ok(verdict(standings.values().map(|(standing, _)| *standing), wait))
    }
}

type Standings = BTreeMap<String, (Standing, String)>;

/// What the progress is read from.
struct Follow<'a> {
    board: &'a StatusBoard,
    desired: &'a DesiredState,
    failures: &'a Failures,
    wait: bool,
}

impl Follow<'_> {
    /// Shows every change of the board until all services are at rest or the time is over.
    async fn until(
        &self,
        deadline: Instant,
        progress: &mut Progress<'_>,
    ) -> Result<Standings, CommandError> {
        let mut changed = self.board.changed();
        loop {
            changed.borrow_and_update();
            let standings = self.standings();
            for (name, (standing, sentence)) in &standings {
                progress.show(name, *standing, sentence)?;
            }
            let at_rest = standings.values().all(|(standing, _)| standing.is_at_rest(self.wait));
            // The sender lives in the board, so only time can end the waiting.
            if at_rest || timeout_at(deadline, changed.changed()).await.is_err() {
                return Ok(standings);
            }
        }
    }

    fn standings(&self) -> Standings {
        self.desired.services.keys().map(|key| (key.to_string(), self.standing(key))).collect()
    }

    fn standing(&self, key: &ServiceKey) -> (Standing, String) {
        match (self.failures.of(key), self.board.get(key)) {
            (Some(failure), Some(_)) => (Standing::Failed, failure),
            (_, Some(status)) => standing(&status),
            (_, None) => (Standing::Working, "is being looked at".to_owned()),
        }
    }
}

/// The worst of all; an error to be told is worse than a revision that was caught.
fn verdict(standings: impl Iterator<Item = Standing>, wait: bool) -> Exit {
    let exit = |standing| match standing {
        Standing::Settled => Exit::Done,
        Standing::Begun if !wait => Exit::Done,
        Standing::Begun | Standing::Working => Exit::TimedOut,
        Standing::Failed => Exit::Bad,
        Standing::RolledBack => Exit::RolledBack,
        Standing::WaitsForPerson => Exit::WaitsForPerson,
    };
    let rank = |exit: &Exit| match exit {
        Exit::Bad => 4,
        Exit::RolledBack => 3,
        Exit::WaitsForPerson => 2,
        Exit::TimedOut => 1,
        _ => 0,
    };
    standings.map(exit).max_by_key(rank).unwrap_or(Exit::Done)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use evenkeel_manifest::Pattern;
    use evenkeel_planner::{Action, Applied, Observed, Questions};
    use evenkeel_reconciler::{CloudError, OwnedService, PruneSettings};

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

    /// A cloud in which nothing is allowed.
    #[derive(Debug)]
    struct Denied;

    fn denied() -> CloudError {
        CloudError::Denied {
            operation: "DescribeServices".to_owned(),
            code: "AccessDeniedException".to_owned(),
            message: "no".to_owned(),
        }
    }

    impl Cloud for Denied {
        async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
            Err(denied())
        }

        async fn observe(&self, _: &ServiceKey, _: &Questions) -> Result<Observed, CloudError> {
            Err(denied())
        }

        async fn apply(&self, _: &ServiceKey, _: &Action) -> Result<Applied, CloudError> {
            Err(denied())
        }
    }

    fn web() -> Vec<Service> {
        let text = "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {name: web}\nspec:\n  \
                    cluster: prod\n  taskDefinition: {memory: '512', containerDefinitions: [{name: \
                    app, image: app}]}\n  service: {desiredCount: 1}\n";
        let file = evenkeel_manifest::File { name: "web.yaml".into(), text: text.to_owned() };
        let set = evenkeel_manifest::load(&[file]);
        assert_eq!(set.problems, []);
        set.services
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_permission_ends_it_before_the_time_is_over() {
        let config = Config::default();
        let wait = Duration::from_hours(1);
        let apply = Apply { config: &config, services: web(), wait: Some(wait) };
        let (mut out, began) = (Vec::new(), Instant::now());
        let exit = apply.run(Arc::new(Denied), &Registry::new(), &mut out).await.unwrap();
        assert_eq!(exit, Exit::Bad);
        assert!(began.elapsed() < Duration::from_mins(1), "it took {:?}", began.elapsed());
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("prod/web failed: DescribeServices was denied"), "{text}");
    }

    /// A cloud that owns a service besides, and in which no look ends.
    #[derive(Debug, Default)]
    struct TwoOwned {
        looked_at: Mutex<BTreeSet<String>>,
    }

    impl Cloud for TwoOwned {
        async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
            let owned = |name: &str| OwnedService::of(ServiceKey::new("prod", name), |_| false);
            Ok(vec![owned("web"), owned("other")])
        }

        async fn observe(&self, key: &ServiceKey, _: &Questions) -> Result<Observed, CloudError> {
            self.looked_at.lock().unwrap().insert(key.name.clone());
            std::future::pending().await
        }

        async fn apply(&self, _: &ServiceKey, _: &Action) -> Result<Applied, CloudError> {
            Err(denied())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_named_is_left_alone_where_pruning_is_granted() {
        let all = || vec![Pattern::of_names("*").unwrap()];
        let prune = PruneSettings {
            clusters: all(),
            services: all(),
            grace: Duration::from_mins(1),
            keep: Duration::from_hours(24),
            percent_max: 100,
            services_max: 5,
        };
        let config = Config { prune: Some(prune), ..Config::default() };
        let wait = Duration::from_hours(3);
        let apply = Apply { config: &config, services: web(), wait: Some(wait) };
        let cloud = Arc::new(TwoOwned::default());
        let exit = apply.run(cloud.clone(), &Registry::new(), &mut Vec::new()).await.unwrap();
        assert_eq!(exit, Exit::TimedOut);
        let looked_at = cloud.looked_at.lock().unwrap().clone();
        assert_eq!(looked_at, BTreeSet::from(["web".to_owned()]));
    }
}
