//! The operator's hand.

use std::process::ExitCode;

fn main() -> ExitCode {
    cloudcup::ctl::main(std::env::args_os())
}
