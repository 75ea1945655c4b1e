//! RMSprop.

use super::caution::Caution;
use super::declare::{declare, declared};
use super::options::{Decay, is_zero};
use crate::error::{Error, Result};
use crate::rule::{Element, Rule, Scalar, Start, Step, Stream, Sum, Terms};

declare! {
    /// RMSprop: the gradient over the root of its mean square, with momentum if that is not written as 0.
    ///
    /// As in torch by default; with `start_at_one`, `eps_in_root` and `lr_in_momentum` as in TensorFlow. 20 bytes move per f32
    /// parameter, 8 more with momentum and 8 more if it is centred. Source: Tieleman and Hinton 2012, Coursera, lecture 6.5;
    /// centred: Graves 2013, arXiv:1308.0850, section 4.2. Peers: `torch.optim.RMSprop`, `timm.optim.RMSpropTF`, `optax.rmsprop`.
    RmsProp = "rmsprop", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the mean square, in [0, 1).
        alpha: BelowOne = 0.99,
        /// Sets the term added to the root, above 0.
        eps: Positive = 1e-8,
        /// Sets the momentum, in [0, 1).
        momentum: BelowOne = 0.0,
    }
    options {
        /// Takes the variance of the gradient in place of its mean square.
        centered: bool = false,
        /// Starts the mean square at 1 and not at 0.
        start_at_one: bool = false,
        /// Adds `eps` before the root is taken and not after.
        eps_in_root: bool = false,
        /// Multiplies what enters the momentum buffer by the rate and not what leaves it.
        lr_in_momentum: bool = false,
        /// Decays the parameter itself, by `lr · weight_decay`; else the decay is an L2 term.
        decoupled_weight_decay: bool = false,
        /// Leaves out what goes against the gradient; it takes a momentum.
        caution: Caution = Caution::Off,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub RmsPropScalars { lr, decay, alpha, one_minus_alpha, eps, momentum, caution }
}

impl RmsProp {
    #[inline(always)]
    fn has_momentum(&self) -> bool {
        !is_zero(&self.momentum)
    }

    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of_form(&self.weight_decay, self.decoupled_weight_decay)
    }

    /// The update for the gradient `g`, and the new states.
    #[inline(always)]
    fn update<E: Element>(&self, s: &RmsPropScalars<E>, g: E, [v, buf, mean]: [E; 3]) -> (E, [E; 3]) {
        let v = s.alpha.fma(v, s.one_minus_alpha * (g * g)).named("v");
        let (variance, mean) = if self.centered {
            let mean = s.one_minus_alpha.fma(g - mean, mean).named("mean");
            // Rounding alone takes it below 0.
            ((-mean).fma(mean, v).max(E::literal(0.0)).named("variance"), mean)
        } else {
            (v, mean)
        };
        let root = if self.eps_in_root { (variance + s.eps).sqrt() } else { variance.sqrt() + s.eps };
        if !self.has_momentum() {
            return (g / root.named("root"), [v, buf, mean]);
        }
        let enters = if self.lr_in_momentum { s.lr * g } else { g };
        let buf = s.momentum.fma(buf, enters / root.named("root")).named("buf");
        (buf, [v, buf, mean])
    }
}

impl Rule for RmsProp {
    declared!(5);
    type Streams<T> = [T; 3];
    type Scalars<T> = RmsPropScalars<T>;
    const FEWEST_STREAMS: usize = 1;

    fn streams(&self) -> [Stream; 3] {
        let start = if self.start_at_one { Start::Value(1.0) } else { Start::Zero };
        [
            Stream::new("square_avg").denominator().starts(start),
            Stream::new("momentum_buffer").only_if(self.has_momentum()),
            Stream::new("grad_avg").only_if(self.centered),
        ]
    }

    fn sums(&self) -> Vec<Sum> {
        self.caution.sums()
    }

    fn check(&self) -> Result<()> {
        let without =
            |option: &str| Err(Error::argument(option, "set", "must not be set without momentum, on which it acts"));
        match self.has_momentum() {
            false if self.caution.is_on() => without("caution"),
            false if self.lr_in_momentum => without("lr_in_momentum"),
            _ => Ok(()),
        }
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> RmsPropScalars<W::Element> {
        let [lr, weight_decay, alpha, eps, momentum] = given;
        let decay = if self.decoupled_weight_decay { lr * weight_decay } else { weight_decay };
        RmsPropScalars {
            lr: lr.round(),
            decay: decay.round(),
            alpha: alpha.round(),
            one_minus_alpha: (W::literal(1.0) - alpha).round(),
            eps: eps.round(),
            momentum: momentum.round(),
            caution: self.caution.resolve(step),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &RmsPropScalars<E>, p: E, g: E, streams: [E; 3], terms: &mut Terms<E>) {
        let g = self.decay().gradient(s.decay, p, self.direction.of(g));
        self.caution.measure(self.update(s, g, streams).0, g, terms);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &RmsPropScalars<E>, p: E, g: E, streams: [E; 3]) -> (E, [E; 3]) {
        let g = self.decay().gradient(s.decay, p, self.direction.of(g));
        let (u, streams) = self.update(s, g, streams);
        let u = self.caution.apply(s.caution, u, g);
        let p = if self.lr_in_momentum {
            self.decay().whole_step(s.decay, u, p)
        } else {
            self.decay().step(s.decay, s.lr, u, p)
        };
        (p, streams)
    }
}
