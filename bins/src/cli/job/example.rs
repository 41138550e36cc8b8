//! `gongsuan job init`: folders with jobs that work.

use std::path::Path;

use anyhow::Context as _;
use gongsuan_executor::guests::{LIFE, RAYTRACE, RaytraceScene, WORDS, WORDS_ACCEPT};

use super::file::TEMPLATE;
use crate::cli::{output, usage};

/// A job that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Example {
    /// Sixteen tiles of a small ray-traced picture: a map.
    Picture,
    /// Words counted in four texts, and the counts added up: a map over files, then a reduction.
    Words,
    /// The Game of Life, forty generations in four steps: an iteration.
    Life,
}

const TEXTS: [(&str, &str); 4] = [
    (
        "harbour.txt",
        "The tide goes out and the boats lie down on the sand.\nThe tide comes in and the boats stand up again, one after another.\nNobody tells the tide, and nobody tells the boats.\n",
    ),
    (
        "kitchen.txt",
        "Six people cook and one of them keeps the list.\nThe list says who has paid for the rice and who has washed the pots.\nWhoever doubts the list may count the pots again.\n",
    ),
    (
        "library.txt",
        "One lends a book and another reads it.\nThe one who lends wants it back, and the one who reads wants it whole.\nThe list at the door says which book is where, and everybody may read the list.\n",
    ),
    (
        "mill.txt",
        "The wheel turns when the water comes, and the stone turns when the wheel does.\nAt night the water comes and nobody has corn.\nThen the mill may grind for whoever brings it.\n",
    ),
];

/// A gun that sends out a glider every thirty generations, on a board of 48 by 24.
const GUN: [&str; 9] = [
    "........................#...........",
    "......................#.#...........",
    "............##......##............##",
    "...........#...#....##............##",
    "##........#.....#...##..............",
    "##........#...#.##....#.#...........",
    "..........#.....#.......#...........",
    "...........#...#....................",
    "............##......................",
];

fn board() -> String {
    let row = |y: usize| match y.checked_sub(2).and_then(|y| GUN.get(y)) {
        Some(row) => format!("..{row:.<46}\n"),
        None => format!("{}\n", ".".repeat(48)),
    };
    (0..24).map(row).collect()
}

impl Example {
    /// The job file and what it names.
    fn files(self) -> Vec<(String, Vec<u8>)> {
        let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_owned());
        let job = |changes: &[(&str, &str)]| {
            let text = changes.iter().fold(TEMPLATE.to_owned(), |text, (from, to)| {
                debug_assert!(text.contains(from), "the template has no {from:?}");
                text.replacen(from, to, 1)
            });
            file("job.toml", text.as_bytes())
        };
        match self {
            Self::Picture => {
                let scene = scene();
                let segments = format!("segments = {}", scene.tiles());
                vec![
                    job(&[("segments = 8", &segments)]),
                    file("program.wasm", RAYTRACE),
                    file("input.bin", &scene.to_input()),
                ]
            }
            Self::Words => {
                let texts =
                    TEXTS.map(|(name, text)| file(&format!("texts/{name}"), text.as_bytes()));
                let mut files = vec![
                    job(&[
                        ("input = \"input.bin\" ", "# input = \"input.bin\" "),
                        (
                            "# inputs = [\"texts\", \"more.txt\"]  # instead",
                            "inputs = [\"texts\"]  # instead",
                        ),
                        ("segments = 8 ", "# segments = 8 "),
                        ("# [reduce] ", "[reduce] "),
                        ("# arity = 8", "arity = 2"),
                        ("# args = [\"merge\"]", "args = [\"merge\"]"),
                    ]),
                    file("program.wasm", WORDS),
                    file("accept.wasm", WORDS_ACCEPT),
                ];
                files.extend(texts);
                files
            }
            Self::Life => vec![
                job(&[
                    ("input.bin\" ", "board.txt\" "),
                    ("segments = 8 ", "# segments = 8 "),
                    ("args = []", "args = [\"10\"]             # generations in a step"),
                    ("# [iterate] ", "[iterate] "),
                    ("# steps = 10", "steps = 4"),
                ]),
                file("program.wasm", LIFE),
                file("board.txt", board().as_bytes()),
            ],
        }
    }
}

fn scene() -> RaytraceScene {
    RaytraceScene { width: 320, height: 200, columns: 4, rows: 4, ..RaytraceScene::default() }
}

/// Makes a folder with a job that works.
pub(super) fn write(dir: &Path, example: Example) -> anyhow::Result<()> {
    if dir.exists() {
        return Err(usage(format!("{}: it is there already", dir.display())));
    }
    for (name, bytes) in example.files() {
        let path = dir.join(name);
        let folder = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    let path = dir.join("job.toml");
    output::note(&format!(
        "next: gongsuan job quote {path}, then gongsuan job run {path}",
        path = path.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::job::file::load;

    #[test]
    fn every_example_is_a_job_that_can_be_ordered() {
        let dir = tempfile::tempdir().unwrap();
        for (example, widths) in [
            (Example::Picture, vec![16]),
            (Example::Words, vec![4, 2, 1]),
            (Example::Life, vec![1; 4]),
        ] {
            let folder = dir.path().join(format!("{example:?}"));
            write(&folder, example).unwrap();
            let ready = load(&folder.join("job.toml")).unwrap();
            assert_eq!(ready.plan.widths(), widths, "{example:?}");
        }
    }

    /// What a job file says wrong, and what has to be in the answer.
    #[test]
    fn a_job_file_that_contradicts_itself_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("words");
        write(&folder, Example::Words).unwrap();
        let good = std::fs::read_to_string(folder.join("job.toml")).unwrap();
        let rows: [(&str, &str, &str); 14] = [
            (
                "inputs = [\"texts\"]",
                "inputs = [\"texts\"]\ninput = \"program.wasm\"",
                "input, inputs: one of them",
            ),
            ("inputs = [\"texts\"]", "", "input: missing"),
            ("inputs = [\"texts\"]", "inputs = []", "inputs: there is no file"),
            ("inputs = [\"texts\"]", "inputs = [\"nowhere\"]", "nowhere"),
            ("# segments = 8", "segments = 3", "segments: 3, but `inputs` are 4 files"),
            ("inputs = [\"texts\"]", "input = \"accept.wasm\"", "segments: missing"),
            ("arity = 2", "arity = 1", "reduce.arity: 1"),
            ("[reduce]", "[iterate]\nsteps = 2\n[reduce]", "reduce, iterate: one of them"),
            (
                "# copies = 3",
                "copies = 3\naudit = \"own\"",
                "audit, copies, predicate: one of them",
            ),
            (
                "# predicate_fuel_max",
                "predicate_fuel_max",
                "predicate_fuel_max: there is no `predicate`",
            ),
            ("# audit = \"lottery\"", "audit = \"trust\"", "audit"),
            ("# audit = \"lottery\"", "copies = 9", "copies"),
            ("# attempts_max = 3", "attempts_max = 9", "attempts_max"),
            ("price_max = \"0.2\"", "price_max = \"cheap\"", "price_max"),
        ];
        for (from, to, wanted) in rows {
            assert!(good.contains(from), "{from}");
            std::fs::write(folder.join("job.toml"), good.replacen(from, to, 1)).unwrap();
            let said = format!("{:#}", load(&folder.join("job.toml")).unwrap_err());
            assert!(said.contains(wanted), "{to:?}: {said}");
        }
    }
}
