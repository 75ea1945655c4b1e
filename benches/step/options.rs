//! What is asked for beside the rule: what is done with the gradients, and where they lie.

use instep::{Clip, Dynamic, LossScale, NonFinite, OptimizerBuilder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    None,
    /// Clipping by the norm of all gradients.
    Clip,
    /// The same, a dynamic loss scale, and skipped updates.
    ClipAndScale,
    /// Every gradient begins 4 bytes past the boundary that its parameter lies on.
    GradientOffByOne,
    /// Tensors may come, go and rest.
    Dynamic,
}

impl Options {
    pub const ALL: [Options; 5] =
        [Options::None, Options::Clip, Options::ClipAndScale, Options::GradientOffByOne, Options::Dynamic];

    /// As in the name of a row; empty where nothing is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Options::None => "",
            Options::Clip => "clip by norm",
            Options::ClipAndScale => "clip by norm and dynamic loss scale",
            Options::GradientOffByOne => "gradient off by one element",
            Options::Dynamic => "dynamic",
        }
    }

    /// Asks `builder` for it.
    pub fn ask(self, builder: OptimizerBuilder) -> OptimizerBuilder {
        match self {
            Options::None | Options::GradientOffByOne => builder,
            Options::Clip => builder.clip(Clip::torch_norm(1.0)),
            Options::Dynamic => builder.dynamic(Dynamic::new()),
            Options::ClipAndScale => builder
                .clip(Clip::torch_norm(1.0))
                .loss_scale(LossScale::dynamic().init(1.0))
                .non_finite(NonFinite::Skip),
        }
    }

    /// Bytes per parameter that it adds to those of the rule.
    pub fn bytes(self) -> u64 {
        match self {
            Options::None | Options::GradientOffByOne | Options::Dynamic => 0,
            Options::Clip | Options::ClipAndScale => 4,
        }
    }

    /// Elements by which gradients are moved from where the parameters' own offsets put them.
    pub fn gradient_offset(self) -> u64 {
        if self == Options::GradientOffByOne { 1 } else { 0 }
    }
}
