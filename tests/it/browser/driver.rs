//! A browser, driven by WebDriver: Debian's Chromium from the folder of `make peers`, headless. One
//! chromedriver serves all tests; each test has a session, that is a browser of its own.

use std::{
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Condvar, Mutex, OnceLock},
    time::{Duration, Instant},
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    wd::WebDriverCompatibleCommand,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use ureq::http;

use crate::peers::peers;

/// Browsers that run at the same time: each takes most of a core while a page loads.
const MAX_BROWSERS: usize = 2;
/// How long a page may take until it shows what a test waits for.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two looks at a page.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// The folder of the browser, its fonts, and the checkers of pages.
pub fn folder() -> PathBuf {
    peers().join("browser")
}

/// Pictures of failed tests and of `make screenshots`.
pub fn artefacts() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("browser");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A chromedriver with its browsers. They end with the test process, even if it is killed: the shell
/// waits for the end of its input, and the PID namespace ends with its first process.
struct Driver {
    url: String,
    _shell: Child,
}

fn driver() -> &'static str {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    &DRIVER.get_or_init(start).url
}

fn start() -> Driver {
    let folder = folder();
    let root = folder.join("root");
    let libraries = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|l| format!("{0}/usr/lib/{l}:{0}/usr/lib/{l}/pulseaudio", root.display()));
    // Only root may make a PID namespace without a user namespace.
    let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    let map = if user == 0 { "" } else { "-r" };
    let mut shell = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "unshare {map} --pid --fork --kill-child --mount-proc \"$1\" --port=0 <&- &\n\
             read -r _; kill -9 $!"
        ))
        .arg("sh")
        .arg(root.join("usr/bin/chromedriver"))
        .env("LD_LIBRARY_PATH", libraries.join(":"))
        .env("FONTCONFIG_FILE", folder.join("fonts.conf"))
        .env("LANG", "C.UTF-8")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(shell.stdout.take().unwrap());
    let port = output
        .lines()
        .map_while(Result::ok)
        .find_map(|l| {
            l.rsplit_once("on port ")?
                .1
                .strip_suffix('.')?
                .parse::<u16>()
                .ok()
        })
        .expect("chromedriver did not start: run it by hand from the folder of `make peers`");
    Driver {
        url: format!("http://127.0.0.1:{port}"),
        _shell: shell,
    }
}

/// Permission to run a browser.
struct Permit;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Permit {
    fn wait() -> Permit {
        let running = RUNNING.0.lock().unwrap();
        *RUNNING
            .1
            .wait_while(running, |n| *n >= MAX_BROWSERS)
            .unwrap() += 1;
        Permit
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap() -= 1;
        RUNNING.1.notify_one();
    }
}

/// The screen that pages are shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A small phone with touch: 360 × 740 CSS pixels.
    Phone,
    /// A window of 1280 × 900 CSS pixels.
    Desktop,
    /// A window of 1280 × 1024 pixels, enlarged to 400 % (WCAG 2.2, 1.4.10): 320 × 256 CSS pixels.
    Zoomed,
    /// A sheet of A4.
    Paper,
}

/// A command of the Chrome DevTools Protocol.
#[derive(Debug)]
struct DevTools {
    name: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!(
            "session/{}/goog/cdp/execute",
            session.unwrap_or_default()
        ))
    }
    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let body = json!({ "cmd": self.name, "params": self.parameters });
        (http::Method::POST, Some(body.to_string()))
    }
}

/// Reads the messages of the browser's console since the last time.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }
    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (
            http::Method::POST,
            Some(json!({ "type": "browser" }).to_string()),
        )
    }
}

/// A browser with one open page.
pub struct Browser {
    client: Client,
    base: String,
    /// What the user did: each tap, and each text that was typed or pasted.
    done: Mutex<Vec<String>>,
}

/// Runs a test with a browser whose paths belong to a server. A test that fails leaves a picture.
pub fn browse(base: &str, test: impl AsyncFnOnce(&Browser)) {
    let _permit = Permit::wait();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let browser = runtime.block_on(Browser::start(base));
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(&browser))));
    runtime.block_on(async {
        if result.is_err() {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("main").replace("::", "-");
            if let Ok(png) = browser.client.screenshot().await {
                let path = artefacts().join(format!("failed-{name}.png"));
                std::fs::write(&path, png).unwrap();
                eprintln!("the page is shown in {}", path.display());
            }
            if let Ok(url) = browser.client.current_url().await {
                eprintln!("the page is {url}; done before: {:#?}", browser.done());
            }
        }
        let _ = browser.client.close().await;
    });
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

impl Browser {
    async fn start(base: &str) -> Browser {
        let chromium = folder().join("root/usr/lib/chromium/chromium");
        // Nothing but this machine can be reached: a page that needs an outside host breaks.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(driver())
            .await
            .expect("the browser does not start");
        let browser = Browser {
            client,
            base: base.trim_end_matches('/').into(),
            done: Mutex::default(),
        };
        browser.screen(Screen::Phone).await;
        browser
    }

    /// Sends a command of the Chrome DevTools Protocol.
    pub async fn devtools(&self, name: &'static str, parameters: Value) -> Value {
        let command = DevTools { name, parameters };
        let reply = self.client.issue_cmd(command).await;
        reply.unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Shows pages on a screen from now on.
    pub async fn screen(&self, screen: Screen) {
        let (width, height, scale) = match screen {
            Screen::Phone => (360, 740, 2),
            Screen::Desktop => (1280, 900, 1),
            Screen::Zoomed => (320, 256, 4),
            Screen::Paper => (794, 1123, 1),
        };
        let phone = screen == Screen::Phone;
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone }),
        )
        .await;
        self.devtools(
            "Emulation.setTouchEmulationEnabled",
            json!({ "enabled": phone }),
        )
        .await;
    }

    /// Sets media features, such as `prefers-color-scheme`, and the media type if there is one.
    pub async fn media(&self, media: &str, features: &[(&str, &str)]) {
        let features: Vec<Value> = features
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "media": media, "features": features }),
        )
        .await;
    }

    /// Sets the languages that the browser accepts, such as `de, en;q=0.5`.
    pub async fn languages(&self, languages: &str) {
        let agent = self.script("return navigator.userAgent").await;
        self.devtools(
            "Network.setUserAgentOverride",
            json!({ "userAgent": agent, "acceptLanguage": languages }),
        )
        .await;
    }

    /// Switches scripts of pages off or on. Scripts of tests run in any case.
    pub async fn scripts(&self, on: bool) {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": !on }),
        )
        .await;
    }

    /// Opens a path of the server, or a whole URL.
    pub async fn open(&self, path: &str) {
        let url = if path.contains("://") {
            path.into()
        } else {
            format!("{}{path}", self.base)
        };
        let opened = self.client.goto(&url).await;
        opened.unwrap_or_else(|e| panic!("{url}: {e}"));
    }

    /// The path of the open page, with its query.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url[url::Position::BeforePath..].into()
    }

    /// Runs a script in the page. Returns its value.
    pub async fn script(&self, script: &str) -> Value {
        self.script_with(script, vec![]).await
    }

    /// Runs a script with arguments in the page. Returns its value.
    pub async fn script_with(&self, script: &str, arguments: Vec<Value>) -> Value {
        let value = self.client.execute(script, arguments).await;
        value.unwrap_or_else(|e| panic!("{e}: {script}"))
    }

    /// Waits until a script returns a true value. Returns that value.
    pub async fn wait_until(&self, script: &str) -> Value {
        let until = Instant::now() + TIMEOUT;
        loop {
            // A script that runs while the browser loads the next page fails.
            let value = self.client.execute(script, vec![]).await;
            match value {
                Ok(Value::Null | Value::Bool(false)) | Err(_) => {}
                Ok(value) => return value,
            }
            assert!(
                Instant::now() < until,
                "after {TIMEOUT:?} this is not true: {script}\n{}",
                self.text().await
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for a visible element. Returns its text.
    pub async fn wait_for(&self, selector: &str) -> String {
        let script = format!(
            "const e = document.querySelector({selector:?});
             return e && e.checkVisibility() ? {{ text: e.innerText ?? '' }} : null"
        );
        let value = self.wait_until(&script).await;
        value["text"].as_str().unwrap_or_default().into()
    }

    /// The text of the page, as a reader sees it.
    pub async fn text(&self) -> String {
        let text = self.script("return document.body.innerText").await;
        text.as_str().unwrap_or_default().into()
    }

    async fn find(&self, selector: &str) -> Element {
        self.wait_for(selector).await;
        self.client.find(Locator::Css(selector)).await.unwrap()
    }

    /// Taps an element, and waits for the page that this opens, if any.
    pub async fn tap(&self, selector: &str) {
        let element = self.find(selector).await;
        let label = element.text().await.unwrap_or_default();
        self.done
            .lock()
            .unwrap()
            .push(format!("tap {selector} ({label})"));
        let mut tapped = element.click().await;
        // The page's script may replace the element at the same moment.
        if tapped
            .as_ref()
            .is_err_and(|e| e.to_string().contains("stale"))
        {
            tapped = self.find(selector).await.click().await;
        }
        tapped.unwrap_or_else(|e| panic!("{selector}: {e}"));
    }

    /// Follows a link again and again until a page has changed: not counted as a tap.
    pub async fn follow(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// Pastes a text into a field.
    pub async fn paste(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        element.click().await.unwrap();
        self.done
            .lock()
            .unwrap()
            .push(format!("paste into {selector}"));
        self.devtools("Input.insertText", json!({ "text": text }))
            .await;
        self.wait_until(&format!(
            "return document.querySelector({selector:?}).value != ''"
        ))
        .await;
    }

    /// Presses a key.
    pub async fn press(&self, key: fantoccini::key::Key) {
        let actions = KeyActions::new("keyboard".into())
            .then(KeyAction::Down { value: key.into() })
            .then(KeyAction::Up { value: key.into() });
        self.client.perform_actions(actions).await.unwrap();
    }

    /// What the user did since the start.
    pub fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }

    /// The console's warnings and errors, such as violations of the Content-Security-Policy, since
    /// the last time.
    pub async fn console(&self) -> Vec<String> {
        let log = self.client.issue_cmd(ConsoleLog).await.unwrap();
        let lines = log.as_array().into_iter().flatten();
        lines
            .filter(|l| l["level"] != "INFO" && l["level"] != "DEBUG")
            .map(|l| l["message"].as_str().unwrap_or_default().to_string())
            // A page of an error has the status of the error.
            .filter(|m| !m.contains("the server responded with a status of"))
            .collect()
    }

    /// A picture of the whole page as PNG, down to a length of some screens.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self
            .devtools(
                "Page.captureScreenshot",
                json!({ "format": "png", "captureBeyondViewport": true }),
            )
            .await;
        let text = picture["data"].as_str().unwrap_or_default();
        data_encoding::BASE64.decode(text.as_bytes()).unwrap()
    }
}
