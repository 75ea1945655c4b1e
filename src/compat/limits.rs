//! What one configuration may ask for, so that a text of a few lines takes neither all memory nor all day. Each limit is a rule of
//! an error that names the argument:
//!
//! * a count of steps is at most 2^63 - 1, so that two of them can be added (`Arguments`); a sum of more that is not below
//!   2^64 is refused where it is made;
//! * a table, or a recursion that becomes one, has at most 2^20 values (`MAX_TABLE`);
//! * what is computed step by step takes at most 2^23 steps in all, over every group and every member ([`Budget`]);
//! * there are at most 2^12 parameter groups; arguments nest at most 64 levels, and all groups together read at most 2^22 values, since
//!   each reads those for all ([`expect_few`]);
//! * an expression comes to at most 1024 operations (`python`).

use std::cell::Cell;

use serde_json::Value;

use crate::error::{Error, Result};

/// The most steps of single schedulers that one configuration is replayed for.
const MAX_WORK: u64 = 1 << 23;
/// The deepest nesting of arguments.
const MAX_NESTING: usize = 64;
/// The most parameter groups: a scheduler may make hundreds of pieces for each.
const MAX_GROUPS: usize = 1 << 12;
/// The most values that all groups read.
const MAX_VALUES: u64 = 1 << 22;
/// So many characters of a text count as one value.
const TEXT: usize = 4;

/// The largest count up to which every step is told apart as an f64.
pub(super) const MAX_EXACT: u64 = 1 << 53;

/// The steps that may still be computed one by one.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub fn new() -> Budget {
        Budget(Cell::new(MAX_WORK))
    }

    /// Takes `steps` steps of `schedulers` schedulers out of it. They are the configuration's `horizon`, unless the error is
    /// renamed.
    pub fn spend(&self, steps: u64, schedulers: u64) -> Result<()> {
        match self.0.get().checked_sub(steps.saturating_mul(schedulers)) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => {
                let rule = format!(
                    "must be less: without a closed form each step is computed, and all groups and schedulers together take at \
                     most {MAX_WORK} steps"
                );
                Err(Error::argument("horizon", steps, rule))
            }
        }
    }
}

/// Refuses more `groups` (the value of the argument of that name) than there may be, `arguments` that nest too deep, and more of them
/// than so many groups can each read.
pub(super) fn expect_few((name, groups): (&str, &Value), arguments: &[(&str, &Value)]) -> Result<()> {
    let count = groups.as_array().map_or(1, Vec::len).max(1);
    if count > MAX_GROUPS {
        return Err(Error::argument(name, format!("{count} groups"), format!("must be at most {MAX_GROUPS}")));
    }
    let each = |total: u64, (name, value): &(&str, &Value)| -> Result<u64> {
        Ok(total.saturating_add(values(name, value, 0)?))
    };
    let shared = arguments.iter().try_fold(0, each)?;
    // What stands in a group is read by that group alone.
    let own = values(name, groups, 0)?;
    if shared.saturating_mul(count as u64).saturating_add(own) <= MAX_VALUES {
        return Ok(());
    }
    let rule = format!(
        "must be fewer: each reads all {shared} values of the arguments, and all groups together read at most {MAX_VALUES}"
    );
    Err(Error::argument(name, format!("{count} groups"), rule))
}

/// How many values there are in `value`, which stands `depth` levels deep in `argument`.
fn values(argument: &str, value: &Value, depth: usize) -> Result<u64> {
    if depth > MAX_NESTING {
        let rule = format!("must nest at most {MAX_NESTING} levels");
        return Err(Error::argument(argument, format!("nested {depth} levels deep or deeper"), rule));
    }
    let all = |total: u64, inner: &Value| Ok(total.saturating_add(values(argument, inner, depth + 1)?));
    match value {
        Value::Array(list) => list.iter().try_fold(1, all),
        Value::Object(fields) => fields.values().try_fold(1, all),
        Value::String(text) => Ok(1 + (text.len() / TEXT) as u64),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(1),
    }
}
