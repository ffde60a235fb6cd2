//! `orbsd privacy`: what is stored about a person.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::{CliError, Common, client::Client, output, text::join};
use crate::api::{
    PersonalDataRequest, PersonalDataResponse, PersonalErasureResponse, PersonalFindingResponse,
};

/// Show or erase what is stored about a person
#[derive(Debug, Args)]
pub(super) struct Privacy {
    #[command(subcommand)]
    command: PrivacyCommand,
}

#[derive(Debug, Subcommand)]
enum PrivacyCommand {
    /// Show everything stored that names an address, a domain or a mail address
    Show(Person),
    /// Erase what may be erased, and show what stays and why
    Erase(Person),
}

#[derive(Debug, Args)]
struct Person {
    /// Address, prefix, domain or mail address
    subject: String,
}

/// Shows personal data, or erases it.
pub(super) fn run(common: &Common, c: &Privacy) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let request = |person: &Person| PersonalDataRequest {
        subject: person.subject.clone(),
    };
    match &c.command {
        PrivacyCommand::Show(person) => {
            let found: PersonalDataResponse =
                client.post_json("/v1/privacy/report", &request(person))?;
            common.print(&found, |r| {
                if r.findings.is_empty() {
                    println!("nothing is stored that names {}", r.subject);
                }
                print_findings(&r.findings, r.truncated);
            })
        }
        PrivacyCommand::Erase(person) => {
            let done: PersonalErasureResponse =
                client.post_json("/v1/privacy/erasure", &request(person))?;
            common.print(&done, print_erasure)
        }
    }
}

fn print_erasure(r: &PersonalErasureResponse) {
    match r.erased.is_empty() {
        true => println!("nothing was erased"),
        false => println!(
            "erased: {}",
            join(r.erased.iter().map(|(k, n)| format!("{n} {k}")))
        ),
    }
    match r.kept.is_empty() {
        true => println!("nothing is left that names {}", r.subject),
        false => println!("what stays:"),
    }
    print_findings(&r.kept, r.truncated);
    println!("Backups are not changed; the start after a restore erases it again.");
}

/// Prints findings under the kind of their data, with how long they are kept.
fn print_findings(all: &[PersonalFindingResponse], truncated: bool) {
    let mut by_kind: BTreeMap<(&str, &str), Vec<&PersonalFindingResponse>> = BTreeMap::new();
    for f in all {
        by_kind.entry((&f.kind, &f.retention)).or_default().push(f);
    }
    for ((kind, retention), found) in by_kind {
        println!(
            "{kind}: kept {}{}",
            retention[..1].to_lowercase(),
            &retention[1..]
        );
        for f in found {
            let erasable = if f.erasable { " (erasable)" } else { "" };
            println!("  {}{erasable}:", f.place);
            output::block("    ", &f.text);
        }
    }
    if truncated {
        println!("there is more: only the first 10,000 items are shown");
    }
}
