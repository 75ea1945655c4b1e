//! One case: what a user of the peer has, as our configuration, with its start and its gradients.

use std::sync::Arc;

use approx::abs_diff_eq;
use instep::compat::OptimizerConfiguration;
use instep::{Config, Schedule};
use serde_json::{Value, json};

use super::judge::Arithmetic;
use super::storage::Storage;

/// One value a tensor and element.
pub type Tensors = Vec<Vec<f32>>;

/// A case that can be run.
pub struct Case {
    pub name: String,
    pub config: Config,
    pub storage: Storage,
    pub gradients: Gradients,
    /// The tensors of each group.
    pub groups: Vec<Vec<usize>>,
    pub value: Value,
}

/// A set of gradients, shared by cases.
pub type Gradients = Arc<Set>;

pub struct Set {
    file: Arc<Value>,
    name: String,
    pub init: Tensors,
    pub steps: Vec<Tensors>,
}

/// Why a case cannot be run.
pub enum Unbuilt {
    /// The rule is missing here.
    NotYet(String),
    /// The peer itself does something there that need not be done.
    Refused(String),
    Failed(String),
    /// The arithmetic is not that of its peer.
    OfAnother,
}

impl Case {
    /// `read`: the gradients that were read before.
    pub fn new(
        file: &Arc<Value>,
        value: Value,
        arithmetic: &Arithmetic,
        read: &mut Vec<Gradients>,
    ) -> Result<Case, Unbuilt> {
        let name = value["name"].as_str().unwrap_or("?").to_owned();
        let value = by_dimensions(with_our_states(value));
        let groups = value["groups"].as_array().expect("a list of groups");
        let config = configuration(&value, groups, file["steps"].as_u64()).config();
        let config = match config.map(|config| (arithmetic.apply)(&value, config)) {
            Ok(None) => return Err(Unbuilt::OfAnother),
            Ok(Some(config)) => Ok(config),
            Err(error) => Err(error),
        };
        let config = match config.map_err(|e| e.to_string()) {
            Ok(config) => config,
            Err(why) if ["is not there yet", "has a translation"].iter().any(|words| why.contains(words)) => {
                return Err(Unbuilt::NotYet(why));
            }
            Err(why) if !value["quirk"].is_null() => return Err(Unbuilt::Refused(why)),
            Err(why) => return Err(Unbuilt::Failed(format!("refused: {why}"))),
        };
        let of_group = |group: &Value| group["tensors"].as_array().expect("indices").iter().map(index).collect();
        let groups = groups.iter().map(of_group).collect();
        let gradients = gradients(file, value["grad_set"].as_str().expect("a set of gradients"), read);
        Ok(Case { name, config, storage: Storage::default(), gradients, groups, value })
    }

    pub fn steps(&self) -> usize {
        self.gradients.steps.len()
    }

    /// The step, counted from 0, before which the run was stopped and taken up.
    pub fn resumed_at(&self) -> Option<u64> {
        self.value["resume"]["at"].as_u64()
    }
}

/// States that a peer calls by other names than ours: its class, its name and ours.
const STATES: [(&str, &str, &str); 1] = [("pytorch_optimizer.NovoGrad", "moments", "exp_avg")];

fn with_our_states(mut case: Value) -> Value {
    for (class, theirs, ours) in STATES {
        if case["source"]["api"] == class
            && let Some(states) = case["state"].as_object_mut()
            && let Some(state) = states.remove(theirs)
        {
            states.insert(ours.to_owned(), state);
        }
    }
    case
}

/// The case with each group of tensors that have shapes as one of vectors and one of matrices.
fn by_dimensions(mut case: Value) -> Value {
    let Some(shapes) = case["shapes"].as_array() else { return case };
    let is_vector = |tensor: &Value| shapes[index(tensor)].as_array().expect("a shape").len() < 2;
    let mut groups = Vec::new();
    for group in case["groups"].as_array().expect("a list of groups") {
        for ndim in [1, 2] {
            let tensors = group["tensors"].as_array().expect("indices").iter();
            let tensors: Vec<&Value> = tensors.filter(|tensor| is_vector(tensor) == (ndim == 1)).collect();
            if !tensors.is_empty() {
                let mut part = group.clone();
                (part["tensors"], part["ndim"]) = (json!(tensors), json!(ndim));
                groups.push(part);
            }
        }
    }
    case["groups"] = groups.into();
    case
}

fn index(index: &Value) -> usize {
    index.as_u64().expect("an index") as usize
}

/// A group in the peer's words.
fn of_peer(group: &Value) -> Value {
    json!({"tensors": group["tensors"], "ndim": group["ndim"], "options": group["options"]})
}

/// The case in the peer's words. What the peer came to is left out.
fn configuration(case: &Value, groups: &[Value], horizon: Option<u64>) -> OptimizerConfiguration {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let without = |call: &Value, results: [&str; 2]| {
        let mut call = call.clone();
        if let Value::Object(fields) = &mut call {
            fields.retain(|name, _| !results.contains(&name.as_str()));
        }
        call
    };
    let alike = OptimizerConfiguration {
        library: text(&case["source"]["library"]),
        api: text(&case["source"]["api"]),
        params: case["params"].clone(),
        groups: groups.iter().map(of_peer).collect(),
        schedule: case["schedule"].clone(),
        clip: without(&case["clip"], ["total_norm", "clip_coef"]),
        scaler: without(&case["scaler"], ["scale", "skipped"]),
        horizon,
    };
    if groups.len() < 2 {
        return alike;
    }
    let Ok(config) = alike.config() else { return alike };
    let mut own = alike;
    for (i, group) in groups.iter().enumerate() {
        let options = &mut own.groups[i]["options"];
        if let (None, Some(lr)) = (options.get("lr"), own_rate(case, group, config.groups[i].lr())) {
            options["lr"] = json!(lr);
        }
    }
    own
}

/// The rate that a group was made with where it is not the optimizer's own, of which the tables tell no more than the ratio
/// of the first rate of this group and the one that it would have with the optimizer's own, `lr`.
fn own_rate(case: &Value, group: &Value, lr: &Schedule) -> Option<f64> {
    let of_optimizer = case["params"]["lr"].as_f64()?;
    let rates = group["lr"].as_array()?.iter().zip(0..);
    let mut rates = rates.filter_map(|(own, step)| Some((own.as_f64()?, lr.at(step).ok()?)));
    let (own, first) = rates.find(|(_, first)| *first != 0.0)?;
    let ratio = own / first;
    (!abs_diff_eq!(ratio, 1.0, epsilon = 1e-12)).then_some(of_optimizer * ratio)
}

/// One string of bits a tensor.
pub fn tensors(bits: &Value) -> Tensors {
    bits.as_array().expect("a list of tensors").iter().map(|tensor| numbers(tensor.as_str().expect("bits"))).collect()
}

/// Eight hex digits a number.
pub fn numbers(bits: &str) -> Vec<f32> {
    bits.split(' ').map(|word| f32::from_bits(u32::from_str_radix(word, 16).expect("eight hex digits"))).collect()
}

/// A set of gradients of `file`, which is read once.
fn gradients(file: &Arc<Value>, name: &str, read: &mut Vec<Gradients>) -> Gradients {
    let known = read.iter().find(|set| Arc::ptr_eq(&set.file, file) && set.name == name);
    if let Some(known) = known {
        return known.clone();
    }
    let set = &file["grad_sets"][name];
    let steps = set["grads"].as_array().expect("gradients of each step").iter().map(tensors).collect();
    let set = Arc::new(Set { file: file.clone(), name: name.to_owned(), init: tensors(&set["init"]), steps });
    read.push(set.clone());
    set
}
