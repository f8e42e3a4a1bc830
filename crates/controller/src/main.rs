//! The binary `evenkeel`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    evenkeel_controller::cli::main()
}
