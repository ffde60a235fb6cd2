//! eMule's `ipfilter.dat`: `001.002.003.000 - 001.002.003.255 , 000 , name`, octets of three digits
//! each.

use super::{Input, report::Omission};

/// Ranges with this access level or a higher one are allowed.
const ALLOWED: u32 = 128;

/// Reads a filter: lists ranges with an access level below 128. This format writes octets with
/// three digits, so their leading zeros are ignored; other leading zeros are errors as in all
/// formats.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) || text.starts_with("//") {
            continue;
        }
        let column = line.len() - line.trim_start().len() + 1;
        let mut fields = text.splitn(3, ',').map(str::trim);
        let range = fields.next().unwrap_or("");
        match fields.next().map(str::parse::<u32>) {
            Some(Ok(level)) if level >= ALLOWED => {
                input.leave_out(Omission::ExceptionRule, column, text);
            }
            Some(Ok(_)) | None => {
                input.take_word(&unpadded_range(range), false, None, None, column)?;
            }
            Some(Err(_)) => {
                input.problem_of(
                    "not an access level",
                    column,
                    &format!("`{text}`: the second field is an access level from 0 to 255"),
                );
            }
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
    let octets: Vec<&str> = address.split('.').collect();
    if octets.len() != 4
        || octets
            .iter()
            .any(|o| o.len() != 3 || !o.bytes().all(|b| b.is_ascii_digit()))
    {
        return address.into();
    }
    let plain: Vec<String> = octets
        .iter()
        .map(|o| {
            o.parse::<u32>()
                .map_or_else(|_| (*o).to_string(), |n| n.to_string())
        })
        .collect();
    plain.join(".")
}
