//! A class and its arguments in a file: `{class_path, init_args}` of Lightning's command line, `{_target_, …}` of Hydra,
//! `{type, …}` of OpenMMLab, and the like.

use serde_json::{Map, Value};

use super::super::arguments::{ARGUMENT_NAMES, CLASS_NAMES, HYDRA_NAMES};
use super::super::last_name;
use super::Section;
use crate::error::Result;

/// A call that a file writes down.
pub(super) struct Call {
    /// As it is written, with the packages before it.
    pub class: String,
    /// Where that stands in the file.
    pub class_place: String,
    /// The arguments by name.
    pub arguments: Map<String, Value>,
    /// What their paths in the file begin with, a dot included.
    pub prefix: String,
}

impl Call {
    /// Whether `value` is one: a class, alone or with arguments.
    pub fn is(value: &Value) -> bool {
        CLASS_NAMES.iter().any(|name| value.get(name).is_some_and(Value::is_string))
    }

    /// The call that `section` is; what else stands beside the class must have been read before.
    pub fn read(mut section: Section) -> Result<Call> {
        let name = CLASS_NAMES.into_iter().find(|name| section.has(name)).unwrap_or(CLASS_NAMES[0]);
        let class =
            section.text(name)?.ok_or_else(|| section.error(name, "missing", "must be the class, as a text"))?;
        let class_place = section.place(name);
        section.leave(&[(&HYDRA_NAMES, "of how Hydra makes the call")]);
        let (arguments, prefix) = match ARGUMENT_NAMES.into_iter().find(|name| section.has(name)) {
            Some(name) => {
                let place = section.place(name);
                let arguments = section.section(name)?.map_or(Ok(Map::new()), |mut inner| inner.fields())?;
                section.refuse_rest()?;
                (arguments, format!("{place}."))
            }
            None => (section.fields()?, section.place("")),
        };
        Ok(Call { class, class_place, arguments, prefix })
    }

    /// The last name of the class.
    pub fn name(&self) -> &str {
        last_name(&self.class)
    }

    /// The first name of a dotted class: its package.
    pub fn package(&self) -> Option<&str> {
        self.class.split_once('.').map(|(package, _)| package)
    }
}
