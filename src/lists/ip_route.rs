//! Routes that drop packets, as `ip route` prints and accepts them, and `route add … reject`.

use super::{Input, hosts::Words};

/// Reads routes: lists the destinations of blackhole, unreachable, prohibited and rejected routes.
/// Leaves out other routes.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split('#').next().unwrap_or("");
        if text.trim().is_empty() {
            continue;
        }
        let words: Vec<(usize, &str)> = Words::new(text).collect();
        let plain: Vec<&str> = words
            .iter()
            .map(|w| w.1.trim_start_matches("/sbin/"))
            .collect();
        let start = plain
            .iter()
            .position(|w| {
                !matches!(
                    *w,
                    "ip" | "-4" | "-6" | "route" | "add" | "append" | "replace" | "sudo"
                )
            })
            .unwrap_or(0);
        let found = match &plain[start..] {
            ["blackhole" | "unreachable" | "prohibit", what, ..] if *what != "default" => {
                Some((start + 1, (*what).to_string()))
            }
            ["-host", what, .., "reject"] => Some((start + 1, (*what).to_string())),
            ["-net", what, "netmask", mask, .., "reject"] => {
                Some((start + 1, format!("{what}/{mask}")))
            }
            ["-net", what, .., "reject"] => Some((start + 1, (*what).to_string())),
            _ => None,
        };
        match found {
            Some((at, what)) => input.take_word(&what, false, None, None, words[at].0)?,
            None => input.other_line(1, text.trim()),
        }
    }
    Ok(())
}
