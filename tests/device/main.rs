//! The device tests: the whole path from schedule to launch, on a GPU or on the stand-in. See `rig`.

mod bits;
mod faults;
mod protocol;
mod rig;
mod schedules;
mod values;
