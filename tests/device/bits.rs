//! The device computes what the CPU backend computes, bit for bit, whatever the rule, the length and the address.

use instep::{Adam, AdamW, Momentum, Optimizer, OptimizerBuilder, Schedule, Sgd, Stream, Tensor};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};

/// One group per variant of the kernels: (name, how it is added to a builder).
pub type Group = (&'static str, fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder);

pub const GROUPS: &[Group] = &[
    ("AdamW", |b, t| b.group(AdamW::new(warm(1e-2)).weight_decay(0.1), t)),
    ("AdamW without decay", |b, t| b.group(AdamW::new(warm(3e-3)).weight_decay(0.0), t)),
    ("AdamW, scheduled betas", |b, t| {
        let beta = Schedule::linear(0.8, 0.95).over(3);
        b.group(AdamW::new(1e-3).beta1(beta.clone()).beta2(beta).weight_decay(Schedule::cosine(0.1, 0.2).over(4)), t)
    }),
    ("AdamW, betas 0, maximize", |b, t| b.group(AdamW::new(1e-3).beta1(0.0).beta2(0.0).maximize(), t)),
    ("Adam, L2", |b, t| b.group(Adam::new(warm(1e-2)).weight_decay(0.3), t)),
    ("Adam, maximize", |b, t| b.group(Adam::new(warm(1e-2)).maximize().eps(1e-3), t)),
    ("Adam, L2, maximize", |b, t| b.group(Adam::new(2e-3).maximize().weight_decay(0.2), t)),
    ("SGD", |b, t| b.group(Sgd::new(warm(0.1)), t)),
    ("SGD, decay, maximize", |b, t| b.group(Sgd::new(0.1).weight_decay(0.01).maximize(), t)),
    ("SGD, momentum, dampening", |b, t| b.group(Sgd::new(0.1).momentum(Momentum::Heavy, 0.9).dampening(0.25), t)),
    ("SGD, momentum, decay", |b, t| b.group(Sgd::new(0.1).momentum(Momentum::Heavy, 0.9).weight_decay(0.1), t)),
    ("SGD, Nesterov", |b, t| b.group(Sgd::new(warm(0.1)).momentum(Momentum::Nesterov, 0.9), t)),
    ("SGD, Nesterov, decay, maximize", |b, t| {
        let momentum = Schedule::linear(0.5, 0.9).over(2);
        b.group(Sgd::new(0.1).momentum(Momentum::Nesterov, momentum).weight_decay(0.1).maximize(), t)
    }),
];

fn warm(peak: f64) -> Schedule {
    Schedule::linear(peak / 10.0, peak).over(2).then(Schedule::cosine(peak, 0.0).over(4))
}

/// Lengths around the sizes of vectors, warps and chunks.
const LENGTHS: &[usize] = &[0, 1, 3, 4, 5, 31, 64, 127, 129, 511, 2047, 2048, 2049, 4096, 5003];
/// Elements past a 16-byte boundary of (param, grad): one window, then different ones.
const SKEWS: &[(usize, usize)] = &[(0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (3, 2)];

#[test]
fn every_rule_length_and_address_gives_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let mut random = Random(1);
    let mut groups: Vec<Vec<Pair>> = GROUPS
        .iter()
        .map(|_| {
            let shapes = LENGTHS.iter().enumerate().map(|(i, len)| (*len, SKEWS[(i + random.next() as usize) % 6]));
            let shapes: Vec<_> = shapes.collect();
            shapes.into_iter().map(|(len, skew)| Pair::new(&rig, random.wild(len), random.wild(len), skew)).collect()
        })
        .collect();

    let (mut on_device, mut on_host) = (Optimizer::builder(&rig.device), Optimizer::builder(&instep::Device::host()));
    for ((_, add), pairs) in GROUPS.iter().zip(&mut groups) {
        on_device = add(on_device, &pairs.iter().map(Pair::device_tensor).collect::<Vec<_>>());
        on_host = add(on_host, &pairs.iter_mut().map(Pair::host_tensor).collect::<Vec<_>>());
    }
    let (mut on_device, mut on_host) = (on_device.build().unwrap(), on_host.build().unwrap());

    for step in 0..4 {
        on_device.step(&rig.stream).unwrap();
        on_host.step(&Stream::host()).unwrap();
        rig.finish();
        for ((name, _), pairs) in GROUPS.iter().zip(&groups) {
            for pair in pairs {
                let what = format!("{name}, {} elements, step {step}", pair.param.len);
                assert_same_bits(&pair.param.read(&rig), &pair.host_param, &what);
            }
        }
        for (device, host) in on_device.tensors().zip(on_host.tensors()) {
            for (device_state, host_state) in device.states.iter().zip(&host.states) {
                let (len, what) = (host.len as usize, format!("{} {}", host.name, host_state.name));
                let host_state = host_values(host_state.address, len);
                assert_same_bits(&rig.read(device_state.address, len), host_state, &what);
            }
        }
        assert_eq!(on_device.status(&rig.stream).unwrap(), on_host.status(&Stream::host()).unwrap());
        for pair in groups.iter_mut().flatten() {
            let grad = random.wild(pair.param.len);
            pair.set_grad(&rig, &grad);
        }
    }
}

/// Memory of the CPU backend, as bytes.
pub fn host_bytes(address: u64, len: usize) -> Vec<u8> {
    match len {
        0 => Vec::new(),
        // SAFETY: the address comes from an optimizer on the host that is alive and at rest.
        _ => unsafe { std::slice::from_raw_parts(address as *const u8, len) }.to_vec(),
    }
}

/// Optimizer state of the CPU backend.
pub fn host_values<'a>(address: u64, len: usize) -> &'a [f32] {
    match len {
        0 => &[],
        // SAFETY: the address comes from an optimizer on the host that is alive and at rest.
        _ => unsafe { std::slice::from_raw_parts(address as *const f32, len) },
    }
}
