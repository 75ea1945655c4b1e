//! A schedule in words: what happens from which step to which, with the values at both. For people; the wording may change.

use super::form::{Between, Binary, Form, Milestones, Shape, Unary};
use super::number::{Number, Steps};
use super::{Schedule, StepList, Warmup};
use crate::error::{Result, number};

/// A stretch of steps with one description. `len` is None for what has no end. A start past u64 never comes.
struct Piece {
    start: u128,
    len: Option<u64>,
    /// The length as it was given, where it was.
    span: Option<String>,
    words: String,
}

impl Schedule {
    /// The schedule in words, a line for each piece with its steps and the values at both ends, and one for what comes
    /// after the last. Errors as when an optimizer is built.
    ///
    /// ```
    /// let lr = instep::Schedule::cosine(3e-4, 3e-5).over(1_800).warmup(200);
    /// assert_eq!(
    ///     lr.explain()?,
    ///     "steps 0 to 199: linear warm-up from 0 (0 to 0.0002985)\n\
    ///      steps 200 to 1999: half a cosine from 0.0003 to 3e-5 (0.0003 to 3.000021e-5)\n\
    ///      from step 2000 on: 3e-5\n"
    /// );
    /// # Ok::<(), instep::Error>(())
    /// ```
    pub fn explain(&self) -> Result<String> {
        let total = self.len()?;
        let mut pieces = Vec::new();
        self.pieces(0, &mut pieces);
        let shown = pieces.into_iter().filter(|piece| piece.len != Some(0));
        let shown: Vec<(u64, Piece)> =
            shown.map_while(|piece| Some((u64::try_from(piece.start).ok()?, piece))).collect();
        let last = |start: u64, len: Option<u64>| start.saturating_add(len.map_or(0, |len| len.saturating_sub(1)));
        let ends = shown.iter().flat_map(|(start, piece)| [*start, last(*start, piece.len)]);
        // All at once: each question to a schedule checks all of it.
        let values = self.trace(ends.chain(total))?;
        let mut text = String::new();
        for ((start, Piece { len, words, .. }), ends) in shown.iter().zip(values.chunks(2)) {
            let steps = match len {
                Some(1) => format!("step {start}"),
                Some(_) => format!("steps {start} to {}", last(*start, *len)),
                None => format!("from step {start} on"),
            };
            let [from, to] =
                [ends.first(), ends.last()].map(|value| value.map_or(String::new(), |value| short(*value)));
            let values = match len {
                _ if *words == constant(&from) => String::new(),
                None => format!(" (starts at {from})"),
                Some(_) if from == to => format!(" ({from})"),
                Some(_) => format!(" ({from} to {to})"),
            };
            text += &format!("{steps}: {words}{values}\n");
        }
        if let (Some(end), Some(value)) = (total, values.last()) {
            text += &format!("from step {end} on: {}\n", short(*value));
        }
        Ok(text)
    }

    /// The schedule in words on one line, with lengths, and with the names of knobs in place of their values.
    pub(crate) fn brief(&self) -> String {
        let mut pieces = Vec::new();
        self.pieces(0, &mut pieces);
        let with_len = |Piece { len, span, words, .. }: Piece| {
            // A length that is computed from knobs has no name.
            let computed = len.filter(|_| !words.contains(NOW)).map(|len| len.to_string());
            match span.or(computed) {
                Some(span) if span == "1" => format!("{words} for 1 step"),
                Some(span) => format!("{words} over {span} steps"),
                None => words,
            }
        };
        let text = pieces.into_iter().map(with_len).collect::<Vec<_>>().join(", then ");
        let mut parts = text.split(NOW);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once(')').map_or("", |(_, rest)| rest))
    }

    /// Adds the pieces of this schedule, which starts at `start`, and returns where it ends.
    fn pieces(&self, start: u128, pieces: &mut Vec<Piece>) -> Option<u128> {
        match &self.0 {
            Form::Then(parts) => {
                let mut at = Some(start);
                for part in parts {
                    // All but the last have an end, or the schedule would have been refused.
                    at = part.pieces(at.unwrap_or(start), pieces);
                }
                at
            }
            Form::Join { pieces: parts, boundaries } => {
                let mut from = start;
                for (part, boundary) in parts.iter().zip(boundaries) {
                    let to = start + u128::from(count(boundary));
                    let known = !part.words().contains(NOW) && matches!(boundary, Steps::Literal(_));
                    let span = if known { None } else { Some(format!("the steps to {}", step(boundary))) };
                    let len = u64::try_from(to.saturating_sub(from)).unwrap_or(u64::MAX);
                    pieces.push(Piece { start: from, len: Some(len), span, words: part.words() });
                    from = to;
                }
                parts.last().map_or(Some(from), |last| last.pieces(from, pieces))
            }
            Form::Warmup { inner, form, steps } => {
                let len = warmup_len(*form, steps);
                let words = match form {
                    Warmup::FromZero => "linear warm-up from 0",
                    Warmup::FromFirst => "linear warm-up from the first share to the full value",
                    Warmup::Between => "linear warm-up between 0 and the full value",
                    Warmup::ZeroTwice => "0 twice, then linear warm-up",
                };
                let span = Some(if steps.knobs().is_empty() { len.to_string() } else { step(steps) });
                pieces.push(Piece { start, len: Some(len), span, words: words.to_owned() });
                inner.pieces(start + u128::from(len), pieces)
            }
            _ => {
                let len = self.duration();
                let span = match &self.0 {
                    Form::Ramp { over: steps, .. } | Form::Over { steps, .. } => Some(step(steps)),
                    _ => None,
                };
                pieces.push(Piece { start, len, span, words: self.words() });
                len.map(|len| start + u128::from(len))
            }
        }
    }

    /// The length. A part cannot be asked for its own: by itself it may break a rule that it keeps where it stands.
    fn duration(&self) -> Option<u64> {
        let longest = |parts: &[&Schedule]| parts.iter().try_fold(0, |all: u64, part| Some(all.max(part.duration()?)));
        match &self.0 {
            Form::Ramp { over, .. } => Some(count(over)),
            Form::Over { steps, .. } => Some(count(steps)),
            Form::Then(parts) => parts.iter().try_fold(0, |all: u64, part| Some(all.saturating_add(part.duration()?))),
            Form::Join { pieces, boundaries } => {
                Some(boundaries.last().map_or(0, count).saturating_add(pieces.last()?.duration()?))
            }
            Form::Delay { inner, steps } => Some(inner.duration()?.saturating_add(count(steps))),
            Form::Every { inner, steps } => Some(inner.duration()?.saturating_mul(count(steps))),
            Form::Warmup { inner, form, steps } => Some(inner.duration()?.saturating_add(warmup_len(*form, steps))),
            Form::Clamp { inner, .. } => inner.duration(),
            Form::Repeat { inner, times } => Some(inner.duration()?.saturating_mul((*times)?)),
            Form::Unary { of, .. } => of.duration(),
            Form::PowInt { base, .. } => base.duration(),
            Form::Binary { left, right, .. } => longest(&[left, right]),
            Form::Select { condition, then, otherwise } => longest(&[condition, then, otherwise]),
            Form::Constant(_)
            | Form::Step
            | Form::Exponential { .. }
            | Form::StepDecay { .. }
            | Form::MultiStep { .. }
            | Form::InverseSqrt { .. }
            | Form::InverseTime { .. }
            | Form::PowerLaw { .. }
            | Form::Piecewise { .. }
            | Form::Progress(_) => None,
        }
    }

    fn words(&self) -> String {
        match &self.0 {
            Form::Constant(value) => constant(&real(value)),
            Form::Step => "the step".to_owned(),
            Form::Ramp { shape, from, to, .. } => format!("{} from {} to {}", curve(shape), real(from), real(to)),
            Form::Exponential { init, factor } => format!("{}, times {} with each step", real(init), real(factor)),
            Form::StepDecay { init, factor, every } => {
                format!("{}, times {} every {} steps", real(init), real(factor), step(every))
            }
            Form::MultiStep { init, factor, milestones } => {
                let at = match milestones {
                    Milestones::Steps(steps) => listed(steps),
                    Milestones::Fractions { of, at } => {
                        let at: Vec<String> = at.iter().map(|fraction| short(*fraction)).collect();
                        format!("[{}] of {} steps", at.join(", "), step(of))
                    }
                };
                format!("{}, times {} at each of {at}", real(init), real(factor))
            }
            Form::InverseSqrt { init, timescale } => format!("{0} · √({1} / ({1} + t))", real(init), real(timescale)),
            Form::InverseTime { init, rate } => format!("{} / (1 + {} t)", real(init), real(rate)),
            Form::PowerLaw { factor, exponent, shift } => {
                format!("{} · (t + {})^{}", real(factor), real(shift), real(exponent))
            }
            Form::Piecewise { between, steps, values } => {
                let how = match between {
                    Between::Constant => "constant between",
                    Between::Linear => "straight lines between",
                    Between::Cosine => "half cosines between",
                };
                let last = steps.iter().last().map_or(String::new(), |last| format!(", the last at {}", step(&last)));
                let knobs: Vec<String> = steps.iter().filter(|at| !at.knobs().is_empty()).map(|at| step(&at)).collect();
                let knobs = if knobs.is_empty() { String::new() } else { format!(", with {}", knobs.join(", ")) };
                format!("{} given values{last}, {how}{knobs}", values.len())
            }
            Form::Over { inner, .. } => inner.words(),
            Form::Then(parts) => parts.iter().map(Schedule::words).collect::<Vec<_>>().join(", then "),
            Form::Join { pieces, boundaries } => {
                let at: Vec<String> = boundaries.iter().map(step).collect();
                let parts: Vec<String> = pieces.iter().map(Schedule::words).collect();
                format!("{}, changing at [{}]", parts.join(", then "), at.join(", "))
            }
            Form::Delay { inner, steps } => format!("{}, {} steps later", inner.words(), step(steps)),
            Form::Every { inner, steps } => format!("once every {} steps: {}", step(steps), inner.words()),
            Form::Warmup { inner, steps, .. } => format!("{} after {} steps of warm-up", inner.words(), step(steps)),
            Form::Clamp { inner, min, max } => format!("{}, kept in [{}, {}]", inner.words(), real(min), real(max)),
            Form::Repeat { inner, times: None } => format!("for ever: {}", inner.words()),
            Form::Repeat { inner, times: Some(times) } => format!("{times} times: {}", inner.words()),
            Form::Progress(inner) => format!("on the progress clock: {}", inner.words()),
            Form::Unary { op, of } => format!("{}({})", unary(*op), of.words()),
            Form::PowInt { base, exponent } => format!("({})^{exponent}", base.words()),
            Form::Binary { op, left, right } => format!("({}) {} ({})", left.words(), binary(*op), right.words()),
            Form::Select { condition, then, otherwise } => {
                format!("if {}: {}; else {}", condition.words(), then.words(), otherwise.words())
            }
        }
    }
}

/// What comes between the name of a knob and its value.
const NOW: &str = " (now ";

fn warmup_len(form: Warmup, steps: &Steps) -> u64 {
    let late = u64::from(form == Warmup::ZeroTwice && count(steps) > 0);
    count(steps).saturating_add(late)
}

fn constant(value: &str) -> String {
    format!("constant {value}")
}

fn curve(shape: &Shape) -> String {
    match shape {
        Shape::Linear => "linear".to_owned(),
        Shape::Cosine => "half a cosine".to_owned(),
        Shape::CosinePower { exponent, k } => {
            format!("half a cosine (exponent {}, k {})", real(exponent), real(k))
        }
        Shape::Polynomial { power } => format!("polynomial of power {}", real(power)),
        Shape::PolynomialK { power, k } => format!("polynomial of power {} (k {})", real(power), real(k)),
        Shape::PowerRise { power: Number::Literal(0.5) } => "1 - √".to_owned(),
        Shape::PowerRise { power } => format!("the {} power of the time", real(power)),
        Shape::Exponential => "exponential".to_owned(),
        Shape::Tanh { start, end } => format!("tanh({} to {})", real(start), real(end)),
        Shape::Rex { d } => format!("reflected exponential ({})", real(d)),
        Shape::HalfLife => "half-life".to_owned(),
        Shape::LogRise => "logarithmic".to_owned(),
    }
}

fn unary(op: Unary) -> &'static str {
    match op {
        Unary::Neg => "-",
        Unary::Abs => "abs",
        Unary::Floor => "floor",
        Unary::Sqrt => "sqrt",
        Unary::Exp => "exp",
        Unary::Ln => "ln",
        Unary::Sin => "sin",
        Unary::Cos => "cos",
        Unary::Tanh => "tanh",
    }
}

fn binary(op: Binary) -> &'static str {
    match op {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "·",
        Binary::Div => "/",
        Binary::FloorDiv => "//",
        Binary::Mod => "mod",
        Binary::Pow => "^",
        Binary::Min => "or, if smaller,",
        Binary::Max => "or, if larger,",
        Binary::Less => "<",
        Binary::LessEqual => "<=",
        Binary::Equal => "=",
    }
}

fn real(number: &Number) -> String {
    match number {
        Number::Literal(value) => short(*value),
        Number::Knob { name, value } => format!("{name}{NOW}{})", short(*value)),
        Number::Reached => "the value reached".to_owned(),
    }
}

/// The count as it is written; a negative one never gets past the check.
fn count(steps: &Steps) -> u64 {
    fn value(steps: &Steps) -> i128 {
        match steps {
            Steps::Literal(value) => *value,
            Steps::Knob { value, .. } => i128::from(*value),
            Steps::Sum(parts) => {
                let sum = |steps: &[Steps]| steps.iter().map(value).fold(0i128, i128::saturating_add);
                sum(&parts.0).saturating_sub(sum(&parts.1))
            }
        }
    }
    u64::try_from(value(steps)).unwrap_or(0)
}

fn step(steps: &Steps) -> String {
    steps.text(&|part| match part {
        Steps::Knob { name, value } => format!("{name}{NOW}{value})"),
        other => count(other).to_string(),
    })
}

fn listed(steps: &StepList) -> String {
    format!("[{}]", steps.iter().map(|at| step(&at)).collect::<Vec<_>>().join(", "))
}

/// A value with seven digits.
pub(crate) fn short(value: f64) -> String {
    number(format!("{value:.6e}").parse().unwrap_or(value))
}
