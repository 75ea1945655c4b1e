//! Optimizers whose tensors change while they run: gradients move and go, tensors freeze, come and go, groups follow flags. Graphs that
//! were captured before stay right, and the host's backend has the same bits.

mod calls;
mod corners;
mod faults;
mod given;
mod groups;
mod parts;
mod rebuilt;
mod run;
mod world;
