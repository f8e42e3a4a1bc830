//! What a git source costs: looks, one changed file among many, memory, and the way from a push to the first write; the
//! daemon as a process of its own beside a repository on this machine's disk. Never measures a network.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evenkeel_local::door::CallRecord;

use crate::BenchResult;
use crate::daemon::Daemon;
use crate::figures::{Figures, median, show};
use crate::fleet;
use crate::sweep::Bench;

const SECRET: &str = "a-secret-of-the-bench";

/// The name of the source in the configuration.
const SOURCE: &str = "fleet";

/// What stands before the names of its files.
const OWNED_AS: &str = "fleet/";

const WITHIN: Duration = Duration::from_mins(3);

/// Pushes whose way is measured.
const PUSHES: usize = 9;

/// Hints that come closer together than two seconds are one, which would be measured instead.
const HINTS_APART: Duration = Duration::from_millis(2_500);

/// Long enough that nothing but a hint makes the daemon look.
const RARELY: &str = "1h";

/// The way of one push is short in a small fleet, and looks at ten thousand manifests show what grows.
pub(crate) async fn measure(figures: &mut Figures) -> BenchResult<()> {
    let bench = Bench::start_of(20, OWNED_AS).await?;
    push_to_first_write(figures, &bench, "hook", RARELY).await?;
    push_to_first_write(figures, &bench, "poll", "2s").await
}

pub(crate) async fn measure_many(figures: &mut Figures, count: usize) -> BenchResult<()> {
    let bench = Bench::start_of(count, OWNED_AS).await?;
    let repository = Repository::of(&bench)?;
    let daemon = repository.daemon(&bench, "1s").await?;
    daemon.ready(count, WITHIN).await?;
    add_memory(figures, count, &daemon).await?;
    add_unchanged_look(figures, count, &daemon).await?;
    daemon.stop().await?;
    let daemon = repository.daemon(&bench, RARELY).await?;
    daemon.ready(count, WITHIN).await?;
    add_changed_file(figures, count, &repository, &daemon).await?;
    daemon.stop().await
}

async fn push_to_first_write(
    figures: &mut Figures,
    bench: &Bench,
    by: &str,
    interval: &str,
) -> BenchResult<()> {
    let repository = Repository::of(bench)?;
    let daemon = repository.daemon(bench, interval).await?;
    daemon.ready(20, WITHIN).await?;
    let mut ways = Vec::new();
    for push in 0..PUSHES {
        let before = bench.calls.total();
        let pushed = repository.push(&format!("{by}-{push}"))?;
        if by == "hook" {
            daemon.post(&format!("/hooks/{SOURCE}"), ("x-gitlab-token", SECRET)).await?;
        }
        ways.push(first_write(bench, before).await?.duration_since(pushed));
    }
    daemon.stop().await?;
    ways.sort();
    let most = ways.last().copied().unwrap_or_default();
    let how = if by == "hook" {
        "The web hook is sent when the push has ended.".to_owned()
    } else {
        format!(
            "Nothing is told; the repository is looked at every {interval}, give or take a tenth."
        )
    };
    figures.add(
        format!("push_to_first_write_by_{by}_seconds"),
        format!("push to first write, by {by}"),
        median(&ways).as_secs_f64(),
        format!("{} (most {})", show(median(&ways)), show(most)),
        format!(
            "Median of {PUSHES} pushes of one changed manifest of 20, from the end of `git push` to the first write \
             at the region's door. {how} Fetching, parsing and two looks are part of it."
        ),
    );
    Ok(())
}

async fn first_write(bench: &Bench, before: u64) -> BenchResult<Instant> {
    let mut calls = bench.calls.subscribe();
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        if let Some(write) = bench.calls.after(before).iter().find(|call| call.is_write()) {
            let at = write.at;
            settled(bench).await?;
            return Ok(at);
        }
        tokio::time::timeout(WITHIN, calls.changed()).await??;
    }
    Err("a push led to no write".into())
}

/// Waits until nothing was written for a while, so that the next write is the next push's.
async fn settled(bench: &Bench) -> BenchResult<()> {
    let quiet = Duration::from_secs(3);
    let writes = || bench.calls.after(0).iter().filter(|call| CallRecord::is_write(call)).count();
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        let before = writes();
        tokio::time::sleep(quiet).await;
        if writes() == before {
            return Ok(());
        }
    }
    Err("writes do not end".into())
}

async fn add_memory(figures: &mut Figures, count: usize, daemon: &Daemon) -> BenchResult<()> {
    daemon.metrics().await?;
    let (resident, most) = daemon.resident_mebibytes()?;
    figures.add(
        format!("git_resident_{count}_mebibytes"),
        format!("resident memory, {count} services from git (goal 64)"),
        resident,
        format!("{resident:.1} MiB (peak {most:.1})"),
        "The process `evenkeel run` after a look at every service; its copy of the repository is on disk.",
    );
    Ok(())
}

async fn add_unchanged_look(
    figures: &mut Figures,
    count: usize,
    daemon: &Daemon,
) -> BenchResult<()> {
    const LOOKS: u32 = 20;
    let before = daemon.processor_time()?;
    tokio::time::sleep(Duration::from_secs(1) * LOOKS).await;
    let took = daemon.processor_time()?.saturating_sub(before) / LOOKS;
    figures.add(
        format!("git_unchanged_look_{count}_seconds"),
        format!("processor time, unchanged look, {count} manifests"),
        took.as_secs_f64(),
        show(took),
        format!(
            "All that the daemon does in a second in which it looks at the repository once and nothing has changed, \
             over {LOOKS} s; its looks at settled services are part of it."
        ),
    );
    Ok(())
}

/// Until the daemon tells the new commit as the one in force.
async fn add_changed_file(
    figures: &mut Figures,
    count: usize,
    repository: &Repository,
    daemon: &Daemon,
) -> BenchResult<()> {
    let mut times = Vec::new();
    for push in 0..5 {
        tokio::time::sleep(HINTS_APART).await;
        repository.push(&format!("many-{push}"))?;
        let commit = repository.commit()?;
        let told = Instant::now();
        daemon.post(&format!("/hooks/{SOURCE}"), ("x-gitlab-token", SECRET)).await?;
        while !daemon.text("/v1/manifests").await?.contains(&commit) {
            if told.elapsed() > WITHIN {
                return Err("a pushed commit does not take over".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(told.elapsed());
    }
    times.sort();
    figures.add(
        format!("git_changed_file_{count}_seconds"),
        format!("one changed file among {count} manifests"),
        median(&times).as_secs_f64(),
        show(median(&times)),
        "Median of 5 pushes, from the web hook to the commit being in force: fetching it, reading the tree, parsing \
         what changed, checking the whole set.",
    );
    Ok(())
}

/// A repository, and a work tree of somebody who pushes to it.
struct Repository {
    directory: tempfile::TempDir,
}

impl Repository {
    /// With the manifests of the bench as its only commit.
    fn of(bench: &Bench) -> BenchResult<Self> {
        let repository = Self { directory: tempfile::tempdir()? };
        let (origin, work) = (repository.origin(), repository.work());
        std::fs::create_dir_all(&work)?;
        git(&work, &["init", "--quiet", "--bare", "-b", "main", &origin.display().to_string()])?;
        git(&work, &["init", "--quiet", "-b", "main"])?;
        for entry in std::fs::read_dir(bench.manifests.path())? {
            let entry = entry?;
            std::fs::copy(entry.path(), work.join(entry.file_name()))?;
        }
        git(&work, &["remote", "add", "origin", &origin.display().to_string()])?;
        std::fs::write(repository.directory.path().join("secret"), SECRET)?;
        repository.commit_and_push("first")?;
        Ok(repository)
    }

    fn origin(&self) -> PathBuf {
        self.directory.path().join("origin.git")
    }

    fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Gives the first service an environment that it never had. Returns when the push has ended.
    fn push(&self, value: &str) -> BenchResult<Instant> {
        let file = fleet::files(1).into_iter().next().ok_or("no file")?;
        let path = self.work().join(&*file.name);
        let text = std::fs::read_to_string(&path)?;
        let (head, tail) = text.split_once("name: LOG_LEVEL, value: ").ok_or("no such variable")?;
        let (_, tail) = tail.split_once('}').ok_or("no end of the variable")?;
        std::fs::write(&path, format!("{head}name: LOG_LEVEL, value: {value}}}{tail}"))?;
        self.commit_and_push(value)?;
        Ok(Instant::now())
    }

    fn commit_and_push(&self, message: &str) -> BenchResult<()> {
        let work = self.work();
        git(&work, &["add", "--all"])?;
        git(&work, &["commit", "--quiet", "--message", message])?;
        git(&work, &["push", "--quiet", "origin", "main"])?;
        Ok(())
    }

    fn commit(&self) -> BenchResult<String> {
        git(&self.work(), &["rev-parse", "HEAD"])
    }

    async fn daemon(&self, bench: &Bench, interval: &str) -> BenchResult<Daemon> {
        let base = self.directory.path();
        let config = base.join("evenkeel.toml");
        let text = format!(
            "cacheDirectory = \"{}\"\n[[sources]]\nname = \"{SOURCE}\"\n[sources.git]\nurl = \"file://{}\"\n\
             branch = \"main\"\ninterval = \"{interval}\"\n[sources.hook]\nsecretFile = \"{}\"\n",
            base.join("cache").display(),
            self.origin().display(),
            base.join("secret").display(),
        );
        std::fs::write(&config, text)?;
        let resync = Duration::from_mins(5);
        Daemon::start_with(&bench.endpoint, "--config", &config, resync).await
    }
}

/// What git prints, without the end of its line.
fn git(directory: &Path, arguments: &[&str]) -> BenchResult<String> {
    let output = Command::new("git")
        .current_dir(directory)
        .args(["-c", "user.name=bench", "-c", "user.email=bench@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("git does not run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {}: {said}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
