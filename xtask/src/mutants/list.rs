//! What is changed: a piece of text that stands in its file once, and what it becomes. No line numbers, so a mutant follows
//! the code; one whose text is gone is an error that names it.

mod forms;
mod host;
mod kernels;
mod rules;

/// One changed line.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What is wrong with it, in a few words; also how it is called on the command line.
    pub name: &'static str,
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    /// Device tests that run first, by parts of their names. All others follow if it survives these.
    pub tests: &'static [&'static str],
}

const fn mutant(
    name: &'static str,
    file: &'static str,
    [from, to]: [&'static str; 2],
    tests: &'static [&'static str],
) -> Mutant {
    Mutant { name, file, from, to, tests }
}

// Tests that notice most of what belongs to them.
const WALK: &[&str] = &["walk::skips", "walk::every"];
const NORM: &[&str] = &["norm_levels::every"];
const LARGE: &[&str] = &["large::"];
const SCENARIO: &[&str] = &["the_scenario_without_a_fault"];
const CLOSED: &[&str] = &["closed_loop::"];
const MEASURED: &[&str] = &["measured::"];
const FORMS: &[&str] = &["forms::every_rule", "forms::starts"];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    [kernels::MUTANTS, rules::MUTANTS, forms::MUTANTS, host::MUTANTS].into_iter().flatten()
}
