//! What the pages say about the reasons of listings that orbsd ships with.

/// How to repair what a reason names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repair {
    /// The key of the place where the repair is made.
    pub place: &'static str,
    /// The keys of the steps.
    pub steps: &'static [&'static str],
}

/// The key of the clause that says why a subject is listed. A reason of the operator's own gets a
/// clause that names it.
pub(super) fn cause(reason: &str) -> &'static str {
    match reason {
        "relay" => "cause-relay",
        "input" => "cause-input",
        "output" => "cause-output",
        "proxy" => "cause-proxy",
        "form" => "cause-form",
        "unconfirmed" => "cause-unconfirmed",
        "spamsource" => "cause-spamsource",
        "dynamic" => "cause-dynamic",
        "netblock" => "cause-netblock",
        "manual" => "cause-manual",
        "notest" => "cause-notest",
        "spam" => "cause-spam",
        _ => "cause-other",
    }
}

/// The repair that a reason asks for; `None` if the site does not know it.
pub(super) fn repair(reason: &str) -> Option<Repair> {
    let (place, steps): (_, &[_]) = match reason {
        "relay" | "unconfirmed" => (
            "repair-relay",
            &["repair-relay-1", "repair-relay-2", "repair-restart"],
        ),
        "input" => (
            "repair-input",
            &["repair-relay-1", "repair-relay-2", "repair-restart"],
        ),
        "output" => ("repair-output", &["repair-output-1", "repair-output-2"]),
        "proxy" => ("repair-proxy", &["repair-proxy-1", "repair-proxy-2"]),
        "form" => ("repair-form", &["repair-form-1", "repair-form-2"]),
        "spamsource" | "spam" => (
            "repair-spam",
            &["repair-spam-1", "repair-spam-2", "repair-spam-3"],
        ),
        "dynamic" => ("repair-dynamic", &["repair-dynamic-1", "repair-dynamic-2"]),
        _ => return None,
    };
    Some(Repair { place, steps })
}
