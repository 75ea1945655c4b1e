//! What was read of each library: which version, what its schedulers count, and what their rates are relative to.

/// A library whose schedulers have a translation.
#[derive(Debug)]
pub(super) struct Library {
    /// What configurations call it.
    pub name: &'static str,
    /// The release that was read.
    pub version: &'static str,
    /// What one call of a scheduler is, and what rates are relative to.
    pub clock: &'static str,
    /// Whether rates are absolute: no optimizer gives them a base.
    pub absolute: bool,
}

/// Every library, in the order of its page.
pub(super) const LIBRARIES: &[Library] = &[
    Library {
        name: "torch",
        version: "2.15.0",
        clock: "A scheduler counts its calls, per epoch or per update as the training loop has it; here a call is an update, unless \
                `every` says how many updates one is. The update after `t` calls is update `t`. Factors of each group's rate.",
        absolute: false,
    },
    Library {
        name: "optax",
        version: "0.2.8",
        clock: "A schedule is a function of the number of updates before, from 0. Rates are absolute.",
        absolute: true,
    },
    Library {
        name: "transformers",
        version: "5.23.0",
        clock: "Per update of the optimizer, accumulated calls together. A warm-up begins at rate 0. Factors of each group's rate.",
        absolute: false,
    },
    Library {
        name: "timm",
        version: "1.0.31",
        clock: "Per epoch, unless `sched_on_updates` makes it per update: what timm calls `t` is the step, and an epoch is the updates \
                that are said. Construction leaves the base rate or the first of the warm-up. Factors of each group's rate, some bounds \
                absolute.",
        absolute: false,
    },
    Library {
        name: "mmengine",
        version: "0.10.7",
        clock: "Per epoch where `by_epoch` says so, which is the default, else per iteration; here an iteration is an update, and an epoch \
                the updates that are said. Each changes the rate that it finds.",
        absolute: false,
    },
    Library {
        name: "deepspeed",
        version: "0.19.8",
        clock: "Per applied update: one that overflowed does not count. All schedulers come a step late, with the lowest rate twice. \
                `WarmupCosineLR` is a factor of each group's rate; the others put absolute rates in its place.",
        absolute: false,
    },
    Library {
        name: "megatron",
        version: "0.16.1",
        clock: "Per sample: what counts is the sum of the increments, one of `global_batch_size` for each update; here a length in \
                updates stays one, and one in samples is on the progress clock. Rates are absolute.",
        absolute: true,
    },
    Library {
        name: "keras",
        version: "3.15.1",
        clock: "Schedules count the optimizer's updates, callbacks epochs. Rates are absolute, of callbacks relative to the optimizer's.",
        absolute: true,
    },
    Library {
        name: "composer",
        version: "0.32.1",
        clock: "Times have a unit: batches (an update each), epochs, parts of the training, samples or tokens; the last two are on the \
                progress clock. Factors of each group's rate.",
        absolute: false,
    },
    Library {
        name: "torchtitan",
        version: "0.3.0",
        clock: "Per update. The first update has a part of the warm-up already. Factors of each group's rate.",
        absolute: false,
    },
    Library {
        name: "burn",
        version: "0.22.1",
        clock: "Per update: `step()` gives the rate of the update that follows. Rates are absolute.",
        absolute: true,
    },
];

/// The library of that name.
pub(super) fn library(name: &str) -> Option<&'static Library> {
    LIBRARIES.iter().find(|library| library.name == name)
}
