//! One element of Adam and AdamW, in each order of operations.

use super::{AdamRule, AdamScalars, DecayForm, Nesterov};
use crate::optim::options::{Decay, Direction, Parity};
use crate::rule::{Element, Terms};

impl<D: DecayForm> AdamRule<D> {
    #[inline(always)]
    pub(super) fn updated<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E, streams: [E; 3]) -> (E, [E; 3]) {
        let g = self.gradient(s, p, g);
        match self.parity {
            Parity::Stated => self.stated(s, p, g, streams),
            Parity::TorchForLoop => self.torch_for_loop(s, p, g, streams),
            Parity::TorchFused => self.torch_fused(s, p, g, streams),
        }
    }

    #[inline(always)]
    pub(super) fn measured<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E, streams: [E; 3], terms: &mut Terms<E>) {
        let (caution, clip_update) = (self.additions.caution, self.additions.clip_update.is_some());
        if !caution.is_on() && !clip_update {
            return;
        }
        let g = self.gradient(s, p, g);
        let [m, v, largest] = self.moments(s, g, streams);
        if caution.is_on() {
            caution.measure(self.moved(s, g, m), g, terms);
        }
        if clip_update {
            let whitened = (g / self.denominator(s, v, largest)).named("whitened");
            terms.add_product(caution.sums().len(), whitened, whitened);
        }
    }

    #[inline(always)]
    fn gradient<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E) -> E {
        let g = if self.direction == Direction::Maximize { -g } else { g };
        self.decay().gradient(s.weight_decay, p, g)
    }

    /// The states after an update.
    #[inline(always)]
    fn moments<E: Element>(&self, s: &AdamScalars<E>, g: E, [m, v, largest]: [E; 3]) -> [E; 3] {
        let (m, v) = match self.parity {
            Parity::Stated => {
                let m = s.one_minus_beta1.fma(g - m, m).named("m");
                (m, s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v"))
            }
            Parity::TorchForLoop => {
                // torch's lerp begins at the nearer end.
                let (weight, apart) = (s.one_minus_beta1, (g - m).named("apart"));
                let from_g = (-(E::literal(1.0) - weight)).fma(apart, g);
                let m = E::select(weight.less(E::literal(0.5)), weight.fma(apart, m), from_g).named("m");
                (m, (s.one_minus_beta2 * g).fma(g, v * s.beta2).named("v"))
            }
            Parity::TorchFused => {
                let square = (g * g).named("square");
                let m = s.beta1.fma(m, (-s.beta1).fma(g, g)).named("m");
                (m, s.beta2.fma(v, (-s.beta2).fma(square, square)).named("v"))
            }
        };
        [m, v, if self.additions.amsgrad { largest.max(v).named("largest") } else { largest }]
    }

    /// What the update is a multiple of, once it is divided.
    #[inline(always)]
    fn moved<E: Element>(&self, s: &AdamScalars<E>, g: E, m: E) -> E {
        match self.additions.nesterov {
            Nesterov::Off => m,
            Nesterov::Together | Nesterov::Apart => s.beta1.fma(m, s.one_minus_beta1 * g).named("ahead"),
        }
    }

    #[inline(always)]
    fn denominator<E: Element>(&self, s: &AdamScalars<E>, v: E, largest: E) -> E {
        let root = if self.additions.amsgrad { largest } else { v }.sqrt();
        match self.parity {
            Parity::Stated => root.fma(s.inv_sqrt_bias_correction2, s.eps),
            Parity::TorchForLoop | Parity::TorchFused => root / s.sqrt_bias_correction2 + s.eps,
        }
    }

    /// The parameter is rounded once, so no decay is lost beside an update.
    #[inline(always)]
    fn stated<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E, streams: [E; 3]) -> (E, [E; 3]) {
        let [m, v, largest] = self.moments(s, g, streams);
        let moved = self.additions.caution.mask(self.moved(s, g, m), g);
        let u = (moved / self.denominator(s, v, largest)).named("u");
        (self.decay().step(s.lr_weight_decay, s.step_size, u, p), [m, v, largest])
    }

    #[inline(always)]
    fn torch_for_loop<E: Element>(&self, s: &AdamScalars<E>, mut p: E, g: E, streams: [E; 3]) -> (E, [E; 3]) {
        if self.decay() == Decay::Decoupled {
            p = (p * s.one_minus_lr_weight_decay).named("decayed_p");
        }
        let [m, v, largest] = self.moments(s, g, streams);
        let moved = self.additions.caution.mask(self.moved(s, g, m), g);
        let denominator = self.denominator(s, v, largest);
        (p + (-s.step_size * moved) / denominator, [m, v, largest])
    }

    #[inline(always)]
    fn torch_fused<E: Element>(&self, s: &AdamScalars<E>, mut p: E, g: E, streams: [E; 3]) -> (E, [E; 3]) {
        if self.decay() == Decay::Decoupled {
            p = (-s.lr_weight_decay).fma(p, p).named("decayed_p");
        }
        let [m, v, largest] = self.moments(s, g, streams);
        let moved = self.additions.caution.mask(self.moved(s, g, m), g);
        let denominator = self.denominator(s, v, largest);
        (p - (s.step_size * moved) / denominator, [m, v, largest])
    }
}
