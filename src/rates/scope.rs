//! What a value follows from: expressions over the schedules of a group, recorded as the nodes of a tape. Start at [`RateScope`].

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::rule::tape::{Binary, Id, Node, Op, Unary};

/// The schedules of a [`RateGroup`](super::RateGroup) and the values that it has so far, at the step in force.
#[derive(Debug)]
pub struct RateScope {
    nodes: RefCell<Vec<Node>>,
    /// Schedules first, in their order, then values.
    known: RefCell<Vec<(String, Id)>>,
    /// The first name that nothing has.
    missing: RefCell<Option<String>>,
}

/// A number of the step, in f64. It adds, multiplies and so on with others and with `f64`, each operation one of IEEE 754, rounded once,
/// with the same bits on every device and on the host.
#[derive(Debug, Clone, Copy)]
#[must_use = "a value is what its function gives back"]
pub struct RateScalar<'a> {
    scope: &'a RateScope,
    id: Id,
}

impl RateScope {
    pub(super) fn new() -> RateScope {
        RateScope { nodes: RefCell::default(), known: RefCell::default(), missing: RefCell::default() }
    }

    /// The schedule or the earlier value `name`, times what the metric rule has come to if it is `lr`. An unknown name is an error of
    /// [`RatesBuilder::build`](super::RatesBuilder::build).
    pub fn get(&self, name: &str) -> RateScalar<'_> {
        let known = self.known.borrow().iter().find(|(known, _)| known == name).map(|(_, id)| *id);
        match known {
            Some(id) => RateScalar { scope: self, id },
            None => {
                self.missing.borrow_mut().get_or_insert_with(|| name.to_owned());
                self.number(f64::NAN)
            }
        }
    }

    /// How many updates came before the one in force: 0 at first, or what [`RatesBuilder::start_at`](super::RatesBuilder::start_at) says.
    pub fn updates(&self) -> RateScalar<'_> {
        let updates = self.push(Op::Updates);
        self.scalar(Op::ToScalar(updates))
    }

    /// The number itself.
    pub fn number(&self, value: f64) -> RateScalar<'_> {
        self.scalar(Op::scalar(value))
    }

    pub(super) fn know(&self, name: &str, id: Id) {
        self.known.borrow_mut().push((name.to_owned(), id));
    }

    /// A schedule, by its place.
    pub(super) fn schedule(&self, name: &str, place: u32) {
        let id = self.push(Op::Hyperparameter(place));
        self.know(name, id);
    }

    /// Takes the first name that nothing has.
    pub(super) fn take_missing(&self) -> Option<String> {
        self.missing.take()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.known.borrow().iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn node_of(&self, name: &str) -> Option<Id> {
        self.known.borrow().iter().find(|(known, _)| known == name).map(|(_, id)| *id)
    }

    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes.into_inner()
    }

    fn push(&self, op: Op) -> Id {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { op, name: None });
        nodes.len() as Id - 1
    }

    fn scalar(&self, op: Op) -> RateScalar<'_> {
        RateScalar { scope: self, id: self.push(op) }
    }
}

impl<'a> RateScalar<'a> {
    pub(super) fn id(self) -> Id {
        self.id
    }

    fn unary(self, op: Unary) -> RateScalar<'a> {
        self.scope.scalar(Op::Unary(op, self.id))
    }

    fn binary(self, op: Binary, other: RateScalar<'a>) -> RateScalar<'a> {
        self.scope.scalar(Op::Binary(op, [self.id, other.id]))
    }

    /// `1 - self^n`, where this is the `n`-th update, counted from 1 (from `t + 1` after a start at `t`): the bias correction of Adam, for a beta in [0, 1). Computed as
    /// `-expm1(n · ln self)`. Source: Kingma and Ba 2014, arXiv:1412.6980, algorithm 1.
    pub fn bias_correction(self) -> RateScalar<'a> {
        let updates = self.scope.push(Op::Updates);
        let next = self.scope.push(Op::Next(updates));
        self.scope.scalar(Op::BiasCorrection(self.id, next))
    }

    /// The square root.
    pub fn sqrt(self) -> RateScalar<'a> {
        self.unary(Unary::Sqrt)
    }

    /// The magnitude.
    pub fn abs(self) -> RateScalar<'a> {
        self.unary(Unary::Abs)
    }

    /// e to the power of it.
    pub fn exp(self) -> RateScalar<'a> {
        self.unary(Unary::Exp)
    }

    /// The natural logarithm.
    pub fn ln(self) -> RateScalar<'a> {
        self.unary(Unary::Ln)
    }

    /// It to the power of `exponent`.
    pub fn pow(self, exponent: impl IntoRate<'a>) -> RateScalar<'a> {
        let exponent = exponent.rate(self.scope);
        self.binary(Binary::Pow, exponent)
    }

    /// The smaller one; a NaN stays.
    pub fn min(self, other: impl IntoRate<'a>) -> RateScalar<'a> {
        let other = other.rate(self.scope);
        self.binary(Binary::Min, other)
    }

    /// The larger one; a NaN stays.
    pub fn max(self, other: impl IntoRate<'a>) -> RateScalar<'a> {
        let other = other.rate(self.scope);
        self.binary(Binary::Max, other)
    }
}

/// What stands beside a [`RateScalar`] in an expression: another one, or an `f64`.
pub trait IntoRate<'a>: sealed::Sealed {
    #[doc(hidden)]
    fn rate(self, scope: &'a RateScope) -> RateScalar<'a>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f64 {}
    impl Sealed for super::RateScalar<'_> {}
}

impl<'a> IntoRate<'a> for f64 {
    fn rate(self, scope: &'a RateScope) -> RateScalar<'a> {
        scope.number(self)
    }
}

impl<'a> IntoRate<'a> for RateScalar<'a> {
    fn rate(self, _: &'a RateScope) -> RateScalar<'a> {
        self
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl<'a, R: IntoRate<'a>> $trait<R> for RateScalar<'a> {
            type Output = RateScalar<'a>;

            fn $method(self, right: R) -> RateScalar<'a> {
                let right = right.rate(self.scope);
                self.binary(Binary::$trait, right)
            }
        }

        impl<'a> $trait<RateScalar<'a>> for f64 {
            type Output = RateScalar<'a>;

            fn $method(self, right: RateScalar<'a>) -> RateScalar<'a> {
                right.scope.number(self).binary(Binary::$trait, right)
            }
        }
    )*};
}

operators!(Add add, Sub sub, Mul mul, Div div);

impl<'a> Neg for RateScalar<'a> {
    type Output = RateScalar<'a>;

    fn neg(self) -> RateScalar<'a> {
        self.unary(Unary::Neg)
    }
}
