//! What is compiled: the update unit of a few optimizers, with the text that the crate generates for each.

use std::fs;
use std::path::Path;

use instep::{Adam, AdamW, Buffer, Device, Momentum, Optimizer, OptimizerBuilder, Schedule, Sgd, Tensor, Warmup};

/// A unit's text, and the name and text of each header.
#[derive(Debug)]
pub struct Unit {
    pub text: String,
    pub headers: Vec<(String, String)>,
}

/// AdamW with the usual schedule: the unit whose machine code is looked at.
pub fn adamw() -> Unit {
    let lr = Schedule::linear(0.0, 3e-4).over(200).then(Schedule::cosine(3e-4, 3e-5).over(1_800));
    unit(builder().group(AdamW::new(lr).weight_decay(0.1), &[tensor(0)]))
}

/// AdamW with a constant rate.
pub fn constant_adamw() -> Unit {
    unit(builder().group(AdamW::new(1e-3), &[tensor(0)]))
}

/// Every form of SGD, each in a group of its own.
pub fn sgd() -> Unit {
    let lr = || Schedule::multi_step(0.1, 0.1, vec![30_000, 60_000]);
    let nesterov = Sgd::new(lr()).momentum(Momentum::Nesterov, Schedule::linear(0.85, 0.95).over(500));
    unit(
        builder()
            .group(Sgd::new(lr()).maximize(), &[tensor(0)])
            .group(Sgd::new(lr()).momentum(Momentum::Heavy, 0.9).weight_decay(5e-4).dampening(0.1), &[tensor(1)])
            .group(nesterov, &[tensor(2)]),
    )
}

/// Six groups with different rules and schedules in one optimizer.
pub fn everything() -> Unit {
    let long =
        Schedule::polynomial(1e-3, 1e-5, 2.0).over(900).warmup(100).then(Schedule::exponential(1e-5, 1e-7).over(50));
    let cycles =
        Schedule::cosine(1e-3, 0.0).over(100).repeat_times(3).then(Schedule::linear(1e-3, 0.0).over(10).repeat());
    let product =
        Schedule::exponential_decay(1.0, 0.999).product(Schedule::step_decay(1e-2, 0.5, 30)).clamp(1e-5, 5e-3);
    let fractions =
        Schedule::multi_step_fractions(0.1, 0.1, 1_000, vec![0.3, 0.6, 0.9]).warmup_as(Warmup::FromFirst, 5);
    unit(
        builder()
            .group(AdamW::new(long).weight_decay(Schedule::constant(0.1)), &[tensor(0)])
            .group(Adam::new(cycles).beta1(Schedule::linear(0.85, 0.95).over(77)).weight_decay(0.01), &[tensor(1)])
            .group(AdamW::new(product).maximize(), &[tensor(2)])
            .group(Adam::new(fractions), &[tensor(3)])
            .group(Sgd::new(1e-2), &[tensor(4)])
            .group(Sgd::new(1e-2).momentum(Momentum::Nesterov, 0.9).weight_decay(1e-4), &[tensor(5)]),
    )
}

fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

/// Distinct made-up addresses: text depends on none of them.
fn tensor(index: u64) -> Tensor {
    let (param, grad) = (0x10_0000 * (2 * index + 1), 0x10_0000 * (2 * index + 2));
    // SAFETY: the builder only generates text; no optimizer is built that could follow an address.
    unsafe { Tensor::new(Buffer::f32(param, 1_000), Buffer::f32(grad, 1_000)) }
}

fn unit(builder: OptimizerBuilder) -> Unit {
    let generated = builder.emit().expect("the groups are valid");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let mut headers = vec![("generated.cuh".to_string(), generated)];
    for entry in fs::read_dir(&folder).expect("kernels/ is part of the repository") {
        let path = entry.expect("kernels/ can be listed").path();
        if path.extension().is_some_and(|extension| extension == "cuh") {
            let name = path.file_name().expect("a listed path has a name").to_string_lossy().into_owned();
            headers.push((name, fs::read_to_string(&path).expect("a header is UTF-8")));
        }
    }
    Unit { text: fs::read_to_string(folder.join("update.cu")).expect("kernels/update.cu is UTF-8"), headers }
}
