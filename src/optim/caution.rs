//! Caution: an update moves only where its sign is that of the gradient, and what is left is scaled up for it.

use super::declare::choice;
use crate::rule::{Element, Over, Scalar, Step, Sum, Terms};

/// Whether elements of an update that go against the gradient are left out, and by how much the others then grow. It takes a
/// sum over each tensor. Source: Liang et al. 2024, arXiv:2411.16085.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Caution {
    /// All elements move.
    #[default]
    Off,
    /// Divided by the part of the elements that move, at least 1e-3: as in timm.
    Mean,
    /// Times the number of elements over that of those that move and 1: as in pytorch_optimizer.
    Count,
}

choice!(Caution { "off" => Off, "mean" => Mean, "count" => Count });

impl Caution {
    pub(super) fn is_on(self) -> bool {
        self != Caution::Off
    }

    /// How many elements move, which must be the first of a rule's sums.
    pub(super) fn sums(self) -> Vec<Sum> {
        if self.is_on() { vec![Sum::new("moving", Over::Tensor)] } else { Vec::new() }
    }

    /// What the elements that move are multiplied by.
    pub(super) fn resolve<W: Scalar>(self, step: &Step<'_, W>) -> W::Element {
        self.scale(step).round()
    }

    /// The same before it is rounded, for rules that put it into their step size.
    pub(super) fn scale<W: Scalar>(self, step: &Step<'_, W>) -> W {
        let one = W::literal(1.0);
        match self {
            Caution::Off => one,
            Caution::Mean => one / (step.sum(0) / step.len(0)).max(W::literal(1e-3)),
            Caution::Count => step.len(0) / (step.sum(0) + one),
        }
    }

    /// Whether the update `u` moves the element.
    #[inline(always)]
    pub(super) fn moves<E: Element>(self, u: E, g: E) -> E::Mask {
        E::literal(0.0).less(u * g)
    }

    /// Counts an element whose update is `u`.
    #[inline(always)]
    pub(super) fn measure<E: Element>(self, u: E, g: E, terms: &mut Terms<E>) {
        if self.is_on() {
            terms.add(0, E::select(self.moves(u, g), E::literal(1.0), E::literal(0.0)));
        }
    }

    /// The update `u`, or 0 where it does not move the element: what moves is scaled by a step size that [`Caution::scale`] is in.
    #[inline(always)]
    pub(super) fn mask<E: Element>(self, u: E, g: E) -> E {
        if self.is_on() { E::select(self.moves(u, g), u, E::literal(0.0)).named("cautious") } else { u }
    }

    /// The update `u` with `scale`, as [`Caution::resolve`] has it.
    #[inline(always)]
    pub(super) fn apply<E: Element>(self, scale: E, u: E, g: E) -> E {
        if self.is_on() { E::select(self.moves(u, g), u * scale, E::literal(0.0)).named("cautious") } else { u }
    }
}
