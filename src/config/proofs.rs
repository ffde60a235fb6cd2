//! `[proofs]`: proofs of control, and the removal address of `[collector]`.

use std::net::SocketAddr;

use super::{bare, document::Report, tables::File};
use crate::{mail, tickets::control::ControlSettings};

/// The settings of proofs that need a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProofSettings {
    /// The address that serves proofs over plain HTTP, if one is configured.
    pub listen: Option<SocketAddr>,
    /// The address that accepts requests by mail, in lower case; empty: none.
    pub removal_address: String,
}

/// Reads the settings of the daemon.
pub(super) fn settings(file: &File) -> ProofSettings {
    ProofSettings {
        listen: file.proofs.listen.parse().ok(),
        removal_address: bare(&file.collector.removal_address),
    }
}

/// What is offered to requesters.
pub(super) fn control(file: &File) -> ControlSettings {
    let base_url = file.web.base_url.trim_end_matches('/').to_string();
    ControlSettings {
        plain_url: plain_url(file, &base_url),
        base_url,
        mail: !file.mail.smarthost.is_empty(),
        providers: file
            .proofs
            .provider_domains
            .iter()
            .map(|d| bare(d))
            .collect(),
    }
}

/// The URL of proofs over plain HTTP.
fn plain_url(file: &File, base_url: &str) -> Option<String> {
    if !file.proofs.url.is_empty() {
        return Some(file.proofs.url.trim_end_matches('/').into());
    }
    if base_url.starts_with("http://") {
        return Some(base_url.into());
    }
    let listen: SocketAddr = file.proofs.listen.parse().ok()?;
    let authority = base_url.split_once("://")?.1.split('/').next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    Some(match listen.port() {
        80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    })
}

/// Reports values that cannot be used.
pub(super) fn check(file: &File, report: &mut Report) {
    let proofs = &file.proofs;
    let mut table = report.of(&proofs.place);
    table.error_if(
        !proofs.url.is_empty() && !proofs.url.starts_with("http://"),
        "url",
        format_args!(
            "`{}` is not a URL that begins with http://; it is for servers that cannot use HTTPS",
            proofs.url
        ),
    );
    for domain in &proofs.provider_domains {
        let name = domain.parse::<crate::model::Subject>();
        table.error_if(
            !matches!(name, Ok(crate::model::Subject::Domain(_))),
            "provider_domains",
            format_args!("`{domain}` is not a domain"),
        );
    }
    let collector = &file.collector;
    let address = &collector.removal_address;
    if address.is_empty() {
        return;
    }
    let mut table = report.of(&collector.place);
    let (_, domain) = address.rsplit_once('@').unwrap_or_default();
    table.error_if(
        mail::read_address(address).is_err() || bare(domain) != bare(&file.probe.domain),
        "removal_address",
        format_args!(
            "`{address}` is not a mail address at the probe domain, whose mail the collector receives; write removal@ and `domain` of [probe]"
        ),
    );
    table.error_if(
        collector.listen.is_empty(),
        "removal_address",
        "no mail comes without a collector; set `listen`",
    );
    table.error_if(
        file.mail.smarthost.is_empty(),
        "removal_address",
        "requests by mail are answered by mail; set `smarthost` of [mail]",
    );
    table.error_if(
        file.web.listen.is_empty(),
        "removal_address",
        "the answer has a link to the site; set `listen` of [web]",
    );
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{ZONE, load};

    fn with(text: &str) -> Result<crate::config::Config, Vec<String>> {
        load(&format!("[[reason]]\nname='relay'\n{text}"), ZONE).map_err(|e| e.0)
    }

    #[test]
    fn plain_url_is_that_of_the_site_or_of_the_own_listener() {
        let url = |text: &str| with(text).unwrap().tickets.control.plain_url;
        assert_eq!(url("").as_deref(), Some("http://127.0.0.1:8054"));
        let https = "[web]\nbase_url='https://lists.example:8443/'";
        assert_eq!(url(https), None);
        let own = |port| format!("{https}\n[proofs]\nlisten='0.0.0.0:{port}'");
        assert_eq!(url(&own(80)).as_deref(), Some("http://lists.example"));
        assert_eq!(
            url(&own(8055)).as_deref(),
            Some("http://lists.example:8055")
        );
        let proxied =
            format!("{https}\n[proofs]\nlisten='127.0.0.1:8055'\nurl='http://lists.example/'");
        assert_eq!(url(&proxied).as_deref(), Some("http://lists.example"));
    }

    #[test]
    fn unusable_values_are_errors() {
        for (text, expected) in [
            ("[proofs]\nlisten='x'", "listen: `x` is not an address"),
            (
                "[proofs]\nurl='https://lists.example'",
                "url: `https://lists.example` is not a URL that begins",
            ),
            (
                "[proofs]\nprovider_domains=['192.0.2.1']",
                "`192.0.2.1` is not a domain",
            ),
            (
                "[collector]\nremoval_address='removal@other.example'",
                "is not a mail address at the probe domain",
            ),
            (
                "[collector]\nremoval_address='removal'",
                "is not a mail address at the probe domain",
            ),
        ] {
            let errors = with(text).unwrap_err();
            assert!(errors.iter().any(|e| e.contains(expected)), "{errors:?}");
        }
    }
}
