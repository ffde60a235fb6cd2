//! `Deny from` and `Require not` rules of Apache.

use super::{Input, hosts::Words, report::Omission, word};

/// Reads rules: lists the hosts of `Deny from` and `Require not ip|host`. Leaves out rules that
/// allow.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split('#').next().unwrap_or("");
        let words: Vec<(usize, &str)> = Words::new(text).collect();
        let lower: Vec<String> = words
            .iter()
            .take(3)
            .map(|w| w.1.to_ascii_lowercase())
            .collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let skip = match lower[..] {
            [] => continue,
            ["deny", "from", ..] => 2,
            ["require", "not", "ip" | "host", ..] => 3,
            ["allow", ..] | ["require", ..] => {
                input.leave_out(Omission::ExceptionRule, 1, text.trim());
                continue;
            }
            _ => {
                input.other_line(1, text.trim());
                continue;
            }
        };
        for (column, what) in words.into_iter().skip(skip) {
            if what.eq_ignore_ascii_case("all") || what.starts_with("env=") {
                input.leave_out(Omission::OtherLine, column, text.trim());
            } else {
                input.take_word(&subject_of(what), false, None, None, column)?;
            }
        }
    }
    Ok(())
}

/// The subject of a host in these rules: one to three octets are a network, and a name includes all
/// names below it.
fn subject_of(what: &str) -> String {
    if word::is_address_form(what) {
        let octets = what.trim_end_matches('.');
        let count = octets.split('.').count();
        let partial = octets.bytes().all(|b| b.is_ascii_digit() || b == b'.') && count < 4;
        return if partial {
            format!("{octets}{}/{}", ".0".repeat(4 - count), 8 * count)
        } else {
            what.into()
        };
    }
    format!(".{}", what.trim_start_matches('.'))
}
