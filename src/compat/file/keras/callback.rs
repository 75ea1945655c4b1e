//! The callbacks of an experiment, of which one may set the rate.

use serde_json::{Value, json};

use super::super::super::keras_callbacks::CALLBACKS;
use super::super::Section;
use super::LEFT_OF_AN_OBJECT;
use crate::error::Result;

/// A callback that sets the rate.
pub(super) struct Callback {
    pub class: String,
    /// Where its arguments stand.
    pub place: String,
    pub params: Value,
}

/// The one among `callbacks`; others are left.
pub(super) fn callback(section: &mut Section) -> Result<Option<Callback>> {
    let mut found: Option<Callback> = None;
    for mut of in section.sections("callbacks")? {
        let class = of.text("class_name")?.ok_or_else(|| of.error("class_name", "missing", "must be given"))?;
        if !CALLBACKS.contains(&class.as_str()) {
            of.leave_rest("of a callback that sets no rate");
            continue;
        }
        if let Some(first) = &found {
            return Err(of.error(
                "class_name",
                &class,
                format!("must not stand beside {}: both set the rate", first.class),
            ));
        }
        let place = of.place("config");
        let params = match of.section("config")? {
            Some(mut config) => config.rest()?,
            None => json!({}),
        };
        of.leave(LEFT_OF_AN_OBJECT);
        of.refuse_rest()?;
        found = Some(Callback { class, place, params });
    }
    Ok(found)
}
