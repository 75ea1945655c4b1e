//! What may be registered: every rule about tensors, before a table is laid out.

use std::collections::{HashMap, HashSet};

use super::{Buffer, Dtype, Purpose, Registered, Tensor, Tuning};
use crate::error::{Error, Result, quoted};

/// The most updates that a tensor may have had: leaves the counter room for as many more.
pub(super) const MAX_UPDATES: u64 = 1 << 62;

/// Blocks of a launch, less those that have other work; leaves room for tiles half as large.
const MAX_TILES: u128 = 1 << 30;
/// Elements of a tensor: as many tiles as a row can number, with room for tiles half as large.
const MAX_LEN: u64 = 1 << 39;
/// Tensors: as many as a pack can count.
const MAX_TENSORS: usize = 1 << 29;

/// Checks all tensors of all groups and returns their names.
/// `zero`: gradients are written too, so they may not overlap each other either.
/// `dynamic`: a tensor may have no gradient yet.
pub(super) fn check(groups: &[Registered], zero: bool, purpose: Purpose, dynamic: bool) -> Result<Vec<String>> {
    if groups.is_empty() {
        return Err(Error::argument("groups", "empty", "an optimizer needs at least one group"));
    }
    let count: usize = groups.iter().map(|group| group.tensors.len()).sum();
    if count >= MAX_TENSORS {
        return Err(Error::argument("tensors", count, "one optimizer takes fewer than 2^29"));
    }
    let mut names = Vec::with_capacity(count);
    let mut seen = HashSet::with_capacity(count);
    for (g, Registered { tensors, .. }) in groups.iter().enumerate() {
        if tensors.is_empty() && purpose == Purpose::Run {
            return Err(Error::argument(format!("groups[{g}].tensors"), "empty", "a group needs at least one tensor"));
        }
        for (i, tensor) in tensors.iter().enumerate() {
            let path = || format!("groups[{g}].tensors[{i}]");
            check_tensor(path, tensor, dynamic)?;
            let name = tensor.name.clone().unwrap_or_else(|| format!("{g}.{i}"));
            if !seen.insert(name.clone()) {
                return Err(Error::argument(format!("{}.name", path()), quoted(&name), "another tensor has that name"));
            }
            names.push(name);
        }
    }
    let all = || groups.iter().flat_map(|group| &group.tensors);
    let tile = u128::from(Tuning::default().tile());
    let tiles: u128 = all().map(|tensor| u128::from(tensor.param.len).div_ceil(tile)).sum();
    if tiles > MAX_TILES {
        let rule = format!("one optimizer takes at most {MAX_TILES} tiles of {tile} elements");
        return Err(Error::argument("tensors", format!("{tiles} tiles in all"), rule));
    }
    check_numbers(all(), &names)?;
    check_overlap(all(), &names, zero)?;
    Ok(names)
}

/// What a clock may begin with.
pub(crate) fn check_start(t: u64) -> Result<()> {
    match t <= MAX_UPDATES {
        true => Ok(()),
        false => Err(Error::argument("start_at", t, format!("at most {MAX_UPDATES} fit"))),
    }
}

/// Two tensors with one number would be rounded by the same random bits.
fn check_numbers<'a>(tensors: impl Iterator<Item = &'a Tensor> + Clone, names: &[String]) -> Result<()> {
    if tensors.clone().all(|tensor| tensor.number.is_none()) {
        return Ok(());
    }
    let mut known = HashMap::new();
    for (place, tensor) in tensors.enumerate() {
        let number = tensor.number.unwrap_or(place as u32);
        if let Some(other) = known.insert(number, place) {
            let rule = format!("tensor {} has that number: one that is not given is its place", quoted(&names[other]));
            return Err(Error::argument(format!("number of tensor {}", quoted(&names[place])), number, rule));
        }
    }
    Ok(())
}

/// Checks a tensor by itself. `path`: of it, in errors.
pub(super) fn check_tensor(path: impl Fn() -> String + Copy, tensor: &Tensor, dynamic: bool) -> Result<()> {
    check_buffer(|| format!("{}.param", path()), tensor.param)?;
    if !(dynamic && tensor.is_absent()) {
        check_buffer(|| format!("{}.grad", path()), tensor.grad)?;
    }
    if let Some(master) = tensor.master {
        check_buffer(|| format!("{}.master", path()), master)?;
    }
    if tensor.param.len > MAX_LEN {
        let rule = format!("a tensor has at most {MAX_LEN} elements");
        return Err(Error::argument(format!("{}.param.len", path()), tensor.param.len, rule));
    }
    if let Some(updates) = tensor.updates.filter(|updates| *updates > MAX_UPDATES) {
        return Err(Error::argument(format!("{}.updates", path()), updates, format!("at most {MAX_UPDATES} fit")));
    }
    if tensor.param.len != tensor.grad.len {
        let rule = format!("param has {} elements", tensor.param.len);
        return Err(Error::argument(format!("{}.grad.len", path()), tensor.grad.len, rule));
    }
    Ok(())
}

fn check_buffer(path: impl Fn() -> String, buffer: Buffer) -> Result<()> {
    let Buffer { address, len, dtype } = buffer;
    let refused =
        |what: &str, value: String, rule: String| Err(Error::argument(format!("{}.{what}", path()), value, rule));
    if dtype == Dtype::F64 {
        return refused("dtype", dtype.to_string(), "must be f32, bf16 or f16".to_owned());
    }
    if len == 0 {
        return Ok(());
    }
    let bytes = dtype.bytes();
    if address == 0 {
        return refused("address", "null".to_owned(), format!("{len} elements are to be there"));
    }
    if !address.is_multiple_of(bytes) {
        return refused("address", format!("{address:#x}"), format!("{dtype} elements are aligned to {bytes} bytes"));
    }
    if len.checked_mul(bytes).and_then(|bytes| address.checked_add(bytes)).is_none() {
        return refused("len", len.to_string(), "the buffer must end below 2^64".to_owned());
    }
    Ok(())
}

/// Nothing that an update writes may share memory with anything else of it: updates would race. Gradients may overlap each other
/// where they are not zeroed.
pub(super) fn check_overlap<'a>(tensors: impl Iterator<Item = &'a Tensor>, names: &[String], zero: bool) -> Result<()> {
    // (begin, end, tensor, what) in bytes; what is written sorted by address.
    let range = |buffer: Buffer| (buffer.address, buffer.address + buffer.len * buffer.dtype.bytes());
    let mut written = Vec::new();
    let mut grads = Vec::new();
    for (index, tensor) in tensors.enumerate().filter(|(_, tensor)| tensor.param.len > 0) {
        let ((begin, end), (grad_begin, grad_end)) = (range(tensor.param), range(tensor.grad));
        written.push((begin, end, index, "param"));
        if !tensor.is_absent() {
            grads.push((grad_begin, grad_end, index));
        }
        if let Some((begin, end)) = tensor.master.map(range) {
            written.push((begin, end, index, "master"));
        }
    }
    written.sort_unstable();
    let overlap = |what: &str, a: usize, address: u64, (_, _, b, theirs): (u64, u64, usize, &str)| {
        let rule = format!("it overlaps the {theirs} of tensor {}", quoted(&names[b]));
        Err(Error::argument(format!("{what} of tensor {}", quoted(&names[a])), format!("{address:#x}"), rule))
    };
    for pair in written.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if second.0 < first.1 {
            let (later, earlier) = if first.2 > second.2 { (first, second) } else { (second, first) };
            return overlap(later.3, later.2, second.0, earlier);
        }
    }
    grads.sort_unstable();
    if let Some(pair) = grads.windows(2).find(|pair| zero && pair[1].0 < pair[0].1) {
        let rule = format!("it overlaps the grad of tensor {}, and gradients are zeroed", quoted(&names[pair[0].2]));
        let argument = format!("grad of tensor {}", quoted(&names[pair[1].2]));
        return Err(Error::argument(argument, format!("{:#x}", pair[1].0), rule));
    }
    for (begin, end, index) in grads {
        // What is written is disjoint, so of what begins below this gradient's end the last one ends last.
        let below = written.partition_point(|written| written.0 < end);
        if let Some(written) = below.checked_sub(1).map(|i| written[i])
            && written.1 > begin
        {
            return overlap("grad", index, begin, written);
        }
    }
    Ok(())
}
