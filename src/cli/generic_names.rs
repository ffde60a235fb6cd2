//! `orbsd generic-names`: names that providers have made.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::{Client, with_query},
    text::some,
};
use crate::api::{
    AssessedNameResponse, GenericNameCheckResponse, GenericNameQuery, NameAssessmentKind,
};

/// Explain which reverse names are generic
#[derive(Debug, Args)]
pub(super) struct GenericNames {
    #[command(subcommand)]
    command: GenericNamesCommand,
}

#[derive(Debug, Subcommand)]
enum GenericNamesCommand {
    /// Show whether a name is generic; exit code 1 if it would not be listed
    Check {
        /// Host name, or address whose names are looked up
        #[arg(value_name = "NAME|ADDRESS")]
        subject: String,
    },
}

/// Exit code 0: an address with these names is listed if it is a candidate; 1: it is not.
pub(super) fn run(common: &Common, c: &GenericNames) -> Result<(), CliError> {
    let GenericNamesCommand::Check { subject } = &c.command;
    let query = GenericNameQuery { q: subject.clone() };
    let mut client = Client::open(common)?;
    let path = with_query("/v1/generic-names/check", &query);
    let found: GenericNameCheckResponse = client.get(&path)?;
    common.print(&found, print)?;
    match found.lists {
        true => Ok(()),
        false => Err(CliError::Refused(String::new())),
    }
}

fn print(found: &GenericNameCheckResponse) {
    if let Some(address) = found.address.as_ref().filter(|_| found.names.is_empty()) {
        println!("{address}: no name");
    }
    found.names.iter().for_each(print_name);
    let least: &str = found.min_confidence.into();
    let is_unsure =
        |n: &AssessedNameResponse| n.confidence.is_some_and(|c| c < found.min_confidence);
    if found.names.iter().any(is_unsure) {
        println!("not listed: the confidence is lower than {least}");
    }
}

fn print_name(n: &AssessedNameResponse) {
    match n.kind {
        NameAssessmentKind::Ordinary => println!("{}: not generic; no pattern matches it", n.name),
        NameAssessmentKind::NeverGeneric => {
            println!("{}: never generic{}", n.name, some("; ", n.sign.as_ref()));
        }
        NameAssessmentKind::Generic => {
            let confidence: &str = n.confidence.unwrap_or_default().into();
            println!(
                "{}: generic by {}, confidence {confidence}",
                n.name,
                n.pattern.as_deref().unwrap_or_default()
            );
            if let Some(provider) = &n.provider {
                let source: &str = n.source.map_or("", Into::into);
                println!(
                    "  provider: {provider} (known from {source}; example {})",
                    n.example.as_deref().unwrap_or_default()
                );
            }
        }
    }
}
