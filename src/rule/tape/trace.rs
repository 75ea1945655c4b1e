//! The algebra over a type that records: a rule's functions run once, and leave a tape.

use std::cell::RefCell;
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};

use super::check::{MAX_STREAMS, at_most};
use super::{Apply, Binary, Compare, Id, Measure, Node, Op, Resolve, Show, Stated, Tape, Unary};
use crate::error::{Error, Result};
use crate::rule::algebra::{Arithmetic, Count, Element, Scalar};
use crate::rule::fields::Scalars;
use crate::rule::fields::sealed::Sealed as Fields;
use crate::rule::step::{MAX_SUMS, Step, Term, Terms};
use crate::rule::{Rule, Stream};

/// From here on, a stream that an option left out, by its place among all of the rule's.
const ABSENT: Id = Id::MAX / 2;

/// What is recorded, on this thread.
#[derive(Default)]
struct Recorder {
    nodes: Vec<Node>,
    /// The first thing that a rule asked for and does not have.
    missing: Option<(&'static str, usize)>,
}

thread_local! {
    static RECORDER: RefCell<Recorder> = RefCell::default();
}

fn push(op: Op) -> Id {
    RECORDER.with_borrow_mut(|recorder| {
        recorder.nodes.push(Node { op, name: None });
        recorder.nodes.len() as Id - 1
    })
}

/// An element that is recorded.
#[derive(Debug, Clone, Copy)]
struct X(Id);
/// A scalar of the step that is recorded.
#[derive(Debug, Clone, Copy)]
struct W(Id);
#[derive(Debug, Clone, Copy)]
struct Mask(Id);
#[derive(Debug, Clone, Copy)]
struct Updates(Id);

macro_rules! recorded {
    ($t:ident, $($trait:ident $method:ident $op:ident),*) => {
        $(impl $trait for $t {
            type Output = $t;
            fn $method(self, other: $t) -> $t {
                $t(push(Op::Binary(Binary::$op, [self.0, other.0])))
            }
        })*

        impl Neg for $t {
            type Output = $t;
            fn neg(self) -> $t {
                $t(push(Op::Unary(Unary::Neg, self.0)))
            }
        }

        impl Arithmetic for $t {
            type Mask = Mask;

            fn fma(self, factor: $t, addend: $t) -> $t {
                $t(push(Op::Fma([self.0, factor.0, addend.0])))
            }
            fn sqrt(self) -> $t {
                $t(push(Op::Unary(Unary::Sqrt, self.0)))
            }
            fn abs(self) -> $t {
                $t(push(Op::Unary(Unary::Abs, self.0)))
            }
            fn min(self, other: $t) -> $t {
                $t(push(Op::Binary(Binary::Min, [self.0, other.0])))
            }
            fn max(self, other: $t) -> $t {
                $t(push(Op::Binary(Binary::Max, [self.0, other.0])))
            }
            fn exp(self) -> $t {
                $t(push(Op::Unary(Unary::Exp, self.0)))
            }
            fn ln(self) -> $t {
                $t(push(Op::Unary(Unary::Ln, self.0)))
            }
            fn pow(self, exponent: $t) -> $t {
                $t(push(Op::Binary(Binary::Pow, [self.0, exponent.0])))
            }
            fn less(self, other: $t) -> Mask {
                Mask(push(Op::Compare(Compare::Less, [self.0, other.0])))
            }
            fn less_equal(self, other: $t) -> Mask {
                Mask(push(Op::Compare(Compare::LessEqual, [self.0, other.0])))
            }
            fn equal(self, other: $t) -> Mask {
                Mask(push(Op::Compare(Compare::Equal, [self.0, other.0])))
            }
            fn select(mask: Mask, yes: $t, no: $t) -> $t {
                $t(push(Op::Select([mask.0, yes.0, no.0])))
            }
            fn named(self, name: &'static str) -> $t {
                RECORDER.with_borrow_mut(|recorder| {
                    if let Some(node) = recorder.nodes.get_mut(self.0 as usize) {
                        // What is given keeps the name that it has.
                        if !node.op.operands().is_empty() {
                            node.name = Some(name.to_owned());
                        }
                    }
                });
                self
            }
        }
    };
}

recorded!(X, Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);
recorded!(W, Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

impl BitAnd for Mask {
    type Output = Mask;
    fn bitand(self, other: Mask) -> Mask {
        Mask(push(Op::Both([self.0, other.0])))
    }
}

impl BitOr for Mask {
    type Output = Mask;
    fn bitor(self, other: Mask) -> Mask {
        Mask(push(Op::Either([self.0, other.0])))
    }
}

impl Not for Mask {
    type Output = Mask;
    fn not(self) -> Mask {
        Mask(push(Op::Not(self.0)))
    }
}

impl Element for X {
    fn literal(value: f32) -> X {
        X(push(Op::element(value)))
    }
}

impl Scalar for W {
    type Element = X;
    type Count = Updates;

    fn literal(value: f64) -> W {
        W(push(Op::scalar(value)))
    }
    fn round(self) -> X {
        X(push(Op::Round(self.0)))
    }
    fn bias_correction(self, updates: Updates) -> W {
        W(push(Op::BiasCorrection(self.0, updates.0)))
    }
    fn missing(what: &'static str, place: usize) -> W {
        note_missing(what, place);
        W::literal(f64::NAN)
    }
}

impl Count for Updates {
    type Scalar = W;
    type Mask = Mask;

    fn next(self) -> Updates {
        Updates(push(Op::Next(self.0)))
    }
    fn is(self, count: u64) -> Mask {
        Mask(push(Op::CountIs(self.0, count)))
    }
    fn less(self, count: u64) -> Mask {
        Mask(push(Op::CountLess(self.0, count)))
    }
    fn scalar(self) -> W {
        W(push(Op::ToScalar(self.0)))
    }
}

fn note_missing(what: &'static str, place: usize) {
    RECORDER.with_borrow_mut(|recorder| {
        recorder.missing.get_or_insert((what, place));
    });
}

/// Runs `record` with an empty recorder and takes what it left.
fn recorded<T>(part: &str, record: impl FnOnce() -> T) -> Result<(T, Vec<Node>)> {
    RECORDER.take();
    let value = record();
    let Recorder { nodes, missing } = RECORDER.take();
    match missing {
        None => Ok((value, nodes)),
        Some((what, place)) => {
            let rule = format!("`{what}` states no such place");
            Err(Error::argument(format!("rule.{part}"), format!("with {what}[{place}]"), rule))
        }
    }
}

/// The streams of `rule` that its options leave in, and for each stream of the rule its place among them.
pub(crate) fn present(all: &[Stream]) -> (Vec<Stream>, Vec<Option<u32>>) {
    let mut streams = Vec::new();
    let places = all.iter().map(|stream| {
        stream.present.then(|| {
            streams.push(stream.clone());
            streams.len() as u32 - 1
        })
    });
    let places = places.collect();
    (streams, places)
}

/// Records `rule`, in the order that its text implies. What it computes is checked by `check`.
pub(crate) fn trace<R: Rule>(rule: &R) -> Result<Tape> {
    let stated = rule.hyperparameters().into_vec().into_iter();
    let hyperparameters: Vec<Stated> =
        stated.map(|h| Stated { name: h.name().to_owned(), range: h.range, default: h.default }).collect();
    let (sums, memory) = (rule.sums(), rule.remember());
    at_most("sums", sums.len(), MAX_SUMS)?;
    let all = rule.streams();
    // Those that options leave out too: loops have a place for each.
    at_most("streams", all.as_slice().len(), MAX_STREAMS)?;
    let (streams, places) = present(all.as_slice());
    let leaf = |k: usize| match places[k] {
        Some(place) => X(push(Op::Stream(place))),
        None => X(ABSENT + k as Id),
    };

    let (outputs, nodes) = recorded("resolve", || {
        let given = R::Hyperparameters::<W>::from_fn(|k| W(push(Op::Hyperparameter(k as u32))));
        let leaves = |op: fn(u32) -> Op, len: usize| (0..len as u32).map(|k| W(push(op(k)))).collect::<Vec<_>>();
        let (memory_leaves, mut next) = (leaves(Op::Remembered, memory.len()), vec![None; memory.len()]);
        let (sum_leaves, lens) = (leaves(Op::Sum, sums.len()), leaves(Op::Len, sums.len()));
        let mut step = Step {
            updates: Updates(push(Op::Updates)),
            memory: &memory_leaves,
            sums: &sum_leaves,
            lens: &lens,
            next: &mut next,
        };
        let mut scalars = Vec::new();
        rule.resolve::<W>(given, &mut step).each(|scalar| scalars.push(scalar.0));
        (scalars, next.into_iter().map(|next| next.map(|W(id)| id)).collect::<Vec<_>>())
    })?;
    let (scalars, next) = outputs;
    let fields = R::Scalars::<X>::NAMES.len();
    if scalars.len() != fields {
        let rule = format!("`Scalars::each` must visit the {fields} fields that have names");
        return Err(Error::argument("rule.scalars", scalars.len(), rule));
    }
    let unchanged = next.iter().position(Option::is_none);
    if let Some(place) = unchanged {
        let name = &memory[place].name;
        return Err(Error::argument(
            format!("rule.remember.{name}"),
            "never changed",
            "`resolve` must remember it anew",
        ));
    }
    let resolve = Resolve { nodes, scalars, next: next.into_iter().flatten().collect() };

    let scalar_leaves = || R::Scalars::<X>::from_fn(|k| X(push(Op::Scalar(k as u32))));
    let element = || (scalar_leaves(), X(push(Op::Param)), X(push(Op::Grad)), R::Streams::<X>::from_fn(leaf));
    let (terms, nodes) = recorded("measure", || {
        let (scalars, param, grad, streams) = element();
        let mut terms = Terms::new();
        rule.measure(&scalars, param, grad, streams, &mut terms);
        terms
    })?;
    let nodes = if sums.is_empty() { Vec::new() } else { nodes };
    let added = (0..).zip(&terms.terms).filter(|(place, term)| term.is_some() && *place >= sums.len());
    if let Some(place) = terms.wrong.or(added.map(|(place, _)| place).next()) {
        let (value, rule) = match sums.get(place) {
            Some(sum) => (format!("adding to `{}` twice", sum.name), "each sum takes one term of an element"),
            None => (format!("adding to sums[{place}]"), "`sums` states no such place"),
        };
        return Err(Error::argument("rule.measure", value, rule));
    }
    let mut of_sums = Vec::new();
    for (sum, term) in sums.iter().zip(terms.terms) {
        let rule = "`measure` must add to it";
        let term = term.ok_or_else(|| Error::argument(format!("rule.sums.{}", sum.name), "nothing", rule))?;
        of_sums.push(match term {
            Term::Value(X(x)) => Term::Value(x),
            Term::Product(X(x), X(y)) => Term::Product(x, y),
        });
    }
    let measure = Measure { nodes, terms: of_sums };

    let ((param, new), nodes) = recorded("apply", || {
        let (scalars, param, grad, streams) = element();
        rule.apply(&scalars, param, grad, streams)
    })?;
    let new = new.as_slice().iter().zip(&places).filter(|(_, place)| place.is_some());
    let apply = Apply { nodes, param: param.0, streams: new.map(|(X(id), _)| *id).collect() };
    let (shown, nodes) = recorded("show", || {
        let (scalars, param, _, streams) = element();
        rule.show(&scalars, param, streams)
    })?;
    let show = shown.map(|X(param)| Show { nodes, param });
    let scalars = R::Scalars::<X>::NAMES.iter().map(|name| (*name).to_owned()).collect();
    let tape = Tape {
        name: R::NAME.to_owned(),
        hyperparameters,
        streams,
        sums,
        memory,
        scalars,
        resolve,
        measure,
        apply,
        show,
    };
    tape.expect_present(all.as_slice())?;
    Ok(tape.ordered())
}

impl Tape {
    /// The tape of a rule in Rust, with the options that it has: what its text, its kernel and its identity are made from.
    /// Schedules are no part of it.
    ///
    /// ```
    /// use instep::rule::{Tape, TapeRule};
    /// use instep::{AdamW, Device, Optimizer, Tensor};
    /// let tape = Tape::of(&AdamW::new(1e-3).weight_decay(0.1))?;
    /// assert_eq!(Tape::parse(&tape.to_string())?, tape);
    /// // The same rule, interpreted.
    /// let rule = TapeRule::new(tape).set("lr", 1e-3).set("weight_decay", 0.1);
    /// # // SAFETY: nothing is behind an empty tensor.
    /// # let tensor = unsafe { Tensor::f32(0, 0, 0) };
    /// let opt = Optimizer::builder(&Device::host()).group(rule, &[tensor]).build()?;
    /// # Ok::<(), instep::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for whatever the build of an optimizer refuses of the rule itself.
    pub fn of<R: Rule>(rule: &R) -> Result<Tape> {
        rule.check()?;
        let tape = trace(rule)?;
        tape.check()?;
        Ok(tape)
    }

    /// Nothing follows from a stream that an option left out, of `all` that the rule has.
    fn expect_present(&self, all: &[Stream]) -> Result<()> {
        let show = self.show.iter().map(|show| ("show", &show.nodes, vec![show.param]));
        let parts = [
            ("measure", &self.measure.nodes, self.measure.outputs()),
            ("apply", &self.apply.nodes, self.apply.outputs()),
        ];
        let parts = parts.into_iter().chain(show);
        for (part, nodes, outputs) in parts {
            let mut ids = nodes.iter().flat_map(|node| node.op.operands()).chain(outputs);
            if let Some(absent) = ids.find(|id| *id >= ABSENT) {
                let value = format!("with streams.{}", all[(absent - ABSENT) as usize].name);
                let rule = "an option of the rule leaves that stream out";
                return Err(Error::argument(format!("rule.{part}"), value, rule));
            }
        }
        Ok(())
    }
}
