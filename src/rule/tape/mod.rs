//! A rule as data: every operation that [`Rule::resolve`](super::Rule::resolve), [`Rule::measure`](super::Rule::measure),
//! [`Rule::apply`](super::Rule::apply) and [`Rule::show`](super::Rule::show) make, in their order. `trace` records it from a rule in Rust, `read` from a text, `write`
//! makes that text; `check` refuses what has no meaning and says whose each scalar is; `cuda` and `expressions` write the
//! kernel's text, `interpret` runs it on the CPU.

mod chain;
mod check;
mod cuda;
mod equal;
mod expressions;
mod interpret;
mod kinds;
mod order;
mod read;
mod rule;
mod trace;
mod words;
mod write;

use std::fmt;

pub(crate) use check::Standing;
pub(crate) use interpret::Interpreted;
pub use rule::TapeRule;
pub(crate) use trace::{present, trace};
pub(crate) use words::is_name;

use super::hyperparameter::Range;
use super::parts::{Remembered, Stream, Sum};
use super::step::Term;

/// A rule as data: recorded from one in Rust with [`Tape::of`], printed as its text, read back with [`Tape::parse`], compared and
/// hashed by all that it holds, floats by their bits.
#[derive(Clone)]
pub struct Tape {
    pub(crate) name: String,
    pub(crate) hyperparameters: Vec<Stated>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) sums: Vec<Sum>,
    pub(crate) memory: Vec<Remembered>,
    pub(crate) scalars: Vec<String>,
    pub(crate) resolve: Resolve,
    pub(crate) measure: Measure,
    pub(crate) apply: Apply,
    pub(crate) show: Option<Show>,
}

/// A hyperparameter without its schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stated {
    pub name: String,
    pub range: Range,
    pub default: Option<f64>,
}

/// Of a cohort, a group or a tensor, once a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Resolve {
    pub nodes: Vec<Node>,
    /// What each scalar is, in f32.
    pub scalars: Vec<Id>,
    /// What each remembered scalar becomes.
    pub next: Vec<Id>,
}

/// Of each element, before an update.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Measure {
    pub nodes: Vec<Node>,
    /// What each sum is increased by.
    pub terms: Vec<Term<Id>>,
}

/// Of each element of an update.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Apply {
    pub nodes: Vec<Node>,
    pub param: Id,
    /// What each stream becomes; of one that is only read, itself.
    pub streams: Vec<Id>,
}

/// Of each element, for evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Show {
    pub nodes: Vec<Node>,
    pub param: Id,
}

/// A place among the nodes of a part.
pub(crate) type Id = u32;

/// An operation, and the name that the rule gave its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub op: Op,
    pub name: Option<String>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// An element in `measure` and `apply`, an f64 in `resolve`.
    Number,
    /// An f64 rounded to f32.
    Rounded,
    Count,
    Mask,
}

impl Kind {
    /// As the text of an error has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Number => "number",
            Kind::Rounded => "rounded number",
            Kind::Count => "count",
            Kind::Mask => "mask",
        }
    }
}

/// Operands are nodes before the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    // Of elements. A place among the streams that are there, or among the scalars.
    Param,
    Grad,
    Stream(u32),
    Scalar(u32),
    // Of scalars of the step.
    Hyperparameter(u32),
    Remembered(u32),
    Sum(u32),
    Len(u32),
    Updates,
    Next(Id),
    CountIs(Id, u64),
    CountLess(Id, u64),
    ToScalar(Id),
    BiasCorrection(Id, Id),
    Round(Id),
    // Of both.
    /// The bits of an f32 in `measure` and `apply`, of an f64 in `resolve`.
    Literal(u64),
    Unary(Unary, Id),
    Binary(Binary, [Id; 2]),
    Fma([Id; 3]),
    Compare(Compare, [Id; 2]),
    Not(Id),
    Both([Id; 2]),
    Either([Id; 2]),
    /// Mask, yes, no.
    Select([Id; 3]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unary {
    Neg,
    Sqrt,
    Abs,
    Exp,
    Ln,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Less,
    LessEqual,
    Equal,
}

impl Op {
    /// An f32 of `measure` or `apply`. Every NaN is the same one.
    pub fn element(value: f32) -> Op {
        let value = if value.is_nan() { f32::NAN } else { value };
        Op::Literal(u64::from(value.to_bits()))
    }

    /// An f64 of `resolve`, as [`Op::element`].
    pub fn scalar(value: f64) -> Op {
        let value = if value.is_nan() { f64::NAN } else { value };
        Op::Literal(value.to_bits())
    }

    /// The nodes that it works on.
    pub fn operands(&self) -> Vec<Id> {
        match *self {
            Op::Param | Op::Grad | Op::Stream(_) | Op::Scalar(_) | Op::Hyperparameter(_) | Op::Remembered(_) => vec![],
            Op::Sum(_) | Op::Len(_) | Op::Updates | Op::Literal(_) => vec![],
            Op::Next(a) | Op::CountIs(a, _) | Op::CountLess(a, _) | Op::ToScalar(a) | Op::Round(a) => vec![a],
            Op::Unary(_, a) | Op::Not(a) => vec![a],
            Op::BiasCorrection(a, b) => vec![a, b],
            Op::Binary(_, pair) | Op::Compare(_, pair) | Op::Both(pair) | Op::Either(pair) => pair.to_vec(),
            Op::Fma(three) | Op::Select(three) => three.to_vec(),
        }
    }

    /// What it yields.
    pub fn kind(&self) -> Kind {
        match self {
            Op::Updates | Op::Next(_) => Kind::Count,
            Op::CountIs(..) | Op::CountLess(..) | Op::Compare(..) | Op::Not(_) | Op::Both(_) | Op::Either(_) => {
                Kind::Mask
            }
            Op::Round(_) => Kind::Rounded,
            _ => Kind::Number,
        }
    }

    /// Whether it is none of elements.
    pub fn of_resolve(&self) -> bool {
        match self {
            Op::Hyperparameter(_) | Op::Remembered(_) | Op::Sum(_) | Op::Len(_) | Op::Updates | Op::Next(_) => true,
            Op::CountIs(..) | Op::CountLess(..) | Op::ToScalar(_) | Op::BiasCorrection(..) | Op::Round(_) => true,
            Op::Param | Op::Grad | Op::Stream(_) | Op::Scalar(_) | Op::Literal(_) | Op::Unary(..) => false,
            Op::Binary(..) | Op::Fma(_) | Op::Compare(..) | Op::Not(_) | Op::Both(_) | Op::Either(_) => false,
            Op::Select(_) => false,
        }
    }

    /// What each of its operands must be.
    pub fn expected(&self) -> Vec<Kind> {
        match self {
            Op::Next(_) | Op::CountIs(..) | Op::CountLess(..) | Op::ToScalar(_) => vec![Kind::Count],
            Op::BiasCorrection(..) => vec![Kind::Number, Kind::Count],
            Op::Not(_) => vec![Kind::Mask],
            Op::Both(_) | Op::Either(_) => vec![Kind::Mask; 2],
            Op::Select(_) => vec![Kind::Mask, Kind::Number, Kind::Number],
            _ => vec![Kind::Number; self.operands().len()],
        }
    }
}

/// For each node, whether one of `outputs` follows from it.
pub(crate) fn used(nodes: &[Node], outputs: impl IntoIterator<Item = Id>) -> Vec<bool> {
    let mut used = vec![false; nodes.len()];
    for output in outputs {
        used[output as usize] = true;
    }
    for i in (0..nodes.len()).rev() {
        if used[i] {
            nodes[i].op.operands().into_iter().for_each(|operand| used[operand as usize] = true);
        }
    }
    used
}

impl Measure {
    /// The nodes that terms are made of.
    pub fn outputs(&self) -> Vec<Id> {
        let of = |term: &Term<Id>| match *term {
            Term::Value(x) => vec![x],
            Term::Product(x, y) => vec![x, y],
        };
        self.terms.iter().flat_map(of).collect()
    }
}

impl Tape {
    /// The nodes of `apply` that every update stores.
    pub(crate) fn stored(&self) -> Vec<Id> {
        let streams = self.apply.streams.iter().zip(&self.streams).filter(|(_, stream)| !stream.read_only);
        std::iter::once(self.apply.param).chain(streams.map(|(id, _)| *id)).collect()
    }
}

impl Apply {
    pub fn outputs(&self) -> Vec<Id> {
        std::iter::once(self.param).chain(self.streams.iter().copied()).collect()
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
