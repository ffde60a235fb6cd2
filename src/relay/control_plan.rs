//! The recipients of a relay test's control. [`super::control`] evaluates the replies.

use serde::{Deserialize, Serialize};

use super::{host_names::HostNames, lint};

/// What a control may name: the server's postmaster, alone and at a domain that is the server's
/// own. The one exception to the safety rules S8 (no recipients are tried out) and S10 (messages go
/// to our collector): nothing follows but RSET.
pub const FORMS: [&str; 3] = ["<postmaster>", "<postmaster@{L}>", "<postmaster@{R}>"];

/// The control of a session, as each of its messages carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPlan {
    /// The session: messages of one share a connection.
    pub session: u32,
    /// What follows each `RCPT TO:` of the control.
    pub recipients: Vec<String>,
}

/// The recipients of a host's control: `<postmaster>`, and the same at a domain whose MX, else
/// whose address, is the host's.
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
    fn a_control_names_postmaster_and_a_domain_of_the_host_alone() {
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

    /// The linter knows one exception, and no other.
    #[test]
    fn the_linter_refuses_every_other_control() {
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
