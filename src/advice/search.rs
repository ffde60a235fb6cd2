//! Finds products and guides by any text.

use super::{Guide, Library, Product, Recognised, recognise_pasted};

/// The texts of all products and guides in lower case.
#[derive(Debug)]
pub(super) struct SearchIndex {
    products: Vec<SearchedText>,
    guides: Vec<SearchedText>,
}

#[derive(Debug)]
struct SearchedText {
    /// Names and aliases, one a line.
    names: String,
    /// Everything else.
    body: String,
}

/// What a search has found.
#[derive(Debug, Default)]
pub struct SearchResult {
    /// The products that a pasted text shows.
    pub recognised: Vec<Recognised>,
    /// Products with all words of the text, those with them in a name first.
    pub products: Vec<&'static Product>,
    /// Guides with all words of the text.
    pub guides: Vec<&'static Guide>,
}

/// How many bytes of a text are looked at.
pub const MAX_SEARCH_BYTES: usize = 4096;

/// How many words of a text count.
const MAX_WORDS: usize = 8;

impl SearchIndex {
    pub(super) fn new(products: &[Product], guides: &[Guide]) -> SearchIndex {
        SearchIndex {
            products: products.iter().map(searched_product).collect(),
            guides: guides.iter().map(searched_guide).collect(),
        }
    }
}

fn searched_product(product: &Product) -> SearchedText {
    let mut names = vec![product.id.as_str(), &product.name];
    names.extend(product.aliases.iter().map(String::as_str));
    names.extend(product.vendor.as_deref());
    let mut body: Vec<&str> = product.summary.all().map(|(_, text)| text).collect();
    body.push(&product.family);
    for entry in &product.entry {
        let prose = [&entry.title, &entry.versions, &entry.why];
        let texts = prose.into_iter().chain(&entry.steps);
        body.extend(texts.flat_map(|p| p.all().map(|(_, text)| text)));
        body.extend(entry.fails.iter().map(String::as_str));
        for change in &entry.change {
            body.extend(change.file.as_deref());
            body.extend(change.replaces.as_deref());
            body.push(&change.lines);
        }
        body.extend(entry.check.iter().map(|c| c.command.as_str()));
        for wrong in &entry.wrong {
            body.extend([&wrong.claim, &wrong.truth].map(|p| p.english()));
        }
    }
    body.extend(product.source.iter().map(|s| s.title.as_str()));
    SearchedText {
        names: names.join("\n").to_lowercase(),
        body: body.join("\n").to_lowercase(),
    }
}

fn searched_guide(guide: &Guide) -> SearchedText {
    let mut body: Vec<&str> = guide.summary.all().map(|(_, text)| text).collect();
    for section in &guide.section {
        let prose = [&section.heading].into_iter().chain(&section.text);
        let texts = prose.chain(&section.points);
        body.extend(texts.flat_map(|p| p.all().map(|(_, text)| text)));
        body.extend(section.change.iter().map(|c| c.lines.as_str()));
    }
    let titles: Vec<&str> = guide.title.all().map(|(_, text)| text).collect();
    SearchedText {
        names: format!("{}\n{}", guide.id, titles.join("\n")).to_lowercase(),
        body: body.join("\n").to_lowercase(),
    }
}

/// Searches the knowledge base for a text: words, or a greeting or session that somebody has
/// pasted. At most [`MAX_SEARCH_BYTES`] of it count.
pub fn search(text: &str) -> SearchResult {
    let library = Library::get();
    let mut end = text.len().min(MAX_SEARCH_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | '<' | '>'))
        .filter(|w| !w.is_empty())
        .take(MAX_WORDS)
        .collect();
    if words.is_empty() {
        return SearchResult::default();
    }
    let index = library.search_index();
    SearchResult {
        recognised: recognise_pasted(text),
        products: ranked(&index.products, library.products(), &words),
        guides: ranked(&index.guides, library.guides(), &words),
    }
}

/// The items whose texts have all words, by where they have them.
fn ranked<'l, T>(texts: &[SearchedText], items: &'l [T], words: &[&str]) -> Vec<&'l T> {
    let phrase = words.join(" ");
    let mut found: Vec<(usize, &T)> = Vec::new();
    for (text, item) in texts.iter().zip(items) {
        // A name that is the text, then one with the text in it, then names with its words.
        let mut names = text.names.lines();
        let mut rank = match names.clone().any(|name| name == phrase) {
            true => 0,
            false if names.any(|name| name.contains(&phrase)) => 1,
            false => 2,
        };
        let has_all = words.iter().all(|word| {
            if text.names.lines().any(|name| name == *word) {
                true
            } else if text.names.contains(word) {
                rank += 1;
                true
            } else {
                rank += 10;
                text.body.contains(word)
            }
        });
        if has_all {
            found.push((rank, item));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        search(text)
            .products
            .into_iter()
            .map(|p| p.id.as_str())
            .collect()
    }

    #[test]
    fn product_is_found_by_any_of_its_names_first() {
        assert_eq!(found("postfix")[0], "postfix");
        assert_eq!(found("EIMS")[0], "eims");
        assert_eq!(found("Exchange Online")[0], "exchange-online");
    }

    #[test]
    fn all_words_have_to_be_there() {
        assert!(found("mynetworks").contains(&"postfix"));
        assert!(found("postfix zzzz-no-such-word").is_empty());
        assert!(found("").is_empty());
    }

    #[test]
    fn guide_is_found_by_its_text() {
        assert!(
            search("WireGuard")
                .guides
                .iter()
                .any(|g| g.id == "vpn-and-tunnels")
        );
    }

    #[test]
    fn text_of_any_length_and_kind_is_searched() {
        search(&"é".repeat(100_000));
        search("\0\u{202e}<script>");
    }
}
