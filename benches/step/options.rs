//! What is asked for beside the rule: what is done with the gradients, and where they lie.

use instep::{Clip, LossScale, NonFinite, OptimizerBuilder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    None,
    /// Clipping by the norm of all gradients.
    Clip,
    /// The same, a dynamic loss scale, and skipped updates.
    ClipAndScale,
    /// Every gradient begins 4 bytes past the boundary that its parameter lies on.
    GradientOffByOne,
}

impl Options {
    pub const ALL: [Options; 4] = [Options::None, Options::Clip, Options::ClipAndScale, Options::GradientOffByOne];

    /// As in the name of a row; empty where nothing is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Options::None => "",
            Options::Clip => "clip by norm",
            Options::ClipAndScale => "clip by norm and dynamic loss scale",
            Options::GradientOffByOne => "gradient off by one element",
        }
    }

    /// Asks `builder` for it.
    pub fn ask(self, builder: OptimizerBuilder) -> OptimizerBuilder {
        match self {
            Options::None | Options::GradientOffByOne => builder,
            Options::Clip => builder.clip(Clip::torch_norm(1.0)),
            Options::ClipAndScale => builder
                .clip(Clip::torch_norm(1.0))
                .loss_scale(LossScale::dynamic().init(1.0))
                .non_finite(NonFinite::Skip),
        }
    }

    /// Bytes per parameter that it adds to those of the rule.
    pub fn bytes(self) -> u64 {
        match self {
            Options::None | Options::GradientOffByOne => 0,
            Options::Clip | Options::ClipAndScale => 4,
        }
    }

    /// Elements by which gradients are moved from where the parameters' own offsets put them.
    pub fn gradient_offset(self) -> u64 {
        if self == Options::GradientOffByOne { 1 } else { 0 }
    }
}
