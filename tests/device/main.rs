//! The device tests: the whole path from schedule to launch, on a GPU or on the stand-in. See `rig`.

mod addresses;
mod bits;
mod closed_loop;
mod conditions;
mod edits;
mod ends;
mod faults;
#[cfg(feature = "serde")]
mod golden;
#[cfg(feature = "serde")]
#[path = "../golden/cases.rs"]
mod golden_cases;
mod long_run;
mod lowest_bits;
mod metrics;
mod nested;
mod protocol;
mod refusals;
mod resume;
mod rig;
mod schedules;
mod telemetry;
mod twins;
mod values;
mod waits;
#[path = "../../examples/digits/while_loop.rs"]
mod while_loop;
mod zero_wait;
