//! `orbsd relay advice`: the knowledge base, without a daemon.

use std::io::Read;

use clap::Args;

use super::{CliError, Common, output, text::some};
use crate::{
    advice::recognise_pasted,
    api::{
        AdviceEntryResponse, AdviceQuestionResponse, AdviceResponse, AdviceSearchResponse,
        ProductResponse, RecognisedProductResponse, SettingLinesResponse,
    },
    http,
    relay::{products::products_of, transcript::TranscriptLine},
    texts::Language,
};

/// The longest greeting that is read from standard input, in bytes.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// Show how a mail server is closed: by its name, any words, or its greeting
#[derive(Debug, Args)]
pub(super) struct Advice {
    /// Product or words to search for [default: all products]
    words: Vec<String>,
    /// Recognise the product by this greeting, or by a session on standard input for `-`
    #[arg(long, value_name = "TEXT", conflicts_with = "words")]
    greeting: Option<String>,
    /// Show a piece of general advice
    #[arg(long, value_name = "GUIDE", conflicts_with_all = ["words", "greeting"])]
    guide: Option<String>,
}

/// Runs the command.
pub(super) fn run(common: &Common, c: Advice) -> Result<(), CliError> {
    if let Some(id) = c.guide {
        return show_guide(common, &id);
    }
    if let Some(text) = c.greeting {
        return show_greeting(common, &text);
    }
    let text = c.words.join(" ");
    let id = text.trim().to_lowercase().replace(' ', "-");
    if let Ok(product) = http::find_product(&id, Language::En) {
        return common.print(&product, print_product);
    }
    let found = http::find_advice(&text, Language::En);
    match found.products.as_slice() {
        [only] if !text.trim().is_empty() => {
            let product = http::find_product(&only.id, Language::En);
            let product = product.map_err(|e| CliError::Refused(e.detail))?;
            common.print(&product, print_product)
        }
        [] if found.guides.is_empty() && found.recognised.is_empty() => {
            Err(CliError::Refused(format!(
                "the knowledge base has nothing about `{text}`; `orbsd relay advice` lists all products"
            )))
        }
        _ => common.print(&found, print_found),
    }
}

fn show_guide(common: &Common, id: &str) -> Result<(), CliError> {
    let guide = http::find_guide(id, Language::En).map_err(|e| CliError::Refused(e.detail))?;
    common.print(&guide, |g| {
        println!("{}", g.guide.title);
        println!();
        println!("{}", g.guide.summary);
        for section in &g.sections {
            println!();
            println!("{}", section.heading);
            section.text.iter().for_each(|t| println!("{t}"));
            section.points.iter().for_each(|p| println!("* {p}"));
            print_lines(&section.changes);
        }
    })
}

fn show_greeting(common: &Common, text: &str) -> Result<(), CliError> {
    let mut input = String::new();
    if text == "-" {
        let stdin = std::io::stdin().lock().take(MAX_INPUT_BYTES);
        let mut bytes = Vec::new();
        let read = { stdin }.read_to_end(&mut bytes);
        read.map_err(|e| CliError::Refused(format!("standard input: {e}")))?;
        input = String::from_utf8_lossy(&bytes).into_owned();
    }
    let recognised = recognise_pasted(if text == "-" { &input } else { text });
    common.print(&http::advice_of(&recognised, &[]), print_advice)
}

/// The advice for a host that this command has tested.
pub(super) fn advice_for(transcript: &[TranscriptLine], delivered: &[&str]) -> AdviceResponse {
    http::advice_of(&products_of(transcript), delivered)
}

/// Prints the product and the entries that are likely to help, or the questions if no product is
/// recognised.
pub(super) fn print_advice(advice: &AdviceResponse) {
    if !advice.questions.is_empty() {
        println!("no product is recognised; these questions lead to the mistake:");
        print_questions(&advice.questions);
        println!();
        println!("more: orbsd relay advice NAME");
    }
    advice.recognised.iter().for_each(print_recognised);
    for suggestion in &advice.suggestions {
        println!();
        print_entry(&suggestion.entry);
    }
    if let Some(first) = advice.recognised.first() {
        println!();
        println!("more: orbsd relay advice {}", first.product);
    }
}

fn print_questions(questions: &[AdviceQuestionResponse]) {
    for (number, q) in (1..).zip(questions) {
        println!("{number}. {}", q.question);
        println!("   {}", q.answer);
        if let Some(guide) = &q.guide {
            println!("   more: orbsd relay advice --guide {guide}");
        }
    }
}

fn print_recognised(r: &RecognisedProductResponse) {
    println!("{}{}", r.name, some(" ", r.version.as_ref()));
}

fn print_found(found: &AdviceSearchResponse) {
    found.recognised.iter().for_each(print_recognised);
    for product in &found.products {
        println!("{:<32} {}", product.id, product.name);
    }
    for guide in &found.guides {
        println!("--guide {:<24} {}", guide.id, guide.title);
    }
}

fn print_product(product: &ProductResponse) {
    println!("{}", product.product.name);
    println!("{}", product.product.summary);
    for entry in &product.entries {
        println!();
        print_entry(entry);
    }
    for source in &product.sources {
        println!();
        println!(
            "source: {} ({}){}",
            source.title,
            source.date,
            some(" ", source.url.as_ref())
        );
    }
}

fn print_entry(entry: &AdviceEntryResponse) {
    let securable: &str = entry.securable.into();
    println!("{} ({}; {})", entry.title, entry.versions, securable);
    println!("{}", entry.why);
    for (number, step) in (1..).zip(&entry.steps) {
        println!("{number}. {step}");
    }
    entry.without_lines.iter().for_each(|w| println!("{w}"));
    print_lines(&entry.changes);
    if let Some(check) = &entry.check {
        println!("check:");
        output::block("    ", &check.command);
        println!("{}", check.expect);
    }
    if let Some(reason) = &entry.without_check {
        println!("check: {reason}");
    }
}

fn print_lines(changes: &[SettingLinesResponse]) {
    for change in changes {
        if let Some(file) = &change.file {
            println!("in {file}:");
        }
        if let Some(replaced) = &change.replaces {
            output::block("    ", replaced);
            println!("becomes:");
        }
        output::block("    ", &change.lines);
        change.note.iter().for_each(|n| println!("{n}"));
    }
}
