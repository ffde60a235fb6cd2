//! Checks of pages: axe-core, html-validate, and what neither of them sees.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use fantoccini::key::Key;
use serde_json::{Value, json};

use super::driver::{Browser, Screen, folder};

/// What is wrong with a page; each line names the check.
pub type Findings = Vec<String>;

/// The most presses of the tabulator key on one page.
const MAX_TABS: usize = 400;

/// axe-core's rules: WCAG 2.2 up to AA, and best practice.
const AXE_RULES: &str = "wcag2a wcag2aa wcag21a wcag21aa wcag22aa best-practice";

fn lines(value: &Value) -> Findings {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|v| v.as_str().map(String::from)).collect()
}

/// Runs one of the checks of checks.js.
async fn check(browser: &Browser, name: &str) -> Value {
    let script = format!("{}; return checks.{name}()", include_str!("checks.js"));
    browser.script(&script).await
}

/// What axe-core finds, except what it calls minor.
pub async fn axe(browser: &Browser) -> Findings {
    let source = fs::read_to_string(folder().join("node_modules/axe-core/axe.min.js")).unwrap();
    browser.script(&source).await;
    let found = browser
        .script_with(
            "return axe.run(document, { runOnly: arguments[0].split(' '), resultTypes: ['violations'],
                rules: { 'target-size': { enabled: true } } }).then(r => r.violations
                .filter(v => v.impact != 'minor')
                .flatMap(v => v.nodes.map(n => `axe ${v.id} (${v.impact}): ${n.target} ${n.html.slice(0, 160)} ${n.failureSummary.replace(/\\s+/g, ' ').slice(0, 240)}`)))",
            vec![json!(AXE_RULES)],
        )
        .await;
    lines(&found)
}

/// Goes through a page with the tabulator key: each control is reached, in the order of the page,
/// and its focus is visible.
pub async fn keyboard(browser: &Browser) -> Findings {
    let expected = lines(&check(browser, "focusable").await);
    browser
        .script("document.activeElement?.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
        .await;
    let mut found = Findings::new();
    let mut reached = Vec::new();
    for _ in 0..MAX_TABS.min(expected.len() + 1) {
        browser.press(Key::Tab).await;
        let focus = check(browser, "focus").await;
        let Some(index) = focus["index"].as_i64() else {
            break;
        };
        if reached.contains(&index) {
            break;
        }
        reached.push(index);
        found.extend(lines(&focus["found"]));
    }
    if !reached.is_sorted() {
        found.push(format!(
            "the order of focus is not the order of the page: {reached:?}"
        ));
    }
    let reached: BTreeSet<usize> = reached
        .iter()
        .filter_map(|i| (*i).try_into().ok())
        .collect();
    for (index, control) in expected.iter().enumerate() {
        if !reached.contains(&index) && index < MAX_TABS {
            found.push(format!("not reached by keyboard: {control}"));
        }
    }
    found
}

/// All checks of an open page, on all screens and in all media. The browser is as a phone with
/// default colours again afterwards.
pub async fn all(browser: &Browser) -> Findings {
    let mut found = Findings::new();
    let mut add = |place: &str, new: Findings| {
        found.extend(new.into_iter().map(|f| format!("{place}: {f}")));
    };
    add("console", browser.console().await);
    for name in [
        "structure",
        "targets",
        "overflow",
        "scrollBoxes",
        "errors",
        "hosts",
        "spacing",
    ] {
        add("phone", lines(&check(browser, name).await));
    }
    add("phone", axe(browser).await);
    browser.media("", &[("prefers-color-scheme", "dark")]).await;
    add("dark", axe(browser).await);
    browser.media("", &[("forced-colors", "active")]).await;
    add(
        "forced colours",
        lines(&check(browser, "forcedColours").await),
    );
    browser.media("", &[]).await;
    browser.screen(Screen::Zoomed).await;
    add("400 %", lines(&check(browser, "overflow").await));
    browser.screen(Screen::Paper).await;
    browser.media("print", &[]).await;
    add("paper", lines(&check(browser, "print").await));
    browser.media("", &[]).await;
    browser.screen(Screen::Desktop).await;
    add("desktop", lines(&check(browser, "overflow").await));
    add("desktop", lines(&check(browser, "targets").await));
    add("desktop", keyboard(browser).await);
    browser.screen(Screen::Phone).await;
    found
}

/// The checks that a translation can break, because its texts are longer.
pub async fn translated(browser: &Browser) -> Findings {
    let mut found = axe(browser).await;
    found.extend(browser.console().await);
    for name in ["targets", "spacing"] {
        found.extend(lines(&check(browser, name).await));
    }
    browser.screen(Screen::Zoomed).await;
    found.extend(lines(&check(browser, "overflow").await));
    browser.screen(Screen::Phone).await;
    found
}

/// What html-validate finds in pages: each has a name and its HTML.
pub fn html(pages: &[(String, String)]) -> Findings {
    let dir = tempfile::tempdir().unwrap();
    // Beside the recommended rules: what the site's own checks cover, or is a matter of taste.
    let rules = json!({
        "root": true,
        "extends": ["html-validate:recommended", "html-validate:document"],
        "rules": {
            "doctype-style": "off",
            "long-title": "off",
            "no-trailing-whitespace": "off",
            "require-sri": "off",
            "void-style": "off",
            "no-inline-style": "error",
        }
    });
    fs::write(dir.path().join(".htmlvalidate.json"), rules.to_string()).unwrap();
    for (name, text) in pages {
        let file = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        fs::write(dir.path().join(format!("{file}.html")), text).unwrap();
    }
    let out = Command::new("node")
        .arg(folder().join("node_modules/html-validate/bin/html-validate.mjs"))
        .args(["--formatter", "json=report.json", "--ext", "html"])
        .arg(dir.path())
        .current_dir(dir.path())
        .output()
        .unwrap();
    // A pipe would lose the end of a long report.
    let report = fs::read(dir.path().join("report.json")).unwrap_or_default();
    let report: Value = serde_json::from_slice(&report)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    let mut found = Findings::new();
    for file in report.as_array().into_iter().flatten() {
        let name = Path::new(file["filePath"].as_str().unwrap_or_default());
        let name = name.file_stem().unwrap_or_default().to_string_lossy();
        for message in file["messages"].as_array().into_iter().flatten() {
            found.push(format!(
                "{name}:{}:{}: {}: {}",
                message["line"], message["column"], message["ruleId"], message["message"]
            ));
        }
    }
    found
}
