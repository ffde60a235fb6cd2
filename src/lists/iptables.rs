//! Rules of iptables and ip6tables, as commands or as output of iptables-save.

use super::{
    Input,
    report::Omission,
    text::{column_of, words},
};

/// Reads a rule: lists its sources if they are dropped or rejected. Leaves out rules that accept,
/// or that do not match sources.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.trim();
    if text.starts_with(['*', ':']) || text == "COMMIT" {
        return Ok(());
    }
    let words: Vec<&str> = words(line).map(|w| w.1).collect();
    let value = |names: &[&str]| {
        let at = words.iter().position(|w| names.contains(w))?;
        words.get(at + 1).map(|value| (at, *value))
    };
    let target = value(&["-j", "--jump", "-g", "--goto"]).map_or("", |(_, target)| target);
    match value(&["-s", "--source", "--src", "--src-range"]) {
        Some((at, sources)) if drops(target) && !words[..at].ends_with(&["!"]) => sources
            .split(',')
            .try_for_each(|source| input.list_word(source, column_of(line, source))),
        Some(_) if matches!(target, "ACCEPT" | "RETURN") => {
            input.leave_out(Omission::ExceptionRule, 1, text);
            Ok(())
        }
        _ => {
            input.other_line(1, text);
            Ok(())
        }
    }
}

/// Whether a target drops or rejects packets, by the name of the target or of a chain.
fn drops(target: &str) -> bool {
    let target = target.to_ascii_uppercase();
    ["DROP", "REJECT", "TARPIT", "BLOCK", "DENY", "BAN"]
        .iter()
        .any(|t| target.contains(t))
}
