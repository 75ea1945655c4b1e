//! From a [`Config`] to a builder and back. Both ways name every field: an option that one of them lacks does not compile.

#[cfg(test)]
mod tests;

use super::{Optimizer, OptimizerBuilder};
use crate::backend::Device;
use crate::config::{Config, GroupConfig};
use crate::error::{Error, Result};
use crate::plan::{HandedIn, Tensor, Tuning};

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
        let groups = self.describe()?;
        self.check()?;
        if tensors.len() != groups.len() {
            let rule = format!("must be one for each of the groups, {}", groups.len());
            return Err(Error::argument("tensors", format!("a list of {}", tensors.len()), rule));
        }
        let fresh = Optimizer::builder(device);
        Ok(OptimizerBuilder {
            device: device.clone(),
            groups: groups.into_iter().map(Ok).zip(tensors.iter().map(|tensors| tensors.to_vec())).collect(),
            handed_in: HandedIn::default(),
            options: self.gradient_options(),
            features: self.feature_options(),
            observed: None,
            loss: None,
            increment: self.progress_increment,
            tuning: Tuning::default(),
            check_order: self.check_order || fresh.check_order,
        })
    }
}

impl OptimizerBuilder {
    /// All that this builder was told, but for its device and addresses. Every hyperparameter is written out; Adam and AdamW
    /// without a weight decay are the same, and called Adam.
    ///
    /// # Errors
    /// The first of the rules that a group breaks, as [`OptimizerBuilder::build`] would say.
    pub fn config(&self) -> Result<Config> {
        let OptimizerBuilder {
            device: _,
            groups,
            handed_in: _,
            options,
            features,
            observed: _,
            loss: _,
            increment,
            tuning: _,
            check_order,
        } = self;
        let group = |(i, (rule, _)): (usize, &(Result<_>, Vec<Tensor>))| match rule {
            Ok(description) => Ok(GroupConfig::of(description)),
            Err(error) => Err(error.clone().within(&format!("groups[{i}]."))),
        };
        let groups = groups.iter().enumerate().map(group).collect::<Result<Vec<_>>>()?;
        Ok(Config::of(groups, (options.clone(), features.clone()), *increment, *check_order))
    }
}
