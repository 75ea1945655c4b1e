//! Rules as loops: a rule in Rust over a few f32 side by side, compiled for AVX2 and FMA where the CPU has them, and the same
//! for interpreted ones.

use std::ops::Range;
use std::sync::Arc;

use super::memory::{Work, has_fma, with_fma};
use crate::error::Result;
use crate::rule::tape::{Interpreted, present, trace};
use crate::rule::{
    Code, Element, Fields, Lanes, Loop, MAX_SUMS, Moment, Rule, Scalars, Step, TapeRule, Term, Terms, Traced, Values,
    WIDTH, Wide,
};

/// What the optimizer needs of a rule in Rust, or the first thing that is wrong with it.
pub(crate) fn traced<R: Rule>(rule: &R) -> Result<Traced> {
    rule.check()?;
    let tape = trace(rule)?;
    let (_, places) = present(rule.streams().as_slice());
    let places = places.into_iter().map(|place| place.map(|place| place as usize)).collect();
    let code = Arc::new(Native { rule: rule.clone(), places, interpreted: Interpreted::new(&tape) });
    let (hyperparameters, named) = (rule.hyperparameters().into_vec(), vec![(tape.name.clone(), rule.named())]);
    Ok(Traced { name: None, tape, identity: rule.identity(), code, hyperparameters, metric: rule.metric(), named })
}

/// The same of a rule that was read.
pub(crate) fn traced_tape(rule: &TapeRule) -> Result<Traced> {
    let (tape, hyperparameters) = (rule.tape.clone(), rule.hyperparameters()?);
    let (code, named) = (Arc::new(Interpreted::new(&tape)), vec![(tape.name.clone(), None)]);
    let identity = rule.identity.clone();
    Ok(Traced { name: None, tape, identity, code, hyperparameters, metric: rule.metric, named })
}

#[derive(Debug)]
struct Native<R> {
    rule: R,
    /// Of all streams of the rule, the place among those that are there.
    places: Vec<Option<usize>>,
    /// For a CPU without FMA: each loop is compiled once.
    interpreted: Interpreted,
}

impl<R: Rule> Code for Native<R> {
    fn resolve(&self, moment: &Moment<'_>) -> Values {
        let given = R::Hyperparameters::<f64>::from_fn(|k| moment.hyperparameters[k]);
        let mut next = vec![None; moment.memory.len()];
        let Moment { updates, memory, sums, lens, .. } = *moment;
        let mut step = Step::<f64> { updates, memory, sums, lens, next: &mut next };
        let mut scalars = Vec::with_capacity(R::Scalars::<f32>::NAMES.len());
        self.rule.resolve::<f64>(given, &mut step).each(|scalar| scalars.push(scalar));
        Values { scalars, memory: next.into_iter().map(|next| next.unwrap_or(f64::NAN)).collect() }
    }

    fn apply(&self, lanes: Lanes<'_, '_>, scalars: &[f32]) {
        let Lanes { param, grad, streams } = lanes;
        let is_prefix = self.places.iter().enumerate().all(|(k, place)| place.is_none_or(|place| place == k));
        if is_prefix && streams.len() >= R::FEWEST_STREAMS {
            return with_fma((&self.rule, Apply { param, grad, streams, scalars }), |(_, apply)| {
                let Apply { param, grad, streams, scalars } = apply;
                self.interpreted.apply(Lanes { param, grad, streams }, scalars);
            });
        }
        if !has_fma() {
            return self.interpreted.apply(Lanes { param, grad, streams }, scalars);
        }
        // Some are left out, for which no loop was compiled: elements of nobody stand in for them.
        let (mut spare, mut given) = (vec![vec![0.0; param.len()]; self.places.len()], streams.iter_mut());
        let all = self.places.iter().zip(&mut spare).map(|(place, spare)| match place {
            Some(_) => given.next().map_or(&mut **spare, |stream| &mut **stream),
            None => &mut **spare,
        });
        let mut all: Vec<&mut [f32]> = all.collect();
        with_fma((&self.rule, Apply { param, grad, streams: &mut all, scalars }), drop);
    }

    fn measure(&self, param: &[f32], grad: &[f32], streams: &[&[f32]], scalars: &[f32], terms: &mut [[Vec<f32>; 2]]) {
        let rule = &self.rule;
        with_fma(Measure { rule, places: &self.places, param, grad, streams, scalars, terms }, |measure| {
            let Measure { param, grad, streams, scalars, terms, .. } = measure;
            Code::measure(&self.interpreted, param, grad, streams, scalars, terms);
        });
    }

    fn show(&self, param: &mut [f32], streams: &[&[f32]], scalars: &[f32]) {
        with_fma(Show { rule: &self.rule, places: &self.places, param, streams, scalars }, |show| {
            Code::show(&self.interpreted, show.param, show.streams, show.scalars);
        });
    }
}

struct Apply<'a, 'b> {
    param: &'a mut [f32],
    grad: &'a [f32],
    streams: &'a mut [&'b mut [f32]],
    scalars: &'a [f32],
}

impl<R: Rule> Work for (&R, Apply<'_, '_>) {
    #[inline(always)]
    fn run(self) {
        self.0.with_constants(self.1);
    }
}

impl<R: Rule> Loop<R> for Apply<'_, '_> {
    #[inline(always)]
    fn run(self, rule: &R) {
        // How many streams there are is a constant of each loop.
        match self.streams.len() {
            few if few < R::FEWEST_STREAMS => {}
            0 => self.of::<R, 0>(rule),
            1 => self.of::<R, 1>(rule),
            2 => self.of::<R, 2>(rule),
            3 => self.of::<R, 3>(rule),
            4 => self.of::<R, 4>(rule),
            5 => self.of::<R, 5>(rule),
            _ => self.of::<R, 6>(rule),
        }
    }
}

impl Apply<'_, '_> {
    #[inline(always)]
    fn of<R: Rule, const PRESENT: usize>(self, rule: &R) {
        let Apply { param, grad, streams, scalars } = self;
        if PRESENT < R::FEWEST_STREAMS || PRESENT > R::Streams::<f32>::LEN {
            return;
        }
        let Ok(streams) = <&mut [&mut [f32]; PRESENT]>::try_from(streams) else { return };
        // All as long as each other, as the compiler sees: no access is checked.
        let len = param.len();
        let (grad, streams) = (&grad[..len], streams.each_mut().map(|stream| &mut stream[..len]));
        apply(rule, &R::Scalars::<Wide>::from_fn(|k| Wide::literal(scalars[k])), param, grad, streams);
    }
}

/// The loop. A function with these arguments, though it is inlined: the compiler then knows that no element lies in the rule or
/// among the scalars, which it need not load anew. AdamW, 32 Ki elements, EPYC, one core: 20 us; over f32 itself 89.
#[inline(always)]
fn apply<R: Rule, const PRESENT: usize>(
    rule: &R,
    scalars: &R::Scalars<Wide>,
    param: &mut [f32],
    grad: &[f32],
    mut streams: [&mut [f32]; PRESENT],
) {
    let whole = param.len() - param.len() % WIDTH;
    for begin in (0..whole).step_by(WIDTH) {
        some(rule, scalars, param, grad, &mut streams, begin..begin + WIDTH);
    }
    if whole < param.len() {
        let rest = whole..param.len();
        some(rule, scalars, param, grad, &mut streams, rest);
    }
}

/// As many elements as stand side by side, or fewer.
#[inline(always)]
fn some<R: Rule, const PRESENT: usize>(
    rule: &R,
    scalars: &R::Scalars<Wide>,
    param: &mut [f32],
    grad: &[f32],
    streams: &mut [&mut [f32]; PRESENT],
    some: Range<usize>,
) {
    let old = R::Streams::<Wide>::from_fn(|k| match k < PRESENT {
        true => Wide::load(&streams[k][some.clone()]),
        false => Wide::literal(0.0),
    });
    let (p, g) = (Wide::load(&param[some.clone()]), Wide::load(&grad[some.clone()]));
    let (p, new) = rule.apply(scalars, p, g, old);
    p.store(&mut param[some.clone()]);
    for (stream, new) in streams.iter_mut().zip(new.as_slice()) {
        new.store(&mut stream[some.clone()]);
    }
}

struct Measure<'a, R> {
    rule: &'a R,
    places: &'a [Option<usize>],
    param: &'a [f32],
    grad: &'a [f32],
    streams: &'a [&'a [f32]],
    scalars: &'a [f32],
    terms: &'a mut [[Vec<f32>; 2]],
}

impl<R: Rule> Work for Measure<'_, R> {
    #[inline(always)]
    fn run(self) {
        let Measure { rule, places, param, grad, streams, scalars, terms } = self;
        let scalars = R::Scalars::<f32>::from_fn(|k| scalars[k]);
        for (i, (param, grad)) in param.iter().zip(grad).enumerate() {
            let old = R::Streams::<f32>::from_fn(|k| places[k].map_or(0.0, |place| streams[place][i]));
            let mut of_element = Terms::new();
            rule.measure(&scalars, *param, *grad, old, &mut of_element);
            debug_assert!(terms.len() <= MAX_SUMS);
            for ([left, right], term) in terms.iter_mut().zip(of_element.terms) {
                (left[i], right[i]) = match term {
                    Some(Term::Product(x, y)) => (x, y),
                    Some(Term::Value(x)) => (x, 1.0),
                    None => (f32::NAN, 1.0),
                };
            }
        }
    }
}

struct Show<'a, R> {
    rule: &'a R,
    places: &'a [Option<usize>],
    param: &'a mut [f32],
    streams: &'a [&'a [f32]],
    scalars: &'a [f32],
}

impl<R: Rule> Work for Show<'_, R> {
    #[inline(always)]
    fn run(self) {
        let Show { rule, places, param, streams, scalars } = self;
        let scalars = R::Scalars::<f32>::from_fn(|k| scalars[k]);
        for (i, param) in param.iter_mut().enumerate() {
            let all = R::Streams::<f32>::from_fn(|k| places[k].map_or(0.0, |place| streams[place][i]));
            *param = rule.show(&scalars, *param, all).unwrap_or(*param);
        }
    }
}

impl Code for Interpreted {
    fn resolve(&self, moment: &Moment<'_>) -> Values {
        Interpreted::resolve(self, moment)
    }

    fn apply(&self, lanes: Lanes<'_, '_>, scalars: &[f32]) {
        with_fma(Interpret { tape: self, lanes, scalars }, Work::run);
    }

    fn measure(&self, param: &[f32], grad: &[f32], streams: &[&[f32]], scalars: &[f32], terms: &mut [[Vec<f32>; 2]]) {
        let given: Vec<&[f32]> = [param, grad].into_iter().chain(streams.iter().copied()).collect();
        with_fma(InterpretMeasure { tape: self, given: &given, scalars, terms }, Work::run);
    }

    fn show(&self, param: &mut [f32], streams: &[&[f32]], scalars: &[f32]) {
        let before = param.to_vec();
        // There is no gradient, and nothing follows from one.
        let given: Vec<&[f32]> = [&before[..]; 2].into_iter().chain(streams.iter().copied()).collect();
        self.show(&given, scalars, param);
    }
}

struct Interpret<'a, 'b> {
    tape: &'a Interpreted,
    lanes: Lanes<'a, 'b>,
    scalars: &'a [f32],
}

impl Work for Interpret<'_, '_> {
    #[inline(always)]
    fn run(self) {
        self.tape.apply(self.lanes, self.scalars);
    }
}

struct InterpretMeasure<'a> {
    tape: &'a Interpreted,
    given: &'a [&'a [f32]],
    scalars: &'a [f32],
    terms: &'a mut [[Vec<f32>; 2]],
}

impl Work for InterpretMeasure<'_> {
    #[inline(always)]
    fn run(self) {
        self.tape.measure(self.given, self.scalars, self.terms);
    }
}
