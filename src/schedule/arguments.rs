//! The arguments of a schedule, each with its place: the name that it has in errors and in files, e.g. `then[1].cosine.over`.

use super::form::{Form, Milestones, Shape};
use super::number::{Number, Steps};
use super::{Schedule, StepList};
use crate::error::{number, quoted};

/// Places and values, up to so many of them: a table may have a million.
#[derive(Debug)]
struct Arguments {
    all: Vec<(String, String)>,
    most: usize,
}

impl Schedule {
    /// The places of its numbers and counts with the values that were given, or the names of knobs: the first `most`.
    pub(crate) fn arguments(&self, most: usize) -> Vec<(String, String)> {
        let mut arguments = Arguments { all: Vec::new(), most };
        arguments.of(self, "");
        arguments.all
    }
}

impl Arguments {
    fn add(&mut self, place: impl FnOnce() -> String, value: impl FnOnce() -> String) {
        if self.all.len() < self.most {
            self.all.push((place(), value()));
        }
    }

    fn number(&mut self, path: &str, name: &str, value: &Number) {
        self.add(|| format!("{path}{name}"), || real(value));
    }

    fn steps(&mut self, path: &str, name: &str, value: &Steps) {
        self.add(|| format!("{path}{name}"), || count(value));
    }

    fn list(&mut self, path: &str, name: &str, steps: &StepList) {
        for (i, step) in steps.iter().enumerate().take(self.most) {
            self.add(|| format!("{path}{name}[{i}]"), || count(&step));
        }
    }

    fn values(&mut self, path: &str, name: &str, values: &[f64]) {
        for (i, value) in values.iter().enumerate().take(self.most) {
            self.add(|| format!("{path}{name}[{i}]"), || number(*value));
        }
    }

    /// Those of `schedule`, whose place is `path` with a point at its end.
    fn of(&mut self, schedule: &Schedule, path: &str) {
        let numbers = |all: &mut Arguments, form: &str, given: &[(&str, &Number)]| {
            given.iter().for_each(|(name, value)| all.number(path, &format!("{form}.{name}"), value));
        };
        let inner = |all: &mut Arguments, name: &str, schedule: &Schedule| all.of(schedule, &format!("{path}{name}."));
        match &schedule.0 {
            Form::Constant(value) => self.number(path, "constant", value),
            Form::Step => {}
            Form::Ramp { shape, from, to, over } => {
                let name = shape.name();
                numbers(self, name, &[("from", from), ("to", to)]);
                match shape {
                    Shape::CosinePower { exponent, k } => numbers(self, name, &[("exponent", exponent), ("k", k)]),
                    Shape::Polynomial { power } | Shape::PowerRise { power } => {
                        numbers(self, name, &[("power", power)])
                    }
                    Shape::PolynomialK { power, k } => numbers(self, name, &[("power", power), ("k", k)]),
                    Shape::Tanh { start, end } => numbers(self, name, &[("start", start), ("end", end)]),
                    Shape::Rex { d } => numbers(self, name, &[("d", d)]),
                    Shape::Linear | Shape::Cosine | Shape::Exponential | Shape::HalfLife | Shape::LogRise => {}
                }
                self.steps(path, &format!("{name}.over"), over);
            }
            Form::Exponential { init, factor } => {
                numbers(self, "exponential_decay", &[("init", init), ("factor", factor)]);
            }
            Form::StepDecay { init, factor, every } => {
                numbers(self, "step_decay", &[("init", init), ("factor", factor)]);
                self.steps(path, "step_decay.every", every);
            }
            Form::MultiStep { init, factor, milestones } => {
                numbers(self, "multi_step", &[("init", init), ("factor", factor)]);
                match milestones {
                    Milestones::Steps(steps) => self.list(path, "multi_step.milestones", steps),
                    Milestones::Fractions { of, at } => {
                        self.steps(path, "multi_step.total_steps", of);
                        self.values(path, "multi_step.milestones", at);
                    }
                }
            }
            Form::InverseSqrt { init, timescale } => {
                numbers(self, "inverse_sqrt", &[("init", init), ("timescale", timescale)]);
            }
            Form::InverseTime { init, rate } => numbers(self, "inverse_time", &[("init", init), ("rate", rate)]),
            Form::PowerLaw { factor, exponent, shift } => {
                numbers(self, "power_law", &[("factor", factor), ("exponent", exponent), ("shift", shift)]);
            }
            Form::Piecewise { between, steps, values } => {
                let name = between.name();
                self.list(path, &format!("{name}.steps"), steps);
                self.values(path, &format!("{name}.values"), values);
            }
            Form::Over { inner: of, steps } => {
                self.steps(path, "over.steps", steps);
                inner(self, "over", of);
            }
            Form::Then(pieces) => {
                for (i, piece) in pieces.iter().enumerate() {
                    inner(self, &format!("then[{i}]"), piece);
                }
            }
            Form::Join { pieces, boundaries } => {
                for (i, boundary) in boundaries.iter().enumerate() {
                    self.steps(path, &format!("join.boundaries[{i}]"), boundary);
                }
                for (i, piece) in pieces.iter().enumerate() {
                    inner(self, &format!("join.pieces[{i}]"), piece);
                }
            }
            Form::Delay { inner: of, steps } => {
                self.steps(path, "delay.steps", steps);
                inner(self, "delay", of);
            }
            Form::Every { inner: of, steps } => {
                self.steps(path, "every.steps", steps);
                inner(self, "every", of);
            }
            Form::Warmup { inner: of, form: _, steps } => {
                self.steps(path, "warmup.steps", steps);
                inner(self, "warmup", of);
            }
            Form::Clamp { inner: of, min, max } => {
                numbers(self, "clamp", &[("min", min), ("max", max)]);
                inner(self, "clamp", of);
            }
            Form::Repeat { inner: of, times } => {
                if let Some(times) = times {
                    self.add(|| format!("{path}repeat.times"), || times.to_string());
                }
                inner(self, "repeat", of);
            }
            Form::Progress(of) => inner(self, "on_progress", of),
            Form::Unary { op, of } => inner(self, op.name(), of),
            Form::PowInt { base, exponent } => {
                self.add(|| format!("{path}pow_int.exponent"), || exponent.to_string());
                inner(self, "pow_int", base);
            }
            Form::Binary { op, left, right } => {
                inner(self, &format!("{}[0]", op.name()), left);
                inner(self, &format!("{}[1]", op.name()), right);
            }
            Form::Select { condition, then, otherwise } => {
                inner(self, "select.condition", condition);
                inner(self, "select.then", then);
                inner(self, "select.otherwise", otherwise);
            }
        }
    }
}

fn real(value: &Number) -> String {
    match value {
        Number::Literal(value) => number(*value),
        Number::Knob { name, .. } => format!("knob {}", quoted(name)),
        Number::Reached => "the value reached".to_owned(),
    }
}

fn count(steps: &Steps) -> String {
    steps.text(&|part| match part {
        Steps::Literal(value) => value.to_string(),
        Steps::Knob { name, .. } => format!("knob {}", quoted(name)),
        Steps::Sum(_) => String::new(), // its parts are asked for
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::schedule::{knob, knob_steps};

    fn lines(schedule: &Schedule, most: usize) -> String {
        let all = schedule.arguments(most);
        all.iter().map(|(place, value)| format!("{place} {value}")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_argument_has_its_place_and_the_value_that_was_given() {
        let cosine = Schedule::cosine(knob("peak", 0.1), 1e-5).over(knob_steps("total", 90));
        let schedule = cosine.warmup(10).then(Schedule::constant(0.5).over(3) * 2.0).clamp(0.0, 1.0);
        let expected = "clamp.min 0\nclamp.max 1\nclamp.then[0].warmup.steps 10\n\
                        clamp.then[0].warmup.cosine.from knob \"peak\"\nclamp.then[0].warmup.cosine.to 1e-5\n\
                        clamp.then[0].warmup.cosine.over knob \"total\"\nclamp.then[1].product[0].over.steps 3\n\
                        clamp.then[1].product[0].over.constant 0.5\nclamp.then[1].product[1].constant 2";
        assert_eq!(lines(&schedule, 99), expected);
        assert_eq!(lines(&schedule, 2), "clamp.min 0\nclamp.max 1");
    }

    #[test]
    fn a_sum_of_counts_is_told_by_its_parts() {
        let rest = knob_steps("total", 90) - (knob_steps("warmup", 10) + 5) + 2;
        let text = lines(&Schedule::constant(0.5).over(rest), 9);
        assert_eq!(text, "over.steps knob \"total\" + 2 - knob \"warmup\" - 5\nover.constant 0.5");
    }

    #[test]
    fn a_place_is_the_one_that_an_error_names() {
        let bad = f64::NAN;
        let cases = [
            Schedule::rex(1.0, 0.0, bad).over(5),
            Schedule::multi_step_fractions(0.1, bad, 5, [0.5]),
            Schedule::piecewise_linear([1, 2], [0.1, bad]),
            Schedule::join([0.1.into(), Schedule::power_law(1.0, bad, 1.0)], [3u64]),
            Schedule::constant(0.1).over(5).warmup(-1),
            Schedule::constant(0.1).delay(4).every(-1),
            Schedule::linear(bad, 0.0).over(5).repeat().abs().pow_int(2),
            Schedule::constant(1.0).less(2.0).select(bad, 1.0).on_progress(),
        ];
        for schedule in cases {
            let Err(Error::Argument { argument, value, .. }) = schedule.at(0) else { panic!("{schedule:?}") };
            assert!(schedule.arguments(99).contains(&(argument.clone(), value)), "{argument} of {schedule:?}");
        }
    }
}
