//! The code blocks of README.md and docs/, as they are printed there.

use std::fs;

/// A fenced block of a document.
#[derive(Debug, Clone)]
pub struct Block {
    /// The document.
    pub document: String,
    /// The line of its first fence.
    pub line: usize,
    /// The word after the first fence.
    pub language: String,
    /// What it contains.
    pub text: String,
}

/// All blocks of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(document).unwrap_or_else(|e| panic!("{document}: {e}"));
    let (mut out, mut open) = (Vec::new(), None::<Block>);
    for (i, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { document: document.into(), line: i + 1, language: language.into(), text: String::new() });
            }
            (Some(_), Some(_)) => out.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block without an end");
    out
}
