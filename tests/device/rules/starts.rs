//! Streams that start from the parameter, from the first gradient and from a value, and one that an option leaves out.

use instep::rule::{Count, Element, Hyperparameter, Range, Rule, Scalar, Start, Step, Stream};
use instep::{Schedule, Stream as Queue, scalars};

use super::{both, shapes};
use crate::rig::Rig;
use crate::sides::{Group, Sides};
use crate::values::Random;

/// Pulls each parameter back to where it began, with the change of its gradient and the largest one so far.
#[derive(Debug, Clone)]
pub struct Anchored {
    pub lr: Schedule,
    pub momentum: bool,
}

scalars! { pub AnchoredScalars { rate, pull, keep, share } }

impl Rule for Anchored {
    const NAME: &'static str = "anchored";
    type Hyperparameters<T> = [T; 1];
    type Streams<T> = [T; 4];
    type Scalars<T> = AnchoredScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 1] {
        [Hyperparameter::new("lr", &self.lr, Range::NotNegative)]
    }

    fn streams(&self) -> [Stream; 4] {
        [
            Stream::new("anchor").starts(Start::Param).exact().read_only(),
            Stream::new("momentum").only_if(self.momentum),
            Stream::new("former").starts(Start::FirstGradient).exact(),
            Stream::new("peak").starts(Start::Value(0.25)).not_negative(),
        ]
    }

    fn resolve<W: Scalar>(&self, [lr]: [W; 1], step: &mut Step<'_, W>) -> AnchoredScalars<W::Element> {
        let (updates, one) = (step.updates(), W::literal(1.0));
        let early = updates.less(2);
        let share = W::select(early & !updates.is(0), W::literal(0.25), one / updates.next().scalar());
        AnchoredScalars {
            rate: lr.round(),
            pull: (lr * W::literal(0.5)).round(),
            keep: W::select(early, W::literal(0.0), W::literal(0.9)).round(),
            share: share.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AnchoredScalars<E>, p: E, g: E, streams: [E; 4]) -> (E, [E; 4]) {
        let [anchor, momentum, former, peak] = streams;
        let new_peak = peak.max(g.abs()).named("peak");
        let mut change = s.share.fma(g - former, g);
        let mut new = momentum;
        if self.momentum {
            new = s.keep.fma(momentum, change).named("new_momentum");
            change = new;
        }
        let pulled = s.pull.fma(anchor - p, p).named("pulled");
        ((-s.rate).fma(change / new_peak, pulled), [anchor, new, g, new_peak])
    }
}

#[test]
fn streams_start_where_they_are_said_to_and_not_with_an_update_that_is_skipped() {
    let Some(rig) = Rig::new() else { return };
    let lr = || Schedule::linear(0.5, 0.1).over(3);
    for form in 0..2 {
        // Each form in an optimizer of its own: groups with one tape run as the first of them does.
        let adds = [false, true].map(|momentum| {
            let [rust, text] = both(Anchored { lr: lr(), momentum }, &[("lr", lr())]);
            if form == 0 { rust } else { text }
        });
        let groups: Vec<Group<'_>> = adds.iter().map(|(_, add)| (&**add as _, shapes())).collect();
        for draw in [Random::wild, Random::units] {
            // SAFETY: the flag outlives the optimizers.
            let mut sides = Sides::new(&rig, draw, &groups, |builder, found| unsafe { builder.found_inf(found) });
            // The first update is skipped, twice; gradients are new each time.
            for (call, found) in [1.0, f32::NAN, 0.0, 0.0, 1.0, 0.0, 0.0].into_iter().enumerate() {
                sides.set_found(found);
                sides.step();
                sides.assert_equal(&format!("{}, call {call}", adds[0].0));
                sides.renew(None);
            }
            let status = sides.host.status(&Queue::host()).unwrap();
            assert_eq!((status.t, status.skipped), (4, 3));
            let first_of = |group: usize| sides.host.tensors().nth(group * shapes().len()).unwrap();
            let names = |group| first_of(group).states.into_iter().map(|state| state.name).collect::<Vec<_>>();
            assert_eq!(names(0), ["anchor", "former", "peak"]);
            assert_eq!(names(1), ["anchor", "momentum", "former", "peak"]);
        }
    }
}
