//! Functions that come as Python expressions of one variable, as schedules: `lr_lambda`, `scale_fn`.
//!
//! `token` splits the text, `parse` follows Python's grammar and precedence, `value` applies Python's operators. What has no
//! translation is refused with its position; nothing is ever run.

mod parse;
mod token;
mod value;

use std::ops::Range;

use super::limits::Budget;
use crate::error::{Error, Result};
use crate::schedule::Schedule;

/// The longest text of an expression.
const MAX_TEXT: usize = 4_096;

/// `text`, an expression of `variable`, which stands for `of`: integers that are not negative. Where `of` is constant, so
/// is the outcome, computed in f64 as Python does it. Errors are about `argument`.
pub(super) fn expression(argument: &str, text: &str, variable: &str, of: &Schedule) -> Result<Schedule> {
    expression_with(argument, text, (variable, of), None)
}

/// [`expression`], in which another name may stand for a number.
pub(super) fn expression_with(
    argument: &str,
    text: &str,
    (variable, of): (&str, &Schedule),
    given: Option<(&str, f64)>,
) -> Result<Schedule> {
    let value = parse::parse(&tokens(argument, text)?, (variable, of), given);
    value.and_then(value::Value::into_schedule).map_err(|fault| wrong(argument, text, &fault))
}

/// `text` at each of `steps`, which `variable` stands for, computed in f64 as Python does it.
pub(super) fn values(
    argument: &str,
    text: &str,
    variable: &str,
    steps: Range<u64>,
    budget: &Budget,
) -> Result<Vec<f64>> {
    let tokens = tokens(argument, text)?;
    budget.spend(steps.end, tokens.len() as u64)?;
    let at = |step: u64| {
        let value = parse::parse(&tokens, (variable, &Schedule::constant(step as f64)), None);
        value.and_then(value::Value::into_number).map_err(|fault| wrong(argument, text, &fault))
    };
    steps.map(at).collect()
}

/// The words of `text`, which must not be too long.
fn tokens<'t>(argument: &str, text: &'t str) -> Result<Vec<token::Token<'t>>> {
    if text.len() > MAX_TEXT {
        let rule = format!("must have at most {MAX_TEXT} characters");
        return Err(Error::argument(argument, format!("{} characters long", text.len()), rule));
    }
    token::tokens(text).map_err(|fault| wrong(argument, text, &fault))
}

fn wrong(argument: &str, text: &str, fault: &Fault) -> Error {
    Error::argument(argument, text, format!("{} at character {}", fault.rule, fault.at.saturating_add(1)))
}

/// What is wrong with an expression, and where: an offset in characters.
#[derive(Debug)]
struct Fault {
    at: usize,
    rule: String,
}

impl Fault {
    fn new(at: usize, rule: impl Into<String>) -> Fault {
        Fault { at, rule: rule.into() }
    }
}

#[cfg(test)]
mod tests {
    use approx::abs_diff_eq;

    use super::*;
    use crate::schedule::step;

    fn at(text: &str, step_index: u64) -> f64 {
        expression("f", text, "epoch", &step())
            .and_then(|f| f.over(100).at(step_index))
            .unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn operators_bind_as_in_python() {
        let cases = [
            ("-2**2 + epoch", -4.0 + 7.0),
            ("2**-1 * epoch", 3.5),
            ("2 ** 3 ** 2 + 0*epoch", 512.0),
            ("epoch - 3 - 2", 2.0),
            ("-7 // 2 + epoch*0", -4.0),
            ("-epoch % 5", 3.0),
            ("-epoch // 2", -4.0),
            ("1 < epoch <= 7", 1.0),
            ("1 < epoch < 7", 0.0),
            ("not epoch == 7 or 5", 5.0),
            ("epoch and 3", 3.0),
            ("0 or epoch", 7.0),
            ("1 if epoch > 9 else 2 if epoch > 5 else 3", 2.0),
            ("(-1) ** epoch", -1.0),
            ("(epoch - 9) ** 3", -8.0),
            ("min(epoch, 3, 5) + max(1, epoch)", 10.0),
            ("abs(3 - epoch) + math.floor(epoch / 2) + math.ceil(epoch / 2)", 11.0),
            ("int(-epoch / 2)", -3.0),
            ("1_000.5e-1 + epoch", 107.05),
            ("math.sqrt(epoch + 2) * math.exp(0) * math.log(math.e)", 3.0),
            ("True + epoch", 8.0),
            ("lambda epoch: 0.5 ** epoch", 0.0078125),
            ("lambda e: min(1, e / 10)", 0.7),
            ("lambda step : np.cos(np.pi * step) + numpy.power(step, 2)", 48.0),
            ("np.minimum(epoch, 3) + np.maximum(epoch, 9) + np.clip(epoch, 0, 5)", 17.0),
            ("np.where(epoch < 5, 1, np.floor(epoch / 2) + np.abs(-1))", 4.0),
            ("pow(epoch, 2) + np.sqrt(epoch + 2) + np.log(np.e)", 53.0),
        ];
        for (text, expected) in cases {
            let value = at(text, 7);
            assert!(abs_diff_eq!(value, expected, epsilon = 1e-13), "{text} gives {value}");
        }
    }

    #[test]
    fn constants_are_folded_in_f64() {
        let factor = expression("f", "512 ** -0.5", "epoch", &step()).unwrap();
        assert_eq!(factor, Schedule::constant(512f64.powf(-0.5)));
    }

    #[test]
    fn what_python_would_raise_counts_only_where_it_is_chosen() {
        assert_eq!(at("epoch if True else 1 / 0", 7), 7.0);
        let of = Schedule::constant(50.0);
        let guarded = expression("f", "1 / (epoch - 50) if epoch != 50 else 3", "epoch", &of).unwrap();
        assert_eq!(guarded, Schedule::constant(3.0));
    }

    #[test]
    fn a_guard_keeps_step_0_out_of_a_division() {
        for text in ["1 / epoch if epoch else 1", "1 if epoch == 0 else 1 / epoch", "1 / epoch if epoch != 0 else 1"] {
            assert_eq!((at(text, 0), at(text, 4)), (1.0, 0.25), "{text}");
        }
    }

    #[test]
    fn what_has_no_translation_is_refused_with_its_position() {
        let cases = [
            ("epoch + math.erf(1)", "at character 9"),
            ("epoch + other", "at character 9"),
            ("epoch +", "at character 8"),
            ("(epoch", "at character 7"),
            ("epoch 2", "at character 7"),
            ("epoch @ 2", "at character 7"),
            ("1 / (2 - 2) + epoch", "at character 3"),
            ("(-8) ** 0.5", "at character 6"),
            ("1 / 0 if epoch else 2", "at character 3"),
            ("min(epoch)", "at character 1"),
            ("__import__(epoch)", "at character 1"),
            ("open('f')", "at character 6"),
            ("1__0", "at character 1"),
            ("lambda: 1", "at character 7"),
            ("lambda a, b: a", "at character 9"),
            ("lambda e: epoch", "at character 11"),
            ("np.erf(epoch)", "at character 1"),
            ("np.clip(epoch)", "at character 1"),
            ("scipy.floor(epoch)", "at character 1"),
        ];
        for (text, place) in cases {
            let error = expression("f", text, "epoch", &step()).unwrap_err().to_string();
            assert!(error.ends_with(place), "{text}: {error}");
        }
        let deep = format!("{}epoch{}", "(".repeat(500), ")".repeat(500));
        assert!(expression("f", &deep, "epoch", &step()).is_err());
    }

    /// Each of these holds an operand twice or more, and would be as large as a power of the length of the text.
    #[test]
    fn what_doubles_with_each_word_is_refused_in_time() {
        let nested = |before: &str, after: &str| format!("{}epoch{}", before.repeat(30), after.repeat(30));
        let cases = [
            format!("epoch{}", " or epoch".repeat(200)),
            format!("epoch{}", " and epoch".repeat(200)),
            format!("0{}", " <= epoch".repeat(200)),
            format!("epoch{}", " + epoch".repeat(400)),
            nested("int(", ")"),
            nested("(-2) ** ", ""),
        ];
        for text in cases {
            let error = expression("f", &text, "epoch", &step()).map(|_| ()).unwrap_err().to_string();
            let rule = "must come to at most 1024 operations, 64 in one another; more begins at character";
            assert!(error.contains(rule), "{text}: {error}");
        }
        assert_eq!(at(&format!("epoch{}", " + 1".repeat(50)), 7), 57.0);
    }
}
