//! What a rule states beside its arithmetic: streams, sums, what it remembers.

use std::borrow::Cow;

/// What a stream holds before the first update of its tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Start {
    /// 0.
    Zero,
    /// This value.
    Value(f32),
    /// The parameter as it is before the first update.
    Param,
    /// The gradient of the first update, as the rule sees it: unscaled and clipped.
    FirstGradient,
}

/// What a rule keeps for every element of a parameter: a moment, a momentum buffer, a former gradient. The rule sees an f32; how it
/// is stored is for a [`Precision`](crate::Precision) to say.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "give it back from `Rule::streams`"]
pub struct Stream {
    pub(crate) name: Cow<'static, str>,
    pub(crate) start: Start,
    pub(crate) not_negative: bool,
    pub(crate) denominator: bool,
    pub(crate) exact: bool,
    pub(crate) read_only: bool,
    pub(crate) present: bool,
}

impl Stream {
    /// A stream that starts at 0 and that each update may change. `name` as in torch's checkpoints, e.g. `exp_avg`: letters, digits
    /// and underscores.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Stream {
        Stream {
            name: name.into(),
            start: Start::Zero,
            not_negative: false,
            denominator: false,
            exact: false,
            read_only: false,
            present: true,
        }
    }

    /// Sets what it holds before the first update. Memory is written by that update: until then a state that starts from the
    /// parameter or the gradient shows zeros. A tensor that is registered with updates before
    /// ([`Tensor::updates`](crate::Tensor::updates)) has its first update behind it: its streams hold what the engine puts there.
    pub fn starts(mut self, start: Start) -> Stream {
        self.start = start;
        self
    }

    /// Its values are never negative, so that a store may spend no bit on a sign.
    pub fn not_negative(mut self) -> Stream {
        self.not_negative = true;
        self
    }

    /// Its root or itself divides: no store may round a value that is not 0 to 0.
    pub fn denominator(mut self) -> Stream {
        (self.not_negative, self.denominator) = (true, true);
        self
    }

    /// Never quantized: a former gradient or a step size, which blocks with one scale would spoil.
    pub fn exact(mut self) -> Stream {
        self.exact = true;
        self
    }

    /// No update changes it: it keeps its start, or what the engine writes there. It is stored by the first update alone, and
    /// only if that is where it starts from.
    pub fn read_only(mut self) -> Stream {
        self.read_only = true;
        self
    }

    /// Leaves it out where an option of the rule is not set: it takes no memory, and a rule that uses it is refused.
    pub fn only_if(mut self, option: bool) -> Stream {
        self.present = option;
        self
    }
}

/// Over what elements a sum runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Over {
    /// Those of one tensor.
    Tensor,
    /// Those of all tensors of the group.
    Group,
    /// Those of all groups of the optimizer whose tapes are equal: the same rule with the same options and defaults.
    All,
}

/// A sum over elements, in f64, that [`Rule::measure`](super::Rule::measure) adds to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sum {
    pub(crate) name: Cow<'static, str>,
    pub(crate) over: Over,
}

impl Sum {
    /// A sum over these elements.
    pub fn new(name: impl Into<Cow<'static, str>>, over: Over) -> Sum {
        Sum { name: name.into(), over }
    }
}

/// Whose a remembered scalar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Of {
    /// Each cohort's: the tensors of a group that have had the same number of updates.
    Cohort,
    /// Each group's. It follows from sums over the group or over all.
    Group,
    /// Each tensor's. It follows from sums over the tensor.
    Tensor,
}

/// An f64 that a rule keeps from update to update: a product, a sum of weights, an estimate.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    pub(crate) name: Cow<'static, str>,
    pub(crate) of: Of,
    pub(crate) start: f64,
}

impl Remembered {
    /// A scalar that is `start` before the first update of the optimizer, for tensors with updates before too.
    pub fn new(name: impl Into<Cow<'static, str>>, of: Of, start: f64) -> Remembered {
        Remembered { name: name.into(), of, start }
    }
}
