//! eMule's `ipfilter.dat`: `001.002.003.000 - 001.002.003.255 , 000 , name`, octets of three digits
//! each.

use super::{Input, report::Omission, text};

/// Ranges with this access level or a higher one are allowed.
const ALLOWED: u32 = 128;

/// Reads a line of a filter: lists ranges with an access level below 128. This format writes octets with
/// three digits, so their leading zeros are ignored; other leading zeros are errors as in all
/// formats.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let text = line.trim();
    if text.starts_with(';') || text.starts_with("//") {
        return Ok(());
    }
    let column = text::column_of(line, text);
    let mut fields = text.splitn(3, ',').map(str::trim);
    let range = fields.next().unwrap_or("");
    match fields.next().map(str::parse::<u32>) {
        Some(Ok(level)) if level >= ALLOWED => {
            input.leave_out(Omission::ExceptionRule, column, text);
        }
        Some(Ok(_)) | None => input.list_word(&unpadded_range(range), column)?,
        Some(Err(_)) => {
            let what = format!("`{text}`: the second field is an access level from 0 to 255");
            input.problem_of("not an access level", column, &what);
        }
    }
    Ok(())
}

/// A range without the zeros before its octets.
pub(super) fn unpadded_range(range: &str) -> String {
    range
        .split('-')
        .map(|a| unpadded(a.trim()))
        .collect::<Vec<_>>()
        .join("-")
}

/// An address whose octets all have three digits without their leading zeros; other texts
/// unchanged.
fn unpadded(address: &str) -> String {
    let number = |o: &str| {
        o.parse::<u32>()
            .ok()
            .filter(|_| o.len() == 3 && text::is_digits(o))
    };
    match address
        .split('.')
        .map(number)
        .collect::<Option<Vec<_>>>()
        .as_deref()
    {
        Some([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        _ => address.into(),
    }
}
