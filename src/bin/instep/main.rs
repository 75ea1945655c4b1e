//! `instep`, the command-line tool: looks at schedules before a GPU does. One file per command; [`input`] reads what they
//! share. Knows the library's public interface alone.
#![deny(unsafe_code)]

mod commands;
mod doctor;
mod emit;
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
        Command::Explain(options) => explain(&options),
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

fn explain(options: &commands::Explain) -> Result<String> {
    let config = input::read(&options.file)?;
    let mut text = String::new();
    for (i, group) in config.groups.iter().enumerate() {
        for (name, schedule) in group.hyperparameters() {
            let label = input::label(group, i, name);
            let explained = schedule.explain().map_err(|e| input::at(&options.file, format!("{label}: {e}")))?;
            text += &format!("{label}\n");
            for line in explained.lines() {
                text += &format!("  {line}\n");
            }
        }
    }
    Ok(text)
}
