//! JSON: one value a line (Spamhaus DROP's form), or one array of strings or objects over many lines.

use serde::Deserialize;

use super::Input;

/// Keys of an object that hold the subject.
const KEYS: [&str; 7] = ["subject", "cidr", "ip", "prefix", "address", "domain", "network"];

/// Reads JSON lines, or the items of an array.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.trim();
        if text.is_empty() || matches!(text, "[" | "]" | "],") {
            continue;
        }
        let inner = text.strip_suffix(',').unwrap_or(text);
        match serde_json::from_str::<Value>(inner) {
            Ok(value) => take(input, value)?,
            Err(e) => input.problem(e.column(), &format!("this is no JSON value on one line: {e}")),
        }
    }
    Ok(())
}

/// What a line can be.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Many(Vec<Value>),
    Object(serde_json::Map<String, serde_json::Value>),
}

fn take(input: &mut Input, value: Value) -> Result<(), String> {
    match value {
        Value::Text(word) => input.take_word(&word, false, None, None, 1),
        Value::Many(values) => values.into_iter().try_for_each(|v| take(input, v)),
        Value::Object(object) => {
            let column = input.options.column.clone();
            let found = column.iter().map(String::as_str).chain(KEYS).find_map(|k| object.get(k)?.as_str().map(String::from));
            match found {
                Some(word) => {
                    let text = object.get("text").and_then(|t| t.as_str());
                    input.take_word(&word, false, None, text, 1)
                }
                // A last line about the list itself, as DROP has it.
                None if object.get("type").is_some_and(|t| t == "metadata") => Ok(()),
                None => {
                    input.problem(1, &format!("the object has none of the keys {}", KEYS.join(", ")));
                    Ok(())
                }
            }
        }
    }
}
