//! `Deny from` and `Require not` rules of Apache.

use super::{Input, entry, report::Omission, text, text::words};

/// Reads a rule: lists the hosts of `Deny from` and `Require not ip|host`. Leaves out rules that
/// allow.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let rule = line.split('#').next().unwrap_or("");
    let lower: Vec<String> = words(rule)
        .take(3)
        .map(|w| w.1.to_ascii_lowercase())
        .collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let verbs = match lower[..] {
        ["deny", "from", ..] => 2,
        ["require", "not", "ip" | "host", ..] => 3,
        ["allow" | "require", ..] => {
            input.leave_out(Omission::ExceptionRule, 1, rule.trim());
            return Ok(());
        }
        _ => {
            input.other_line(1, rule.trim());
            return Ok(());
        }
    };
    for (column, host) in words(rule).skip(verbs) {
        if host.eq_ignore_ascii_case("all") || host.starts_with("env=") {
            input.leave_out(Omission::OtherLine, column, rule.trim());
        } else {
            input.list_word(&subject_of(host), column)?;
        }
    }
    Ok(())
}

/// The subject of a host in these rules: one to three octets are a network, and a name includes all
/// names below it.
fn subject_of(host: &str) -> String {
    if !entry::is_address_form(host) {
        return format!(".{}", host.trim_start_matches('.'));
    }
    let octets = host.trim_end_matches('.');
    let count = octets.split('.').count();
    if count < 4 && octets.split('.').all(text::is_digits) {
        format!("{octets}{}/{}", ".0".repeat(4 - count), 8 * count)
    } else {
        host.into()
    }
}
