//! Rules of iptables and ip6tables, as commands or as output of iptables-save.

use super::{Input, hosts::Words, report::Omission};

/// Reads rules: lists sources that are dropped or rejected. Leaves out rules that accept, or that
/// do not match sources.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', '*', ':']) || text == "COMMIT" {
            continue;
        }
        let words: Vec<(usize, &str)> = Words::new(&line).collect();
        let value = |names: &[&str]| {
            words
                .iter()
                .position(|w| names.contains(&w.1))
                .and_then(|i| words.get(i + 1).map(|v| (i, *v)))
        };
        let target = value(&["-j", "--jump", "-g", "--goto"]).map_or("", |(_, (_, t))| t);
        let source = value(&["-s", "--source", "--src", "--src-range"]);
        let negated = source.is_some_and(|(i, _)| i > 0 && words[i - 1].1 == "!");
        match source {
            Some((_, (column, what))) if drops(target) && !negated => {
                for (i, part) in what.split(',').enumerate() {
                    let column = if i == 0 {
                        column
                    } else {
                        line.find(part).map_or(column, |at| at + 1)
                    };
                    input.take_word(part, false, None, None, column)?;
                }
            }
            Some(_) if matches!(target, "ACCEPT" | "RETURN") => {
                input.leave_out(Omission::ExceptionRule, 1, text);
            }
            _ => input.other_line(1, text),
        }
    }
    Ok(())
}

/// Whether a target drops or rejects packets, by the name of the target or of a chain.
fn drops(target: &str) -> bool {
    let target = target.to_ascii_uppercase();
    ["DROP", "REJECT", "TARPIT", "BLOCK", "DENY", "BAN"]
        .iter()
        .any(|t| target.contains(t))
}
