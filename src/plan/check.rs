//! What may be registered: every rule about tensors, before a table is laid out.

use std::collections::HashSet;

use super::{Buffer, Dtype, Purpose, Tensor, Tuning};
use crate::error::{Error, Result};
use crate::rule::Description;

/// The most updates that a tensor may have had: leaves the counter room for as many more.
const MAX_UPDATES: u64 = 1 << 62;

/// Blocks of a launch, less those that have other work; leaves room for tiles half as large.
const MAX_TILES: u128 = 1 << 30;

/// Checks all tensors of all groups and returns their names.
/// `zero`: gradients are written too, so they may not overlap each other either.
pub(super) fn check(groups: &[(Description, Vec<Tensor>)], zero: bool, purpose: Purpose) -> Result<Vec<String>> {
    if groups.is_empty() {
        return Err(Error::argument("groups", "empty", "an optimizer needs at least one group"));
    }
    let count: usize = groups.iter().map(|(_, tensors)| tensors.len()).sum();
    if count > u32::MAX as usize {
        return Err(Error::argument("tensors", count, "one optimizer takes fewer than 2^32"));
    }
    let mut names = Vec::with_capacity(count);
    let mut seen = HashSet::with_capacity(count);
    for (g, (_, tensors)) in groups.iter().enumerate() {
        if tensors.is_empty() && purpose == Purpose::Run {
            return Err(Error::argument(format!("groups[{g}].tensors"), "empty", "a group needs at least one tensor"));
        }
        for (i, tensor) in tensors.iter().enumerate() {
            let path = format!("groups[{g}].tensors[{i}]");
            check_tensor(&path, tensor)?;
            let name = tensor.name.clone().unwrap_or_else(|| format!("{g}.{i}"));
            if !seen.insert(name.clone()) {
                return Err(Error::argument(
                    format!("{path}.name"),
                    format!("{name:?}"),
                    "another tensor has that name",
                ));
            }
            names.push(name);
        }
    }
    let all = || groups.iter().flat_map(|(_, tensors)| tensors);
    let tile = u128::from(Tuning::default().tile());
    let tiles: u128 = all().map(|tensor| u128::from(tensor.param.len).div_ceil(tile)).sum();
    if tiles > MAX_TILES {
        let rule = format!("one optimizer takes at most {MAX_TILES} tiles of {tile} elements");
        return Err(Error::argument("tensors", format!("{tiles} tiles in all"), rule));
    }
    check_overlap(all(), &names, zero)?;
    Ok(names)
}

fn check_tensor(path: &str, tensor: &Tensor) -> Result<()> {
    check_buffer(&format!("{path}.param"), tensor.param)?;
    check_buffer(&format!("{path}.grad"), tensor.grad)?;
    if tensor.updates > MAX_UPDATES {
        return Err(Error::argument(format!("{path}.updates"), tensor.updates, format!("at most {MAX_UPDATES} fit")));
    }
    if tensor.param.len != tensor.grad.len {
        let rule = format!("param has {} elements", tensor.param.len);
        return Err(Error::argument(format!("{path}.grad.len"), tensor.grad.len, rule));
    }
    Ok(())
}

fn check_buffer(path: &str, buffer: Buffer) -> Result<()> {
    let Buffer { address, len, dtype } = buffer;
    if dtype != Dtype::F32 {
        return Err(Error::argument(format!("{path}.dtype"), format!("{dtype:?}"), "only F32 is updated so far"));
    }
    if len == 0 {
        return Ok(());
    }
    let bytes = dtype.bytes();
    if address == 0 {
        return Err(Error::argument(format!("{path}.address"), "null", format!("{len} elements are to be there")));
    }
    if !address.is_multiple_of(bytes) {
        let rule = format!("{dtype:?} elements are aligned to {bytes} bytes");
        return Err(Error::argument(format!("{path}.address"), format!("{address:#x}"), rule));
    }
    if len.checked_mul(bytes).and_then(|bytes| address.checked_add(bytes)).is_none() {
        return Err(Error::argument(format!("{path}.len"), len, "the buffer must end below 2^64"));
    }
    Ok(())
}

/// No parameter may share memory with another parameter, nor with any gradient: updates would race.
fn check_overlap<'a>(tensors: impl Iterator<Item = &'a Tensor>, names: &[String], zero: bool) -> Result<()> {
    // (begin, end, tensor) in bytes; parameters sorted by address.
    let range = |buffer: Buffer| (buffer.address, buffer.address + buffer.len * buffer.dtype.bytes());
    let mut params = Vec::new();
    let mut grads = Vec::new();
    for (index, tensor) in tensors.enumerate().filter(|(_, tensor)| tensor.param.len > 0) {
        let ((begin, end), (grad_begin, grad_end)) = (range(tensor.param), range(tensor.grad));
        params.push((begin, end, index));
        grads.push((grad_begin, grad_end, index));
    }
    params.sort_unstable();
    let overlap = |what: &str, a: usize, address: u64, b: usize| {
        let rule = format!("it overlaps the param of tensor {:?}", names[b]);
        Err(Error::argument(format!("{what} of tensor {:?}", names[a]), format!("{address:#x}"), rule))
    };
    for pair in params.windows(2) {
        let ((_, end, first), (begin, _, second)) = (pair[0], pair[1]);
        if begin < end {
            let (a, b) = (first.max(second), first.min(second));
            return overlap("param", a, begin, b);
        }
    }
    grads.sort_unstable();
    if let Some(pair) = grads.windows(2).find(|pair| zero && pair[1].0 < pair[0].1) {
        let rule = format!("it overlaps the grad of tensor {:?}, and gradients are zeroed", names[pair[0].2]);
        let argument = format!("grad of tensor {:?}", names[pair[1].2]);
        return Err(Error::argument(argument, format!("{:#x}", pair[1].0), rule));
    }
    for (begin, end, index) in grads {
        // Parameters are disjoint, so of those that begin below this gradient's end the last one ends last.
        let below = params.partition_point(|param| param.0 < end);
        if let Some((_, param_end, param)) = below.checked_sub(1).map(|i| params[i])
            && param_end > begin
        {
            return overlap("grad", index, begin, param);
        }
    }
    Ok(())
}
