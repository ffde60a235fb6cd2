//! `Deny from` and `Require not` rules of Apache.

use super::{Input, hosts::Words, report::Omission, word};

/// Reads rules: `Deny from` and `Require not ip|host` list; what allows is left out.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split('#').next().unwrap_or("");
        let words: Vec<(usize, &str)> = Words::new(text).collect();
        let lower: Vec<String> = words.iter().take(3).map(|w| w.1.to_ascii_lowercase()).collect();
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
                input.leave_out(Omission::OtherLine, 1, text.trim());
                continue;
            }
        };
        for (column, what) in words.into_iter().skip(skip) {
            if what.eq_ignore_ascii_case("all") || what.starts_with("env=") {
                input.leave_out(Omission::OtherLine, column, text.trim());
            } else {
                input.take_word(&meant(what), false, None, None, column)?;
            }
        }
    }
    Ok(())
}

/// What a host means there: the first octets are a network, and a name is meant with all below it.
fn meant(what: &str) -> String {
    if word::is_address_form(what) {
        let octets = what.bytes().all(|b| b.is_ascii_digit() || b == b'.') && what.split('.').filter(|o| !o.is_empty()).count() < 4;
        return if octets && !what.ends_with('.') { format!("{what}.") } else { what.into() };
    }
    format!(".{}", what.trim_start_matches('.'))
}
