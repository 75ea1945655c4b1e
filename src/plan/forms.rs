//! How the streams of a tensor are stored, from what the engine registers and what its group asks for. Start at [`Forms`].

use super::layout::VECTOR;
use super::{Dtype, Plan, Tensor};
use crate::error::{Error, Result};
use crate::precision::{Form, Half, ParamForm, Precision, Rounding, Storage, Values};
use crate::rule::Compiled;

/// A rule together with how its streams are stored: one walk of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forms {
    /// The rule, among those of the plan.
    pub variant: u32,
    /// Of the parameter, the gradient, the states; then of what is put aside, where a rule shows other parameters for evaluation.
    pub storages: Vec<Storage>,
}

impl Forms {
    /// Addresses in a tensor's row.
    pub fn addresses(&self) -> usize {
        self.storages.len() + self.storages.iter().filter(|storage| storage.form.has_second()).count()
    }

    /// Whether everything is f32, as it was before there were others.
    pub fn is_plain(&self) -> bool {
        self.storages.iter().all(|storage| storage.form == Form::F32)
    }

    /// The type of the gradient, as kernels number it.
    pub fn grad_type(&self) -> u32 {
        match self.storages[1].form {
            Form::Half(Half::Bf16, _) => Dtype::Bf16.number(),
            Form::Half(Half::F16, _) => Dtype::F16.number(),
            Form::F32 | Form::Master(_) | Form::Remainder | Form::EightBit => Dtype::F32.number(),
        }
    }

    /// Whether something lies beside the parameter that follows from it.
    pub fn remakes(&self) -> bool {
        matches!(self.storages[0].form, Form::Master(_) | Form::Remainder)
    }

    /// Whether stores take random bits.
    pub fn is_stochastic(&self) -> bool {
        self.storages.iter().any(|storage| storage.form.is_stochastic())
    }

    /// Bytes that one update moves per parameter, what it measures before included.
    pub fn bytes_per_param(&self, rule: &Compiled) -> f64 {
        let standing = &rule.standing;
        let moved = |set: u32, bytes: fn(Form) -> f64| -> f64 {
            let streams = self.storages.iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
            streams.map(|(_, storage)| bytes(storage.form)).sum()
        };
        let read = moved(standing.loads, Form::bytes_read) + moved(standing.measure_loads, Form::bytes_read);
        read + moved(standing.stores, Form::bytes_written)
    }
}

/// The fewest elements of a tensor whose states become 8-bit codes, unless asked otherwise.
const QUANTIZE_FROM: u64 = 4_096;

/// The type of a buffer of sixteen bits.
fn half_of(dtype: Dtype) -> Option<Half> {
    match dtype {
        Dtype::Bf16 => Some(Half::Bf16),
        Dtype::F16 => Some(Half::F16),
        Dtype::F32 | Dtype::F64 => None,
    }
}

/// The type of the engine's buffer of a parameter or a gradient that is stored so.
pub(super) fn dtype(form: Form) -> Dtype {
    match form {
        Form::Half(Half::F16, _) | Form::Master(Half::F16) => Dtype::F16,
        Form::Half(Half::Bf16, _) | Form::Master(Half::Bf16) | Form::Remainder => Dtype::Bf16,
        Form::F32 | Form::EightBit => Dtype::F32,
    }
}

/// How the streams of `tensor` are stored. `path`: of the tensor, in errors.
pub(super) fn of_tensor(
    path: impl Fn() -> String,
    rule: &Compiled,
    precision: &Precision,
    tensor: &Tensor,
) -> Result<Vec<Storage>> {
    let param = match (half_of(tensor.param.dtype), precision.param.unwrap_or_default()) {
        (None | Some(Half::F16), ParamForm::Remainder) => {
            let rule = "the precision of its group asks for a remainder, which lies beside a bf16 parameter; give tensors of other types a group of their own, with group_in";
            return Err(Error::argument(format!("{}.param.dtype", path()), tensor.param.dtype, rule));
        }
        (None, _) => Form::F32,
        (Some(half), ParamForm::Master) => Form::Master(half),
        (Some(Half::Bf16), ParamForm::Remainder) => Form::Remainder,
        (Some(half), ParamForm::Nearest) => Form::Half(half, Rounding::Nearest),
        (Some(half), ParamForm::Stochastic) => Form::Half(half, Rounding::Stochastic),
    };
    if let Some(master) = tensor.master
        && !matches!(param, Form::Master(_))
    {
        let rule = match half_of(tensor.param.dtype) {
            None => "an f32 parameter is its own master".to_owned(),
            Some(_) => format!("the precision of its group keeps the parameter as {param}, without a master"),
        };
        return Err(Error::argument(format!("{}.master", path()), format!("{:#x}", master.address), rule));
    }
    let grad = half_of(tensor.grad.dtype).map_or(Form::F32, |half| Form::Half(half, Rounding::Nearest));
    let mut storages = vec![Storage::of(param), Storage::of(grad)];
    storages.extend(states(rule, precision, tensor.param.len));
    storages.extend(aside(rule, param));
    Ok(storages)
}

/// How the parameter for training is put aside while one for evaluation is shown, so that no bit of it is lost. A master has it anyway.
fn aside(rule: &Compiled, param: Form) -> Option<Storage> {
    rule.tape.show.as_ref()?;
    match param {
        Form::Master(_) => None,
        Form::Half(half, _) => Some(Storage::of(Form::Half(half, Rounding::Nearest))),
        Form::F32 | Form::Remainder | Form::EightBit => Some(Storage::F32),
    }
}

/// The same of states alone.
fn states(rule: &Compiled, precision: &Precision, len: u64) -> impl Iterator<Item = Storage> {
    rule.streams().iter().map(move |stream| {
        let form = match precision.of_state(&stream.name).form() {
            Form::EightBit if len < precision.quantize_from.unwrap_or(QUANTIZE_FROM) => Form::F32,
            form => form,
        };
        let values = match form {
            Form::Half(..) | Form::EightBit if stream.denominator => Values::Denominator,
            Form::EightBit if stream.not_negative => Values::NotNegative,
            _ => Values::Any,
        };
        Storage { form, values }
    })
}

/// For the text of a group without tensors: large ones in f32.
pub(super) fn of_text(rule: &Compiled, precision: &Precision) -> Vec<Storage> {
    let states = states(rule, precision, u64::MAX).chain(aside(rule, Form::F32));
    [Storage::F32; 2].into_iter().chain(states).collect()
}

impl Plan {
    /// How the streams of a tensor are stored.
    pub fn storages(&self, row: &super::TensorRow) -> &[Storage] {
        &self.forms[row.form as usize].storages
    }

    /// Puts the forms in an order that does not depend on that of the tensors: equal sets of tensors then have equal kernels.
    pub(super) fn order_forms(&mut self) {
        let mut order: Vec<(usize, Forms)> = std::mem::take(&mut self.forms).into_iter().enumerate().collect();
        order.sort_by_cached_key(|(_, forms)| {
            let types: Vec<String> = forms.storages.iter().map(|storage| storage.cuda().to_string()).collect();
            (forms.variant, types)
        });
        let mut places = vec![0; order.len()];
        for (new, (old, forms)) in order.into_iter().enumerate() {
            places[old] = new as u32;
            self.forms.push(forms);
        }
        self.tensors.iter_mut().for_each(|row| row.form = places[row.form as usize]);
    }

    /// Whether parameters have something beside them that follows from them.
    pub fn remakes(&self) -> bool {
        self.forms.iter().any(Forms::remakes)
    }

    /// Whether some of that is ours, and so is made at build.
    pub fn remakes_own(&self) -> bool {
        self.tensors.iter().any(|row| !row.master_given && self.forms[row.form as usize].remakes())
    }

    /// Whether some parameters for evaluation are others than those for training.
    pub fn shows(&self) -> bool {
        self.variants.iter().any(|rule| rule.tape.show.is_some())
    }

    /// The types of gradients, a bit for each.
    pub fn grad_types(&self) -> u32 {
        self.forms.iter().fold(0, |set, forms| set | 1 << forms.grad_type())
    }

    /// Refuses to cut blocks of codes.
    pub fn check_tuning(&self) -> Result<()> {
        let block = self.forms.iter().flat_map(|forms| &forms.storages).any(|storage| storage.form == Form::EightBit);
        if block && self.tuning.vectors < 2 {
            let rule = format!("8-bit states need 2 at least: a warp of {} elements is half a block", 32 * VECTOR);
            return Err(Error::argument("tuning.vectors", self.tuning.vectors, rule));
        }
        Ok(())
    }
}
