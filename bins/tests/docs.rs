//! Every command in the book can be pasted: the blocks marked `sh` of a page run one after another in an empty folder, with `gongsuan` on the path.
//! That takes minutes, so plain tests only read the blocks; `DOCS=1` runs them (`DOCS=quickstart` one page). Blocks marked `sh cargo` run in the
//! source tree, with what cargo has built for this test. The program is the one built for this test as well, or the one that `GONGSUAN_BIN` names.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Pages whose commands run.
const PAGES: &[&str] = &[
    "quickstart",
    "renting",
    "providing",
    "validating",
    "auditing",
    "embedding",
    "privacy",
    "operations",
];

/// A page's blocks, those of the source tree apart.
#[derive(Default)]
struct Blocks {
    shell: Vec<String>,
    cargo: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn blocks(page: &str) -> Blocks {
    let text = std::fs::read_to_string(folder().join(format!("{page}.md"))).unwrap();
    let mut found = Blocks::default();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line) {
            (None, "```sh") => open = Some((false, String::new())),
            (None, "```sh cargo") => open = Some((true, String::new())),
            (Some(_), "```") => match open.take() {
                Some((true, block)) => found.cargo.push(block),
                Some((false, block)) => found.shell.push(block),
                None => unreachable!(),
            },
            (Some((_, block)), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    found
}

/// Words after `gongsuan` up to what the shell takes for itself.
fn commands(block: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in block.lines() {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("gongsuan ") {
            rest = after;
            if !before.is_empty() && !before.ends_with([' ', '(', '"', '`']) {
                continue;
            }
            let words = after.split_whitespace().take_while(|word| {
                !["|", "||", "&&", "&", ">", ">>", "2>", "<", ";", "do", "done"].contains(word)
            });
            let words = words.map(|word| word.trim_end_matches([';', ')', '"']).to_owned());
            found.push(words.take_while(|word| !word.contains('$')).collect());
        }
    }
    found
}

#[test]
fn pages_name_commands_that_exist() {
    let known = gongsuan::cli::commands();
    let mut seen = 0;
    for page in PAGES {
        for block in blocks(page).shell {
            for words in commands(&block) {
                let path =
                    |count: usize| words.iter().take(count).cloned().collect::<Vec<_>>().join(" ");
                let exists = (1..=3).any(|count| known.contains(&path(count)));
                assert!(exists, "{page}: there is no `gongsuan {}`", words.join(" "));
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") || file.contains(' ') || file.contains('<') {
                continue;
            }
            let to = if file.is_empty() { path.clone() } else { folder().join(file) };
            assert!(to.exists(), "{}: {target}", path.display());
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&to).unwrap();
                let heads = text.lines().filter(|line| line.starts_with('#'));
                let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
                let mut anchors = heads.map(|line| {
                    let title = line.trim_start_matches('#').trim().to_lowercase();
                    title.chars().filter(kept).collect::<String>().replace(' ', "-")
                });
                assert!(anchors.any(|known| known == anchor), "{}: {target}", path.display());
            }
        }
    }
}

/// What the dashboard and the alerts ask for is there under `/metrics`.
#[test]
fn dashboard_and_alerts_name_metrics_that_exist() {
    let exported = include_str!("../src/api/metrics.rs");
    let mut seen = 0;
    for file in ["grafana.json", "alerts.yml"] {
        let text = std::fs::read_to_string(folder().join("../ops").join(file)).unwrap();
        for rest in text.split("gongsuan_").skip(1) {
            let name = rest.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap();
            let name = name.strip_suffix("_total").unwrap_or(name);
            assert!(exported.contains(&format!("\"{name}\"")), "{file}: gongsuan_{name}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

fn run(page: &str, script: &str, dir: &Path) {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_gongsuan"));
    let program = std::env::var_os("GONGSUAN_BIN").map_or(built, PathBuf::from);
    // Cargo starts tests in the package's folder, people name files from the root.
    let program = folder().join("..").join(program).canonicalize().unwrap();
    let binary = program.parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let script = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; gongsuan cluster down --purge 2>/dev/null || true' EXIT\n{script}"
    );
    let out = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", binary.display()))
        .env("HOME", dir)
        .env_remove("GONGSUAN_NODE")
        .env_remove("GONGSUAN_KEY")
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{page}: {}\n--- it printed\n{}\n--- and said\n{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn commands_of_the_book_run_as_they_stand() {
    let wanted = std::env::var("DOCS").unwrap_or_default();
    if wanted.is_empty() {
        eprintln!("SKIPPED: running the book's commands takes minutes; DOCS=1 runs them");
        return;
    }
    let is_wanted = |page: &&&str| wanted == "1" || wanted == **page;
    for page in PAGES.iter().filter(is_wanted) {
        let blocks = blocks(page);
        let dir = tempfile::tempdir().unwrap();
        run(page, &blocks.shell.concat(), dir.path());
        if !blocks.cargo.is_empty() {
            let home = std::env::var("HOME").unwrap();
            let script = format!("export HOME='{home}'\n{}", blocks.cargo.concat());
            run(page, &script, &folder().join(".."));
        }
        eprintln!("{page}: every command ran");
    }
}
