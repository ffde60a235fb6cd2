//! "Use this list", the policy, and the pages about relay tests.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    context::PageContext,
    markup::{Markup, escape},
    quality::{self, QualityRow},
};
use crate::{
    api::{
        ListQualityResponse, ListResponse, NamedProductResponse, Page, PolicyResponse,
        ProblemDetails, PublicRelayTestsResponse, RecipePartResponse, RecipeResponse,
        RelayTestNotesResponse, RelayTestResponse, TextForm, TextPageResponse, TextResponse,
        TextSectionResponse,
    },
    http::{self, App, public_lists, relay_tests},
    model::{ZoneKind, zone::Recommendation},
    recipes::Purpose,
    tickets::RemovalPolicy,
};

#[derive(Template)]
#[template(path = "lists.html")]
pub(super) struct ListsPage<'a> {
    pub page: &'a PageContext,
    pub lists: &'a [ListResponse],
}

impl ListsPage<'_> {
    /// The lists by recommended use, without uses that no list has.
    fn groups(&self) -> Vec<(&'static str, Vec<&ListResponse>)> {
        let group = |key, recommended| {
            let lists = self.lists.iter().filter(|l| l.recommended == recommended);
            (key, lists.collect::<Vec<_>>())
        };
        let mut groups = vec![
            group("lists-choose-refuse", Recommendation::Refuse),
            group("lists-choose-score", Recommendation::Score),
            group("lists-choose-ignore", Recommendation::Ignore),
        ];
        groups.retain(|(_, lists)| !lists.is_empty());
        groups
    }

    fn href(&self, list: &ListResponse) -> String {
        self.page.href(&list_path(&list.alias))
    }

    fn use_for(&self, list: &ListResponse) -> Markup {
        use_for(self.page, list)
    }
}

/// The path of a list's page.
pub(super) fn list_path(alias: &str) -> String {
    let alias = percent_encoding::utf8_percent_encode(alias, percent_encoding::NON_ALPHANUMERIC);
    format!("/zones/{}", alias.to_string().replace("%2D", "-"))
}

/// What a list is for, as its zone file says or by its recommended use.
fn use_for(page: &PageContext, list: &ListResponse) -> Markup {
    if !list.use_for.is_empty() {
        return page.address(&list.use_for);
    }
    page.t(match list.recommended {
        Recommendation::Refuse => "list-for-default-refuse",
        Recommendation::Score => "list-for-default-score",
        Recommendation::Ignore => "list-for-default-ignore",
    })
}

/// `GET /zones`.
pub(super) async fn get_lists(page: PageContext, State(app): State<App>) -> Response {
    let lists = public_lists::lists(&app);
    let html = || ListsPage {
        page: &page,
        lists: &lists,
    };
    page.respond_indexed(&Page::all(lists.iter().cloned()), html)
}

#[derive(Template)]
#[template(path = "list.html")]
pub(super) struct ListPage<'a> {
    pub page: &'a PageContext,
    pub list: &'a ListResponse,
}

/// A step of a recipe: its texts, and what to put into files.
struct Step<'a> {
    title: &'static str,
    text: String,
    parts: Vec<&'a RecipePartResponse>,
}

impl ListPage<'_> {
    fn use_for(&self) -> Markup {
        use_for(self.page, self.list)
    }

    fn is_digest(&self) -> bool {
        self.list.kind == ZoneKind::Hash
    }

    fn is_ignored(&self) -> bool {
        self.list.recommended == Recommendation::Ignore
    }

    fn has_opensmtpd(&self) -> bool {
        self.list.recipes.iter().any(|r| r.id == "opensmtpd")
    }

    fn steps<'r>(&self, recipe: &'r RecipeResponse) -> Vec<Step<'r>> {
        steps(recipe)
    }
}

/// The steps of a recipe. Every recipe says how to use the list, how to let one sender through,
/// how to exempt one recipient, and what happens if the list is down.
fn steps(recipe: &RecipeResponse) -> Vec<Step<'_>> {
    let step = |title, name: &str, purpose: Option<Purpose>| Step {
        title,
        text: format!("recipe-{}-{name}", recipe.id),
        parts: recipe
            .parts
            .iter()
            .filter(|p| Some(p.purpose) == purpose)
            .collect(),
    };
    let mut steps = vec![
        step("recipe-use", "use", Some(Purpose::Use)),
        step("recipe-allow", "allow", Some(Purpose::Allow)),
        step("recipe-exempt", "exempt", Some(Purpose::Exempt)),
        step("recipe-other", "other", Some(Purpose::Other)),
        step("recipe-down", "down", None),
    ];
    steps.retain(|s| s.title != "recipe-other" || !s.parts.is_empty());
    steps
}

/// `GET /zones/{zone}`.
pub(super) async fn get_list(
    page: PageContext,
    State(app): State<App>,
    Path(zone): Path<String>,
) -> Result<Response, ProblemDetails> {
    let list = public_lists::list(&app, &zone)?;
    Ok(page.respond_indexed(&list, || ListPage {
        page: &page,
        list: &list,
    }))
}

#[derive(Template)]
#[template(path = "policy.html")]
pub(super) struct PolicyPage<'a> {
    pub page: &'a PageContext,
    pub policy: &'a PolicyResponse,
}

impl PolicyPage<'_> {
    fn href(&self, alias: &str) -> String {
        self.page.href(&list_path(alias))
    }

    fn lifetime(&self, seconds: &Option<u64>) -> Markup {
        match seconds {
            Some(seconds) => self
                .page
                .t1("policy-lifetime", "count", seconds.div_ceil(86_400)),
            None => self.page.t("policy-lifetime-never"),
        }
    }

    /// The figures of a list, in words.
    fn quality(&self, list: &ListQualityResponse) -> Vec<QualityRow> {
        quality::rows(self.page, &list.figures)
    }

    fn removal(&self, policy: &RemovalPolicy) -> Markup {
        self.page.t(match policy {
            RemovalPolicy::AfterRetest => "policy-after-retest",
            RemovalPolicy::OnRequest => "policy-on-request",
            RemovalPolicy::OwnerOfRange => "policy-owner-of-range",
            RemovalPolicy::Reviewed => "policy-reviewed",
            RemovalPolicy::WithLastInput => "policy-with-last-input",
            RemovalPolicy::ByOwner => "policy-by-owner",
            RemovalPolicy::None => "policy-none",
        })
    }
}

/// `GET /policy`.
pub(super) async fn get_policy(page: PageContext, State(app): State<App>) -> Response {
    let policy = public_lists::policy(&app);
    page.respond_indexed(&policy, || PolicyPage {
        page: &page,
        policy: &policy,
    })
}

#[derive(Template)]
#[template(path = "tests.html")]
pub(super) struct TestsPage<'a> {
    pub page: &'a PageContext,
    pub policy: &'a PolicyResponse,
    pub r: &'a PublicRelayTestsResponse,
}

/// The most products of a test that are shown at once.
const SHOWN_PRODUCTS: usize = 12;

impl TestsPage<'_> {
    /// The id of a tester on the page: `abuse.net` is `tester-abuse-net`.
    fn tester_id(&self, id: &str) -> String {
        format!("tester-{}", id.replace('.', "-"))
    }

    /// The products that are shown at once.
    fn first_products<'n>(&self, notes: &'n RelayTestNotesResponse) -> &'n [NamedProductResponse] {
        let all = &notes.delivered_by;
        &all[..all.len().min(SHOWN_PRODUCTS)]
    }

    /// The products that are shown on request.
    fn other_products<'n>(&self, notes: &'n RelayTestNotesResponse) -> &'n [NamedProductResponse] {
        notes.delivered_by.get(SHOWN_PRODUCTS..).unwrap_or_default()
    }

    /// The envelopes of a test, with placeholders.
    fn envelope(&self, test: &RelayTestResponse) -> String {
        let mut lines = Vec::new();
        if let Some(helo) = &test.helo {
            lines.push(helo.clone());
        }
        if let Some(from) = &test.from {
            lines.push(format!("MAIL FROM:{from}"));
        }
        let to = |text: &String| format!("RCPT TO:{text}");
        lines.extend(test.first.iter().map(to));
        lines.extend(test.to.iter().map(to));
        lines.extend(test.last.iter().map(to));
        lines.join("\n")
    }
}

/// `GET /tests`.
pub(super) async fn get_tests(page: PageContext, State(app): State<App>) -> Response {
    let policy = public_lists::policy(&app);
    let tests = http::public_relay_tests(relay_tests(&app));
    page.respond_indexed(&tests, || TestsPage {
        page: &page,
        policy: &policy,
        r: &tests,
    })
}

#[derive(Template)]
#[template(path = "texts.html")]
pub(super) struct TextPage<'a> {
    pub page: &'a PageContext,
    pub content: &'a TextPageResponse,
}

impl TextPage<'_> {
    fn is_list(&self, section: &TextSectionResponse) -> bool {
        section.form == TextForm::List
    }

    fn is_steps(&self, section: &TextSectionResponse) -> bool {
        section.form == TextForm::Steps
    }

    /// A text with its link.
    fn linked(&self, text: &TextResponse) -> Markup {
        let shown = escape(&text.text);
        let Some(link) = &text.link else {
            return Markup::trusted(shown);
        };
        let target = match link.target.starts_with('/') {
            true => self.page.href(&link.target),
            false => link.target.clone(),
        };
        let (label, target) = (escape(&link.label), escape(&target));
        Markup::trusted(shown.replacen(&label, &format!("<a href=\"{target}\">{label}</a>"), 1))
    }
}

fn text_page(page: &PageContext, content: &TextPageResponse) -> Response {
    page.respond_indexed(content, || TextPage { page, content })
}

/// `GET /opt-out`.
pub(super) async fn get_opt_out(page: PageContext, State(app): State<App>) -> Response {
    text_page(&page, &http::opt_out(&app, page.language))
}

/// `GET /open-relay`.
pub(super) async fn get_open_relay(page: PageContext) -> Response {
    text_page(&page, &http::open_relay(page.language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Digest, Zone, zone::Publish},
        recipes,
        texts::{Language, text},
    };

    /// A zone of each kind that has recipes, as in docs/mail-servers.md, with the title there.
    fn zones() -> [(&'static str, Zone); 4] {
        let zone = |short_name: &str, kind, codes: &[&str]| Zone {
            short_name: short_name.into(),
            origin: format!("{short_name}.example.org"),
            kind,
            publish: codes
                .iter()
                .map(|code| Publish {
                    reason: "relay".into(),
                    code: code.parse().unwrap(),
                    ..Publish::default()
                })
                .collect(),
            digest: (kind == ZoneKind::Hash).then_some(Digest::Sha1Hex),
            ..Zone::default()
        };
        let mut masks = zone("combined", ZoneKind::Address, &["127.0.0.2", "127.0.0.4"]);
        masks.bitmask = true;
        [
            (
                "A list of addresses",
                zone("relays", ZoneKind::Address, &["127.0.0.2"]),
            ),
            ("A list of addresses with bit masks", masks),
            (
                "A list of domains",
                zone("domains", ZoneKind::Domain, &["127.0.1.2"]),
            ),
            (
                "A list of digests of mail addresses",
                zone("addresses", ZoneKind::Hash, &["127.0.2.2"]),
            ),
        ]
    }

    fn recipes_of(zone: &Zone) -> Vec<RecipeResponse> {
        let recipes = recipes::of(zone).into_iter();
        recipes.map(public_lists::recipe).collect()
    }

    #[test]
    fn every_step_of_every_recipe_has_a_text() {
        for recipe in zones().iter().flat_map(|(_, zone)| recipes_of(zone)) {
            for step in steps(&recipe) {
                for key in [step.title, &step.text] {
                    assert_ne!(text(Language::En, key, &[]), key, "pages.ftl lacks a text");
                }
            }
        }
    }

    #[test]
    fn every_shipped_test_is_described_as_in_the_catalogue() {
        for test in crate::http::relay_tests_of(&crate::relay::Catalogue::standard(), &[]) {
            let key = format!("form-{}", test.name);
            assert_eq!(text(Language::En, &key, &[]), test.description, "forms.ftl");
        }
    }

    /// The page docs/mail-servers.md after its introduction.
    fn document() -> String {
        let mut out = String::new();
        let t = |key: &str| text(Language::En, key, &[]);
        for (title, zone) in zones() {
            out += &format!("\n## {title}\n");
            if zone.bitmask {
                out += "\nOnly the test of the codes differs; the rest is as above. sendmail cannot test bits.\n";
            }
            for recipe in recipes_of(&zone) {
                let shown: Vec<_> = steps(&recipe)
                    .into_iter()
                    .filter(|s| !zone.bitmask || s.title == "recipe-use" && !s.parts.is_empty())
                    .collect();
                // The settings of OpenSMTPD and Haraka do not name codes.
                if zone.bitmask && ["opensmtpd", "haraka"].contains(&recipe.id.as_str()) {
                    continue;
                }
                out += &format!("\n### {}\n", recipe.program);
                for step in shown {
                    if !zone.bitmask {
                        out += &format!("\n**{}.** {}\n", t(step.title), t(&step.text));
                    }
                    for part in step.parts {
                        out += &format!("\n`{}`:\n\n```text\n{}```\n", part.file, part.text);
                    }
                }
            }
        }
        out
    }

    #[test]
    fn documentation_shows_the_recipes_of_the_pages() {
        const MARK: &str = "<!-- The rest of this page is made from src/recipes: UPDATE_SNAPSHOTS=1 cargo test --lib documentation_shows -->\n";
        let path = "docs/mail-servers.md";
        let shown = std::fs::read_to_string(path).unwrap();
        let (start, rest) = shown.split_once(MARK).expect("the mark is missing");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, format!("{start}{MARK}{}", document())).unwrap();
            return;
        }
        assert_eq!(rest, document(), "renew it with UPDATE_SNAPSHOTS=1");
    }
}
