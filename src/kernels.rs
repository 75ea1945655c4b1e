//! The text of `kernels/`, as `build.rs` found it, and what a unit is made of.

use crate::plan::{Plan, emit};

/// File name and text, in the order of the names.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The unit that holds all kernels.
pub(crate) const UNIT: &str = "update.cu";

/// The name under which kernels include the generated text.
const GENERATED: &str = "generated.cuh";

/// A unit and its headers, among them what was generated for one optimizer.
#[derive(Debug)]
pub(crate) struct Unit {
    pub text: &'static str,
    generated: String,
}

impl Unit {
    /// The update unit for `plan`.
    pub fn new(plan: &Plan) -> Unit {
        let (_, text) = FILES.iter().find(|(name, _)| *name == UNIT).expect("build.rs found kernels/update.cu");
        Unit { text, generated: emit::generated(plan) }
    }

    /// Name and text of each header.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        let headers = FILES.iter().copied().filter(|(name, _)| name.ends_with(".cuh"));
        headers.chain([(GENERATED, self.generated.as_str())]).collect()
    }

    /// The generated header alone.
    pub fn generated(&self) -> &str {
        &self.generated
    }
}
