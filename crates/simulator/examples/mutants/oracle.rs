//! The proofs that are to find a mistake, the cheapest first; never looks at where it was planted.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Failed;
use crate::copy::Copied;

/// How much is tried before a mutant counts as surviving.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Scenarios of at most so many calls are swept.
    pub(crate) small: u64,
    pub(crate) seeds: u64,
    /// After how long one proof is taken to be without end.
    pub(crate) patience: Duration,
}

/// What came of one mutant, and how long it took.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) outcome: Outcome,
    pub(crate) build: Duration,
    pub(crate) proof: Duration,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Caught(Catch),
    /// Nothing but words and times differs, in that many transcripts.
    Survives {
        only_words: usize,
    },
    DoesNotBuild(String),
}

/// The first thing that was found wrong.
#[derive(Debug)]
pub(crate) struct Catch {
    /// The command that found it.
    pub(crate) by: &'static str,
    pub(crate) how: How,
    pub(crate) course: String,
    pub(crate) what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Property,
    /// An expectation of a script, or where a course ends.
    Expectation,
    /// Only what is written to AWS, or its order, differs from the accepted transcript.
    Writes,
    /// It does not come to an end, or dies.
    NoEnd,
}

#[derive(Debug, Deserialize)]
struct Found {
    failures: Vec<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    kind: String,
    course: String,
    what: String,
}

#[derive(Debug)]
pub(crate) struct Oracle<'a> {
    copied: &'a Copied,
    effort: Effort,
}

impl<'a> Oracle<'a> {
    pub(crate) fn on(copied: &'a Copied, effort: Effort) -> Self {
        Self { copied, effort }
    }

    pub(crate) fn try_out(&self) -> Result<Tried, Failed> {
        let began = Instant::now();
        let compiled = self.build()?;
        let build = began.elapsed();
        let outcome = match compiled {
            Ok(()) => self.prove()?,
            Err(errors) => Outcome::DoesNotBuild(errors),
        };
        Ok(Tried { outcome, build, proof: began.elapsed().saturating_sub(build) })
    }

    /// The compiler's errors when it does not build.
    fn build(&self) -> Result<Result<(), String>, Failed> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.copied.workspace).env("CARGO_TARGET_DIR", self.target());
        cargo.envs([
            ("CARGO_INCREMENTAL", "1"),
            ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
            ("CARGO_PROFILE_DEV_DEBUG", "false"),
        ]);
        cargo.args(["build", "--offline", "--quiet", "-p", "evenkeel-simulator", "--bins"]);
        let output = cargo.output().map_err(|error| Failed::Command("cargo", error))?;
        let errors = || String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(if output.status.success() { Ok(()) } else { Err(errors()) })
    }

    fn target(&self) -> PathBuf {
        self.copied.workspace.join("target")
    }

    fn prove(&self) -> Result<Outcome, Failed> {
        let Effort { small, seeds, .. } = self.effort;
        let (small, seeds) = (small.to_string(), seeds.to_string());
        let sweep = ["--small", small.as_str(), "--pairs", "0"];
        let mut proofs = vec![("scenarios", vec!["--until-broken"])];
        if self.effort.small > 0 {
            proofs.push(("stale-sweep", sweep[..2].to_vec()));
            proofs.push(("crash-sweep", sweep.to_vec()));
        }
        if self.effort.seeds > 0 {
            proofs.push(("soak", vec!["--seeds", &seeds]));
        }
        let (mut only_words, mut other_writes) = (0, None);
        for (command, arguments) in proofs {
            match self.prove_by(command, &arguments)? {
                Ok(words) => only_words += words,
                // Other calls than were accepted: perhaps a later proof says what is wrong with them.
                Err(catch) if catch.how == How::Writes => other_writes = Some(catch),
                Err(catch) => return Ok(Outcome::Caught(catch)),
            }
        }
        Ok(other_writes.map_or(Outcome::Survives { only_words }, Outcome::Caught))
    }

    /// How many transcripts differ in words only, or what is wrong.
    fn prove_by(
        &self,
        command: &'static str,
        arguments: &[&str],
    ) -> Result<Result<usize, Catch>, Failed> {
        let report = self.copied.workspace.join("found.json");
        std::fs::remove_file(&report).ok();
        let output = self.copied.workspace.join("output.txt");
        let file = |source| Failed::File { path: output.clone(), source };
        let output = File::create(&output).map_err(file)?;
        let mut proof = Command::new(self.target().join("debug/evenkeel-simulator"));
        proof.current_dir(&self.copied.workspace).arg(command).args(arguments);
        proof.arg("--report").arg(&report);
        proof.stdout(output.try_clone().map_err(file)?).stderr(output).stdin(Stdio::null());
        let child = proof.spawn().map_err(|error| Failed::Command("evenkeel-simulator", error))?;
        let ended = self.ended(child);
        let found = std::fs::read(&report).ok();
        let found = found.and_then(|text| serde_json::from_slice::<Found>(&text).ok());
        Ok(judged(command, ended, found))
    }

    /// `None` when it was ended for taking too long.
    #[expect(clippy::disallowed_methods, reason = "a process tells nobody when it ends")]
    fn ended(&self, mut child: Child) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            if began.elapsed() > self.effort.patience {
                child.kill().ok();
                child.wait().ok();
                return None;
            }
            sleep(Duration::from_millis(50));
        }
    }
}

fn judged(
    command: &'static str,
    ended: Option<ExitStatus>,
    found: Option<Found>,
) -> Result<usize, Catch> {
    let no_end = |what: String| {
        Err(Catch { by: command, how: How::NoEnd, course: "a course".to_owned(), what })
    };
    let Some(status) = ended else { return no_end("it does not come to an end".to_owned()) };
    let Some(found) = found else { return no_end(format!("the simulator dies ({status})")) };
    let of = |kind: &'static str| found.failures.iter().filter(move |one| one.kind == kind);
    let catch = |how: How, one: &Failure| {
        let (course, what) = (one.course.clone(), one.what.clone());
        Err(Catch { by: command, how, course, what })
    };
    // A property says the most about what went wrong.
    let property = of("behaviour").find(|one| one.what.contains(" broken at "));
    if let Some(one) = property {
        return catch(How::Property, one);
    }
    if let Some(one) = of("behaviour").next() {
        return catch(How::Expectation, one);
    }
    match of("writes").next() {
        Some(one) => catch(How::Writes, one),
        None => Ok(of("wording").count()),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(catch) => write!(f, "{catch}"),
            Self::Survives { only_words: 0 } => f.write_str("nothing was found"),
            Self::Survives { only_words } => {
                write!(f, "only words in {only_words} transcripts differ")
            }
            Self::DoesNotBuild(_) => f.write_str("it does not compile"),
        }
    }
}

impl fmt::Display for Catch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.what.lines().next().unwrap_or_default();
        let line: String = line.chars().take(160).collect();
        write!(f, "{} ({}, {}): {line}", self.how.word(), self.by, self.course)
    }
}

impl How {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Property => "property",
            Self::Expectation => "expectation",
            Self::Writes => "writes",
            Self::NoEnd => "no end",
        }
    }
}
