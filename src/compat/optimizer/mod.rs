//! The peers' optimizers as configurations: class, arguments, parameter groups, scheduler, clipping and loss scaling.
//!
//! One file per library has its classes, each an entry of a table and a function from its arguments (`options`) to a group;
//! `schedule` asks the translation of schedulers what moves, `gradients` reads clipping and loss scaling. A class that is
//! not in a table, and an argument whose rule is missing, are refused as not there yet. Start at [`OptimizerConfiguration`].

mod adabelief_pytorch;
mod adan_pytorch;
mod bitsandbytes;
mod composer;
mod estimates;
mod fused;
mod gradients;
mod keras;
mod lion_pytorch;
mod megatron;
mod optax;
mod optax_more;
mod optimi;
mod options;
mod pytorch_optimizer;
mod schedule;
mod schedulefree;
#[cfg(test)]
mod tests;
mod timm;
mod timm_own;
mod torch;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::nearest::unknown_name;
use super::{Arguments, Recipe, last_name, limits};
use crate::config::{Config, GroupConfig};
use crate::error::{Error, Result};
use options::Options;

/// The classes of Keras that are known, whether they have a translation or not.
pub(super) fn of_keras() -> impl Iterator<Item = &'static str> {
    keras::CLASSES.iter().map(|class| class.name)
}

/// A class of a peer's.
struct Class {
    name: &'static str,
    /// What the learning rate is called, and what it is by default.
    lr: (&'static str, Option<f64>),
    /// The group that its options make.
    read: fn(&mut Options) -> Result<GroupConfig>,
}

/// Every class that has a translation, by library: what that is called, as a package and as a module, and its lists.
const LIBRARIES: &[(&[&str], &[&[Class]])] = &[
    (&["torch"], &[torch::CLASSES]),
    (&["timm"], &[timm::CLASSES, timm_own::CLASSES]),
    (&["apex"], &[fused::OF_APEX]),
    (&["deepspeed"], &[fused::OF_DEEPSPEED]),
    (&["bitsandbytes"], &[bitsandbytes::CLASSES]),
    (&["optax"], &[optax::CLASSES, optax_more::CLASSES, schedulefree::OF_OPTAX, estimates::OF_OPTAX]),
    (&["keras"], &[keras::CLASSES]),
    (&["pytorch_optimizer"], &[pytorch_optimizer::CLASSES]),
    (&["torch-optimi", "optimi"], &[optimi::CLASSES]),
    (&["schedulefree"], &[schedulefree::CLASSES]),
    (&["prodigyopt"], &[estimates::PRODIGYOPT]),
    (&["dadaptation"], &[estimates::DADAPTATION]),
    (&["dog-optimizer", "dog"], &[estimates::DOG]),
    (&["lion-pytorch", "lion_pytorch"], &[lion_pytorch::CLASSES]),
    (&["adan-pytorch", "adan_pytorch"], &[adan_pytorch::CLASSES]),
    (&["composer", "llmfoundry", "llm-foundry"], &[composer::CLASSES]),
    (&["megatron"], &[megatron::CLASSES]),
    (&["adabelief-pytorch", "adabelief_pytorch"], &[adabelief_pytorch::CLASSES]),
];

/// The classes of `library`; None if it has no translation.
fn classes_of(library: &str) -> Option<impl Iterator<Item = &'static Class> + Clone + use<>> {
    let (_, lists) = LIBRARIES.iter().find(|(names, _)| names.contains(&library))?;
    Some(lists.iter().copied().flatten())
}

/// The library that a dotted name begins with, if it has a translation.
fn library_of(api: &str) -> Option<&str> {
    let (root, _) = api.split_once('.')?;
    classes_of(root).map(|_| root)
}

/// Every library with its classes, and what each calls its rate.
#[cfg(all(test, feature = "yaml"))]
pub(super) fn by_library() -> impl Iterator<Item = (&'static str, Vec<(&'static str, &'static str)>)> {
    let of = |lists: &'static [&'static [Class]]| {
        lists.iter().copied().flatten().map(|class| (class.name, class.lr.0)).collect()
    };
    LIBRARIES.iter().map(move |(names, lists)| (names[0], of(lists)))
}

/// The name of every class.
pub(super) fn classes() -> impl Iterator<Item = &'static str> {
    LIBRARIES.iter().flat_map(|(_, lists)| lists.iter().copied().flatten()).map(|class| class.name)
}

/// The options of the class `name` with their defaults, by the peer's names; None if there is none of that name. A dotted name is of
/// the library that it begins with; where that is not known, and of a plain name, the first counts.
pub(super) fn defaults(name: &str) -> Option<BTreeMap<String, Value>> {
    let named = |class: &&Class| class.name == last_name(name);
    let of_library = library_of(name).and_then(classes_of).and_then(|mut classes| classes.find(named));
    let class =
        of_library.or_else(|| LIBRARIES.iter().flat_map(|(_, lists)| lists.iter().copied().flatten()).find(named))?;
    let params = Value::Object([(class.lr.0.to_owned(), 1.0.into())].into_iter().collect());
    let (own, of_class) =
        (Arguments::new("", &Value::Object(Default::default())).ok()?, Arguments::new("", &params).ok()?);
    let mut options = Options::new(own, of_class, class.lr, None);
    // A class that refuses its defaults has read them.
    let _ = (class.read)(&mut options);
    Some(options.read)
}

/// A peer's optimizer, in the peer's own words.
///
/// ```
/// use instep::compat::OptimizerConfiguration;
/// let optimizer: OptimizerConfiguration = serde_json::from_str(r#"{
///     "library": "torch", "api": "torch.optim.AdamW", "params": {"lr": 1e-3, "betas": [0.9, 0.95]},
///     "groups": [{"options": {"weight_decay": 0.1}}, {"options": {"weight_decay": 0}}],
///     "schedule": {"class": "StepLR", "step_size": 30},
///     "clip": {"function": "torch.nn.utils.clip_grad_norm_", "max_norm": 1.0}
/// }"#).unwrap();
/// let config = optimizer.config()?;
/// assert_eq!(config.groups[0].lr().at(30)?, 1e-4);
/// assert_eq!(config.to_toml()?.lines().nth(3), Some("torch_norm = 1.0"));
/// # Ok::<(), instep::Error>(())
/// ```
///
/// | library | class | what it becomes |
/// |---|---|---|
/// | torch | `SGD` | [`Sgd`](crate::Sgd) |
/// | torch | `Adam`, `AdamW` | [`Adam`](crate::Adam), or [`AdamW`](crate::AdamW) where `decoupled_weight_decay` is true |
/// | schedulefree | `AdamWScheduleFree`, `SGDScheduleFree`, `RAdamScheduleFree` | [`ScheduleFreeAdamW`](crate::ScheduleFreeAdamW), [`ScheduleFreeSgd`](crate::ScheduleFreeSgd), [`ScheduleFreeRAdam`](crate::ScheduleFreeRAdam); a warm-up becomes part of `lr` |
/// | optax | `schedule_free_adamw`, `schedule_free_sgd` | the same, with a rate that is a number |
/// | torch | `NAdam`, `RAdam`, `Adamax` | [`NAdam`](crate::NAdam), [`RAdam`](crate::RAdam), [`Adamax`](crate::Adamax) |
/// | torch | `Adagrad`, `RMSprop`, `Adadelta` | [`Adagrad`](crate::Adagrad), [`RmsProp`](crate::RmsProp), [`Adadelta`](crate::Adadelta) |
/// | torch | `ASGD`, `Rprop` | [`Asgd`](crate::Asgd), [`Rprop`](crate::Rprop) |
/// | apex | `FusedAdam`, `FusedSGD`, `FusedAdagrad`, `FusedLAMB` | torch's of these names; [`Lamb`](crate::Lamb) |
/// | deepspeed | `FusedAdam`, `DeepSpeedCPUAdam`, `FusedLion`, `DeepSpeedCPULion`, `DeepSpeedCPUAdagrad` | torch's of these names; [`Lion`](crate::Lion) |
/// | bitsandbytes | `Adam`, `AdamW`, `AdEMAMix`, `Lion`, `SGD`, also `…8bit`, `…32bit` and `Paged…` | the rules of these names, `Adam` with decoupled weight decay; states of 8 bits are [`StateForm::EightBit`](crate::StateForm::EightBit) |
/// | timm | the names of torch, but `ASGD` and `Rprop` | torch's, which these names are |
/// | timm | `AdamWLegacy` | [`AdamW`](crate::AdamW) |
/// | timm | `NAdamW` | the same with [`Nesterov::Together`](crate::Nesterov::Together) |
/// | timm | `SGDW` | [`Sgd`](crate::Sgd) with decoupled weight decay |
/// | timm | `RMSpropTF` | [`RmsProp`](crate::RmsProp) in TensorFlow's form |
/// | optax | `sgd` | [`Sgd`](crate::Sgd) |
/// | optax | `adam`, `adamw` | [`AdamW`](crate::AdamW) |
/// | optax | `nadam`, `nadamw` | the same with [`Nesterov::Apart`](crate::Nesterov::Apart) |
/// | optax | `adamax`, `rmsprop`, `adadelta` | [`Adamax`](crate::Adamax), [`RmsProp`](crate::RmsProp), [`Adadelta`](crate::Adadelta) |
/// | timm | `Lion`, `Adan`, `AdaBelief` | [`Lion`](crate::Lion), [`Adan`](crate::Adan), [`AdaBelief`](crate::AdaBelief) |
/// | timm | `LaProp`, `Adopt` | [`LaProp`](crate::LaProp), [`Adopt`](crate::Adopt) |
/// | timm | `Lars`, `NvNovoGrad` | [`Lars`](crate::Lars), [`NovoGrad`](crate::NovoGrad) |
/// | timm | `Lamb` | [`Lamb`](crate::Lamb), with its `max_grad_norm` as the clipping of the configuration |
/// | timm | `Mars` | [`Mars`](crate::Mars), or [`AdamW`](crate::AdamW) for vectors without `optimize_1d` |
/// | optax | `lion`, `adan`, `adabelief`, `yogi`, `lamb`, `lars`, `novograd` | the rules of these names |
/// | optax | `contrib.ademamix`, `contrib.adopt` | [`AdEMAMix`](crate::AdEMAMix), [`Adopt`](crate::Adopt) |
/// | keras | `SGD` | [`Sgd`](crate::Sgd); with a momentum and a rate that moves, [`Lars`](crate::Lars) that scales nothing: Keras has the rate in the momentum |
/// | keras | `Adam`, `AdamW` | [`AdamW`](crate::AdamW) with an `eps` that is corrected as the second moment is |
/// | keras | `RMSprop`, `Nadam`, `Lion`, `Lamb` | [`RmsProp`](crate::RmsProp), [`NAdam`](crate::NAdam), [`Lion`](crate::Lion), [`Lamb`](crate::Lamb) |
/// | keras | `Adagrad`, `Adadelta` | [`Adagrad`](crate::Adagrad), [`Adadelta`](crate::Adadelta), without a weight decay |
/// | keras | `ScheduleFreeAdamW` | [`ScheduleFreeAdamW`](crate::ScheduleFreeAdamW), without a weight decay |
/// | keras | `Adamax`, `Ftrl`, `Adafactor`, `Muon`, `MultiOptimizer` | refused: another formula, or no rule |
/// | pytorch_optimizer | `Lion`, `StableAdamW`, `AdEMAMix` | the rules of these names |
/// | pytorch_optimizer | `ADOPT`, `Yogi`, `NovoGrad` | [`Adopt`](crate::Adopt), [`Yogi`](crate::Yogi), [`NovoGrad`](crate::NovoGrad) |
/// | torch-optimi | `AdamW`, `StableAdamW` | [`AdamW`](crate::AdamW), [`StableAdamW`](crate::StableAdamW) |
/// | lion-pytorch | `Lion` | [`Lion`](crate::Lion) |
/// | adabelief-pytorch | `AdaBelief` | [`AdaBelief`](crate::AdaBelief) |
/// | composer | `DecoupledAdamW`, `DecoupledSGDW`, `DecoupledLionW` | [`AdamW`](crate::AdamW), [`Sgd`](crate::Sgd), [`Lion`](crate::Lion), with the decay over the rate that the group is made with |
/// | megatron | `adam`, `sgd` | [`AdamW`](crate::AdamW), [`Sgd`](crate::Sgd) |
/// | adan-pytorch | `Adan` | refused: it loses the first gradient |
/// | prodigyopt | `Prodigy` | [`Prodigy`](crate::Prodigy), without `slice_p` |
/// | optax | `contrib.prodigy` | [`Prodigy`](crate::Prodigy) |
/// | dadaptation | `DAdaptAdam`, `DAdaptSGD` | [`DAdaptAdam`](crate::DAdaptAdam), [`DAdaptSgd`](crate::DAdaptSgd) |
/// | optax | `contrib.dadapt_adamw` | [`DAdaptAdam`](crate::DAdaptAdam) |
/// | dog-optimizer | `DoG`, `LDoG` | [`DoG`](crate::DoG) |
/// | optax | `contrib.dog`, `contrib.dowg` | [`DoG`](crate::DoG), [`DoWG`](crate::DoWG) |
///
/// `kahan_sum` changes nothing here: what it keeps beside a parameter of 16 bits is a [`Precision`](crate::Precision) to ask for.
/// What is compiled another way in the peer and computes the same (`foreach`, `fused`, `capturable`) is read and changes
/// nothing; `differentiable` may not be true. Any other argument that is not known is refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfiguration {
    /// A library of the table.
    pub library: String,
    /// The class, e.g. `torch.optim.AdamW`. Its last name is what counts, and its first where that is a library of the table.
    pub api: String,
    /// The arguments by name, as a JSON object.
    #[serde(default)]
    pub params: Value,
    /// The parameter groups: objects `{name, tensors, ndim, options}`, of which `options` go before `params`, and `tensors` is
    /// for whoever hands them over. `ndim` is how many dimensions the parameters have, for classes that treat vectors (1) in
    /// another way than matrices (2 and more). Null for one group.
    #[serde(default)]
    pub groups: Value,
    /// The scheduler: `{class, …}` of torch (`hf`: `transformers.get_scheduler`), `{function, …}` of optax, or
    /// `{library, api, params}` as in a [`Configuration`](super::Configuration). Beside these it may have `every`: the updates
    /// between two calls of the scheduler, 1 if that is not said; what counts steps in it then counts calls. Null where there is
    /// none.
    #[serde(default)]
    pub schedule: Value,
    /// `{function, …}` with the arguments of `torch.nn.utils.clip_grad_norm_` or `clip_grad_value_`,
    /// `optax.clip_by_global_norm` or `optax.clip`; null where nothing is clipped.
    #[serde(default)]
    pub clip: Value,
    /// The arguments of `torch.amp.GradScaler`; null where there is none.
    #[serde(default)]
    pub scaler: Value,
    /// The number of steps that will be taken, as in [`Configuration::horizon`](super::Configuration::horizon).
    #[serde(default)]
    pub horizon: Option<u64>,
}

/// The names of the classes of `library` that have a translation.
pub(super) fn class_names(library: &str) -> Vec<&'static str> {
    classes_of(library).into_iter().flatten().map(|class| class.name).collect()
}

/// A parameter group of a peer's.
struct Group {
    name: Option<String>,
    ndim: Option<i64>,
    options: Value,
}

impl OptimizerConfiguration {
    /// The configuration of an optimizer that does the same.
    ///
    /// # Errors
    /// Names the argument that is missing, unknown, of another type or not there yet, or that the peer itself refuses.
    pub fn config(&self) -> Result<Config> {
        let arguments =
            [("params", &self.params), ("schedule", &self.schedule), ("clip", &self.clip), ("scaler", &self.scaler)];
        limits::expect_few(("groups", &self.groups), &arguments)?;
        let class = self.class()?;
        let groups = self.groups()?;
        let params = if self.params.is_null() { Value::Object(Default::default()) } else { self.params.clone() };
        let recipes = schedule::recipes(self, class, &params, &groups)?;
        let shared = if groups.len() > 1 { Recipe::shared_metric(&recipes) } else { None };
        let (mut read, mut said, mut own_clip) = (Vec::new(), Vec::new(), None);
        for (i, Group { name, ndim, options }) in groups.into_iter().enumerate() {
            let own = Arguments::new(&format!("groups[{i}].options"), &options)?;
            // One recipe is for all groups.
            let recipe = recipes.get(i).or(recipes.first());
            let mut options = Options::new(own, Arguments::new("params", &params)?, class.lr, recipe);
            options.ndim = ndim;
            let mut group = (class.read)(&mut options)?;
            own_clip = own_clip.or(options.clip.take());
            said.push((options.alike, std::mem::take(&mut options.read)));
            options.finish()?;
            group.name = name;
            group.metric = recipe.and_then(|recipe| recipe.metric).filter(|_| shared.is_none());
            read.push(group);
        }
        estimates::check_alike(&read, &said)?;
        let mut config = Config::new(read);
        config.metric = shared;
        config.clip = gradients::clip(&self.clip)?;
        if config.clip.is_some() && own_clip.is_some() {
            let rule = "the class clips by itself: leave this out, or let `max_grad_norm: null` among `params` leave out the class's";
            return Err(Error::argument("clip", &self.clip, rule));
        }
        config.clip = config.clip.or(own_clip);
        config.loss_scale = gradients::loss_scale(&self.scaler)?;
        config.check()?;
        Ok(config)
    }

    fn class(&self) -> Result<&'static Class> {
        let library = library_of(&self.api).unwrap_or(&self.library);
        let Some(mut classes) = classes_of(library) else {
            let known: Vec<&str> = LIBRARIES.iter().map(|(names, _)| names[0]).collect();
            let rule = unknown_name("a library whose optimizers have a translation", library, &known);
            return Err(Error::argument("library", library, rule));
        };
        let known = classes.clone();
        classes.find(|class| class.name == last_name(&self.api)).ok_or_else(|| {
            let known: Vec<&str> = known.map(|class| class.name).collect();
            let what = format!("a class of {library} that has a translation");
            Error::argument("api", &self.api, unknown_name(&what, last_name(&self.api), &known))
        })
    }

    /// The class with the library that it is of.
    fn qualified(&self) -> String {
        if library_of(&self.api).is_some() {
            self.api.clone()
        } else {
            format!("{}.{}", self.library, last_name(&self.api))
        }
    }

    fn groups(&self) -> Result<Vec<Group>> {
        let Value::Array(groups) = &self.groups else {
            return match self.groups {
                Value::Null => Ok(vec![Group { name: None, ndim: None, options: Value::Object(Default::default()) }]),
                ref other => Err(Error::argument("groups", other, "must be a list of parameter groups")),
            };
        };
        let group = |(i, group): (usize, &Value)| {
            let mut read = Arguments::new(&format!("groups[{i}]"), group)?;
            let name = read.optional_text("name")?;
            let ndim = read.optional_int("ndim")?;
            let options = read.value("options").unwrap_or_else(|| Value::Object(Default::default()));
            read.value("tensors");
            read.finish()?;
            Ok(Group { name, ndim, options })
        };
        groups.iter().enumerate().map(group).collect()
    }
}
