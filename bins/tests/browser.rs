//! The explorer in a real Chromium, over a chain that has done a whole job. Skipped loudly without `chromedriver`; `BROWSER_REQUIRED=1` makes that
//! a failure. Screenshots are left in `target/tmp/explorer`, to be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and a skipped one says so"
)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use gongsuan::cluster::faucet_key;
use gongsuan::node::config::write_key;
use gongsuan_ledger::Op;
use gongsuan_types::{Address, Amount};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use common::{Running, after, demo};

/// Whatever is waited for longer than this does not come.
const PATIENCE: Duration = Duration::from_secs(60);
const WIDE: (u32, u32) = (1280, 900);
const NARROW: (u32, u32) = (390, 844);
/// A page's name and its path.
const PAGES: [(&str, &str); 14] = [
    ("overview", ""),
    ("blocks", "blocks"),
    ("block", "blocks/7"),
    ("market", "market"),
    ("order", "orders/4"),
    ("jobs", "jobs"),
    ("job", "jobs/4"),
    ("deal", "deals/1"),
    ("providers", "providers"),
    ("people", "people"),
    ("validators", "validators"),
    ("audit", "audit"),
    ("api", "api"),
    ("missing", "no/such/page"),
];

/// `None` if there is no driver here.
fn driver() -> Option<(Running, String)> {
    let started = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = started else {
        let required = std::env::var("BROWSER_REQUIRED").is_ok_and(|value| value == "1");
        assert!(!required, "BROWSER_REQUIRED=1 and there is no chromedriver: run scripts/setup");
        eprintln!(
            "SKIPPED: the explorer in a browser (chromedriver is absent; scripts/setup installs it)"
        );
        return None;
    };
    let stdout = child.stdout.take().unwrap();
    let running = Running(child);
    let port = after(stdout, "started successfully on port ");
    Some((running, format!("http://127.0.0.1:{}", port.trim_end_matches('.'))))
}

async fn connect(driver: &str) -> Client {
    let capabilities = json!({
        "goog:chromeOptions": {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en"],
        },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    let Value::Object(capabilities) = capabilities else { unreachable!() };
    ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(driver)
        .await
        .unwrap()
}

/// One of the driver's own commands, beside the protocol's.
#[derive(Debug)]
struct Own(&'static str, Value);

impl WebDriverCompatibleCommand for Own {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }
    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

/// Makes the page as wide and high as a device, also narrower than a window can be.
async fn device(browser: &Client, (width, height): (u32, u32)) {
    let metrics =
        json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
    let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
    browser.issue_cmd(Own("goog/cdp/execute", command)).await.unwrap();
}

/// Light or dark, as the system's setting would say.
async fn scheme(browser: &Client, value: &str) {
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
    let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": features });
    browser.issue_cmd(Own("goog/cdp/execute", command)).await.unwrap();
}

async fn run(browser: &Client, script: &str) -> Value {
    browser.execute(script, vec![]).await.unwrap()
}

/// Waits until a script answers with something that is true.
async fn until(browser: &Client, what: &str, script: &str) -> Value {
    let wait = async {
        loop {
            let value = run(browser, script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
        }
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: {}", run(browser, "return document.body.innerText").await),
    }
}

/// Goes to the explorer at all.
async fn enter(browser: &Client, url: &str) {
    browser.goto(&format!("{url}/")).await.unwrap();
    shown(browser, "the explorer").await;
}

async fn shown(browser: &Client, path: &str) {
    until(browser, path, "return document.querySelector('main h1, main .error') !== null").await;
}

/// Goes from page to page as a link would.
async fn open(browser: &Client, path: &str) {
    let script = format!(
        "document.querySelector('main').replaceChildren();
        if (location.hash === '#/{path}') dispatchEvent(new HashChangeEvent('hashchange'));
        else location.hash = '#/{path}';"
    );
    run(browser, &script).await;
    shown(browser, path).await;
}

/// A private job on the demo's network, by whoever has all its money, from the order to its outputs. Answers with the order's number.
fn private_job(dir: &Path, url: &str) -> u64 {
    let key = dir.join("faucet.key");
    write_key(&key, &faucet_key("demo-7")).unwrap();
    let gongsuan = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_gongsuan"))
            .args(args)
            .args(["--json", "--key", key.to_str().unwrap(), "--node", url])
            .current_dir(dir)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?}: {said}");
        out.stdout
    };
    gongsuan(&["permit", "grant", &faucet_key("demo-7").address().to_string(), "renter"]);
    gongsuan(&["job", "init", "--into", "job"]);
    let file = dir.join("job/job.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\n# private = true"));
    std::fs::write(&file, text.replacen("\n# private = true", "\nprivate = true", 1)).unwrap();
    let result = gongsuan(&["job", "run", "job/job.toml", "--out", "private"]);
    let result: Value = serde_json::from_slice(&result).unwrap();
    result["bid"].as_u64().unwrap()
}

/// Nothing of a private job is asked for, and the page says why there is nothing to see.
async fn hides(browser: &Client, bid: u64, word: &str) {
    run(browser, "performance.clearResourceTimings()").await;
    open(browser, &format!("jobs/{bid}")).await;
    let mark = format!(
        "return [...document.querySelectorAll('main .tag')].some((e) => e.querySelector('svg.lock') && e.innerText === '{word}')"
    );
    until(browser, "a lock and the word for it", &mark).await;
    let done = "return document.querySelectorAll('.tiles i.done').length";
    assert_eq!(run(browser, done).await, json!(16), "how far it is everybody may see");
    assert_eq!(run(browser, "return document.querySelector('canvas')").await, Value::Null);
    let asked = "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)";
    let asked = run(browser, asked).await;
    let asked: Vec<&str> =
        asked.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(asked.contains(&format!("/v1/orders/{bid}").as_str()), "{asked:?}");
    let is_content = |path: &&str| path.contains("/blobs/") || path.ends_with("/receipts");
    assert!(!asked.iter().any(is_content), "{asked:?}");
}

/// Every page in a language at a width: no error, nothing wider than the page, no text without a translation.
async fn pages(browser: &Client, shots: &Path, size: (u32, u32), language: &str) {
    device(browser, size).await;
    for (name, path) in PAGES {
        open(browser, path).await;
        let error =
            run(browser, "return document.querySelector('main .error')?.innerText ?? null").await;
        assert_eq!(error, Value::Null, "{name} in {language}");
        let wide = run(
            browser,
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
        )
        .await;
        assert_eq!(wide, json!(0), "{name} is wider than {} pixels", size.0);
        let text = run(browser, "return document.body.innerText").await;
        let keys =
            ["overview.", "block.", "order.", "deal.", "event.", "audit.", "validators.", "{"];
        for key in keys.into_iter().filter(|_| name != "api" && name != "order" && name != "block")
        {
            assert!(
                !text.as_str().unwrap().contains(key),
                "{name} in {language} shows {key}: {text}"
            );
        }
        let shot = browser.screenshot().await.unwrap();
        std::fs::write(shots.join(format!("{name}-{language}-{}.png", size.0)), shot).unwrap();
    }
}

#[tokio::test]
async fn browser_shows_the_whole_explorer() {
    let Some((_driver, driver)) = driver() else { return };
    let out = tempfile::tempdir().unwrap();
    let (_demo, url) = demo(out.path());
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("explorer");
    std::fs::create_dir_all(shots.join("dark")).unwrap();
    let browser = connect(&driver).await;

    let (folder, node) = (out.path().to_owned(), url.clone());
    let private = tokio::task::spawn_blocking(move || private_job(&folder, &node)).await.unwrap();

    enter(&browser, &url).await;
    pages(&browser, &shots, WIDE, "en").await;
    pages(&browser, &shots, NARROW, "en").await;
    hides(&browser, private, "private").await;
    let shot = browser.screenshot().await.unwrap();
    std::fs::write(shots.join("private.png"), shot).unwrap();
    scheme(&browser, "dark").await;
    pages(&browser, &shots.join("dark"), WIDE, "en").await;
    scheme(&browser, "light").await;

    // The picture of a job, from the outputs of its segments.
    device(&browser, WIDE).await;
    open(&browser, "jobs/4").await;
    let count =
        "return fetch('/v1/deals?order=4').then((r) => r.json()).then((all) => all.deals.length)";
    let deals = run(&browser, count).await;
    let drawn =
        format!("return document.querySelector('canvas.picture')?.dataset.deals === '{deals}'");
    until(&browser, "the picture", &drawn).await;
    let colours = "const c = document.querySelector('canvas.picture'); const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        const seen = new Set(); let holes = 0;
        for (let i = 0; i < d.length; i += 4) { seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); holes += d[i + 3] === 0; }
        return [c.width, c.height, seen.size > 500, holes]";
    assert_eq!(run(&browser, colours).await, json!([320, 200, true, 0]), "every tile is there");
    assert_eq!(
        run(&browser, "return document.querySelectorAll('.tiles i.done').length").await,
        json!(16)
    );
    let shot = browser.screenshot().await.unwrap();
    std::fs::write(shots.join("picture.png"), shot).unwrap();

    // The page about the API, from its own description.
    open(&browser, "api").await;
    let paths = "return document.querySelectorAll('main h2 code').length";
    let described: Value = serde_json::from_str(&gongsuan::api::description()).unwrap();
    let operations = described["paths"].as_object().unwrap().values();
    let count: usize = operations.map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(run(&browser, paths).await, json!(count), "every operation is shown");

    // Live: a transfer, and the page that was open shows its block without being asked.
    open(&browser, "").await;
    until(&browser, "the stream", "return document.querySelector('.live.on') !== null").await;
    let payer = faucet_key("demo-7");
    let sent = {
        let url = url.clone();
        tokio::task::spawn_blocking(move || {
            let node = gongsuan::client::Client::new([url]);
            let op = Op::Transfer { to: Address::TREASURY, amount: Amount::new(1) };
            node.execute(&payer, &[op]).unwrap()
        })
    };
    sent.await.unwrap();
    until(
        &browser,
        "the transfer on the tape",
        "return document.querySelector('.tape a[href^=\"#/tx/\"]') !== null",
    )
    .await;

    // Search, language and keyboard.
    let query = browser.find(Locator::Id("query")).await.unwrap();
    query.send_keys("deal 1\u{e007}").await.unwrap();
    until(&browser, "search", "return location.hash === '#/deals/1' && document.querySelector('h1').innerText === 'Deal 1'").await;
    browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();
    until(&browser, "Chinese", "return document.documentElement.lang === 'zh-CN' && document.querySelector('h1').innerText === '成交 1'").await;
    pages(&browser, &shots, WIDE, "zh").await;
    pages(&browser, &shots, NARROW, "zh").await;
    hides(&browser, private, "私密").await;
    enter(&browser, &url).await;
    let body = browser.find(Locator::Css("body")).await.unwrap();
    body.send_keys("\u{e004}").await.unwrap();
    assert_eq!(
        run(&browser, "return document.activeElement.className").await,
        json!("skip"),
        "the first stop of the keyboard"
    );
    let unnamed = "return [...document.querySelectorAll('button, input, nav, canvas, svg.depth')].filter((e) => !(e.innerText || e.getAttribute('aria-label'))).length";
    assert_eq!(run(&browser, unnamed).await, json!(0), "everything has a name for a screen reader");

    let log = browser.issue_cmd(Own("se/log", json!({ "type": "browser" }))).await.unwrap();
    let severe: Vec<&Value> =
        log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE").collect();
    assert!(severe.is_empty(), "{severe:#?}");
    browser.close().await.unwrap();
}
