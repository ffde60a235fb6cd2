//! Routes that drop packets, as `ip route` prints and accepts them, and `route add … reject`.

use super::{Input, text::words};

/// Words of a command before the type or the destination of a route.
const COMMAND: [&str; 8] = [
    "ip", "-4", "-6", "route", "add", "append", "replace", "sudo",
];

/// Reads a route: lists the destination of a blackhole, unreachable, prohibited or rejected route.
/// Leaves out other routes.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.split('#').next().unwrap_or("");
    let route: Vec<(usize, &str)> = words(text)
        .map(|(column, w)| (column, w.trim_start_matches("/sbin/")))
        .skip_while(|w| COMMAND.contains(&w.1))
        .collect();
    let plain: Vec<&str> = route.iter().map(|w| w.1).collect();
    let destination = match plain[..] {
        ["-net", net, "netmask", mask, .., "reject"] => format!("{net}/{mask}"),
        ["-host" | "-net", destination, .., "reject"] => destination.into(),
        ["blackhole" | "unreachable" | "prohibit", destination, ..] if destination != "default" => {
            destination.into()
        }
        _ => {
            input.other_line(1, text.trim());
            return Ok(());
        }
    };
    input.list_word(&destination, route[1].0)
}
