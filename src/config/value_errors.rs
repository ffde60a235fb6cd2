//! Messages about values that cannot be read. Each has the value and the form that is accepted.

/// The longest part of a value that is quoted.
const MAX_QUOTED: usize = 80;

/// The start of serde's message about a date in place of a table.
const DATE: &str = "unknown field `$__toml_private";

/// The message about a value. `message` is that of serde, `value` the text in the file.
pub(super) fn explain(message: &str, value: &str) -> String {
    let value = quoted(value);
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("the key {field} is missing");
    }
    if let Some((_, known)) = message.strip_prefix("unknown variant ").and_then(names) {
        let plain = value.trim_matches(['"', '\'']);
        let near = crate::model::names::closest(plain, &known)
            .map_or(String::new(), |n| format!("; did you mean \"{n}\"?"));
        let known: Vec<String> = known.iter().map(|k| format!("\"{k}\"")).collect();
        return format!("{value} is not accepted; write {}{near}", join_or(&known));
    }
    let expected = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .find_map(|p| message.strip_prefix(p));
    let expected = expected
        .and_then(|rest| rest.rsplit_once(", expected "))
        .map(|(_, form)| form);
    let form = match expected.unwrap_or(message) {
        "invalid socket address syntax" | "socket address" => {
            Some("an address with a port, such as \"192.0.2.1:53\" or \"[2001:db8::1]:53\"")
        }
        "invalid IP address syntax" | "IP address" => {
            Some("an address, such as \"192.0.2.1\" or \"2001:db8::1\"")
        }
        "invalid IPv4 address syntax" | "IPv4 address" => {
            Some("an IPv4 address, such as \"127.0.0.2\"")
        }
        "u8" => Some("a whole number from 0 to 255"),
        "u16" => Some("a whole number from 0 to 65535"),
        "u32" => Some("a whole number from 0 to 4294967295"),
        "u64" | "usize" => Some("a whole number, 0 or more"),
        "a boolean" => Some("true or false"),
        "a string" | "wanted string or table" => Some("a text in quotes"),
        "path string" => Some("a path in quotes"),
        "a sequence" => Some("a list in brackets, such as [\"…\"]"),
        // A date in place of a table arrives as a table with a private key.
        "a map" => Some("a table in braces"),
        other if other.starts_with(DATE) => Some("a table in braces"),
        other if other.starts_with("struct ") => Some("a table"),
        other => expected.map(|_| other),
    };
    match form {
        Some(form) => format!("{value} is not {form}"),
        // A message of a type of orbsd has the value and the form already.
        None if message.contains(value.trim_matches(['"', '\''])) => message.to_string(),
        None => format!("{value}: {message}"),
    }
}

/// The unknown key, and the known keys, if the message is about an unknown key.
pub(super) fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    names(
        message
            .strip_prefix("unknown field ")
            .filter(|_| !message.starts_with(DATE))?,
    )
}

/// The first name, and the other names, in a text such as "`a`, expected one of `b`, `c`".
fn names(text: &str) -> Option<(String, Vec<String>)> {
    let mut names = text.split('`').skip(1).step_by(2).map(String::from);
    Some((names.next()?, names.collect()))
}

fn join_or(names: &[String]) -> String {
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".into(),
    }
}

/// The first line of the value, shortened to [`MAX_QUOTED`] characters.
fn quoted(value: &str) -> String {
    let line = value.lines().next().unwrap_or("");
    let cut = line.char_indices().nth(MAX_QUOTED).map(|(i, _)| i);
    match cut {
        Some(i) => format!("{}…", &line[..i]),
        None if line.len() < value.len() => format!("{line}…"),
        None => line.to_string(),
    }
}
