//! The explorer's files: both languages say everything, and nothing comes from anywhere else. How it looks and behaves is tested in a browser.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Bytes of all files together.
const BYTES_MAX: u64 = 150_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("explorer")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    files(&folder()).into_iter().map(read).collect()
}

fn words(language: &str) -> BTreeMap<String, String> {
    let path = folder().join(format!("words/{language}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What stands between an opening and a closing mark, each time.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    let after = text.split(open).skip(1);
    after.filter_map(|rest| rest.split_once(close).map(|(inside, _)| inside)).collect()
}

/// The first argument of every call of a function, where it begins with this mark.
fn arguments<'a>(text: &'a str, name: &str, mark: char) -> Vec<&'a str> {
    let call = format!("{name}({mark}");
    let is_call = |at: &usize| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let calls = text.match_indices(&call).map(|(at, _)| at).filter(is_call);
    calls.filter_map(|at| text[at + call.len()..].split(mark).next()).collect()
}

#[test]
fn both_languages_have_the_same_texts_with_the_same_places() {
    let (en, zh) = (words("en"), words("zh"));
    assert!(en.len() > 100);
    assert_eq!(en.keys().collect::<Vec<_>>(), zh.keys().collect::<Vec<_>>());
    for (key, text) in &en {
        let places = |text: &str| {
            between(text, "{", '}').into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
        };
        assert_eq!(places(text), places(&zh[key]), "{key}");
        assert!(!text.is_empty() && !zh[key].is_empty(), "{key}");
    }
}

/// Keys stand in scripts as `t("…")`, as `say("…")`, as templates whose beginning is fixed, and in the page's attributes.
#[test]
fn every_text_that_is_asked_for_exists_and_every_text_is_asked_for() {
    let en = words("en");
    let (mut asked, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    for (path, text) in sources() {
        if path.extension().is_some_and(|end| end == "js") {
            for name in ["t", "say"] {
                asked.extend(arguments(&text, name, '"').into_iter().map(str::to_owned));
                for template in arguments(&text, name, '`') {
                    prefixes.insert(template.split("${").next().unwrap().to_owned());
                }
            }
            // A choice between two texts: `t(is ? "one" : "other")`.
            let choices =
                between(&text, "? \"", '"').into_iter().chain(between(&text, ": \"", '"'));
            asked.extend(choices.filter(|key| en.contains_key(*key)).map(str::to_owned));
        }
        for attribute in ["data-t=\"", "data-t-label=\"", "data-t-hint=\""] {
            asked.extend(between(&text, attribute, '"').into_iter().map(str::to_owned));
        }
    }
    // Event names are put together in two steps.
    prefixes.extend(["event.".to_owned()]);
    prefixes.remove("");
    for key in &asked {
        assert!(en.contains_key(key), "no text for {key}");
    }
    for prefix in &prefixes {
        assert!(en.keys().any(|key| key.starts_with(prefix)), "no text begins with {prefix}");
    }
    for key in en.keys() {
        let used = asked.contains(key) || prefixes.iter().any(|prefix| key.starts_with(prefix));
        assert!(used, "nobody asks for {key}");
    }
}

#[test]
fn the_files_are_small_and_take_nothing_from_elsewhere() {
    let bytes: u64 = files(&folder()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
    for (path, text) in sources() {
        let named = path.display();
        let elsewhere = between(&text, "http", '"');
        let is_space = |rest: &str| rest.starts_with("://www.w3.org/");
        assert!(elsewhere.iter().all(|rest| !rest.contains("://") || is_space(rest)), "{named}");
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"]
        {
            assert!(!text.contains(forbidden), "{named}: {forbidden}");
        }
    }
    let page = std::fs::read_to_string(folder().join("index.html")).unwrap();
    for inline in ["<style", " style=", " onclick=", " onload="] {
        assert!(!page.contains(inline), "the policy forbids {inline}");
    }
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=").count()
    );
}

/// What the first page tells newcomers to type is there.
#[test]
fn the_commands_of_the_first_page_exist() {
    let path = folder().join("js/pages/overview.js");
    let text = std::fs::read_to_string(path).unwrap();
    let start = between(&text, "const START = `", '`')[0];
    let known = gongsuan::cli::commands();
    for line in start.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], "gongsuan", "{line}");
        assert!(known.contains(&words[1..3].join(" ")), "{line}");
    }
    assert!(start.lines().count() > 3);
}
