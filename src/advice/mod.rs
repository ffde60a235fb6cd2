//! The knowledge base: how mail servers are recognised, why they deliver mail for strangers, and
//! how to close them.
//!
//! Each product is a file of `products`, each piece of general advice a file of `guides`. A
//! correction changes one file; a new file also needs a line in `files.rs`. The lint (`tests.rs`)
//! holds the shape of both: it is a unit test, and it names the file and the place.
//!
//! ```text
//! greeting, EHLO, HELP, replies ──recognise──► Recognised (product, version)
//! Recognised + delivered tests  ──suggest────► Suggestion (entry), likeliest first
//! any text                      ──search─────► products, guides
//! ```
//!
//! The module is pure. Files are part of the binary and read when they are needed first.

mod files;
mod guide;
mod library;
mod links;
mod product;
mod prose;
mod recognise;
mod search;
mod select;
#[cfg(test)]
mod tests;
mod version;

pub use guide::{Guide, Section};
pub use library::Library;
pub use links::{Link, LinkGroup, LinkState, links};
pub use product::{
    AdviceEntry, Confidence, Product, ProductKind, Recognition, Securable, SessionPart,
    SettingCheck, SettingLines, SourceDocument, WrongDocument,
};
pub use prose::{Prose, TRANSLATIONS};
pub use recognise::{Recognised, recognise, recognise_lines, recognise_pasted};
pub use search::{MAX_SEARCH_BYTES, SearchResult, search};
pub use select::{Suggestion, find_entry, securable, suggest};
pub use version::Version;
