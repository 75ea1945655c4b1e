//! Of the CPU backend.

use super::{CLOSED, MEASURED, Mutant, NORM, SCENARIO, WALK, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant(
        "host: neighbours share an adder",
        "src/host/gradients.rs",
        [
            "adders[i % ADDERS] = add_sums(norm, adders[i % ADDERS], place);",
            "adders[i / 2 % ADDERS] = add_sums(norm, adders[i / 2 % ADDERS], place);",
        ],
        NORM,
    ),
    mutant(
        "host: the maximum forgets a NaN",
        "src/host/gradients.rs",
        ["Norm::Max if b <= a || a.is_nan() => a,", "Norm::Max if b <= a => a,"],
        CLOSED,
    ),
    mutant(
        "host: clipping by value makes a NaN the limit",
        "src/host/gradients.rs",
        ["if *g > limit {", "if !(*g <= limit) {"],
        &["walk::skips"],
    ),
    mutant(
        "host: a fused product is rounded twice",
        "src/rule/numbers.rs",
        ["self.mul_add(factor, addend)", "self * factor + addend"],
        WALK,
    ),
    mutant(
        "host: a piece lacks its last element",
        "src/host/memory.rs",
        ["(row.len - self.begin).min(PIECE) as usize }", "(row.len - self.begin).min(PIECE - 1) as usize }"],
        SCENARIO,
    ),
    mutant(
        "host: a skipped update leaves gradients",
        "src/host/engine.rs",
        ["        if self.plan.gradients.zero {", "        if self.plan.gradients.zero && !skip {"],
        &["walk::skips"],
    ),
    mutant(
        "host: a group's memory is read from the half that is written",
        "src/host/resolve.rs",
        ["(Of::Group, _) => self.remembered.groups[(before *", "(Of::Group, _) => self.remembered.groups[(half *"],
        MEASURED,
    ),
    mutant(
        "host: a cohort remembers what it knew before",
        "src/host/resolve.rs",
        ["= self.remembered.cohorts[from + pair + after];", "= self.remembered.cohorts[from + pair];"],
        MEASURED,
    ),
    mutant(
        "host: a piece is not cut by those before it",
        "src/host/edit.rs",
        ["                    remaining -= *constant;\n", ""],
        &["edits::"],
    ),
    mutant(
        "host: a warm-up ends training",
        "src/host/metrics.rs",
        ["(before & BELOW == 0 && after & BELOW != 0)", "(after & BELOW != 0)"],
        &["ends::"],
    ),
];
