//! Plans the control of a relay test: its sessions and recipients. [`super::control`] evaluates the
//! replies.

use serde::{Deserialize, Serialize};

use super::{host_names::HostNames, lint};

/// The recipients that a control may name: the server's postmaster, alone and at a domain of the
/// server. This is the one exception to the safety rules S8 (no recipients are probed) and S10
/// (messages go to our collector): a control sends no message, only RSET.
pub const FORMS: [&str; 3] = ["<postmaster>", "<postmaster@{L}>", "<postmaster@{R}>"];

/// The control of a session. Each message of the session carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPlan {
    /// The number of the session. Messages of one session share a connection.
    pub session: u32,
    /// The text after each `RCPT TO:` of the control.
    pub recipients: Vec<String>,
}

/// Returns the recipients of a host's control: `<postmaster>`, and postmaster at a domain whose MX,
/// or else whose address, is the host.
pub fn recipients(names: &HostNames) -> Vec<String> {
    let fill = |form: &&str| {
        lint::check_control(form)
            .ok()
            .and_then(|()| names.fill(form, "", "").ok())
    };
    let own = FORMS[1..].iter().find_map(fill);
    FORMS[..1].iter().filter_map(fill).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::catalogue::tests::names, *};

    #[test]
    fn control_names_only_postmaster_and_postmaster_at_a_domain_of_the_host() {
        assert_eq!(
            recipients(&names()),
            ["<postmaster>", "<postmaster@relay.example>"]
        );
        assert_eq!(
            recipients(&HostNames {
                hosted: None,
                ..names()
            }),
            ["<postmaster>", "<postmaster@mail.relay.example>"]
        );
        assert_eq!(
            recipients(&HostNames {
                hosted: None,
                relay: None,
                ..names()
            }),
            ["<postmaster>"]
        );
    }

    /// The linter accepts the forms of a control and no others.
    #[test]
    fn linter_refuses_other_recipients_of_a_control() {
        for form in FORMS {
            assert_eq!(lint::check_control(form), Ok(()), "{form}");
        }
        for bad in [
            "<{u}@{d}>",
            "<abuse@{R}>",
            "<postmaster@victim.example>",
            "<postmaster%victim.example@{R}>",
            "<postmaster@{d}>",
            "<{v}>",
            "",
        ] {
            assert!(lint::check_control(bad).is_err(), "{bad}");
        }
    }
}
