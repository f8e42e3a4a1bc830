//! `evenkeel-simulator`: proof by simulation on the command line; never reaches AWS or the network.

use std::process::ExitCode;

use clap::Parser;
use evenkeel_simulator::app::{App, run};

/// Courses are made of small JSON values that live for microseconds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(&App::parse())
}
