//! Every operation of the algebra, on elements and in `resolve`, over values of every kind.

use instep::rule::{Count, Element, Hyperparameter, Range, Rule, Scalar, Step, Stream, Tape, TapeRule};
use instep::{OptimizerBuilder, Schedule, Tensor, scalars};

use super::{both, shapes};
use crate::rig::Rig;
use crate::sides::{Group, Sides};
use crate::values::Random;

/// No rule that anybody would train with.
#[derive(Debug, Clone)]
struct Words {
    lr: Schedule,
    tilt: Schedule,
}

scalars! { WordsScalars { rate, tilt, early, late, curve } }

impl Rule for Words {
    const NAME: &'static str = "words";
    type Hyperparameters<T> = [T; 2];
    type Streams<T> = [T; 3];
    type Scalars<T> = WordsScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 2] {
        [
            Hyperparameter::new("lr", &self.lr, Range::NotNegative),
            Hyperparameter::new("tilt", &self.tilt, Range::Any).default(-0.5),
        ]
    }

    fn streams(&self) -> [Stream; 3] {
        [Stream::new("low"), Stream::new("curve_of"), Stream::new("mark")]
    }

    fn resolve<W: Scalar>(&self, [lr, tilt]: [W; 2], step: &mut Step<'_, W>) -> WordsScalars<W::Element> {
        let (updates, one, half) = (step.updates(), W::literal(1.0), W::literal(0.5));
        let count = updates.next().scalar();
        let tame = tilt.abs().max(W::literal(-0.25)).min(count);
        let curve = (-(-tame)).exp() - tame.pow(half) + (tame + one).ln() * tame.sqrt() / count;
        let bend = tilt.less(W::literal(0.0)) | tilt.less_equal(one) & !tilt.equal(half);
        let fresh = updates.less(2) & !updates.is(1) | updates.next().is(4);
        WordsScalars {
            rate: lr.round(),
            tilt: (-tilt).round(),
            early: W::select(fresh, tilt.bias_correction(updates.next()), one - tilt).round(),
            late: W::select(bend, W::literal(f64::INFINITY), half.fma(count, tilt)).round(),
            curve: curve.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &WordsScalars<E>, p: E, g: E, [low, curve, mark]: [E; 3]) -> (E, [E; 3]) {
        let (zero, one) = (E::literal(-0.0), E::literal(1.0));
        let new_low = low.min(g).max(E::literal(f32::MIN_POSITIVE) * p);
        let size = g.abs().min(s.late).named("size");
        let new_curve = (-size).exp() + (size + one).ln() - size.pow(s.tilt) * (-(-curve)).sqrt();
        let raw = g.exp().min(p.ln()).max(p.pow(g));
        let rises = p.less(g) | mark.equal(zero);
        let holds = g.less_equal(low) & !p.equal(g) | !rises;
        let new_mark = E::select(holds, E::select(rises, raw, -E::literal(-1e-42)), E::literal(f32::NEG_INFINITY));
        let step = E::select(!holds & rises, s.early * new_low / (size + s.curve), new_curve);
        ((-s.rate).fma(step, p), [new_low, new_curve, new_mark])
    }
}

#[test]
fn every_operation_gives_the_hosts_bits_on_values_of_every_kind() {
    let Some(rig) = Rig::new() else { return };
    let (lr, tilt) = (|| Schedule::linear(0.01, 0.1).over(4), || Schedule::linear(-1.0, 1.5).over(5));
    let forms = both(Words { lr: lr(), tilt: tilt() }, &[("lr", lr()), ("tilt", tilt())]);
    // Each form in an optimizer of its own: groups with one tape run as the first of them does.
    for (form, add) in &forms {
        let groups: [Group<'_>; 1] = [(&**add, shapes())];
        [Random::wild, Random::spread].into_iter().for_each(|draw| run(&rig, draw, &groups, form));
    }
}

/// Seven calls, the first and the fourth of which are skipped.
fn run(rig: &Rig, draw: fn(&mut Random, usize) -> Vec<f32>, groups: &[Group<'_>], what: &str) {
    // SAFETY: the flag outlives the optimizers.
    let mut sides = Sides::new(rig, draw, groups, |builder, found| unsafe { builder.found_inf(found) });
    for call in 0..7 {
        sides.set_found(if call == 0 || call == 3 { 1.0 } else { 0.0 });
        sides.step();
        sides.assert_equal(&format!("{what}, call {call}"));
        sides.renew(None);
    }
}

#[test]
fn a_text_with_a_line_of_every_kind_gives_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let tape = Tape::parse(include_str!("../../pure/rules/everything.txt")).unwrap();
    let rule = TapeRule::new(tape).set("lr", Schedule::linear(0.01, 0.1).over(4)).set("tilt", 0.25);
    let add = move |builder: OptimizerBuilder, tensors: &[Tensor]| builder.group(rule.clone(), tensors);
    let groups: [Group<'_>; 2] = [(&add, shapes()), (&add, shapes())];
    [Random::spread, Random::wild].into_iter().for_each(|draw| run(&rig, draw, &groups, "everything"));
}
