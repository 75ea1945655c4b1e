//! What follows from sums and counts in ways that are easily taken for another: the length of a sum alone, a correction that the
//! group's memory counts by its own clock, a correction of the rate that a metric rule scales.

use instep::rule::{
    Count, Element, Hyperparameter, Of, Over, Range, Remembered, Rule, Scalar, Step, Stream, Sum, Terms,
};
use instep::{Metric, OptimizerBuilder, Plateau, Schedule, Tensor, scalars};

use crate::rig::Rig;
use crate::sides::{Group, Sides};
use crate::values::Random;

scalars! { pub EdgeScalars { rate, share, mean } }

#[derive(Debug, Clone)]
struct Edges {
    lr: Schedule,
}

impl Rule for Edges {
    const NAME: &'static str = "edges";
    type Hyperparameters<T> = [T; 2];
    type Streams<T> = [T; 1];
    type Scalars<T> = EdgeScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 2] {
        let beta = Hyperparameter::new("beta", &0.75.into(), Range::BelowOne);
        [Hyperparameter::new("lr", &self.lr, Range::BelowOne), beta]
    }

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("exp_avg")]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("square", Over::Tensor), Sum::new("magnitude", Over::Group)]
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("mean", Of::Group, 0.5), Remembered::new("last", Of::Tensor, 0.0)]
    }

    fn metric(&self) -> Option<Metric> {
        Some(Plateau::new().factor(0.5).patience(0).into())
    }

    fn resolve<W: Scalar>(&self, [lr, beta]: [W; 2], step: &mut Step<'_, W>) -> EdgeScalars<W::Element> {
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let mean = step.sum(1) / step.len(1) / beta.bias_correction(updates);
        let mean = beta.fma(step.remembered(0), (one - beta) * mean);
        step.remember(0, mean);
        let square = step.sum(0);
        step.remember(1, square);
        EdgeScalars {
            rate: (lr / (lr.bias_correction(updates) * beta.bias_correction(updates))).round(),
            share: (one / step.len(0)).round(),
            mean: mean.round(),
        }
    }

    fn measure<E: Element>(&self, _: &EdgeScalars<E>, _: E, g: E, _: [E; 1], terms: &mut Terms<E>) {
        terms.add_product(0, g, g);
        terms.add(1, g.abs());
    }

    fn apply<E: Element>(&self, s: &EdgeScalars<E>, p: E, g: E, [m]: [E; 1]) -> (E, [E; 1]) {
        let m = (m + s.share * g).named("m");
        (p - s.rate * (m + s.mean * g), [m])
    }
}

/// Cohorts of several bases, the first one too.
fn edges(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    let updates = |i: usize| [5, 0, 2][i % 3];
    let tensors: Vec<Tensor> = tensors.iter().enumerate().map(|(i, t)| t.clone().updates(updates(i))).collect();
    builder.group(Edges { lr: Schedule::linear(0.5, 0.1).over(9) }, &tensors)
}

#[test]
fn lengths_alone_and_corrections_of_groups_and_scaled_rates_have_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let groups: [Group<'_>; 1] = [(&edges, vec![(7, (0, 0)), (4_100, (0, 1)), (33, (2, 0)), (1_100, (0, 0))])];
    let mut sides = Sides::new(&rig, Random::units, &groups, |builder, _| builder);
    for call in 0..8 {
        if call % 2 == 1 {
            // SAFETY: a value has no address.
            unsafe { sides.device.observe(1.0, &rig.stream) }.unwrap();
            // SAFETY: as above.
            unsafe { sides.host.observe(1.0, &instep::Stream::host()) }.unwrap();
        }
        sides.renew(None);
        sides.step();
        sides.assert_equal(&format!("call {call}"));
        assert!(sides.params().iter().all(|p| p.is_finite()), "call {call}");
    }
    assert!(sides.host.status(&instep::Stream::host()).unwrap().metric(0).unwrap().scale < 0.5, "the rule acted");
}
