//! cupctl: commands and output formats.
//!
//! It asks, prints and exits; every decision is the service's. Output for people goes through
//! [`term`], output for machines is the service's own JSON. Failures are told on stderr and by the
//! exit status (surface: 0 done, 1 refused or failed, 2 wrong use, 3 no service, 4 not authorised).

pub mod args;
mod ask;
mod connect;
mod document;
mod fault;
mod live;
mod logs;
mod problems;
mod see;
mod term;

use args::{Cli, Global, Show, Verb, later};
use clap::Parser;
use fault::{Exit, Fault};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::process::ExitCode;
use term::{Screen, Tone, plain, tone, write_quietly};

/// What a verb comes to.
type Outcome = Result<Exit, Fault>;

/// Runs cupctl with the arguments of the process, program name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse_use(&error),
    };
    let global = cli.global.clone();
    let exit = match zbus::block_on(run(cli)) {
        Ok(exit) => exit,
        Err(fault) => tell(&global, &fault),
    };
    exit.into()
}

fn refuse_use(error: &clap::Error) -> ExitCode {
    if let Some(word) = later(error) {
        let fault = format!("{word} is not supported in this version");
        return tell(&Global::default(), &Fault::new(Exit::Failed, fault)).into();
    }
    // Nothing can be done if the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

async fn run(cli: Cli) -> Outcome {
    let global = &cli.global;
    match cli.verb {
        Verb::Status | Verb::Show { what: Show::Status } => ask::status(global).await,
        Verb::Show { what } => ask::show(global, what).await,
        Verb::Why { request, headers } => ask::why(global, &request, &headers).await,
        Verb::Check { routes, backends } => ask::check(global, &routes, &backends).await,
        Verb::Events => live::events(global).await,
        Verb::Top { interval, count } => live::top(global, interval, count).await,
        Verb::Metrics => ask::metrics(global).await,
        Verb::Logs(which) => logs::logs(global, &which),
        Verb::Validate { file, offline } => document::validate(global, &file, offline).await,
        Verb::Plan { file } => document::plan(global, &file).await,
        Verb::Apply { file, file_option, expected_serial } => {
            // The definition requires one of the two.
            let path = file.or(file_option).unwrap_or_default();
            document::apply(global, &path, expected_serial).await
        }
        Verb::Reload => document::reload(global).await,
        Verb::LogLevel { filter } => ask::log_level(global, &filter).await,
        Verb::Stop { hard } => ask::stop(global, hard).await,
    }
}

/// Tells a failure: a sentence on stderr and, for machines, an object on stdout.
fn tell(global: &Global, fault: &Fault) -> Exit {
    if global.json {
        let problems: Vec<Value> =
            fault.rows.iter().map(|row| problems::Shown::from(row).json()).collect();
        print_json(&json!({
            "error": { "name": fault.name, "message": fault.message, "problems": problems },
        }));
    }
    let mut screen = Screen::stderr();
    screen.line(format!("{} {}", tone(Tone::Bad, "cupctl:"), plain(&fault.message)));
    screen.print_error();
    fault.exit
}

/// Prints a document for machines.
fn print_json(value: &Value) {
    write_quietly(&mut std::io::stdout().lock(), &format!("{value:#}\n"));
}

/// Prints one of many documents for machines, on a line of its own.
fn print_json_line(value: &Value) {
    write_quietly(&mut std::io::stdout().lock(), &format!("{value}\n"));
}

/// Reads a document of the service. Error: one that another version made.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("the service's answer is not understood: {error} (other version?)");
        Fault::new(Exit::Failed, message)
    })
}
