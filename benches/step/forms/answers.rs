//! Every form gives the CPU backend's bits: parameters, what lies beside them, states and their scales.

use instep::{Device, Form as Stored, Optimizer, Stream, TensorView};

use super::model::{Model, SEED, tensors};
use super::{ALL, Form, rows};
use crate::driver::{Gpu, Result};
use crate::rule;
use crate::sizes::SMALL;
use crate::way::Mode;

/// So many eagerly, and as many replays.
const STEPS: usize = 5;
/// The first one is large, as that of the models: below 4,096 elements states do not become codes.
const LENGTHS: [u64; 5] = [20_480, 64, 5_003, 1, 2_048];

/// Checks all forms: each alone, as it is timed; or `together`, a group of one optimizer each, so that there is one kernel to
/// compile.
pub fn check(gpu: &Gpu, together: bool) -> Result<()> {
    rows::check()?;
    let sets: Vec<&[Form]> = if together { vec![&ALL] } else { ALL.chunks(1).collect() };
    for forms in sets {
        check_run(gpu, forms)?;
    }
    let rows = rows::of_gpt2(gpu, &ALL[0], &SMALL, 1e9, std::time::Duration::ZERO)?;
    if rows.len() != 1 || rows.iter().any(|row| row.time.is_none()) {
        return Err(format!("{rows:?} are not the rows of a form").into());
    }
    Ok(())
}

fn check_run(gpu: &Gpu, forms: &[Form]) -> Result<()> {
    let mut model = Model::new(gpu, forms, &LENGTHS)?;
    let read = |address: u64, bytes: u64| gpu.read::<u32>(address, bytes as usize / 4);
    let mut params = Vec::new();
    let mut grads = Vec::new();
    for group in &model.groups {
        params.push(read(group.params.address(), group.bytes)?);
        grads.push(read(group.grads.address(), group.bytes)?);
    }
    for mode in [Mode::Eager, Mode::Replay] {
        let graph = model.graph(mode)?;
        (0..STEPS).try_for_each(|_| model.step(graph.as_ref()))?;
        gpu.wait()?;
    }

    let before = params.clone();
    let mut builder = Optimizer::builder(&Device::host()).seed(SEED);
    for (form, (params, grads)) in forms.iter().zip(params.iter_mut().zip(&grads)) {
        let tensors = tensors(form, params.as_mut_ptr() as u64, grads.as_ptr() as u64, &LENGTHS);
        builder = builder.group_in(form.precision(), rule::adamw(rule::schedule()), &tensors);
    }
    let mut host = builder.build()?;
    (0..2 * STEPS).try_for_each(|_| host.step(&Stream::host()))?;

    let views: Vec<_> = model.optimizer.tensors().zip(host.tensors()).collect();
    for (i, form) in forms.iter().enumerate() {
        if params[i] == before[i] {
            return Err(format!("{}: the parameters must move", form.name).into());
        }
        let of_form = &views[i * LENGTHS.len()..][..LENGTHS.len()];
        check_bytes(form, &of_form[0].0)?;
        for (ours, theirs) in of_form {
            for (what, at, other, bytes) in streams(ours, theirs) {
                // SAFETY: the host's optimizer is alive, and says that its stream lies there.
                let expected = unsafe { std::slice::from_raw_parts(other as *const u8, bytes as usize) };
                let values = gpu.read::<u8>(at, bytes as usize)?;
                let differing = values.iter().zip(expected).filter(|(a, b)| a != b).count();
                if differing > 0 {
                    let name = form.name;
                    return Err(format!(
                        "{name}: {differing} bytes of {what} of {} differ from the CPU backend's",
                        ours.name
                    )
                    .into());
                }
            }
        }
    }
    Ok(())
}

/// What an update writes of a tensor: its name, its address here and there, its bytes.
fn streams(ours: &TensorView<'_>, theirs: &TensorView<'_>) -> Vec<(String, u64, u64, u64)> {
    let len = ours.len;
    let mut found = vec![("the parameter".to_owned(), ours.param, theirs.param, len * width(ours.param_form))];
    let beside = if matches!(ours.param_form, Stored::Remainder) { 2 } else { 4 };
    let besides = ours.beside_param.zip(theirs.beside_param);
    found.extend(besides.map(|(at, other)| ("what lies beside it".to_owned(), at, other, len * beside)));
    for (ours, theirs) in ours.states.iter().zip(&theirs.states) {
        found.push((ours.name.to_owned(), ours.address, theirs.address, len * width(ours.form)));
        let scales = ours.scales.zip(theirs.scales);
        found.extend(scales.map(|(at, other)| (format!("{}'s scales", ours.name), at, other, 4 * len.div_ceil(256))));
    }
    found
}

/// Bytes of an element.
fn width(form: Stored) -> u64 {
    match form {
        Stored::F32 => 4,
        Stored::EightBit => 1,
        _ => 2,
    }
}

/// The rows and the page say how many bytes a form moves and takes.
fn check_bytes(form: &Form, view: &TensorView<'_>) -> Result<()> {
    let written: u64 = streams(view, view).iter().map(|(_, _, _, bytes)| bytes).sum();
    let held = (written + view.len * width(view.grad_form)) as f64 / view.len as f64;
    if (view.bytes_per_param, held) != (form.moved, form.held) {
        return Err(format!("{}: {} bytes moved and {held} held per parameter", form.name, view.bytes_per_param).into());
    }
    Ok(())
}
