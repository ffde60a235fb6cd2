//! The templates of recipes, and how they are filled in for a zone.

use std::{fmt::Write as _, net::Ipv4Addr};

use crate::model::{Digest, Zone, ZoneKind, zone::Recommendation};

/// What a part of a recipe is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum Purpose {
    /// The zone is used.
    Use,
    /// One sender is let through although it is listed.
    Allow,
    /// One recipient gets mail from listed senders too.
    Exempt,
    /// Another way to use the zone, for programs that lack the first.
    Other,
}

/// A part of a recipe: a text for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipePart {
    /// What the part is for.
    pub purpose: Purpose,
    /// The file, as the program's documentation names it.
    pub file: String,
    /// The text to put into the file.
    pub text: String,
}

/// The settings with which one program uses a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The name of the recipe, which is part of the keys of its texts.
    pub id: &'static str,
    /// The name of the program.
    pub program: &'static str,
    /// Whether the program can only refuse what is listed, and not weigh it.
    pub refuses: bool,
    /// The parts, in the order in which they are shown.
    pub parts: Vec<RecipePart>,
}

/// How a program names the codes of a zone, or the bits of its codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// Patterns of Postfix, one for each group of codes; or every code matches.
    Groups,
    /// A list after `=`, or masks after `&`.
    Exim,
    /// Strings of sendmail's m4. Bits cannot be tested.
    Sendmail,
    /// A table of codes, or of masks.
    Rspamd,
    /// A regular expression, or a mask as a number.
    Regex,
    /// A range of codes, or a mask as a number.
    Range,
}

/// A recipe as it is built in.
struct Template {
    id: &'static str,
    program: &'static str,
    kind: ZoneKind,
    refuses: bool,
    syntax: Syntax,
    text: &'static str,
}

const fn template(
    (id, program): (&'static str, &'static str),
    kind: ZoneKind,
    refuses: bool,
    syntax: Syntax,
    text: &'static str,
) -> Template {
    Template {
        id,
        program,
        kind,
        refuses,
        syntax,
        text,
    }
}

use Syntax::{Exim, Groups, Range, Regex, Rspamd, Sendmail};
use ZoneKind::{Address, Domain, Hash};

/// The address that recipes let through as an example.
pub const EXAMPLE_SENDER: &str = "198.51.100.25";
/// The recipient that recipes exempt as an example.
pub const EXAMPLE_RECIPIENT: &str = "postmaster@";

/// All recipes. The names of programs are the same in every language.
#[rustfmt::skip]
const TEMPLATES: [Template; 15] = [
    template(("postfix", "Postfix"), Address, true, Groups, include_str!("postfix.txt")),
    template(("postscreen", "Postfix postscreen"), Address, false, Groups, include_str!("postscreen.txt")),
    template(("exim", "Exim"), Address, true, Exim, include_str!("exim.txt")),
    template(("sendmail", "sendmail"), Address, true, Sendmail, include_str!("sendmail.txt")),
    template(("rspamd", "rspamd"), Address, false, Rspamd, include_str!("rspamd.txt")),
    template(("spamassassin", "SpamAssassin"), Address, false, Regex, include_str!("spamassassin.txt")),
    template(("opensmtpd", "OpenSMTPD"), Address, false, Groups, include_str!("opensmtpd.txt")),
    template(("haraka", "Haraka"), Address, true, Groups, include_str!("haraka.txt")),
    template(("postfix-domain", "Postfix"), Domain, true, Groups, include_str!("postfix-domain.txt")),
    template(("exim-domain", "Exim"), Domain, true, Exim, include_str!("exim-domain.txt")),
    template(("rspamd-domain", "rspamd"), Domain, false, Rspamd, include_str!("rspamd-domain.txt")),
    template(("spamassassin-domain", "SpamAssassin"), Domain, false, Range, include_str!("spamassassin-domain.txt")),
    template(("unbound", "Unbound"), Domain, true, Groups, include_str!("unbound.txt")),
    template(("rspamd-hash", "rspamd"), Hash, false, Rspamd, include_str!("rspamd-hash.txt")),
    template(("spamassassin-hash", "SpamAssassin"), Hash, false, Regex, include_str!("spamassassin-hash.txt")),
];

/// The names of all recipes.
pub fn ids() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|t| t.id)
}

/// The recipes of a zone. There are none for a zone that is not to be used for decisions about
/// mail, and only those of programs that can test bits or compute the digests where the zone has
/// them.
pub fn of(zone: &Zone) -> Vec<Recipe> {
    let recommended = zone.about.recommended();
    if zone.publish.is_empty() || recommended == Recommendation::Ignore {
        return Vec::new();
    }
    let fits = |t: &&Template| {
        t.kind == zone.kind
            && (recommended == Recommendation::Refuse || !t.refuses)
            && (!zone.bitmask || t.syntax != Sendmail)
            && (zone.kind != Hash || t.hash(zone).is_some())
    };
    TEMPLATES
        .iter()
        .filter(fits)
        .map(|t| t.recipe(zone))
        .collect()
}

impl Template {
    fn recipe(&self, zone: &Zone) -> Recipe {
        Recipe {
            id: self.id,
            program: self.program,
            refuses: self.refuses,
            parts: self.parts(zone),
        }
    }

    fn parts(&self, zone: &Zone) -> Vec<RecipePart> {
        let mut parts: Vec<RecipePart> = Vec::new();
        for line in self.text.lines() {
            if let Some((purpose, file)) = line.strip_prefix("== ").and_then(|l| l.split_once(' '))
            {
                let purpose = match purpose {
                    "allow" => Purpose::Allow,
                    "exempt" => Purpose::Exempt,
                    "other" => Purpose::Other,
                    _ => Purpose::Use,
                };
                parts.push(RecipePart {
                    purpose,
                    file: self.fill(file, zone, ""),
                    text: String::new(),
                });
                continue;
            }
            let Some(part) = parts.last_mut() else {
                continue;
            };
            if let Some(hint) = line.strip_prefix("@masks ") {
                if zone.bitmask {
                    let _ = writeln!(part.text, "{}", self.fill(hint, zone, ""));
                }
                continue;
            }
            let Some(repeated) = line.strip_prefix("@each group") else {
                let _ = writeln!(part.text, "{}", self.fill(line, zone, ""));
                continue;
            };
            for group in code_groups(zone) {
                let _ = writeln!(part.text, "{}", self.fill(repeated, zone, &group));
            }
        }
        parts
    }

    /// Replaces the placeholders of a line.
    fn fill(&self, line: &str, zone: &Zone, group: &str) -> String {
        let refuse = zone.about.recommended() == Recommendation::Refuse;
        let symbol = |c: char| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
            _ => '_',
        };
        let name: String = zone.short_name.chars().map(symbol).collect();
        let pick = |yes: &'static str, no: &'static str| if refuse { yes } else { no };
        line.replace("@ZONE@", zone.origin.trim_end_matches('.'))
            .replace("@CODES@", &self.codes(zone))
            .replace("@SYMBOL@", &format!("RBL_{name}"))
            .replace("@NAME@", &name.to_ascii_lowercase())
            .replace("@HASH@", self.hash(zone).unwrap_or_default())
            .replace("@GROUP@", group)
            .replace("@POINTS@", pick("2", "1"))
            .replace("@SCORE@", pick("6.0", "2.0"))
            .replace("@REJECT@", pick("true", "false"))
    }
}

impl Template {
    /// The hash function, as the program names it; `None` if the program cannot compute the digests
    /// of the zone.
    fn hash(&self, zone: &Zone) -> Option<&'static str> {
        match (zone.digest?, self.syntax) {
            (Digest::Md5Hex, _) => Some("md5"),
            (Digest::Sha1Hex, _) => Some("sha1"),
            // The base32 of rspamd has another alphabet.
            (Digest::Sha256Base32, Regex) => Some("sha256"),
            _ => None,
        }
    }

    /// The codes of the zone, or their bits, in the syntax of the program.
    fn codes(&self, zone: &Zone) -> String {
        let mut codes: Vec<Ipv4Addr> = zone.publish.iter().map(|p| p.code).collect();
        codes.dedup();
        let list = |before: &str, between: &str, after: &str| {
            let codes = codes.iter().map(|code| format!("{before}{code}{after}"));
            codes.collect::<Vec<_>>().join(between)
        };
        let bits: Vec<u8> = codes.iter().map(|code| code.octets()[3]).collect();
        let mask = bits.iter().fold(0, |mask, bit| mask | bit);
        let bits = |before: &str, between: &str| {
            let bits = bits.iter().map(|bit| format!("{before}{bit}"));
            bits.collect::<Vec<_>>().join(between)
        };
        match (self.syntax, zone.bitmask) {
            (Groups, _) => String::new(),
            (Exim, false) => format!("={}", list("", ",", "")),
            (Exim, true) => format!("&{}", bits("0.0.0.", ",")),
            (Sendmail, _) => list("`", ", ", ".'"),
            (Rspamd, false) => {
                format!("returncodes {{ @SYMBOL@ = [{}]; }}", list("\"", ", ", "\""))
            }
            (Rspamd, true) => format!("returnbits {{ @SYMBOL@ = [{}]; }}", bits("", ", ")),
            (Regex, false) => format!("^(?:{})$", list("", "|", "").replace('.', "\\.")),
            (Range, false) => match (codes.iter().min(), codes.iter().max()) {
                (Some(least), Some(most)) if least != most => format!("{least}-{most}"),
                _ => list("", "", ""),
            },
            (Regex | Range, true) => mask.to_string(),
        }
    }
}

/// The codes in the syntax of Postfix: one pattern for all codes that differ in the last octet
/// only. Of bit masks, the pattern has each number with at least one of the bits.
fn code_groups(zone: &Zone) -> Vec<String> {
    let mut groups: Vec<([u8; 3], Vec<u8>)> = Vec::new();
    for p in &zone.publish {
        let [a, b, c, last] = p.code.octets();
        match groups.iter_mut().find(|(net, _)| *net == [a, b, c]) {
            Some((_, all)) if all.contains(&last) => {}
            Some((_, all)) => all.push(last),
            None => groups.push(([a, b, c], vec![last])),
        }
    }
    let pattern = |([a, b, c], mut last): ([u8; 3], Vec<u8>)| {
        if zone.bitmask {
            let mask = last.iter().fold(0, |mask, bit| mask | bit);
            last = (1..=u8::MAX).filter(|n| n & mask != 0).collect();
        }
        last.sort_unstable();
        match &ranges(&last)[..] {
            [one] if !one.contains('.') => format!("{a}.{b}.{c}.{one}"),
            all => format!("{a}.{b}.{c}.[{}]", all.join(";")),
        }
    };
    groups.into_iter().map(pattern).collect()
}

/// Numbers in ascending order, with three or more in succession as `FIRST..LAST`.
fn ranges(numbers: &[u8]) -> Vec<String> {
    let runs = numbers.chunk_by(|a, b| b - a == 1);
    runs.flat_map(|run| match run {
        [first, .., last] if run.len() > 2 => vec![format!("{first}..{last}")],
        few => few.iter().map(u8::to_string).collect(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::zone::Publish;

    fn zone(kind: ZoneKind, codes: &[[u8; 4]]) -> Zone {
        let publish = codes.iter().enumerate().map(|(i, code)| Publish {
            reason: format!("r{i}"),
            code: (*code).into(),
            ..Publish::default()
        });
        Zone {
            short_name: "my-list".into(),
            origin: "bl.example.org.".into(),
            kind,
            publish: publish.collect(),
            digest: (kind == Hash).then_some(Digest::Sha1Hex),
            ..Zone::default()
        }
    }

    fn text(recipes: &[Recipe], id: &str) -> String {
        let recipe = recipes.iter().find(|r| r.id == id).unwrap();
        recipe.parts.iter().map(|p| p.text.as_str()).collect()
    }

    #[test]
    fn recipe_matches_exactly_the_codes_of_the_zone() {
        let all = of(&zone(
            Address,
            &[[127, 0, 0, 3], [127, 0, 0, 2], [127, 0, 1, 9]],
        ));
        let postfix = text(&all, "postfix");
        assert!(
            postfix.contains("bl.example.org=127.0.0.[2;3]\n"),
            "{postfix}"
        );
        assert!(postfix.contains("bl.example.org=127.0.1.9\n"), "{postfix}");
        assert!(text(&all, "exim").contains("=127.0.0.3,127.0.0.2,127.0.1.9\n"));
        assert!(text(&all, "sendmail").contains("`', `127.0.0.3.', `127.0.0.2.', `127.0.1.9.')"));
        assert!(text(&all, "rspamd").contains("RBL_MY_LIST = [\"127.0.0.3\", \"127.0.0.2\""));
        assert!(
            text(&all, "spamassassin").contains(r"'^(?:127\.0\.0\.3|127\.0\.0\.2|127\.0\.1\.9)$'")
        );
    }

    #[test]
    fn no_placeholder_is_left() {
        for (kind, bitmask) in [
            (Address, false),
            (Address, true),
            (Domain, false),
            (Hash, false),
        ] {
            let mut zone = zone(kind, &[[127, 0, 0, 2]]);
            zone.bitmask = bitmask;
            assert!(of(&zone).len() > 1, "{kind:?}");
            for recipe in of(&zone) {
                assert!(recipe.parts.iter().any(|p| p.purpose == Purpose::Use));
                for part in recipe.parts {
                    let rest = part.text.replace("postmaster@", "");
                    assert!(!rest.contains("@each"), "{}: {rest}", recipe.id);
                    assert!(!rest.contains("@masks"), "{}: {rest}", recipe.id);
                    let names = [
                        "ZONE", "SYMBOL", "NAME", "CODES", "GROUP", "POINTS", "SCORE", "REJECT",
                        "HASH",
                    ];
                    for name in names {
                        assert!(
                            !rest.contains(&format!("@{name}@")),
                            "{}: {rest}",
                            recipe.id
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn zone_that_is_only_a_sign_has_no_recipe_that_refuses() {
        let mut zone = zone(Address, &[[127, 0, 0, 10]]);
        zone.about.recommended = Some(Recommendation::Score);
        let all = of(&zone);
        assert!(!all.is_empty() && all.iter().all(|r| !r.refuses));
        assert!(text(&all, "postscreen").contains("=127.0.0.10*1\n"));
        zone.about.recommended = Some(Recommendation::Ignore);
        assert_eq!(of(&zone), []);
    }

    #[test]
    fn recipe_tests_the_bits_of_a_zone_of_bit_masks() {
        let mut masks = zone(Address, &[[127, 0, 0, 2], [127, 0, 0, 4]]);
        masks.bitmask = true;
        let all = of(&masks);
        assert!(text(&all, "exim").contains("bl.example.org&0.0.0.2,0.0.0.4\n"));
        assert!(text(&all, "rspamd").contains("returnbits { RBL_MY_LIST = [2, 4]; }"));
        assert!(text(&all, "spamassassin").contains("'bl.example.org.', '6')"));
        let postfix = text(&all, "postfix");
        assert!(
            postfix.contains("=127.0.0.[2..7;10..15;18..23;") && postfix.contains(";250..255]\n"),
            "{postfix}"
        );
        assert!(
            postfix.starts_with("# Postfix compares numbers"),
            "{postfix}"
        );
        masks.publish.truncate(1);
        masks.publish[0].code = [127, 0, 0, 4].into();
        let postfix = text(&of(&masks), "postfix");
        assert!(
            postfix.contains("=127.0.0.[4..7;12..15;20..23;"),
            "{postfix}"
        );
        masks.bitmask = false;
        assert!(!text(&of(&masks), "postfix").contains('#'));
        assert!(all.iter().all(|r| r.id != "sendmail"));
    }

    #[test]
    fn zone_of_digests_has_recipes_of_programs_that_compute_them() {
        let mut digests = zone(Hash, &[[127, 0, 0, 2]]);
        for (digest, rspamd, spamassassin) in [
            (Digest::Md5Hex, Some("md5"), Some("md5")),
            (Digest::Sha1Hex, Some("sha1"), Some("sha1")),
            (Digest::Sha256Base32, None, Some("sha256")),
            (Digest::Sha224Hex, None, None),
        ] {
            digests.digest = Some(digest);
            let all = of(&digests);
            for (id, hash) in [("rspamd-hash", rspamd), ("spamassassin-hash", spamassassin)] {
                let found = all.iter().any(|r| r.id == id);
                assert_eq!(found, hash.is_some(), "{digest:?} {id}");
                let hash = hash.unwrap_or_default();
                assert!(!found || text(&all, id).contains(hash), "{digest:?} {id}");
            }
        }
    }

    #[test]
    fn domain_zone_names_a_range_of_codes_for_spamassassin() {
        let one = of(&zone(Domain, &[[127, 0, 1, 2]]));
        assert!(text(&one, "spamassassin-domain").contains("bl.example.org.  A  127.0.1.2\n"));
        let two = of(&zone(Domain, &[[127, 0, 1, 9], [127, 0, 1, 2]]));
        assert!(text(&two, "spamassassin-domain").contains("  A  127.0.1.2-127.0.1.9\n"));
    }
}
