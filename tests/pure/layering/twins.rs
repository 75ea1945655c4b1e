//! What stands in the kernels and in Rust is the same.

use super::root;

/// The number that follows `name` and `=` in the file at `path`, e.g. `CHUNK = 2048`.
#[track_caller]
fn number(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let found = text.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        let declared = left.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
        let digits: String = right.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '_').collect();
        (declared && line.contains("const")).then(|| digits.replace('_', "").parse().ok())?
    });
    found.unwrap_or_else(|| panic!("{path} declares no number {name}"))
}

#[test]
fn numbers_that_stand_in_kernels_and_in_rust_are_equal() {
    let layout = "src/plan/layout.rs";
    for (name, kernel) in [
        ("VECTOR", "kernels/elements.cuh"),
        ("GRAD_TYPE", "kernels/tables.cuh"),
        ("MASTER_GIVEN", "kernels/tables.cuh"),
        ("JUST_ADDED", "kernels/tables.cuh"),
        ("GRAD_TYPE_FLAG", "kernels/tables.cuh"),
        ("FORM_FLAG", "kernels/tables.cuh"),
        ("WARP", "kernels/types.cuh"),
        ("THREADS", "kernels/walk.cuh"),
    ] {
        assert_eq!(number(kernel, name), number(layout, name), "{name} of {kernel} and {layout}");
    }
    for (name, layout) in [
        ("MAX_WRITES", "src/plan/layout/edit.rs"),
        ("MAX_PARTS", "src/plan/layout/part.rs"),
        ("FINISH", "src/plan/layout/part.rs"),
    ] {
        assert_eq!(
            number("kernels/tables.cuh", name),
            number(layout, name),
            "{name} of kernels/tables.cuh and {layout}"
        );
    }
    assert_eq!(number("kernels/evaluate.cuh", "STAGED_BYTES"), number(layout, "STAGED_BYTES"));
    assert_eq!(number("kernels/codes.cuh", "CODES_BLOCK"), number("src/precision/form.rs", "CODES_BLOCK"));
    assert_eq!(number("kernels/sums.cuh", "ADDERS"), number("src/host/gradients.rs", "ADDERS"));
    assert_eq!(number("kernels/condition.cu", "THREADS"), number("src/optimizer/condition.rs", "THREADS"));
}

#[test]
fn layouts_are_asserted_on_both_sides() {
    let sizes = |paths: &[&str], before: &str| -> Vec<u64> {
        let texts = paths.iter().map(|path| std::fs::read_to_string(root().join(path)).unwrap());
        let text = texts.collect::<Vec<_>>().join("\n");
        // Rows whose width depends on the rules are bytes in Rust.
        let bytes = |line: &str| line.contains("_bytes\"");
        let asserts = text.lines().filter(|line| line.contains(before) && !bytes(line));
        let size =
            |line: &str| line.split("==").nth(1)?.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        let mut sizes: Vec<u64> = asserts.filter_map(size).collect();
        sizes.sort_unstable();
        sizes
    };
    let kernels = sizes(&["kernels/state.cuh", "kernels/tables.cuh"], "static_assert(sizeof(");
    assert!(kernels.len() >= 8, "the kernels assert their structs: {kernels:?}");
    assert_eq!(
        kernels,
        sizes(
            &["src/plan/layout.rs", "src/plan/layout/edit.rs", "src/plan/layout/part.rs", "src/plan/layout/sums.rs"],
            "assert!(size_of::<"
        )
    );
}

#[test]
fn bytes_per_parameter_are_those_that_the_text_of_a_kernel_states() {
    use instep::{AdamW, Device, Momentum, Optimizer, Sgd};
    let pair = crate::owned::Pair::small();
    let both = |builder: &dyn Fn() -> instep::OptimizerBuilder| {
        let bytes = builder().build().unwrap().tensors().next().unwrap().bytes_per_param;
        let text = builder().emit().unwrap();
        let stated: f64 = text.split(" B per parameter").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(bytes, stated, "{text}");
        bytes
    };
    let builder = || Optimizer::builder(&Device::host());
    assert_eq!(both(&|| builder().group(AdamW::new(0.1), &[pair.tensor()])), 28.0);
    assert_eq!(both(&|| builder().group(Sgd::new(0.1), &[pair.tensor()])), 12.0);
    let heavy = || Sgd::new(0.1).momentum(Momentum::Heavy, 0.9);
    assert_eq!(both(&|| builder().group(heavy(), &[pair.tensor()])), 20.0);
}
