//! Whether what is registered with an optimizer on CUDA is memory of its device, as far as the driver can say, and whether what is
//! handed in is no memory that the update writes. The rules about tensors that need no driver are in `plan::check`.

use crate::device::{Addresses, Context, Place};
use crate::error::{Error, Result, quoted};
use crate::plan::layout::OutputRow;
use crate::plan::{Buffer, Dtype, HandedIn, Output, Plan, Scalar, Tensor, TensorRow};

/// Checks the tensors of all groups and what is handed in, with at most one driver call for each range of memory (where the
/// driver knows none: for each address). What breaks another rule is left to that rule.
pub(super) fn check<'a>(
    context: &Context,
    groups: impl Iterator<Item = &'a [Tensor]>,
    handed_in: HandedIn,
) -> Result<()> {
    let mut addresses = Addresses::new(context);
    for (g, tensors) in groups.enumerate() {
        for (i, tensor) in tensors.iter().enumerate() {
            let buffers = [("param", Some(tensor.param)), ("grad", Some(tensor.grad)), ("master", tensor.master)];
            for (what, buffer) in buffers.into_iter().filter_map(|(what, buffer)| Some((what, buffer?))) {
                check_buffer(&mut addresses, buffer, || format!("groups[{g}].tensors[{i}].{what}"))?;
            }
        }
    }
    let HandedIn { found_inf, inv_scale, norm_square, metric, loss } = handed_in;
    let of_f32 = [("found_inf", found_inf), ("inv_scale", inv_scale), ("norm_square", norm_square)];
    let of_f32 = of_f32.map(|(argument, scalar)| (argument, scalar, Dtype::F32));
    let metric = metric.map(|(scalar, dtype)| ("observe_every.metric", Some(scalar), dtype));
    let loss = loss.map(|(scalar, dtype)| ("record_loss.loss", Some(scalar), dtype));
    for (argument, scalar, dtype) in of_f32.into_iter().chain(metric).chain(loss) {
        let Some(scalar) = scalar.filter(|scalar| is_address(scalar.0, dtype)) else { continue };
        let rule = match addresses.look(scalar.0, dtype.bytes())? {
            Place::Fits => continue,
            Place::Unreachable(what) => what,
            Place::Short(bytes) => format!("the memory there ends after {bytes} bytes, and an {dtype} takes more"),
        };
        return Err(Error::argument(argument, format!("{:#x}", scalar.0), rule));
    }
    Ok(())
}

/// The flags that groups follow: each an f32 that the device reaches and that no update writes. `context`: None on the host.
pub(super) fn check_gates(context: Option<&Context>, plan: &Plan) -> Result<()> {
    for address in plan.gates.iter().copied() {
        let refused = |rule: String| Err(Error::argument("follow.flag", format!("{address:#x}"), rule));
        if !is_address(address, Dtype::F32) {
            return refused("it is the address of an f32: not 0, and aligned to 4 bytes".to_owned());
        }
        if let Some((what, tensor)) =
            plan.touching(address..address + 4).filter(|(what, _)| *what != "grad" || plan.gradients.zero)
        {
            return refused(format!("it overlaps the {what} of tensor {}", quoted(&plan.names[tensor])));
        }
        if let Some(context) = context {
            match Addresses::new(context).look(address, 4)? {
                Place::Fits => {}
                Place::Unreachable(what) => return refused(what),
                Place::Short(bytes) => return refused(format!("the memory there ends after {bytes} bytes")),
            }
        }
    }
    Ok(())
}

/// Where scalars go: memory that the device reaches. What breaks another rule is left to that rule.
pub(super) fn check_outputs(context: &Context, outputs: &[Output]) -> Result<()> {
    let mut addresses = Addresses::new(context);
    for (place, output) in outputs.iter().enumerate().filter(|(_, output)| is_address(output.address, output.dtype)) {
        let rule = match addresses.look(output.address, output.dtype.bytes())? {
            Place::Fits => continue,
            Place::Unreachable(what) => what,
            Place::Short(bytes) => {
                format!("the memory there ends after {bytes} bytes, and an {} takes more", output.dtype)
            }
        };
        return Err(Error::argument(Output::path(place), format!("{:#x}", output.address), rule));
    }
    Ok(())
}

/// The same of tensors that come later.
pub(super) fn check_tensors(context: &Context, tensors: &[Tensor]) -> Result<()> {
    check(context, std::iter::once(tensors), HandedIn::default())
}

fn check_buffer(addresses: &mut Addresses<'_>, buffer: Buffer, path: impl Fn() -> String) -> Result<()> {
    let Buffer { address, len, dtype } = buffer;
    let bytes = len.checked_mul(dtype.bytes()).filter(|bytes| *bytes > 0 && is_address(address, dtype));
    let Some(bytes) = bytes else { return Ok(()) };
    match addresses.look(address, bytes)? {
        Place::Fits => Ok(()),
        Place::Unreachable(what) => Err(Error::argument(format!("{}.address", path()), format!("{address:#x}"), what)),
        Place::Short(bytes) => {
            let fit = bytes / dtype.bytes();
            let mut rule = format!("from {address:#x} to the end of that memory only {fit} elements fit");
            if len % dtype.bytes() == 0 && len / dtype.bytes() <= fit {
                rule.push_str("; a length is in elements, not in bytes");
            }
            Err(Error::argument(format!("{}.len", path()), len, rule))
        }
    }
}

fn is_address(address: u64, dtype: Dtype) -> bool {
    address != 0 && address.is_multiple_of(dtype.bytes())
}

/// What the engine hands in lies at addresses that the update does not write.
pub(super) fn check_handed_in(handed_in: HandedIn, plan: &Plan) -> Result<()> {
    let HandedIn { found_inf, inv_scale, norm_square, metric, loss } = handed_in;
    let of_f32 = [("found_inf", found_inf), ("inv_scale", inv_scale), ("norm_square", norm_square)];
    for (argument, scalar) in of_f32 {
        let Some(Scalar(address)) = scalar else { continue };
        if address == 0 || !address.is_multiple_of(4) {
            let rule = "must be the 4-byte aligned address of an f32";
            return Err(Error::argument(argument, format!("{address:#x}"), rule));
        }
    }
    let of_f32 = of_f32.map(|(argument, scalar)| (argument, scalar, Dtype::F32));
    let metric = metric.map(|(scalar, dtype)| ("observe_every.metric", Some(scalar), dtype));
    let loss = loss.map(|(scalar, dtype)| ("record_loss.loss", Some(scalar), dtype));
    for (argument, scalar, dtype) in of_f32.into_iter().chain(metric).chain(loss) {
        let Some(Scalar(address)) = scalar else { continue };
        let touches = |begin: u64, bytes: u64| address < begin + bytes && begin < address + dtype.bytes();
        let written = |row: &TensorRow| {
            let bytes = |place: usize| plan.storages(row)[place].form.sizes(row.len);
            touches(row.param(), bytes(0)[0])
                || (row.master_given && touches(row.streams[0].second, bytes(0)[1]))
                || (plan.gradients.zero && touches(plan.seat_of(row).grad, bytes(1)[0]))
        };
        let output = |row: &OutputRow| touches(row.address, if row.wide == 0 { 4 } else { 8 });
        if let Some(place) = plan.outputs.iter().position(output) {
            let rule = format!("the launch writes there: it overlaps write[{place}]");
            return Err(Error::argument(argument, format!("{address:#x}"), rule));
        }
        if let Some(index) = plan.tensors.iter().position(written) {
            let rule = format!("the update writes there: it lies in tensor {}", quoted(&plan.names[index]));
            return Err(Error::argument(argument, format!("{address:#x}"), rule));
        }
    }
    Ok(())
}
