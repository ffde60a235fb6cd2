//! A product of the knowledge base: one file of `products`.

use serde::{Deserialize, Serialize};

use super::{Prose, prose::language_of};

/// What a product is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ProductKind {
    /// A mail server.
    MailServer,
    /// Mail together with calendars and the like.
    Groupware,
    /// A mail server that passes mail between networks or to another server.
    Gateway,
    /// A filter or virus scanner through which mail flows.
    Filter,
    /// A server of mailing lists that receives mail itself.
    ListServer,
    /// Several programs that are installed and configured together.
    Suite,
    /// A control panel that configures a mail server.
    Panel,
    /// A mail service that its vendor operates.
    Service,
    /// A web page or script that sends mail.
    WebForm,
    /// A server that forwards connections.
    Proxy,
    /// A printer, router, camera or container.
    Device,
    /// A program that sends mail and receives none.
    Sender,
    /// A setting or practice that several products share.
    Practice,
}

/// How sure a statement is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Confidence {
    /// Reported by people, without a document.
    Hearsay,
    /// A document of the vendor or an advisory says so.
    Document,
    /// A test of this project shows it.
    Tried,
}

/// Whether the builds that an entry is about can be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Securable {
    /// They are closed unless somebody opens them.
    ByDefault,
    /// They can be closed by a setting.
    BySetting,
    /// They have to be updated first.
    ByUpdate,
    /// They cannot be closed: replace them, or put them behind a server that can.
    Never,
}

/// What is wrong with some versions of a product, and how to close them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdviceEntry {
    /// Its name within the product, in addresses of pages: `before-2448`.
    pub id: String,
    /// The headline.
    pub title: Prose,
    /// The versions that it is about, in words.
    pub versions: Prose,
    /// The first version that it is about, to be compared with a recognised one; none: all earlier
    /// ones.
    #[serde(default)]
    pub since: Option<String>,
    /// The first version that it is no longer about; none: all later ones.
    #[serde(default)]
    pub before: Option<String>,
    /// Whether these builds can be closed.
    pub securable: Securable,
    /// The names of the catalogue's tests that they fail.
    #[serde(default)]
    pub fails: Vec<String>,
    /// Why they deliver mail for strangers, or why they do not.
    pub why: Prose,
    /// What to do, in order.
    #[serde(default)]
    pub steps: Vec<Prose>,
    /// Lines to copy into files, or commands to run.
    #[serde(default)]
    pub change: Vec<SettingLines>,
    /// Why there are no lines to copy, if a setting closes these builds: an interface without a
    /// file, for example.
    #[serde(default)]
    pub without_lines: Option<Prose>,
    /// The command that shows whether the change is in force, and what it prints.
    #[serde(default)]
    pub check: Option<SettingCheck>,
    /// Why there is no such command, and what to do instead, if a setting closes these builds.
    #[serde(default)]
    pub without_check: Option<Prose>,
    /// What the product's own documents say wrongly.
    #[serde(default)]
    pub wrong: Vec<WrongDocument>,
    /// The guides with more about it.
    #[serde(default)]
    pub guides: Vec<String>,
    /// How sure the entry is.
    pub confidence: Confidence,
    /// The ids of its sources; needed unless it is hearsay.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The test of this project that shows it, if it is tried: `advice::postfix`.
    #[serde(default)]
    pub test: Option<String>,
}

impl AdviceEntry {
    /// All texts of the entry.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Prose> {
        let wrong = self.wrong.iter();
        [&self.title, &self.versions, &self.why]
            .into_iter()
            .chain(&self.steps)
            .chain(self.change.iter().filter_map(|c| c.note.as_ref()))
            .chain(self.check.iter().map(|c| &c.expect))
            .chain(&self.without_lines)
            .chain(&self.without_check)
            .chain(wrong.flat_map(|w| [&w.claim, &w.truth, &w.proof]))
    }

    /// The language in which the entry is shown to somebody who reads `wanted`.
    pub fn language(&self, wanted: &'static str) -> &'static str {
        language_of(wanted, self.texts())
    }
}

/// Lines to copy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingLines {
    /// The file, table or menu to which they belong; none for commands.
    #[serde(default)]
    pub file: Option<String>,
    /// The lines whose place they take, as they are in the usual configuration.
    #[serde(default)]
    pub replaces: Option<String>,
    /// The lines.
    pub lines: String,
    /// What they mean, or what to replace in them.
    #[serde(default)]
    pub note: Option<Prose>,
}

impl SettingLines {
    /// The lines, without the line break that follows the opening quotes in the file.
    pub fn plain_lines(&self) -> &str {
        self.lines.trim_matches('\n')
    }

    /// The lines whose place they take, in the same form.
    pub fn replaced_lines(&self) -> Option<&str> {
        self.replaces.as_deref().map(|r| r.trim_matches('\n'))
    }
}

/// A command that shows whether a change is in force.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingCheck {
    /// The command.
    pub command: String,
    /// What it shows if the change is in force.
    pub expect: Prose,
}

/// A statement in documents that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrongDocument {
    /// Which document says what, in our words.
    pub claim: Prose,
    /// How it is.
    pub truth: Prose,
    /// How that is known.
    pub proof: Prose,
}

/// A part of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum SessionPart {
    /// The lines of the greeting, with their code (`220 `, `220-`).
    Greeting,
    /// The lines of the reply to EHLO, with their code (`250-`).
    Ehlo,
    /// The lines of the reply to HELP, with their code (`214-`).
    Help,
    /// Any other reply, with its code: how it words a refusal.
    Reply,
}

/// A text by which a product is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recognition {
    /// Where the text is.
    pub part: SessionPart,
    /// A regular expression (of the crate `regex`) that one line has to match. Its group `version`,
    /// if it has one, is the version.
    pub pattern: String,
    /// Lines that match it and are matched by the pattern of no other product.
    pub examples: Vec<String>,
    /// Whether the text tells only the family, since other products send it too.
    #[serde(default)]
    pub vague: bool,
    /// How sure it is.
    pub confidence: Confidence,
    /// The id of its source; needed unless it is hearsay.
    #[serde(default)]
    pub source: Option<String>,
}

/// Where a statement comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceDocument {
    /// Its name within the product.
    pub id: String,
    /// Who has written it, and its title or number.
    pub title: String,
    /// Its address, if it has one that can be expected to stay.
    #[serde(default)]
    pub url: Option<String>,
    /// When it was written or the version appeared: a year, a month or a day.
    pub date: String,
}

/// A product, or a practice that several products share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The name of its file, in addresses of pages: `postfix`.
    #[serde(skip)]
    pub id: String,
    /// The product's name.
    pub name: String,
    /// Who makes it, or made it.
    #[serde(default)]
    pub vendor: Option<String>,
    /// What it is.
    pub kind: ProductKind,
    /// The family by which the survey counts it: `sendmail`.
    pub family: String,
    /// Since when it is no longer maintained: a year, a month or a day.
    #[serde(default)]
    pub ended: Option<String>,
    /// Other names under which people search it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it is and how it behaves towards strangers, in one to three sentences.
    pub summary: Prose,
    /// How it is recognised.
    #[serde(default)]
    pub recognition: Vec<Recognition>,
    /// What is wrong with it, the most recent versions first.
    pub entry: Vec<AdviceEntry>,
    /// Where the statements come from.
    #[serde(default)]
    pub source: Vec<SourceDocument>,
    /// When somebody has last read the file against its sources: a day.
    pub reviewed: String,
}

impl Product {
    /// The language in which the summary is shown to somebody who reads `wanted`.
    pub fn summary_language(&self, wanted: &'static str) -> &'static str {
        language_of(wanted, [&self.summary])
    }
}
