//! The command line: from what was typed to an exit code; each command is a module of its own.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Args, Color, Command};
use crate::commands;
use crate::config::{Config, ConfigError, Layers};
use crate::style;

/// How a command ended, other than by an error; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// The command worked and what it looked at is bad.
    Bad,
    /// `plan` or `diff` found changes.
    Changes,
    RolledBack,
    TimedOut,
    WaitsForPerson,
    /// The daemon does not follow a command as things stand.
    NotFollowed,
    /// `verify` found something missing.
    Unverified,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bad => 1,
            Self::Changes => 2,
            Self::RolledBack => 3,
            Self::TimedOut => 4,
            Self::WaitsForPerson => 5,
            Self::NotFollowed => 6,
            Self::Unverified => 7,
        }
    }
}

/// Why a command could not do what it was asked: one sentence, with a remedy.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Daemon(#[from] crate::daemon::DaemonError),
    #[error(transparent)]
    Start(#[from] crate::daemon::StartError),
    #[error(transparent)]
    Input(#[from] crate::input::InputError),
    #[error(transparent)]
    Client(#[from] crate::client::ClientError),
    #[error(transparent)]
    Token(#[from] crate::client::TokenError),
    #[error(transparent)]
    SetImage(#[from] evenkeel_manifest::SetImageError),
    #[error(transparent)]
    SetVariable(#[from] evenkeel_manifest::SetVariableError),
    #[error(transparent)]
    Snapshot(#[from] crate::snapshot::SnapshotError),
    #[error("{0}")]
    Sentence(String),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    set_colours(args.color);
    let mut out = anstream::stdout().lock();
    let result = dispatch(args, &mut out).and_then(|exit| Ok(out.flush().map(|()| exit)?));
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        // The reader, such as `head`, has seen enough.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let red = style::BAD;
            let _nowhere_to_say = writeln!(
                anstream::stderr(),
                "{red}error{red:#}: {}",
                style::safe_lines(&error.to_string())
            );
            ExitCode::from(error.exit().code())
        }
    }
}

impl CommandError {
    fn exit(&self) -> Exit {
        match self {
            Self::Client(error) if error.is_a_refusal() => Exit::NotFollowed,
            _ => Exit::Bad,
        }
    }
}

/// Help and version are no errors. A wrong usage is an error like any other: clap's own code for
/// it, 2, says "changes" here.
fn usage(error: &clap::Error) -> ExitCode {
    let _nowhere_to_say = error.print();
    ExitCode::from(if error.use_stderr() { Exit::Bad.code() } else { Exit::Done.code() })
}

fn set_colours(color: Color) {
    match color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

fn dispatch(args: Args, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let Args { config, mut flags, color: _, command } = args;
    if let Command::Run(run) = &command {
        flags.manifests.path.clone_from(&run.manifests);
        flags.http.listen.clone_from(&run.listen);
    }
    let layers = Layers::of_process(config, flags);
    match command {
        Command::Run(_) => run_daemon(Config::load(&layers)?),
        Command::Plan(args) => {
            runtime()?.block_on(commands::plan(Config::load(&layers)?, args, out))
        }
        Command::Snapshot(args) => {
            runtime()?.block_on(commands::snapshot(Config::load(&layers)?, args, out))
        }
        Command::Import(args) => {
            runtime()?.block_on(commands::import(Config::load(&layers)?, args, out))
        }
        Command::Diff(args) => {
            runtime()?.block_on(commands::diff(Config::load(&layers)?, args, out))
        }
        Command::Apply(args) => {
            runtime()?.block_on(commands::apply(Config::load(&layers)?, args, out))
        }
        Command::Get(args) => runtime()?.block_on(commands::get(Config::load(&layers)?, args, out)),
        Command::Describe(args) => {
            runtime()?.block_on(commands::describe(Config::load(&layers)?, args, out))
        }
        Command::Rollout(args) => {
            runtime()?.block_on(commands::rollout(Config::load(&layers)?, args, out))
        }
        Command::Hold(args) => {
            runtime()?.block_on(commands::hold(Config::load(&layers)?, args, out))
        }
        Command::Release(args) => {
            runtime()?.block_on(commands::release(Config::load(&layers)?, args, out))
        }
        Command::Prune(args) => {
            runtime()?.block_on(commands::prune(Config::load(&layers)?, args, out))
        }
        Command::Verify(args) => {
            runtime()?.block_on(commands::verify(Config::load(&layers)?, args, out))
        }
        Command::Validate(args) => commands::validate(&layers, &args, out),
        Command::Render(args) => commands::render(&layers, &args, out),
        Command::Set(args) => commands::set(&args, out),
        Command::Schema => commands::schema(out),
        Command::Config(args) => commands::config(&layers, &args, out),
        Command::Version(args) => commands::version(&args, out),
        Command::Completions { shell } => {
            // Into memory first, because the generator panics when a pipe is closed.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "evenkeel", &mut script);
            out.write_all(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// A look at a server that hangs would otherwise hold up the end: nothing depends on how it ends.
fn run_daemon(config: Config) -> Result<Exit, CommandError> {
    let runtime = runtime()?;
    let ended = runtime.block_on(commands::run(config));
    runtime.shutdown_background();
    ended
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
