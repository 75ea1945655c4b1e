//! The static report: one row per unit, kernel and architecture, as a Markdown table.

use std::collections::BTreeMap;

use crate::sass::{Access, Direction, Space, Stretch};
use crate::units::{self, Unit};
use crate::usage::Usage;
use crate::{ARCHITECTURES, Compiled, Tools, multiprocessor};

const COLUMNS: [&str; 10] = [
    "optimizer",
    "kernel",
    "architecture",
    "registers",
    "stack, spills (B)",
    "resident threads",
    "instructions per element",
    "loads",
    "stores",
    "B per parameter",
];

/// Compiles everything and hands each line of the table to `line`, as it comes.
pub fn write(tools: &Tools, mut line: impl FnMut(&str)) -> Result<(), String> {
    line(&joined(COLUMNS.map(str::to_owned)));
    line(&joined(COLUMNS.map(|_| "---".to_owned())));
    for unit in units::all() {
        for architecture in ARCHITECTURES {
            let compiled = Compiled::of(&unit, architecture, &tools.nvrtc)?;
            for kernel in unit.kernels() {
                line(&row(&unit, &compiled, kernel, architecture, tools)?);
            }
        }
    }
    Ok(())
}

fn row(unit: &Unit, compiled: &Compiled, kernel: &str, architecture: u32, tools: &Tools) -> Result<String, String> {
    let Usage { registers, stack, spilled } = compiled.usage(kernel)?;
    let threads = unit.threads().ok_or("the unit states no THREADS")?;
    let resident = multiprocessor::resident_threads(architecture, threads, registers);
    let [per_element, loads, stores, bytes] = match (&unit.bytes_per_param[..], kernel) {
        ([bytes], "update") => {
            let paths = compiled.main_paths(kernel, &unit.main_accesses(), &tools.programs)?;
            match paths.iter().max_by_key(|path| path.instructions) {
                Some(main) => {
                    let of = |direction| widths(main.accesses.iter().filter(|access| access.direction == direction));
                    let per_element = format!("{:.2}", instructions_per_element(main, *bytes));
                    [per_element, of(Direction::Load), of(Direction::Store), bytes.to_string()]
                }
                // Other accesses stand between: registers that wait in local memory, say.
                None => [String::new(), String::new(), String::new(), bytes.to_string()],
            }
        }
        // Several rules have several main paths, and `prime` has none.
        _ => Default::default(),
    };
    Ok(joined([
        unit.name.clone(),
        kernel.to_owned(),
        format!("sm_{architecture}"),
        registers.to_string(),
        format!("{stack}, {spilled}"),
        resident.map_or("unknown".to_owned(), |threads| threads.to_string()),
        per_element,
        loads,
        stores,
        bytes,
    ]))
}

/// One thread moves `bytes_per_param` for each element.
pub fn instructions_per_element(main: &Stretch, bytes_per_param: f64) -> f64 {
    main.instructions as f64 * bytes_per_param / f64::from(main.bytes())
}

/// How many of which: `8 x 128 global`.
pub(crate) fn widths<'a>(accesses: impl Iterator<Item = &'a Access>) -> String {
    let mut counts = BTreeMap::new();
    for access in accesses {
        let space = match access.space {
            Space::Global => "global",
            Space::Generic => "generic",
            Space::Local => "local",
        };
        *counts.entry((access.bits, space)).or_insert(0) += 1;
    }
    let texts: Vec<String> = counts.iter().map(|((bits, space), n)| format!("{n} x {bits} {space}")).collect();
    texts.join(", ")
}

fn joined(cells: [String; 10]) -> String {
    format!("| {} |", cells.join(" | "))
}

#[test]
fn instructions_are_counted_per_element_and_accesses_by_width() {
    let access = |space, direction, bits| Access { space, direction, bits };
    let load = access(Space::Global, Direction::Load, 128);
    let main = Stretch { instructions: 60, accesses: vec![load, load, access(Space::Generic, Direction::Load, 128)] };
    // 48 bytes of 12 each are 4 elements.
    assert_eq!(instructions_per_element(&main, 12.0), 15.0);
    assert_eq!(widths(main.accesses.iter()), "1 x 128 generic, 2 x 128 global");
}
