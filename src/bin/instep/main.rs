//! `instep`, the command-line tool: looks at schedules before a GPU does. One file per command; [`input`] reads what they
//! share. Knows the library's public interface alone.
#![deny(unsafe_code)]

mod commands;
mod compile;
mod doctor;
mod emit;
mod explain;
mod input;
mod picture;
mod plot;
mod steps;
mod terminal;
mod text;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use commands::{Command, Options};

/// Wrong input, as clap's own refusals.
const REFUSED: u8 = 2;

/// A message for people: what, where, and the rule.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Trace(options) => trace::run(&options),
        Command::Plot(options) => plot::run(&options),
        Command::Emit(options) => emit::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Compile(options) => compile::run(&options),
        Command::Doctor => return doctor::run(),
    };
    match outcome {
        Ok(text) => print(&text),
        Err(problem) => {
            eprintln!("instep: {problem}");
            ExitCode::from(REFUSED)
        }
    }
}

/// A reader that closed the pipe, such as `head`, has seen enough.
fn print(text: &str) -> ExitCode {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) if problem.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("instep: the output cannot be written: {problem}");
            ExitCode::FAILURE
        }
    }
}
