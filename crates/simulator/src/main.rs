//! `evenkeel-simulator`: proof by simulation on the command line; never reaches AWS or the network.

use std::process::ExitCode;

use clap::Parser;
use evenkeel_simulator::app::{App, run};

fn main() -> ExitCode {
    run(&App::parse())
}
