//! Every way in every mode gives the same parameters as the CPU backend, bit for bit, or what is measured means nothing.

use instep::{Device, Optimizer, Schedule, Stream, Tensor};

use crate::case::Case;
use crate::driver::{Gpu, Result};
use crate::options::Options;
use crate::rule::{LITERAL, Rule, schedule};
use crate::way::{Mode, RUNS, UNROLLED, Way};

const STEPS: usize = 20;

/// Checks all of them on small tensors, and that the one that is expected to be wrong is.
pub fn check(gpu: &Gpu) -> Result<()> {
    let plain = Rule::ALL.into_iter().flat_map(|rule| RUNS.map(|run| (rule, Options::None, run)));
    // The host's ways know no options.
    let resident = RUNS.into_iter().filter(|(way, _)| *way == Way::Resident);
    let others = Options::ALL.into_iter().filter(|options| *options != Options::None);
    let asked = others.flat_map(|options| resident.clone().map(move |run| (Rule::AdamW, options, run)));
    for (rule, options, (way, mode)) in plain.chain(asked) {
        check_run(gpu, rule, options, way, mode)
            .map_err(|e| format!("{rule:?}, {options:?}, {way:?}, {mode:?}: {e}"))?;
    }
    Ok(())
}

fn check_run(gpu: &Gpu, rule: Rule, options: Options, way: Way, mode: Mode) -> Result<()> {
    let lengths = [64, 5_003, 1, 2_048, 20_481];
    let mut case = Case::new(gpu, rule, options, &lengths)?;
    let (mut param, grad) = (case.params()?, case.grads()?);
    let mut run = case.run(way, mode)?;
    if case.params()? != param {
        return Err("a capture must not run anything".into());
    }
    let (calls, steps) = if mode == Mode::Unrolled { (1, UNROLLED) } else { (STEPS, STEPS) };
    (0..calls).try_for_each(|_| case.advance(&mut run))?;
    let ours = case.params()?;
    if ours == param || ours.iter().any(|value| !value.is_finite()) {
        return Err("the parameters must move and stay finite".into());
    }

    // A frozen rate has no counterpart on the host; it must only show that it is wrong.
    let wrong = way == Way::Frozen;
    let reference = match way {
        Way::Resident | Way::ByValue | Way::Filled | Way::Frozen => (schedule(), 0),
        Way::Literal => (Schedule::constant(LITERAL.0), LITERAL.1),
    };
    step_on_host((rule, options), reference, &lengths, (&mut param, &grad), steps)?;
    let differing = ours.iter().zip(&param).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    match (wrong, differing) {
        (false, 0) => Ok(()),
        (true, 0) => Err("a frozen rate must show in the parameters".into()),
        (true, _) => Ok(()),
        (false, n) => Err(format!("{n} of {} parameters differ from the CPU backend's", param.len()).into()),
    }
}

/// Applies `steps` updates with the rate `lr` to tensors that have had `updates` before.
fn step_on_host(
    (rule, options): (Rule, Options),
    (lr, updates): (Schedule, u64),
    lengths: &[u64],
    (param, grad): (&mut [f32], &[f32]),
    steps: usize,
) -> Result<()> {
    let mut offset = 0;
    let tensors = lengths.iter().map(|len| {
        let (param, grad) = (param.as_mut_ptr() as u64 + 4 * offset, grad.as_ptr() as u64 + 4 * offset);
        offset += len;
        // SAFETY: both slices outlive the optimizer below and hold all lengths; nobody else touches them meanwhile.
        unsafe { Tensor::f32(param, grad, *len) }.updates(updates)
    });
    let tensors: Vec<_> = tensors.collect();
    let mut optimizer = options.ask(rule.group(Optimizer::builder(&Device::host()), lr, &tensors)).build()?;
    (0..steps).try_for_each(|_| optimizer.step(&Stream::host()))?;
    Ok(())
}
