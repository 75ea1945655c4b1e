//! The kernels: what is only in `ptx.cuh`, and that global memory is touched through `memory.cuh` alone.

use std::collections::BTreeSet;

use super::{File, kernels, none};

/// Lines of kernels outside the files that hold the helpers for memory and for PTX.
fn kernels_past_the_helpers() -> Vec<File> {
    kernels().into_iter().filter(|file| !["kernels/memory.cuh", "kernels/ptx.cuh"].contains(&&*file.path)).collect()
}

#[test]
fn ptx_and_the_emulators_switch_appear_in_one_kernel_file() {
    let words = ["asm", "CUDA_ON_CPU", "cuda_on_cpu", "__isGlobal", "__builtin_assume"];
    let mut wrong = Vec::new();
    for file in kernels().into_iter().filter(|file| file.path != "kernels/ptx.cuh") {
        for (number, line) in file.code() {
            // A function of the driver: declared there, called elsewhere.
            if line.contains("__device__") && line.trim_end().ends_with(");") {
                wrong.push(format!("{}:{number}: a declaration without a body", file.path));
            }
            let found = line.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| words.contains(word));
            wrong.extend(found.map(|word| format!("{}:{number}: `{word}`", file.path)));
        }
    }
    none("outside kernels/ptx.cuh", wrong);
}

#[test]
fn kernels_include_no_header_of_cuda_or_of_the_host() {
    let names: Vec<String> = kernels().into_iter().map(|file| file.path.replace("kernels/", "")).collect();
    let mut wrong = Vec::new();
    for file in kernels() {
        for (number, line) in file.code().filter(|(_, line)| line.contains("#include")) {
            let name = line.split('"').nth(1).unwrap_or("<…>");
            if name != "generated.cuh" && !names.iter().any(|known| known == name) {
                wrong.push(format!("{}:{number}: {name}", file.path));
            }
        }
    }
    none("includes", wrong);
}

/// Pointers into global memory that kernels hold: members of the structs of `state.cuh` and `tables.cuh`.
fn global_pointers() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in kernels().into_iter().filter(|file| ["kernels/state.cuh", "kernels/tables.cuh"].contains(&&*file.path))
    {
        for (_, line) in file.code() {
            let member = line.trim();
            let plain =
                line.starts_with("  ") && member.ends_with(';') && !member.contains('(') && !member.contains('=');
            if let (true, Some((_, name))) = (plain, member.split_once("* ")) {
                names.insert(name.split([';', '[']).next().unwrap_or(name).to_owned());
            }
        }
    }
    names
}

#[test]
fn global_memory_is_touched_through_the_helpers_alone() {
    let pointers = global_pointers();
    for expected in ["control", "settings", "tiles", "tensors", "records", "sums"] {
        assert!(pointers.contains(expected), "{expected} is a pointer of tables.cuh: {pointers:?}");
    }
    let intrinsics =
        ["__ldg", "__ldcs", "__ldcg", "__ldca", "__ldcv", "__stcs", "__stcg", "__stwt", "__stwb", "atomic"];
    let mut wrong = Vec::new();
    for file in kernels_past_the_helpers() {
        for (number, line) in file.code() {
            let mut report = |what: String| wrong.push(format!("{}:{number}: {what}: {}", file.path, line.trim()));
            if let Some(name) = intrinsics.iter().find(|name| line.contains(**name)) {
                report(format!("`{name}`"));
            }
            // `&p->member` is an address; anything else after an arrow is a load or a store.
            for (at, _) in line.match_indices("->") {
                let begin =
                    line[..at].rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).map_or(0, |i| i + 1);
                if !line[..begin].ends_with('&') {
                    report("an access by `->`".to_owned());
                }
            }
            // A star that follows no operand and no type is a dereference.
            for (at, _) in line.match_indices('*') {
                let before = line[..at].trim_end();
                let operand = before.ends_with(|c: char| c.is_alphanumeric() || "_)]>*".contains(c));
                let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
                if !operand || ["return", "case", "else"].contains(&word) {
                    report("a dereference".to_owned());
                }
            }
            // An index into a pointer that a table or an argument holds.
            for (at, _) in line.match_indices('[') {
                let before = &line[..at];
                let begin = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |i| i + 1);
                let (owner, name) = (&before[..begin], &before[begin..]);
                if owner.ends_with('.') && pointers.contains(name) {
                    report(format!("an index into `{name}`"));
                }
            }
        }
    }
    none("accesses past kernels/memory.cuh", wrong);
}

#[test]
fn the_helpers_for_memory_count_every_access() {
    let memory = kernels().into_iter().find(|file| file.path == "kernels/memory.cuh").unwrap();
    let mut helpers = 0;
    for body in memory.text.split("__device__").skip(1) {
        let body = &body[..body.find("\n}").map_or(body.len(), |end| end)];
        let name = body.split('(').next().unwrap().split_whitespace().last().unwrap();
        helpers += 1;
        let says = body.contains("ASSUME_GLOBAL(");
        assert!(says != name.ends_with("_staged"), "{name} says that its pointer is global, or may be shared");
        let counts: &[&str] = if name.starts_with("load") {
            &["note_load(", "note_row_load("]
        } else {
            &["note_store(", "store_relaxed_system("]
        };
        assert!(counts.iter().any(|counts| body.contains(counts)), "{name} calls one of {counts:?}");
    }
    assert!(helpers >= 5, "memory.cuh has the helpers for rows and elements");
}
