//! rbldnsd data files.

use super::Input;

pub(super) fn read(_: &mut Input) -> Result<(), String> {
    Err("soon".into())
}
