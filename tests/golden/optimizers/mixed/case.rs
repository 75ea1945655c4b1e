//! What the `kind` and the `dtypes` of a case make of it.

use std::sync::Arc;

use instep::{Half, LossScale, ParamForm, Precision, StateForm};
use serde_json::Value;

use super::super::case::{Case, Gradients, Unbuilt};
use super::super::judge::Arithmetic;
use super::super::storage::{Beside, Storage, widened};

/// The case as it is stored; `beside` a parameter that the peer keeps beside a master. A remainder, which loses nothing, takes the
/// bytes of a compensation in the type of the parameter.
pub fn case(
    file: &Arc<Value>,
    mut value: Value,
    beside: Beside,
    arithmetic: &Arithmetic,
    known: &mut Vec<Gradients>,
) -> Result<Case, Unbuilt> {
    value["kahan_sum"] = value["params"]["kahan_sum"].take();
    let storage = storage(&value, beside);
    let param = match value["kind"].as_str() {
        Some("low") if value["kahan_sum"] == true => ParamForm::Remainder,
        Some("low") => ParamForm::Nearest,
        _ if beside == Beside::Remainder => ParamForm::Remainder,
        _ => ParamForm::Master,
    };
    let precision = precision(&value).param(param);
    let mut case = Case::new(file, in_f32(value), arithmetic, known)?;
    case.storage = storage;
    case.config.groups.iter_mut().for_each(|group| group.precision = Some(precision.clone()));
    if let Some(scale) = case.value["loss_scale"].as_f64() {
        case.config.loss_scale = Some(LossScale::fixed(scale));
    }
    Ok(case)
}

/// A type of the table; f32 where nothing is said.
fn half(dtype: &Value) -> Option<Half> {
    match dtype.as_str() {
        None | Some("float32") => None,
        Some("bfloat16") => Some(Half::Bf16),
        Some("float16") => Some(Half::F16),
        Some(other) => panic!("unknown type {other}"),
    }
}

fn storage(case: &Value, beside: Beside) -> Storage {
    let beside = match case["kind"].as_str() {
        Some("master") => beside,
        Some("low" | "moments") => Beside::Nothing,
        other => panic!("unknown kind {other:?}"),
    };
    Storage { param: half(&case["dtypes"]["params"]), grad: half(&case["dtypes"]["grads"]), beside }
}

/// The forms of the states: the peers round to nearest.
fn precision(case: &Value) -> Precision {
    let form = |dtype| match half(dtype) {
        None => StateForm::F32,
        Some(Half::Bf16) => StateForm::Bf16Nearest,
        Some(Half::F16) => StateForm::F16Nearest,
    };
    let dtypes = case["dtypes"].as_object().expect("types");
    let states = dtypes.iter().filter(|(name, _)| !["params", "grads", "master", "state"].contains(&name.as_str()));
    let all = Precision::new().states(form(&case["dtypes"]["state"]));
    states.fold(all, |precision, (name, dtype)| precision.state(name, form(dtype)))
}

/// The case as other tables have it: numbers in binary32, the master as the parameters, the state after the last step, and no
/// arguments that say again what `dtypes` says.
fn in_f32(mut case: Value) -> Value {
    let dtypes = case["dtypes"].clone();
    let groups = case["groups"].as_array().expect("groups").len();
    let kahan = "kahan_sum";
    remove(&mut case["params"], kahan);
    (0..groups).for_each(|group| remove(&mut case["groups"][group]["options"], kahan));
    let is_master = case["kind"] == "master";
    for after in case["after"].as_array_mut().expect("records") {
        if is_master {
            after["params"] = after["master"].take();
            after["params_f64"] = after["master_f64"].take();
        } else {
            widen(&mut after["params"], &dtypes["params"]);
        }
        for (name, tensors) in after["state"].as_object_mut().into_iter().flatten() {
            widen(tensors, dtypes.get(name).unwrap_or(&dtypes["state"]));
        }
    }
    case["state"] = case["after"].as_array_mut().and_then(|after| after.last_mut()).expect("a record")["state"].take();
    case
}

fn remove(arguments: &mut Value, name: &str) {
    arguments.as_object_mut().and_then(|arguments| arguments.remove(name));
}

/// Four hex digits a number become eight.
fn widen(tensors: &mut Value, dtype: &Value) {
    let Some(half) = half(dtype) else { return };
    for tensor in tensors.as_array_mut().expect("a list of tensors") {
        let words = tensor.as_str().expect("bits").split(' ');
        let number = |word| widened(half, u16::from_str_radix(word, 16).expect("four hex digits"));
        let words: Vec<String> = words.map(|word| format!("{:08x}", number(word).to_bits())).collect();
        *tensor = words.join(" ").into();
    }
}
