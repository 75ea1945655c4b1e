//! Every way in every mode gives the same parameters as the CPU backend, bit for bit, or what is measured means nothing.

use instep::{Device, Optimizer, Stream, Tensor};

use crate::case::{Case, Mode, RUNS, UNROLLED, Way};
use crate::driver::{Gpu, Result};
use crate::rule::Rule;

const STEPS: usize = 20;

/// Checks all of them on small tensors, and that the two ways that are expected to differ do.
pub fn check(gpu: &Gpu) -> Result<()> {
    for rule in Rule::ALL {
        for (way, mode) in RUNS {
            check_run(gpu, rule, way, mode).map_err(|e| format!("{rule:?}, {way:?}, {mode:?}: {e}"))?;
        }
    }
    Ok(())
}

fn check_run(gpu: &Gpu, rule: Rule, way: Way, mode: Mode) -> Result<()> {
    let lengths = [64, 5_003, 1, 2_048];
    let mut case = Case::new(gpu, rule, &lengths)?;
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

    step_on_host(rule, &lengths, &mut param, &grad, steps)?;
    let differing = ours.iter().zip(&param).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    match (way, differing) {
        (Way::Resident | Way::ByValue | Way::Filled, 0) => Ok(()),
        (Way::Resident | Way::ByValue | Way::Filled, n) => {
            Err(format!("{n} of {} parameters differ from the CPU backend's after {steps} steps", param.len()).into())
        }
        (Way::Frozen | Way::Literal, 0) => Err("a rate that does not move must show in the parameters".into()),
        (Way::Frozen | Way::Literal, _) => Ok(()),
    }
}

fn step_on_host(rule: Rule, lengths: &[u64], param: &mut [f32], grad: &[f32], steps: usize) -> Result<()> {
    let mut offset = 0;
    let tensors = lengths.iter().map(|len| {
        let (param, grad) = (param.as_mut_ptr() as u64 + 4 * offset, grad.as_ptr() as u64 + 4 * offset);
        offset += len;
        // SAFETY: both slices outlive the optimizer below and hold all lengths; nobody else touches them meanwhile.
        unsafe { Tensor::f32(param, grad, *len) }
    });
    let tensors: Vec<_> = tensors.collect();
    let mut optimizer = rule.group(Optimizer::builder(&Device::host()), &tensors).build()?;
    (0..steps).try_for_each(|_| optimizer.step(&Stream::host()))?;
    Ok(())
}
