//! The rectification of RAdam: how far an adaptive step is to be trusted while its second moment has seen few gradients.

use crate::rule::{Count, Scalar};

/// Of one step.
pub(super) struct Rectified<W: Scalar> {
    /// `1 - beta2^t`.
    pub bias_correction2: W,
    /// The length of the average that the second moment is.
    pub length: W,
    /// What the step is multiplied by, where the length is above 4.
    pub factor: W,
}

impl<W: Scalar> Rectified<W> {
    /// After `updates` updates, for the next one. Source: Liu et al. 2019, arXiv:1908.03265, algorithm 2.
    pub fn of(beta2: W, updates: W::Count) -> Rectified<W> {
        let (one, two, four) = (W::literal(1.0), W::literal(2.0), W::literal(4.0));
        let t = updates.next();
        let bias_correction2 = beta2.bias_correction(t);
        let longest = two / (one - beta2) - one;
        let length = longest - two * t.scalar() * (one - bias_correction2) / bias_correction2;
        let variance = (length - four) * (length - two) * longest / ((longest - four) * (longest - two) * length);
        Rectified { bias_correction2, length, factor: variance.sqrt() }
    }
}
