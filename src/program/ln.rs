//! The natural logarithm of a constant as an unevaluated sum `hi + lo`, about 100 bits: what `t · ln γ` needs to stay
//! accurate when `t` is in the billions. Runs at lowering only, so it may be slow.

/// An unevaluated sum of two f64 with |lo| ≤ ulp(hi) / 2.
#[derive(Clone, Copy)]
struct Pair {
    hi: f64,
    lo: f64,
}

impl Pair {
    fn sum(a: f64, b: f64) -> Pair {
        let hi = a + b;
        let v = hi - a;
        Pair { hi, lo: (a - (hi - v)) + (b - v) }
    }

    fn add(self, other: Pair) -> Pair {
        let s = Pair::sum(self.hi, other.hi);
        Pair::sum(s.hi, s.lo + self.lo + other.lo)
    }

    fn mul(self, other: Pair) -> Pair {
        let hi = self.hi * other.hi;
        let lo = self.hi.mul_add(other.hi, -hi) + self.hi * other.lo + self.lo * other.hi;
        Pair::sum(hi, lo)
    }

    fn div(self, other: Pair) -> Pair {
        let q = self.hi / other.hi;
        let r = self.add(other.mul(Pair { hi: -q, lo: 0.0 }));
        Pair::sum(q, r.hi / other.hi)
    }
}

const LN_2: Pair = Pair { hi: std::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };

/// ln `x` for a positive, finite `x`, as (hi, lo).
pub(super) fn ln_pair(x: f64) -> (f64, f64) {
    let mut k = 0.0;
    let mut m = x;
    while m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        k += 1.0;
    }
    while m < std::f64::consts::FRAC_1_SQRT_2 {
        m *= 2.0;
        k -= 1.0;
    }
    // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| ≤ 0.172: 24 terms leave less than 2^-120.
    let one = Pair { hi: 1.0, lo: 0.0 };
    let m = Pair { hi: m, lo: 0.0 };
    let s = m.add(Pair { hi: -1.0, lo: 0.0 }).div(m.add(one));
    let z = s.mul(s);
    let mut p = Pair { hi: 0.0, lo: 0.0 };
    for n in (0..24).rev() {
        p = p.mul(z).add(one.div(Pair { hi: f64::from(2 * n + 1), lo: 0.0 }));
    }
    let two_s = Pair { hi: 2.0 * s.hi, lo: 2.0 * s.lo };
    let ln = two_s.mul(p).add(LN_2.mul(Pair { hi: k, lo: 0.0 }));
    (ln.hi, ln.lo)
}

#[cfg(test)]
mod tests {
    use approx::{abs_diff_eq, assert_abs_diff_eq};

    use super::ln_pair;

    #[test]
    fn hi_is_the_rounded_logarithm_and_lo_is_the_rest() {
        // (x, the f64 nearest to ln x, the f64 nearest to what is left), computed with 200 bits.
        for (x, hi, lo) in [
            (0.1, -2.302_585_092_994_045_5, -1.715_024_362_805_798_5e-16),
            (0.999, -0.001_000_500_333_583_534_4, -2.564_477_700_367_779_8e-20),
            (0.999_999_9, -1.000_000_049_473_647_4e-7, -5.529_865_283_193_222e-24),
            (1e-30, -69.077_552_789_821_37, -2.286_179_106_246_918e-15),
            (3.0, 1.098_612_288_668_109_8, -9.071_297_235_001_53e-17),
            (1.0, 0.0, 0.0),
        ] {
            let (h, l) = ln_pair(x);
            let close = h == hi && abs_diff_eq!(l, lo, epsilon = h.abs() * 1e-31);
            assert!(close, "ln {x}: {h:e} + {l:e}, expected {hi:e} + {lo:e}");
        }
        // ln(a²) = 2 ln a holds to about 100 bits where a² is exact.
        let (a, b) = (ln_pair(0.998_046_875), ln_pair(0.998_046_875 * 0.998_046_875));
        let gap = (b.0 - 2.0 * a.0) + (b.1 - 2.0 * a.1);
        assert_abs_diff_eq!(gap, 0.0, epsilon = 1e-33);
    }
}
