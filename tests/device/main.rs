//! The device tests: the whole path from schedule to launch, on a GPU or on the stand-in. See `rig`.

mod addresses;
mod bits;
mod captured;
mod closed_loop;
mod conditions;
mod corrections;
mod edits;
mod ends;
#[cfg(feature = "serde")]
mod every_rule;
mod faults;
#[cfg(feature = "serde")]
#[path = "../golden/files.rs"]
mod files;
mod flags;
mod flush;
mod forms;
#[cfg(feature = "serde")]
mod golden;
#[cfg(feature = "serde")]
#[path = "../golden/cases.rs"]
mod golden_cases;
#[cfg(feature = "serde")]
mod header;
mod large;
mod living;
mod load;
mod long_run;
mod loops;
mod loss_scale;
mod lowest_bits;
mod measured;
mod metrics;
mod nested;
mod norm_levels;
mod observations;
mod pack;
mod planted;
mod protocol;
mod rates;
mod refusals;
mod resume;
mod rig;
mod rules;
mod schedules;
mod shown;
mod sides;
mod telemetry;
mod traffic;
mod turns;
mod twins;
mod values;
mod visible;
mod waits;
mod walk;
#[path = "../../examples/digits/while_loop.rs"]
mod while_loop;
mod zero_wait;
