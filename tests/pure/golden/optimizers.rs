//! Adam, AdamW and SGD of torch, 50 steps each, against the CPU backend.

use approx::abs_diff_eq;
use instep::{Adam, AdamW, Device, Momentum, Optimizer, OptimizerBuilder, Schedule, Sgd, Stream, Tensor};
use serde_json::Value;

use super::{chain, count, load, real, reals};
use crate::owned::Pair;

/// After this many steps: how far torch's own runs are apart, as the README of the tables has it. Its kernels with FMA
/// from those without, plus binary32 from binary64; ours may fuse elsewhere and round elsewhere.
const ALLOWED: [(u64, f32); 5] =
    [(1, 6.0e-8 + 8.4e-8), (2, 1.2e-7 + 1.3e-7), (5, 1.2e-7 + 2.8e-7), (10, 2.4e-7 + 4.0e-7), (50, 1.9e-6 + 4.0e-6)];

/// One string of bits a tensor: eight hex digits an element.
fn tensors(bits: &Value) -> Vec<Vec<f32>> {
    let parse = |word: &str| f32::from_bits(u32::from_str_radix(word, 16).expect("eight hex digits"));
    let tensors = bits.as_array().expect("a list of tensors").iter();
    tensors.map(|tensor| tensor.as_str().expect("bits").split(' ').map(parse).collect()).collect()
}

/// What was used at each step: a constant where it never moves.
fn listed(values: &[f64]) -> Schedule {
    match values.iter().all(|value| *value == values[0]) {
        true => Schedule::constant(values[0]),
        false => chain(values.iter().map(|value| Schedule::constant(*value).over(1))),
    }
}

/// What `group` lists for each step under `name`, or else the option of that name.
fn scheduled(group: &Value, name: &str, option: f64) -> Schedule {
    if group[name].is_null() { Schedule::constant(option) } else { listed(&reals(&group[name])) }
}

fn add_group(builder: OptimizerBuilder, api: &str, group: &Value, tensors: &[Tensor]) -> OptimizerBuilder {
    let options = &group["options"];
    let (lr, weight_decay) = (listed(&reals(&group["lr"])), real(options, "weight_decay"));
    let maximize = options["maximize"] == true;
    match api {
        "torch.optim.SGD" => {
            let mut rule = Sgd::new(lr).weight_decay(weight_decay);
            let momentum = real(options, "momentum");
            if momentum != 0.0 {
                let form = if options["nesterov"] == true { Momentum::Nesterov } else { Momentum::Heavy };
                rule = rule.momentum(form, scheduled(group, "momentum", momentum));
                rule = rule.dampening(real(options, "dampening"));
            }
            builder.group(if maximize { rule.maximize() } else { rule }, tensors)
        }
        "torch.optim.Adam" => {
            let (beta1, beta2, eps) = adam_options(group);
            let rule = Adam::new(lr).weight_decay(weight_decay).beta1(beta1).beta2(beta2).eps(eps);
            builder.group(if maximize { rule.maximize() } else { rule }, tensors)
        }
        _ => {
            let (beta1, beta2, eps) = adam_options(group);
            let rule = AdamW::new(lr).weight_decay(weight_decay).beta1(beta1).beta2(beta2).eps(eps);
            builder.group(if maximize { rule.maximize() } else { rule }, tensors)
        }
    }
}

fn adam_options(group: &Value) -> (Schedule, f64, f64) {
    let options = &group["options"];
    let betas = reals(&options["betas"]);
    (scheduled(group, "beta1", betas[0]), betas[1], real(options, "eps"))
}

/// The worst distance as a part of what is allowed, and the counts of all and of bit-equal elements.
struct Outcome {
    worst: f32,
    elements: usize,
    equal: usize,
}

fn run(file: &Value, case: &Value) -> Outcome {
    let (name, api) = (case["name"].as_str().unwrap(), case["source"]["api"].as_str().unwrap());
    let set = &file["grad_sets"][case["grad_set"].as_str().unwrap()];
    let init = tensors(&set["init"]);
    let mut pairs: Vec<Pair> = init.iter().map(|param| Pair::new(param, &vec![0.0; param.len()])).collect();

    let mut builder = Optimizer::builder(&Device::host());
    for group in case["groups"].as_array().unwrap() {
        let members: Vec<Tensor> =
            reals(&group["tensors"]).into_iter().map(|index| pairs[index as usize].tensor()).collect();
        builder = add_group(builder, api, group, &members);
    }
    let mut opt = builder.build().unwrap();

    // torch decays by a factor that it rounds to f32, 1 - lr · weight_decay; ours subtracts the decay itself.
    let decay = if api == "torch.optim.AdamW" { f32::EPSILON / 4.0 } else { 0.0 };
    let mut outcome = Outcome { worst: 0.0, elements: 0, equal: 0 };
    for (step, grads) in (1u64..).zip(set["grads"].as_array().unwrap()) {
        for (pair, grad) in pairs.iter_mut().zip(tensors(grads)) {
            pair.grad.write(&grad);
        }
        opt.step(&Stream::host()).unwrap();
        let Some((_, allowed)) = ALLOWED.iter().find(|(at, _)| *at == step) else { continue };
        let after = case["after"].as_array().unwrap().iter().find(|after| count(after, "step") == step).unwrap();
        for (tensor, (pair, theirs)) in pairs.iter().zip(tensors(&after["params"])).enumerate() {
            for (i, (ours, theirs)) in pair.param.read().into_iter().zip(theirs).enumerate() {
                let distance = (ours - theirs).abs();
                let what = format!("{name}: tensor {tensor}, element {i} after step {step}");
                let allowed = allowed + decay * step as f32 * theirs.abs();
                assert!(
                    abs_diff_eq!(ours, theirs, epsilon = allowed),
                    "{what}: {ours:e}, torch {theirs:e}: {distance:e} apart"
                );
                outcome.worst = outcome.worst.max(distance / allowed);
                outcome.elements += 1;
                outcome.equal += usize::from(ours.to_bits() == theirs.to_bits());
            }
        }
    }
    outcome
}

#[test]
fn adam_adamw_and_sgd_follow_torch_as_closely_as_torch_follows_itself() {
    let file = load("optimizers.json");
    let ours = |case: &&Value| {
        let api = case["source"]["api"].as_str().unwrap();
        ["torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW"].contains(&api) && case["params"]["amsgrad"] != true
    };
    let cases: Vec<&Value> = file["cases"].as_array().unwrap().iter().filter(ours).collect();
    assert_eq!(cases.len(), 27, "all cases of the three without AMSGrad");
    let outcomes: Vec<Outcome> = cases.iter().map(|case| run(&file, case)).collect();
    let (elements, equal) = outcomes.iter().fold((0, 0), |(all, equal), o| (all + o.elements, equal + o.equal));
    let worst = outcomes.iter().fold(0.0f32, |worst, o| worst.max(o.worst));
    println!("golden optimizers: {} cases, {equal} of {elements} elements have torch's bits", cases.len());
    println!("golden optimizers: the worst distance is {worst:.2} of what is allowed");
}
