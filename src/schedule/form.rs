//! The ways to form a schedule, as data. Each is lowered in `program::lower`; the match there is exhaustive.

use super::number::{Number, Steps};
use super::{Schedule, StepList, Warmup};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    Constant(Number),
    Ramp { shape: Shape, from: Number, to: Number, over: Steps },
    Exponential { init: Number, factor: Number },
    StepDecay { init: Number, factor: Number, every: Steps },
    MultiStep { init: Number, factor: Number, milestones: Milestones },
    InverseSqrt { init: Number, timescale: Number },
    InverseTime { init: Number, rate: Number },
    PowerLaw { factor: Number, exponent: Number, shift: Number },
    Piecewise { between: Between, steps: StepList, values: Vec<f64> },
    Over { inner: Box<Schedule>, steps: Steps },
    Then(Vec<Schedule>),
    Join { pieces: Vec<Schedule>, boundaries: Vec<Steps> },
    Delay { inner: Box<Schedule>, steps: Steps },
    Every { inner: Box<Schedule>, steps: Steps },
    Warmup { inner: Box<Schedule>, form: Warmup, steps: Steps },
    Clamp { inner: Box<Schedule>, min: Number, max: Number },
    Repeat { inner: Box<Schedule>, times: Option<u64> },
    Progress(Box<Schedule>),
    Step,
    Unary { op: Unary, of: Box<Schedule> },
    PowInt { base: Box<Schedule>, exponent: i32 },
    Binary { op: Binary, left: Box<Schedule>, right: Box<Schedule> },
    Select { condition: Box<Schedule>, then: Box<Schedule>, otherwise: Box<Schedule> },
}

/// How a ramp gets from its first value to its last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Linear,
    Cosine,
    CosinePower { exponent: Number, k: Number },
    Polynomial { power: Number },
    PolynomialK { power: Number, k: Number },
    PowerRise { power: Number },
    Exponential,
    Tanh { start: Number, end: Number },
    Rex { d: Number },
    HalfLife,
    LogRise,
}

impl Shape {
    /// Its name in files and in errors.
    pub fn name(&self) -> &'static str {
        match self {
            Shape::Linear => "linear",
            Shape::Cosine => "cosine",
            Shape::CosinePower { .. } => "cosine_power",
            Shape::Polynomial { .. } => "polynomial",
            Shape::PolynomialK { .. } => "polynomial_k",
            Shape::PowerRise { .. } => "power_rise",
            Shape::Exponential => "exponential",
            Shape::Tanh { .. } => "tanh_ramp",
            Shape::Rex { .. } => "rex",
            Shape::HalfLife => "half_life",
            Shape::LogRise => "log_rise",
        }
    }
}

/// Where a multi-step schedule drops.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Milestones {
    Steps(StepList),
    Fractions { of: Steps, at: Vec<f64> },
}

/// What happens between the steps at which a piecewise schedule is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Between {
    Constant,
    Linear,
    Cosine,
}

impl Between {
    /// The name of such a schedule in files and in errors.
    pub fn name(self) -> &'static str {
        match self {
            Between::Constant => "piecewise_constant",
            Between::Linear => "piecewise_linear",
            Between::Cosine => "piecewise_cosine",
        }
    }
}

/// An operation on one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unary {
    Neg,
    Abs,
    Floor,
    Sqrt,
    Exp,
    Ln,
    Sin,
    Cos,
    Tanh,
}

impl Unary {
    /// Its name in files and in errors.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Floor => "floor",
            Unary::Sqrt => "sqrt",
            Unary::Exp => "exp",
            Unary::Ln => "ln",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tanh => "tanh",
        }
    }
}

/// An operation on two values. Comparisons yield 1 or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    Min,
    Max,
    Less,
    LessEqual,
    Equal,
}

impl Binary {
    /// Its name in files and in errors.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "product",
            Binary::Div => "div",
            Binary::FloorDiv => "floor_div",
            Binary::Mod => "modulo",
            Binary::Pow => "pow",
            Binary::Min => "min",
            Binary::Max => "max",
            Binary::Less => "less",
            Binary::LessEqual => "less_equal",
            Binary::Equal => "equal",
        }
    }
}
