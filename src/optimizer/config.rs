//! From a [`Config`] to a builder and back. Both ways name every field: an option that one of them lacks does not compile.

#[cfg(test)]
mod tests;

use super::OptimizerBuilder;
use super::builder::GroupOf;
use super::group::of_config;
use crate::backend::Device;
use crate::config::{Config, GroupConfig};
use crate::error::{Error, Result};
use crate::plan::{HandedIn, Tensor, Tuning};
use crate::rule::Description;

impl Config {
    /// A builder with all that is said here, for the tensors of each group. Addresses that an engine hands in, such as the
    /// metric of [`Config::observe_every`], are added to it before it is built.
    ///
    /// ```
    /// use instep::{Config, Device, Stream, Tensor};
    /// let config = Config::from_toml(r#"
    ///     version = 1
    ///     [[groups]]
    ///     rule = "sgd"
    ///     lr.step_decay = { init = 0.5, factor = 0.5, every = 1 }
    /// "#)?;
    /// let (mut param, grad) = ([1.0f32], [1.0f32]);
    /// // SAFETY: the arrays outlive the optimizer, and nothing else touches them while a step runs.
    /// let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 1) };
    /// let mut opt = config.builder(&Device::host(), &[&[tensor]])?.build()?;
    /// opt.step(&Stream::host())?;
    /// opt.step(&Stream::host())?;
    /// assert_eq!(param, [0.25]);
    /// # Ok::<(), instep::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Config::check`] refuses, a group without a rule, and tensors for another number of groups.
    pub fn builder(&self, device: &Device, tensors: &[&[Tensor]]) -> Result<OptimizerBuilder> {
        let described = self.groups.iter().enumerate();
        let described = described.map(|(i, group)| describe(group).map_err(|e| e.within(&format!("groups[{i}]."))));
        let groups = described.collect::<Result<Vec<_>>>()?;
        self.check()?;
        if tensors.len() != groups.len() {
            let rule = format!("must be one for each of the groups, {}", groups.len());
            return Err(Error::argument("tensors", format!("a list of {}", tensors.len()), rule));
        }
        let group = |((rule, group), tensors): ((Description, &GroupConfig), &&[Tensor])| GroupOf {
            rule: Ok(rule),
            precision: group.precision.clone(),
            tensors: tensors.to_vec(),
            gate: None,
        };
        Ok(OptimizerBuilder {
            device: device.clone(),
            groups: groups.into_iter().zip(&self.groups).zip(tensors).map(group).collect(),
            declared: Vec::new(),
            precision: self.precision.clone(),
            seed: self.seed,
            handed_in: HandedIn::default(),
            options: self.gradient_options(),
            features: self.feature_options(),
            observed: None,
            loss: None,
            increment: self.progress_increment,
            tuning: Tuning::default(),
            check_order: self.check_order,
            start: self.start_at,
            dynamic: self.dynamic,
            parts: self.in_parts,
            given_state: None,
            outputs: Vec::new(),
            kernels: None,
            follows_nothing: false,
        })
    }
}

/// The group as a plan takes it.
fn describe(group: &GroupConfig) -> Result<Description> {
    of_config::traced(group)?.compile()
}

impl OptimizerBuilder {
    /// All that this builder was told, but for its device and addresses. Every hyperparameter is written out; a rule
    /// of one's own is there as its tape.
    ///
    /// # Errors
    /// The first of the rules that a group breaks, as [`OptimizerBuilder::build`] would say.
    pub fn config(&self) -> Result<Config> {
        let OptimizerBuilder {
            device: _,
            groups,
            declared: _,
            precision,
            seed,
            handed_in: _,
            options,
            features,
            observed: _,
            loss: _,
            increment,
            tuning: _,
            check_order,
            start,
            dynamic,
            parts,
            given_state: _,
            outputs: _,
            kernels: _,
            follows_nothing: _,
        } = self;
        let group = |(i, group): (usize, &GroupOf)| match &group.rule {
            Ok(rule) => {
                let mut config = GroupConfig::of(rule);
                config.precision = group.precision.clone();
                Ok(config)
            }
            Err(error) => Err(error.clone().within(&format!("groups[{i}]."))),
        };
        let groups = groups.iter().enumerate().map(group).collect::<Result<Vec<_>>>()?;
        let mut config = Config::of(groups, (options.clone(), features.clone()), *increment, *check_order);
        (config.precision, config.seed) = (precision.clone(), *seed);
        (config.start_at, config.dynamic, config.in_parts) = (*start, *dynamic, *parts);
        Ok(config)
    }
}
