//! nftables: elements of sets, and rules that drop or reject sources.

use super::{Input, entry::is_address_form, report::Omission};

/// Reads a ruleset, or commands for `nft -f`: lists elements of sets of addresses, and sources in
/// rules that drop or reject. Leaves out sets of other types and other rules.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let mut state = State::default();
    while let Some(line) = input.next()? {
        for (column, token) in tokens(&line) {
            state.token(input, token, column)?;
        }
        state.end_of_line(input)?;
    }
    if state.depth > 0 || state.element.is_some() {
        return Err(
            input.located("a brace is not closed: the file is truncated; nothing was changed")
        );
    }
    Ok(())
}

/// The longest statement or element, in words; rules with an anonymous set of sources are long.
const MAX_WORDS: usize = 100_000;

/// The state of the reader.
#[derive(Default)]
struct State {
    /// The words of the statement so far.
    statement: Vec<String>,
    /// Inside the braces of elements: the words of the element so far, and its position.
    element: Option<(Vec<String>, u64, usize)>,
    /// The elements of the set are not addresses.
    skips: bool,
    /// The type of the current set.
    kind: String,
    /// The column of the source in the statement.
    column: usize,
    /// Inside the braces of an anonymous set of sources.
    sources: bool,
    /// The number of open braces.
    depth: usize,
}

impl State {
    fn token(&mut self, input: &mut Input, token: &str, column: usize) -> Result<(), String> {
        if let Some((words, ..)) = &mut self.element {
            match token {
                "," | "}" => {
                    self.element(input)?;
                    self.element = (token == ",").then(|| (Vec::new(), 0, 0));
                    if token == "}" {
                        self.statement.push("}".into());
                        self.depth = self.depth.saturating_sub(1);
                    }
                }
                _ => {
                    if words.is_empty() {
                        self.element = Some((vec![token.into()], input.line, column));
                    } else if words.len() < MAX_WORDS {
                        words.push(token.into());
                    }
                }
            }
            return Ok(());
        }
        match token {
            "{" if self.ends_with(&["saddr", "!="]) && self.has_source() => {
                self.sources = true;
                self.column = column + 1;
            }
            "," if self.sources => {}
            "}" if self.sources => self.sources = false,
            "{" if self.opens_elements() => {
                self.depth += 1;
                self.skips = !self.kind.is_empty()
                    && !["ipv4_addr", "ipv6_addr", "ip", "ip6"]
                        .iter()
                        .any(|k| self.kind.starts_with(k));
                self.element = Some((Vec::new(), 0, 0));
            }
            "{" => {
                self.depth += 1;
                let starts = ["set", "map", "table", "chain"];
                if self
                    .statement
                    .first()
                    .is_some_and(|w| starts.contains(&w.as_str()))
                {
                    self.kind.clear();
                }
                if !self.has_source() {
                    self.statement.clear();
                }
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.statement.clear();
            }
            ";" => self.end_of_line(input)?,
            _ => {
                if self.ends_with(&["saddr"]) {
                    self.column = column;
                }
                if self.statement.len() >= MAX_WORDS {
                    return Err(input.located(format_args!(
                        "a statement has more than {MAX_WORDS} words: this is not a ruleset"
                    )));
                }
                self.statement.push(token.into());
            }
        }
        Ok(())
    }

    /// Whether the last word of the statement is one of these.
    fn ends_with(&self, any: &[&str]) -> bool {
        self.statement
            .last()
            .is_some_and(|w| any.contains(&w.as_str()))
    }

    /// Whether the statement names sources.
    fn has_source(&self) -> bool {
        self.statement.iter().any(|w| w == "saddr")
    }

    /// Whether a brace opens the elements of a set: `elements = {`, `add element family table set
    /// {`, `define x = {`.
    fn opens_elements(&self) -> bool {
        let s: Vec<&str> = self.statement.iter().map(String::as_str).collect();
        matches!(s[..], ["elements", "="] | ["define", _, "="])
            || s.windows(2).any(|w| w == ["add", "element"])
    }

    /// Processes the element that ends here.
    fn element(&mut self, input: &mut Input) -> Result<(), String> {
        let Some((words, line, column)) = self.element.take() else {
            return Ok(());
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let now = std::mem::replace(&mut input.line, line);
        match words[..] {
            [] => {}
            [first, ".", ..] => input.leave_out(Omission::OtherLine, column, first),
            [first, ..] if self.skips || first.starts_with('$') => {
                input.leave_out(Omission::OtherLine, column, first);
            }
            [first, ..] if words.contains(&"accept") => {
                input.leave_out(Omission::ExceptionRule, column, first);
            }
            // The dash of a range may have blanks around it.
            [first, "-", ref last @ ..] => {
                let last = last.first().unwrap_or(&"");
                input.list_word(&format!("{first}-{last}"), column)?;
            }
            [first, ..] => input.list_word(first, column)?,
        }
        input.line = now;
        Ok(())
    }

    /// Processes the statement that ends here: a type or a rule.
    fn end_of_line(&mut self, input: &mut Input) -> Result<(), String> {
        let words: Vec<&str> = self.statement.iter().map(String::as_str).collect();
        match words[..] {
            ["type" | "typeof", ref kind @ ..] => self.kind = kind.join(" "),
            // A list of elements continues in the next lines.
            ["elements", ..] | ["define", ..] if words.len() < 4 && self.element.is_some() => {
                return Ok(());
            }
            _ => {}
        }
        let drops = words.iter().any(|w| matches!(*w, "drop" | "reject"));
        let accepts = words.iter().any(|w| matches!(*w, "accept" | "return"));
        if let Some(at) = words.iter().position(|w| *w == "saddr") {
            let sources = words[at + 1..].iter().take_while(|w| is_address_form(w));
            let sources: Vec<&&str> = sources.filter(|_| drops).collect();
            let column = self.column.max(1);
            let kind = if accepts {
                Omission::ExceptionRule
            } else {
                Omission::OtherLine
            };
            if sources.is_empty() {
                input.leave_out(kind, column, &words.join(" "));
            }
            sources
                .iter()
                .try_for_each(|w| input.list_word(w, column))?;
        }
        if self.element.is_none() {
            self.statement.clear();
        }
        Ok(())
    }
}

/// Words, braces, commas and semicolons of a line with their columns, without comments. Quoted
/// strings are one word.
fn tokens(line: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|r| !r.is_empty()) {
        let c = rest.chars().next().unwrap_or(' ');
        let len = match c {
            '#' => break,
            c if c.is_whitespace() => c.len_utf8(),
            '{' | '}' | ',' | ';' => 1,
            '"' => rest[1..].find('"').map_or(rest.len(), |i| i + 2),
            _ => rest
                .find(|c: char| c.is_whitespace() || "{},;#".contains(c))
                .unwrap_or(rest.len()),
        };
        if !c.is_whitespace() {
            out.push((at + 1, &rest[..len]));
        }
        at += len;
    }
    out
}
