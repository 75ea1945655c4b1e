//! Every key of the format with the shape of its value, and its way to and from [`Form`]. Both matches are exhaustive: a
//! new form does not compile before it has a key. Names and fields are those of the constructors and of error messages.
//! Two keys are for reading only, as their constructors are short for others: `one_minus_sqrt` and `table`.

use serde::{Deserialize, Deserializer, Serialize};

use super::keyed::Empty;
use super::multi_step::MultiStep;
use super::number::finite_values;
use super::wrapped::{InSteps, Range, Times, ToPower, WarmUp, Wrapped};
use crate::schedule::form::{Between, Binary, Form, Shape, Unary};
use crate::schedule::number::{Number, Steps};
use crate::schedule::{Schedule, StepList};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    Constant(Number),
    Step(Empty),
    // Ramps.
    Linear {
        from: Number,
        to: Number,
        over: Steps,
    },
    Cosine {
        from: Number,
        to: Number,
        over: Steps,
    },
    CosinePower {
        from: Number,
        to: Number,
        exponent: Number,
        k: Number,
        over: Steps,
    },
    Polynomial {
        from: Number,
        to: Number,
        power: Number,
        over: Steps,
    },
    PolynomialK {
        from: Number,
        to: Number,
        power: Number,
        k: Number,
        over: Steps,
    },
    PowerRise {
        from: Number,
        to: Number,
        power: Number,
        over: Steps,
    },
    #[serde(skip_serializing)]
    OneMinusSqrt {
        from: Number,
        to: Number,
        over: Steps,
    },
    Exponential {
        from: Number,
        to: Number,
        over: Steps,
    },
    TanhRamp {
        from: Number,
        to: Number,
        start: Number,
        end: Number,
        over: Steps,
    },
    Rex {
        from: Number,
        to: Number,
        d: Number,
        over: Steps,
    },
    HalfLife {
        from: Number,
        to: Number,
        over: Steps,
    },
    LogRise {
        from: Number,
        to: Number,
        over: Steps,
    },
    // Without an end.
    ExponentialDecay {
        init: Number,
        factor: Number,
    },
    StepDecay {
        init: Number,
        factor: Number,
        every: Steps,
    },
    MultiStep(MultiStep),
    InverseSqrt {
        init: Number,
        timescale: Number,
    },
    InverseTime {
        init: Number,
        rate: Number,
    },
    PowerLaw {
        factor: Number,
        exponent: Number,
        shift: Number,
    },
    PiecewiseConstant {
        steps: StepList,
        #[serde(serialize_with = "finite_values")]
        values: Vec<f64>,
    },
    PiecewiseLinear {
        steps: StepList,
        #[serde(serialize_with = "finite_values")]
        values: Vec<f64>,
    },
    PiecewiseCosine {
        steps: StepList,
        #[serde(serialize_with = "finite_values")]
        values: Vec<f64>,
    },
    #[serde(skip_serializing)]
    Table(Vec<f64>),
    // Of other schedules.
    Then(#[serde(deserialize_with = "not_empty")] Vec<Schedule>),
    Join {
        pieces: Vec<Schedule>,
        boundaries: Vec<Steps>,
    },
    Over(Wrapped<InSteps>),
    Delay(Wrapped<InSteps>),
    Every(Wrapped<InSteps>),
    Warmup(Wrapped<WarmUp>),
    Clamp(Wrapped<Range>),
    Repeat(Wrapped<Times>),
    OnProgress(Box<Schedule>),
    // Operators.
    Neg(Box<Schedule>),
    Abs(Box<Schedule>),
    Floor(Box<Schedule>),
    Sqrt(Box<Schedule>),
    Exp(Box<Schedule>),
    Ln(Box<Schedule>),
    Sin(Box<Schedule>),
    Cos(Box<Schedule>),
    Tanh(Box<Schedule>),
    PowInt(Wrapped<ToPower>),
    Add(Box<[Schedule; 2]>),
    Sub(Box<[Schedule; 2]>),
    Product(Box<[Schedule; 2]>),
    Div(Box<[Schedule; 2]>),
    FloorDiv(Box<[Schedule; 2]>),
    Modulo(Box<[Schedule; 2]>),
    Pow(Box<[Schedule; 2]>),
    Min(Box<[Schedule; 2]>),
    Max(Box<[Schedule; 2]>),
    Less(Box<[Schedule; 2]>),
    LessEqual(Box<[Schedule; 2]>),
    Equal(Box<[Schedule; 2]>),
    Select {
        condition: Box<Schedule>,
        then: Box<Schedule>,
        otherwise: Box<Schedule>,
    },
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Schedule>, D::Error> {
    let pieces = Vec::deserialize(deserializer)?;
    if pieces.is_empty() {
        return Err(serde::de::Error::invalid_length(0, &"a list of one schedule or more"));
    }
    Ok(pieces)
}

impl From<Form> for Entry {
    fn from(form: Form) -> Entry {
        match form {
            Form::Constant(value) => Entry::Constant(value),
            Form::Step => Entry::Step(Empty {}),
            Form::Ramp { shape, from, to, over } => match shape {
                Shape::Linear => Entry::Linear { from, to, over },
                Shape::Cosine => Entry::Cosine { from, to, over },
                Shape::CosinePower { exponent, k } => Entry::CosinePower { from, to, exponent, k, over },
                Shape::Polynomial { power } => Entry::Polynomial { from, to, power, over },
                Shape::PolynomialK { power, k } => Entry::PolynomialK { from, to, power, k, over },
                Shape::PowerRise { power } => Entry::PowerRise { from, to, power, over },
                Shape::Exponential => Entry::Exponential { from, to, over },
                Shape::Tanh { start, end } => Entry::TanhRamp { from, to, start, end, over },
                Shape::Rex { d } => Entry::Rex { from, to, d, over },
                Shape::HalfLife => Entry::HalfLife { from, to, over },
                Shape::LogRise => Entry::LogRise { from, to, over },
            },
            Form::Exponential { init, factor } => Entry::ExponentialDecay { init, factor },
            Form::StepDecay { init, factor, every } => Entry::StepDecay { init, factor, every },
            Form::MultiStep { init, factor, milestones } => Entry::MultiStep(MultiStep { init, factor, milestones }),
            Form::InverseSqrt { init, timescale } => Entry::InverseSqrt { init, timescale },
            Form::InverseTime { init, rate } => Entry::InverseTime { init, rate },
            Form::PowerLaw { factor, exponent, shift } => Entry::PowerLaw { factor, exponent, shift },
            Form::Piecewise { between, steps, values } => match between {
                Between::Constant => Entry::PiecewiseConstant { steps, values },
                Between::Linear => Entry::PiecewiseLinear { steps, values },
                Between::Cosine => Entry::PiecewiseCosine { steps, values },
            },
            Form::Then(pieces) => Entry::Then(pieces),
            Form::Join { pieces, boundaries } => Entry::Join { pieces, boundaries },
            Form::Over { inner, steps } => Entry::Over(Wrapped { fields: InSteps { steps }, inner }),
            Form::Delay { inner, steps } => Entry::Delay(Wrapped { fields: InSteps { steps }, inner }),
            Form::Every { inner, steps } => Entry::Every(Wrapped { fields: InSteps { steps }, inner }),
            Form::Warmup { inner, form, steps } => Entry::Warmup(Wrapped { fields: WarmUp { steps, form }, inner }),
            Form::Clamp { inner, min, max } => Entry::Clamp(Wrapped { fields: Range { min, max }, inner }),
            Form::Repeat { inner, times } => Entry::Repeat(Wrapped { fields: Times { times }, inner }),
            Form::Progress(inner) => Entry::OnProgress(inner),
            Form::Unary { op, of } => match op {
                Unary::Neg => Entry::Neg(of),
                Unary::Abs => Entry::Abs(of),
                Unary::Floor => Entry::Floor(of),
                Unary::Sqrt => Entry::Sqrt(of),
                Unary::Exp => Entry::Exp(of),
                Unary::Ln => Entry::Ln(of),
                Unary::Sin => Entry::Sin(of),
                Unary::Cos => Entry::Cos(of),
                Unary::Tanh => Entry::Tanh(of),
            },
            Form::PowInt { base, exponent } => Entry::PowInt(Wrapped { fields: ToPower { exponent }, inner: base }),
            Form::Binary { op, left, right } => {
                let operands = Box::new([*left, *right]);
                match op {
                    Binary::Add => Entry::Add(operands),
                    Binary::Sub => Entry::Sub(operands),
                    Binary::Mul => Entry::Product(operands),
                    Binary::Div => Entry::Div(operands),
                    Binary::FloorDiv => Entry::FloorDiv(operands),
                    Binary::Mod => Entry::Modulo(operands),
                    Binary::Pow => Entry::Pow(operands),
                    Binary::Min => Entry::Min(operands),
                    Binary::Max => Entry::Max(operands),
                    Binary::Less => Entry::Less(operands),
                    Binary::LessEqual => Entry::LessEqual(operands),
                    Binary::Equal => Entry::Equal(operands),
                }
            }
            Form::Select { condition, then, otherwise } => Entry::Select { condition, then, otherwise },
        }
    }
}

fn ramp(shape: Shape, from: Number, to: Number, over: Steps) -> Form {
    Form::Ramp { shape, from, to, over }
}

fn unary(op: Unary, of: Box<Schedule>) -> Form {
    Form::Unary { op, of }
}

fn binary(op: Binary, operands: Box<[Schedule; 2]>) -> Form {
    let [left, right] = *operands;
    Form::Binary { op, left: Box::new(left), right: Box::new(right) }
}

impl From<Entry> for Form {
    fn from(entry: Entry) -> Form {
        match entry {
            Entry::Constant(value) => Form::Constant(value),
            Entry::Step(Empty {}) => Form::Step,
            Entry::Linear { from, to, over } => ramp(Shape::Linear, from, to, over),
            Entry::Cosine { from, to, over } => ramp(Shape::Cosine, from, to, over),
            Entry::CosinePower { from, to, exponent, k, over } => {
                ramp(Shape::CosinePower { exponent, k }, from, to, over)
            }
            Entry::Polynomial { from, to, power, over } => ramp(Shape::Polynomial { power }, from, to, over),
            Entry::PolynomialK { from, to, power, k, over } => ramp(Shape::PolynomialK { power, k }, from, to, over),
            Entry::PowerRise { from, to, power, over } => ramp(Shape::PowerRise { power }, from, to, over),
            Entry::OneMinusSqrt { from, to, over } => Schedule::one_minus_sqrt(from, to).over(over).0,
            Entry::Exponential { from, to, over } => ramp(Shape::Exponential, from, to, over),
            Entry::TanhRamp { from, to, start, end, over } => ramp(Shape::Tanh { start, end }, from, to, over),
            Entry::Rex { from, to, d, over } => ramp(Shape::Rex { d }, from, to, over),
            Entry::HalfLife { from, to, over } => ramp(Shape::HalfLife, from, to, over),
            Entry::LogRise { from, to, over } => ramp(Shape::LogRise, from, to, over),
            Entry::ExponentialDecay { init, factor } => Form::Exponential { init, factor },
            Entry::StepDecay { init, factor, every } => Form::StepDecay { init, factor, every },
            Entry::MultiStep(MultiStep { init, factor, milestones }) => Form::MultiStep { init, factor, milestones },
            Entry::InverseSqrt { init, timescale } => Form::InverseSqrt { init, timescale },
            Entry::InverseTime { init, rate } => Form::InverseTime { init, rate },
            Entry::PowerLaw { factor, exponent, shift } => Form::PowerLaw { factor, exponent, shift },
            Entry::PiecewiseConstant { steps, values } => Form::Piecewise { between: Between::Constant, steps, values },
            Entry::PiecewiseLinear { steps, values } => Form::Piecewise { between: Between::Linear, steps, values },
            Entry::PiecewiseCosine { steps, values } => Form::Piecewise { between: Between::Cosine, steps, values },
            Entry::Table(values) => Schedule::table(values).0,
            Entry::Then(pieces) => Form::Then(pieces),
            Entry::Join { pieces, boundaries } => Form::Join { pieces, boundaries },
            Entry::Over(Wrapped { fields: InSteps { steps }, inner }) => Form::Over { inner, steps },
            Entry::Delay(Wrapped { fields: InSteps { steps }, inner }) => Form::Delay { inner, steps },
            Entry::Every(Wrapped { fields: InSteps { steps }, inner }) => Form::Every { inner, steps },
            Entry::Warmup(Wrapped { fields: WarmUp { steps, form }, inner }) => Form::Warmup { inner, form, steps },
            Entry::Clamp(Wrapped { fields: Range { min, max }, inner }) => Form::Clamp { inner, min, max },
            Entry::Repeat(Wrapped { fields: Times { times }, inner }) => Form::Repeat { inner, times },
            Entry::OnProgress(inner) => Form::Progress(inner),
            Entry::Neg(of) => unary(Unary::Neg, of),
            Entry::Abs(of) => unary(Unary::Abs, of),
            Entry::Floor(of) => unary(Unary::Floor, of),
            Entry::Sqrt(of) => unary(Unary::Sqrt, of),
            Entry::Exp(of) => unary(Unary::Exp, of),
            Entry::Ln(of) => unary(Unary::Ln, of),
            Entry::Sin(of) => unary(Unary::Sin, of),
            Entry::Cos(of) => unary(Unary::Cos, of),
            Entry::Tanh(of) => unary(Unary::Tanh, of),
            Entry::PowInt(Wrapped { fields: ToPower { exponent }, inner: base }) => Form::PowInt { base, exponent },
            Entry::Add(operands) => binary(Binary::Add, operands),
            Entry::Sub(operands) => binary(Binary::Sub, operands),
            Entry::Product(operands) => binary(Binary::Mul, operands),
            Entry::Div(operands) => binary(Binary::Div, operands),
            Entry::FloorDiv(operands) => binary(Binary::FloorDiv, operands),
            Entry::Modulo(operands) => binary(Binary::Mod, operands),
            Entry::Pow(operands) => binary(Binary::Pow, operands),
            Entry::Min(operands) => binary(Binary::Min, operands),
            Entry::Max(operands) => binary(Binary::Max, operands),
            Entry::Less(operands) => binary(Binary::Less, operands),
            Entry::LessEqual(operands) => binary(Binary::LessEqual, operands),
            Entry::Equal(operands) => binary(Binary::Equal, operands),
            Entry::Select { condition, then, otherwise } => Form::Select { condition, then, otherwise },
        }
    }
}
