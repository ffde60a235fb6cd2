//! The certificate of the encrypted listeners.

use super::{
    context::Context,
    finding::{Area, Examination, Finding},
};
use crate::{
    cli::check::UNREADABLE,
    model::{Time, time::Seconds},
};

/// A certificate that ends within this time is a warning.
const SOON: Seconds = Seconds(14 * 86_400);

/// Reads the certificate, if any listener is encrypted.
pub(super) fn check(context: &Context) -> Vec<Finding> {
    let Ok(config) = &context.config else {
        return vec![context.without_config(Area::Certificates)];
    };
    if !config.tls.is_used() {
        return Vec::new();
    }
    let path = config.tls.files.certificate.display().to_string();
    let examination = Examination::new(Area::Certificates, "end", path);
    let end = match config.tls.files.read() {
        Ok(read) => read.not_after,
        Err(why) if why.contains(UNREADABLE) => {
            return vec![examination.not_seen(why, "run this as root or as the daemon's user")];
        }
        Err(why) => {
            return vec![examination.fault(
                why,
                "name the files in `certificate` and `key` of [tls]; the daemon loads them within ten seconds",
            )];
        }
    };
    vec![match context.now() {
        Some(now) => assess_end(examination, end, now),
        None => examination.not_seen("the time is unknown", "start the daemon"),
    }]
}

/// Assesses the end of a certificate.
pub(super) fn assess_end(examination: Examination, end: Time, now: Time) -> Finding {
    const REMEDY: &str = "renew it, and let the program that renews it write to the same files: the daemon loads them within ten seconds";
    if end <= now {
        examination.fault(format!("it expired at {end}"), REMEDY)
    } else if end.0 - now.0 < SOON.0 {
        examination.warning(format!("it expires at {end}, in less than {SOON}"), REMEDY)
    } else {
        examination.good(format!("it is valid until {end}"))
    }
}
