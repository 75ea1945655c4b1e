//! `cargo xtask mutants`: changes one line of `kernels/` or `src/` at a time and asks whether the device tests, on the
//! stand-in, notice. Writes `docs/mutants.md` when all mutants were tried. [`list`] has them, [`trial`] tries one.
//!
//! Nothing is changed in the caller's tree. Kernels are compiled while tests run, so a mutant of theirs is a folder with one
//! file, which the stand-in reads in place of the text that the library hands it; one of the crate is built in a copy of the
//! tree below the target folder.

mod list;
mod trial;

use crate::{Network, target_folder};
use list::{Mutant, all};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use trial::{Outcome, Workshop};

/// Tries the mutants whose names hold one of `words`, or all. The exit code says whether one survived.
pub fn run(root: &Path, network: Network, words: &[String]) -> Result<ExitCode, String> {
    let chosen = |mutant: &&Mutant| words.is_empty() || words.iter().any(|word| mutant.name.contains(word.as_str()));
    let mutants: Vec<&Mutant> = all().filter(chosen).collect();
    if mutants.is_empty() {
        return Err(format!("no mutant's name holds {}", words.join(" or ")));
    }
    for mutant in all() {
        mutated(root, mutant)?;
    }
    let workshop = Workshop::new(root, network, target_folder().join("mutants"))?;
    let outcomes = try_all(&workshop, &mutants)?;
    let killed = outcomes.values().filter(|outcome| matches!(outcome, Outcome::Killed(_))).count();
    if words.is_empty() && killed == mutants.len() {
        let file = root.join("docs/mutants.md");
        fs::write(&file, table(&outcomes)).map_err(|problem| format!("{}: {problem}", file.display()))?;
    }
    println!("mutants: {} tried, {killed} killed", mutants.len());
    Ok(ExitCode::from(u8::from(killed < mutants.len())))
}

/// The file's text with the change in it.
fn mutated(root: &Path, mutant: &Mutant) -> Result<String, String> {
    let Mutant { name, file, from, to, .. } = *mutant;
    let text = fs::read_to_string(root.join(file)).map_err(|problem| format!("{file}: {problem}"))?;
    match text.matches(from).count() {
        1 => Ok(text.replacen(from, to, 1)),
        count => Err(format!("mutant `{name}`: its text occurs {count} times in {file}, but must occur once: {from}")),
    }
}

/// By name. As many at once as there are cores; what is not of a mutant's making ends all.
fn try_all<'m>(workshop: &Workshop<'_>, mutants: &[&'m Mutant]) -> Result<HashMap<&'m str, Outcome>, String> {
    // Those of the host first: they wait for builds, one at a time.
    let (host, kernels): (Vec<&Mutant>, Vec<&Mutant>) = mutants.iter().partition(|mutant| mutant.is_of_host());
    let waiting =
        Mutex::new((host.into_iter().rev().collect::<Vec<_>>(), kernels.into_iter().rev().collect::<Vec<_>>()));
    let (outcomes, stopped) = (Mutex::new(HashMap::new()), AtomicBool::new(false));
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let work = |prefers_host: bool| -> Result<(), String> {
        while !stopped.load(Ordering::Relaxed) {
            let next = {
                let mut waiting = waiting.lock().map_err(|_| "another worker died")?;
                let (host, kernels) = &mut *waiting;
                if prefers_host { host.pop().or_else(|| kernels.pop()) } else { kernels.pop().or_else(|| host.pop()) }
            };
            let Some(mutant) = next else { return Ok(()) };
            let outcome = workshop.try_one(mutant).inspect_err(|why| {
                eprintln!("error: {why}");
                stopped.store(true, Ordering::Relaxed);
            })?;
            println!("{}: {outcome}", mutant.name);
            outcomes.lock().map_err(|_| "another worker died")?.insert(mutant.name, outcome);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..jobs).map(|i| scope.spawn(move || work(i == 0))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker died".to_owned())?)
    })?;
    outcomes.into_inner().map_err(|_| "a worker died".to_owned())
}

/// What `docs/mutants.md` holds: nothing that depends on the machine or the day.
fn table(outcomes: &HashMap<&str, Outcome>) -> String {
    let mut text = format!(
        "# Mutants\n\nMade by `cargo xtask mutants`: one line at a time was changed in the kernels, in what writes the text of rules or in\n\
         the CPU backend, and the device tests ran on the stand-in until one failed. {} tried, all killed.\n\n\
         | change | in | killed by |\n|---|---|---|\n",
        outcomes.len()
    );
    for Mutant { name, file, .. } in all() {
        if let Some(Outcome::Killed(test)) = outcomes.get(name) {
            text += &format!("| {name} | `{file}` | `{test}` |\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mutants_text_stands_in_its_file_once() {
        for mutant in all() {
            mutated(crate::root(), mutant).unwrap();
        }
    }

    #[test]
    fn thirty_mutants_or_more_have_names_of_their_own_and_change_kernels_and_host() {
        let names: BTreeSet<&str> = all().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.len() >= 30);
        for folder in ["kernels/", "src/rule/", "src/host/"] {
            assert!(all().any(|mutant| mutant.file.starts_with(folder)), "{folder}");
        }
        assert!(all().all(|mutant| mutant.from != mutant.to));
    }
}
