//! What `resolve` and `measure` are given beside their arguments.

use super::algebra::{Element, Scalar};

/// The step that scalars are resolved for.
#[derive(Debug)]
pub struct Step<'a, W: Scalar> {
    pub(crate) updates: W::Count,
    pub(crate) memory: &'a [W],
    pub(crate) sums: &'a [W],
    pub(crate) lens: &'a [W],
    pub(crate) next: &'a mut [Option<W>],
}

impl<W: Scalar> Step<'_, W> {
    /// How many updates the tensors of the cohort have had before this one; for what a group remembers, how many the optimizer
    /// has applied.
    pub fn updates(&self) -> W::Count {
        self.updates
    }

    /// The remembered scalar at `place` of [`Rule::remember`](super::Rule::remember), as the update before left it.
    pub fn remembered(&self, place: usize) -> W {
        self.memory.get(place).copied().unwrap_or_else(|| W::missing("remember", place))
    }

    /// What the remembered scalar at `place` is from this update on, if it is applied.
    pub fn remember(&mut self, place: usize, value: W) {
        match self.next.get_mut(place) {
            Some(next) => *next = Some(value),
            None => {
                W::missing("remember", place);
            }
        }
    }

    /// The sum at `place` of [`Rule::sums`](super::Rule::sums).
    pub fn sum(&self, place: usize) -> W {
        self.sums.get(place).copied().unwrap_or_else(|| W::missing("sums", place))
    }

    /// Over how many elements the sum at `place` ran.
    pub fn len(&self, place: usize) -> W {
        self.lens.get(place).copied().unwrap_or_else(|| W::missing("sums", place))
    }
}

/// The most sums of a rule.
pub(crate) const MAX_SUMS: usize = 8;

/// What one element adds to a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Term<E> {
    /// `sum + x`, in f64.
    Value(E),
    /// `fma(x, y, sum)`, in f64, where the product of two f32 is exact.
    Product(E, E),
}

/// What one element adds to the sums of its rule.
#[derive(Debug)]
pub struct Terms<E> {
    pub(crate) terms: [Option<Term<E>>; MAX_SUMS],
    /// The place of a sum that was added to twice, or that is not there.
    pub(crate) wrong: Option<usize>,
}

impl<E: Element> Terms<E> {
    #[inline(always)]
    pub(crate) fn new() -> Terms<E> {
        Terms { terms: [None; MAX_SUMS], wrong: None }
    }

    /// Adds `value` to the sum at `place` of [`Rule::sums`](super::Rule::sums).
    #[inline(always)]
    pub fn add(&mut self, place: usize, value: E) {
        self.put(place, Term::Value(value));
    }

    /// Adds `left · right` to the sum at `place`, exact but for the rounding of the sum.
    #[inline(always)]
    pub fn add_product(&mut self, place: usize, left: E, right: E) {
        self.put(place, Term::Product(left, right));
    }

    #[inline(always)]
    fn put(&mut self, place: usize, term: Term<E>) {
        match self.terms.get_mut(place) {
            Some(free @ None) => *free = Some(term),
            _ => self.wrong = Some(place),
        }
    }
}
