//! `${a.b}` in a file's texts stands for the value at that path, as OmegaConf resolves it: of any type if it is the whole text, as a
//! part of the text otherwise; `${.b}` is beside the field itself, and `..b` one level above. What refers to nothing in the file, and
//! what is to be computed (`${oc.env:HOME}`), stays.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// References to references are followed so often; then they are a circle.
const MAX_DEPTH: usize = 16;

/// The most values and characters that references may become.
const MAX_SIZE: usize = 1 << 20;

/// `fields` with every reference replaced that refers to something.
///
/// # Errors
/// If references refer to more than [`MAX_SIZE`] values and characters.
pub(super) fn resolved(fields: Map<String, Value>) -> Result<Map<String, Value>> {
    let root = Value::Object(fields);
    let mut left = MAX_SIZE;
    match replaced(&root, &root, &mut Vec::new(), MAX_DEPTH, &mut left)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

/// Takes what a reference became out of what is `left`.
fn spend(left: &mut usize, size: usize, path: &[String]) -> Result<()> {
    match left.checked_sub(size) {
        Some(less) => {
            *left = less;
            Ok(())
        }
        None => {
            let rule =
                format!("refers to too much: what references become is at most {MAX_SIZE} values and characters");
            Err(Error::argument(path.join("."), "a reference", rule))
        }
    }
}

/// Whether a reference is left in `text`.
pub(super) fn is_open(text: &str) -> bool {
    text.split_once("${").is_some_and(|(_, rest)| rest.contains('}'))
}

/// `value`, which stands at `path`, with references replaced. What stands in a reference is paid for.
fn replaced(value: &Value, root: &Value, path: &mut Vec<String>, depth: usize, left: &mut usize) -> Result<Value> {
    if depth < MAX_DEPTH {
        spend(left, 1 + value.as_str().map_or(0, str::len), path)?;
    }
    let mut within = |name: String, value: &Value| {
        path.push(name);
        let value = replaced(value, root, path, depth, left);
        path.pop();
        value
    };
    Ok(match value {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Ok((name.clone(), within(name.clone(), value)?));
            Value::Object(fields.iter().map(field).collect::<Result<_>>()?)
        }
        Value::Array(list) => {
            let item = |(i, value): (usize, &Value)| within(i.to_string(), value);
            Value::Array(list.iter().enumerate().map(item).collect::<Result<_>>()?)
        }
        Value::String(text) if depth > 0 && is_open(text) => of_text(text, root, path, depth - 1, left)?,
        other => other.clone(),
    })
}

fn of_text(text: &str, root: &Value, path: &[String], depth: usize, left: &mut usize) -> Result<Value> {
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((reference, after)) = after.split_once('}') else { break };
        let found = target(reference.trim(), root, path);
        let found = found.map(|(mut place, value)| replaced(value, root, &mut place, depth, left)).transpose()?;
        done += before;
        match found {
            Some(value) if before.is_empty() && after.is_empty() && done.is_empty() => return Ok(value),
            Some(Value::String(value)) => {
                spend(left, value.len(), path)?;
                done += &value;
            }
            Some(value @ (Value::Number(_) | Value::Bool(_))) => done += &value.to_string(),
            _ => done += &format!("${{{reference}}}"),
        }
        rest = after;
    }
    Ok(Value::String(done + rest))
}

/// Where a reference at `path` leads, and what is there.
fn target<'r>(reference: &str, root: &'r Value, path: &[String]) -> Option<(Vec<String>, &'r Value)> {
    let name = reference.trim_start_matches('.');
    // One dot is for the object that has the field.
    let mut place = match reference.len() - name.len() {
        0 => Vec::new(),
        levels => path.get(..path.len().checked_sub(levels)?)?.to_vec(),
    };
    let names = name.split(['.', '[', ']']).filter(|name| !name.is_empty());
    place.extend(names.map(str::to_owned));
    let step = |value: &'r Value, name: &String| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    };
    let found = place.iter().try_fold(root, step)?;
    Some((place, found))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_what_it_leads_to() {
        let fields = json!({
            "variables": {"lr": 1e-3, "name": "mpt", "list": [1, {"a": 2}]},
            "optimizer": {"lr": "${variables.lr}", "min": "${.lr}", "up": "${..variables.list[1].a}"},
            "run": "${variables.name}-${variables.list[0]}",
            "twice": "${optimizer.min}",
            "all": ["${variables.list}"],
            "no": "${missing}/x", "env": "${oc.env:HOME}", "unclosed": "${a", "self": "${self}",
        });
        let Value::Object(fields) = fields else { panic!() };
        let expected = json!({
            "variables": {"lr": 1e-3, "name": "mpt", "list": [1, {"a": 2}]},
            "optimizer": {"lr": 1e-3, "min": 1e-3, "up": 2},
            "run": "mpt-1",
            "twice": 1e-3,
            "all": [[1, {"a": 2}]],
            "no": "${missing}/x", "env": "${oc.env:HOME}", "unclosed": "${a", "self": "${self}",
        });
        assert_eq!(Value::Object(resolved(fields).unwrap()), expected);
    }

    #[test]
    fn what_doubles_with_each_reference_is_refused() {
        let Value::Object(fields) = json!({"a": ["${a}", "${a}", "${a}", "${a}"]}) else { panic!() };
        let error = resolved(fields).unwrap_err().to_string();
        assert!(error.contains("refers to too much"), "{error}");
        let mut fields = Map::from_iter([("x0".to_owned(), json!("xxxxxxxxxxxxxxxx"))]);
        for i in 1..16 {
            fields.insert(format!("x{i}"), json!(format!("${{x{0}}}${{x{0}}}${{x{0}}}${{x{0}}}", i - 1)));
        }
        let error = resolved(fields).unwrap_err().to_string();
        assert!(error.contains("refers to too much"), "{error}");
    }
}
