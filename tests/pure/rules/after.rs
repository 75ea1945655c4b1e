//! What comes after another rule: averages, Lookahead, bounds, in numbers that are exact in f32.

use instep::{Clamp, Device, Ema, GroupRule, Lookahead, Optimizer, Sgd, Stream, Tensor, step};

/// The parameter and the named state after each of `steps` updates of one parameter that begins at 1, whose gradient is 1.
fn run(rule: impl GroupRule, state: &str, steps: usize) -> Vec<[f32; 2]> {
    let (mut param, grad) = (Box::new([1.0f32]), [1.0f32]);
    // SAFETY: both outlive the optimizer, and nothing else touches them while a step runs.
    let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 1) };
    let mut opt = Optimizer::builder(&Device::host()).group(rule, &[tensor]).build().unwrap();
    let states = opt.tensors().next().unwrap().states;
    let address = states.iter().find(|known| known.name == state).map(|known| known.address);
    let step = |_| {
        opt.step(&Stream::host()).unwrap();
        // SAFETY: the states live as long as the optimizer.
        let state = address.map_or(0.0, |address| unsafe { *(address as usize as *const f32) });
        // SAFETY: the parameter is alive and at rest.
        [unsafe { std::ptr::read_volatile(param.as_ptr()) }, state]
    };
    (0..steps).map(step).collect()
}

#[test]
fn an_average_begins_with_the_parameter_and_follows_it() {
    let rule = Sgd::new(0.5).then(Ema::new(0.5));
    assert_eq!(run(rule, "ema", 3), [[0.5, 0.75], [0.0, 0.375], [-0.5, -0.0625]]);
}

/// At 1 it stays: a schedule lets it follow every other update.
#[test]
fn an_average_of_decay_1_stays() {
    let decay = step().modulo(2.0) * -0.5 + 1.0;
    let rule = Sgd::new(0.5).then(Ema::new(decay));
    assert_eq!(run(rule, "ema", 4), [[0.5, 1.0], [0.0, 0.5], [-0.5, 0.5], [-1.0, -0.25]]);
}

#[test]
fn a_decay_warms_up() {
    let decay = Ema::warmup(0.5);
    assert_eq!([0, 1, 8, 100].map(|t| decay.at(t).unwrap()), [0.0, 2.0 / 11.0, 0.5, 0.5]);
}

/// Every second update the slow parameter goes half the way, and the fast one goes on from there.
#[test]
fn lookahead_pulls_parameters_back() {
    let rule = Sgd::new(0.5).then(Lookahead::new(2.0, 0.5));
    assert_eq!(run(rule, "slow", 5), [[0.5, 1.0], [0.5, 0.5], [0.0, 0.5], [0.0, 0.0], [-0.5, 0.0]]);
}

#[test]
fn parameters_stay_within_bounds() {
    let rule = Sgd::new(0.5).then(Clamp::new(0.25, 0.75));
    assert_eq!(run(rule, "", 2), [[0.5, 0.0], [0.25, 0.0]]);
    let rule = Sgd::new(0.5).maximize().then(Clamp::new(0.25, 1.25));
    assert_eq!(run(rule, "", 2), [[1.25, 0.0], [1.25, 0.0]]);
}

/// In the order in which they are named: the average is of what is within bounds.
#[test]
fn several_come_one_after_the_other() {
    let rule = Sgd::new(0.5).then(Clamp::new(0.5, 2.0)).then(Ema::new(0.5));
    assert_eq!(run(rule, "ema", 2), [[0.5, 0.75], [0.5, 0.625]]);
}

#[test]
fn two_of_one_name_are_refused() {
    let (mut param, grad) = ([1.0f32], [1.0f32]);
    // SAFETY: as in `run`.
    let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 1) };
    let rule = Sgd::new(0.5).then(Ema::new(0.5)).then(Ema::new(0.9));
    let error = Optimizer::builder(&Device::host()).group(rule, &[tensor]).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "groups[0].rule.hyperparameters is \"ema_decay\", but another of hyperparameters has that name"
    );
}
