//! Small helpers for printing what the API answers.

use serde_json::Value;

/// A string, or nothing.
pub(super) fn text(v: &Value) -> &str {
    v.as_str().unwrap_or("")
}

/// The items of a list, or none.
pub(super) fn list(v: &Value) -> impl Iterator<Item = &Value> {
    v.as_array().into_iter().flatten()
}
