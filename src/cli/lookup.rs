//! `orbsd lookup`.

use clap::Args;

use super::{
    CliError, Common,
    change::prefixes,
    client::{Client, escape},
    text::some,
};
use crate::api::{SubjectResponse, SubjectZoneResponse};

/// Show the listings of a subject, its history, and the answers of each zone
#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// Address, prefix, range or domain
    subject: String,
}

/// Exit code 0: listed in some zone (of a range: one of its prefixes); 1: not listed.
pub(super) fn run(common: &Common, c: &Lookup) -> Result<(), CliError> {
    if c.subject.trim().is_empty() {
        return Err(CliError::Usage(
            "name an address, a prefix or a domain".into(),
        ));
    }
    let mut client = Client::open(common)?;
    let mut listed = false;
    for subject in prefixes(&c.subject) {
        let found: SubjectResponse = client.get(&format!("/v1/subjects/{}", escape(&subject)))?;
        common.print(&found, print)?;
        listed |= found.listed;
    }
    match listed {
        true => Ok(()),
        false => Err(CliError::Refused(String::new())),
    }
}

fn print(found: &SubjectResponse) {
    let state = if found.listed { "listed" } else { "not listed" };
    println!("{}: {state}", found.subject);
    if let Some(e) = &found.exempt {
        println!("  exempt since {}", e.since);
    }
    for e in &found.entries {
        let kind = match (e.exclusion, e.held) {
            (true, _) => "excluded by",
            (_, true) => "on hold, listed by",
            _ => "listed by",
        };
        println!(
            "  {}: {kind} {} since {}{}",
            e.reason,
            e.source,
            e.since,
            some(" until ", e.until)
        );
        e.note.iter().for_each(|n| println!("    note: {n}"));
    }
    for h in &found.holds {
        let until = match h.until {
            Some(t) => format!(" until {t}"),
            None => " while a wider subject is listed".into(),
        };
        println!(
            "  {}: on hold{} since {}{until}",
            h.reason,
            some(" by ", h.source.as_ref()),
            h.since
        );
    }
    for c in &found.covered_by {
        for e in &c.entries {
            println!(
                "  covered by {}: {} by {} since {}",
                c.subject, e.reason, e.source, e.since
            );
        }
        if c.exempt {
            println!("  exempt with {}", c.subject);
        }
    }
    found.zones.iter().for_each(print_zone);
    for h in &found.history {
        let about = h.reason.as_ref().map_or(String::new(), |r| {
            let source = h.source.as_deref().unwrap_or("every source");
            format!(" for {r} ({source})")
        });
        println!(
            "  {} {}{about} by {}{}",
            h.at,
            h.event.as_str(),
            h.author,
            some(": ", h.evidence.as_ref().map(|e| &e.text))
        );
    }
}

/// What a zone answers.
fn print_zone(z: &SubjectZoneResponse) {
    let shown = match &z.never_asked {
        Some(why) => why.clone(),
        None if z.codes.is_empty() => "no answer".to_string(),
        None => z.codes.join(" "),
    };
    println!("  {}: {shown}", z.zone);
    z.texts.iter().for_each(|t| println!("    \"{t}\""));
    for r in &z.rules {
        let verb = if r.listed { "lists" } else { "does not list" };
        println!("    {} {verb} it: {} ({})", r.code, r.explanation, r.rule);
    }
    if let Some(first) = z.not_exported.first() {
        let formats: Vec<&str> = z.not_exported.iter().map(|l| l.format.as_str()).collect();
        let why = match z.never_asked {
            None => format!(": {}", first.cause),
            Some(_) => String::new(),
        };
        println!("    left out of exports as {}{why}", formats.join(", "));
    }
}
