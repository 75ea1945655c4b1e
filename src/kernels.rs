//! The text of `kernels/`, as `build.rs` found it, and what a unit is made of.

use crate::plan::{Plan, emit};

/// File name and text, in the order of the names.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The unit that holds all kernels of an optimizer but one.
pub(crate) const UNIT: &str = "update.cu";

/// The unit that makes the stop flag the condition of a graph's node. It is the same for all optimizers.
pub(crate) const CONDITION: &str = "condition.cu";

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
        Unit { text: text(UNIT), generated: emit::generated(plan) }
    }

    /// Name and text of each header.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        headers().chain([(GENERATED, self.generated.as_str())]).collect()
    }

    /// The generated header alone.
    pub fn generated(&self) -> &str {
        &self.generated
    }
}

/// The text of the unit `name`.
pub(crate) fn text(name: &str) -> &'static str {
    let file = FILES.iter().find(|(known, _)| *known == name);
    file.expect("build.rs found every unit of kernels/").1
}

/// Name and text of each header that is the same for all optimizers.
pub(crate) fn headers<'a>() -> impl Iterator<Item = (&'a str, &'a str)> {
    FILES.iter().copied().filter(|(name, _)| name.ends_with(".cuh"))
}
