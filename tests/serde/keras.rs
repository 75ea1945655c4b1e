//! What Keras does with an optimizer, and what the one does that is read of its serialized form: `tests/configurations/keras_runs.json`.

use instep::compat::{Facts, read};
use instep::{Device, Stream, Tensor};
use serde_json::Value;

/// The case whose formula is none of ours, and what is said of it.
const REFUSED: (&str, &str) = (
    "sgd_scheduled_decayed",
    "config.weight_decay is 0.1, but a decay beside a momentum that holds a moving rate is not there yet: leave one of them out",
);

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn what_keras_serializes_moves_parameters_as_keras_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configurations/keras_runs.json");
    let runs: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let steps: Vec<usize> =
        runs["steps"].as_array().unwrap().iter().map(|step| step.as_u64().unwrap() as usize).collect();
    let mut seen = 0;
    for case in runs["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let reading = read(&case["file"].to_string(), &Facts::default());
        if name == REFUSED.0 {
            assert_eq!(reading.unwrap_err().to_string(), REFUSED.1);
            continue;
        }
        let config = reading.unwrap_or_else(|error| panic!("{name}: {error}")).config;
        let (mut param, mut grad) = (numbers(&runs["param"]), vec![0f32; 4]);
        let (address, of_grad) = (param.as_mut_ptr() as u64, grad.as_mut_ptr() as u64);
        // SAFETY: both outlive the optimizer, and no step runs while they are read or written.
        let tensor = unsafe { Tensor::f32(address, of_grad, 4) };
        let builder = config.builder(&Device::host(), &[&[tensor]]).unwrap();
        let mut opt = builder.build().unwrap_or_else(|error| panic!("{name}: {error}"));
        for (step, gradient) in runs["gradients"].as_array().unwrap().iter().enumerate() {
            // SAFETY: as above; four numbers each.
            unsafe { std::ptr::copy_nonoverlapping(numbers(gradient).as_ptr(), of_grad as *mut f32, 4) };
            opt.step(&Stream::host()).unwrap();
            let Some(record) = steps.iter().position(|recorded| *recorded == step + 1) else { continue };
            // SAFETY: as above.
            let now = unsafe { std::slice::from_raw_parts(address as *const f32, 4) };
            for (ours, theirs) in now.iter().zip(numbers(&case["params"][record])) {
                let close = (ours - theirs).abs() <= 3e-6 * theirs.abs().max(0.1);
                assert!(close, "{name}, after {} steps: {ours} is not {theirs}", step + 1);
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 14, "cases that are reproduced");
}
