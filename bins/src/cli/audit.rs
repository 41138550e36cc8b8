//! `gongsuan audit`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gongsuan_ledger::LightClient;
use gongsuan_types::{Hash, Height, OrderId};
use serde_json::{Value, json};

use super::{Coded, Context, exit, output, usage};
use crate::api::wire::SupplyView;
use crate::audit::export::{Format, Range, Table, replace, write, write_file};
use crate::audit::proof_file::Checkpoint;
use crate::audit::replay::replay;
use crate::audit::subject::KINDS;
use crate::audit::trail::{Of, Trail};
use crate::audit::{
    Bundle, Check, Mismatch, ProofFile, Source, Subject, Validators, check, prove, replay_all,
};
use crate::watcher::{Looked, Watcher};

/// Bytes of a proof or receipt file, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check every block: its certificate, its links, its execution. With nodes, compare the roots of all.
    Replay {
        #[command(flatten)]
        from: Files,
    },
    /// Where all money is, and whether it adds up.
    Supply {
        #[command(flatten)]
        from: Files,
    },
    /// Everything that happened to a job, a deal or an account. A job's story comes with a proof of each line, checked from the genesis on.
    Trail {
        /// `job N` (the order's number), `deal N` or `account ADDRESS`; a number alone is a deal, an address alone an account.
        #[arg(required = true, num_args = 1..=2, value_name = "OF")]
        of: Vec<String>,
        #[command(flatten)]
        from: Files,
    },
    /// Execute segments of everybody's results again while they can be challenged, and challenge what is wrong. Needs a key, and money for the
    /// stake: a right challenge earns a share of the provider's deposit, a false one loses the stake.
    Watch {
        /// Segments of each batch of results.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        segments: u32,
    },
    /// Check a receipt offline: certificate signatures, Merkle paths, price, audits.
    Receipt {
        /// The file.
        file: PathBuf,
        /// The chain's id, if you know it: otherwise the receipt's own genesis is believed.
        #[arg(long)]
        chain: Option<Hash>,
    },
    /// Make a proof that others can check offline.
    Prove {
        /// account, order, deal, hold, attestation, provider, supply, tx, receipt, events or block.
        kind: String,
        /// Which: an address, a number, a transaction's id, a height; hold: escrow:N; attestation: ADDRESS:ROLE; supply: total.
        id: String,
        #[command(flatten)]
        from: Files,
        /// Write it here instead of to standard output.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Check a proof offline, from the validators' signatures to the fact.
    VerifyProof {
        /// The file.
        file: PathBuf,
        /// How the chain began: whoever trusts this file needs nothing else.
        #[arg(long, required_unless_present = "checkpoint", conflicts_with = "checkpoint")]
        genesis: Option<PathBuf>,
        /// A header that you trust, as `--save-checkpoint` wrote it.
        #[arg(long)]
        checkpoint: Option<PathBuf>,
        /// If the proof holds, write the header that it leads to here, to be trusted later.
        #[arg(long)]
        save_checkpoint: Option<PathBuf>,
    },
    /// Write a table for other tools.
    Export {
        /// Which.
        table: Table,
        #[command(flatten)]
        from: Files,
        /// The first block.
        #[arg(long, default_value_t = Height(1))]
        first: Height,
        /// The last block; accounts, orders and deals are shown as they were after it. By default the newest.
        #[arg(long)]
        last: Option<Height>,
        /// Of the supply: one row every so many blocks.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        every: u64,
        /// How rows are written: csv, or jsonl with --json.
        #[arg(long)]
        format: Option<Format>,
        /// Write here instead of to standard output. An existing file is replaced when all rows are there.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// Files instead of nodes.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Read this node's folder, or a copy of it, and ask nobody. The files are not changed.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The genesis to believe, with --data. By default the folder's own.
    #[arg(long, requires = "data")]
    genesis: Option<PathBuf>,
}

impl Files {
    fn source(&self, context: &Context) -> anyhow::Result<Source> {
        match &self.data {
            Some(data) => Source::folder(data, self.genesis.as_deref()),
            None => Source::node(context.client()),
        }
    }
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    let done = match command {
        Command::Receipt { file, chain } => receipt(&file, chain, context),
        Command::Replay { from } => replayed(&from, context),
        Command::Supply { from } => supply(&from, context),
        Command::Trail { of, from } => {
            let of: Of = of.join(" ").parse().map_err(usage)?;
            match of {
                Of::Job(job) => story(job, &from, context),
                Of::Deal(_) | Of::Account(_) => trail(of, &from, context),
            }
        }
        Command::Watch { segments } => watch(segments, context),
        Command::Prove { kind, id, from, out } => make(&kind, &id, &from, out.as_deref(), context),
        Command::VerifyProof { file, genesis, checkpoint, save_checkpoint } => {
            let client = match (genesis, checkpoint) {
                (Some(path), _) => {
                    let genesis = crate::node::config::load_genesis(&path)?;
                    let validators = Validators::of_genesis(&genesis);
                    LightClient::from_genesis(genesis.chain_id(), validators)
                }
                (None, Some(path)) => Checkpoint::load(&path)?.client(),
                (None, None) => unreachable!("one of them is required"),
            };
            verify(&file, client, save_checkpoint.as_deref(), context)
        }
        Command::Export { table, from, first, last, every, format, out } => {
            let source = from.source(context)?;
            let last = last.unwrap_or(source.head());
            if first.0 == 0 || first > last || last > source.head() {
                let head = source.head();
                return Err(usage(format!("blocks {first} to {last}: the chain has 1 to {head}")));
            }
            let range = Range { from: first, to: last, every };
            let by_default = if context.json { Format::Jsonl } else { Format::Csv };
            let format = format.unwrap_or(by_default);
            export(&source, table, range, format, out.as_deref(), context)
        }
    };
    // What was checked and does not hold has a code of its own.
    done.map_err(|error| match error.downcast_ref::<Mismatch>() {
        Some(_) => Coded(exit::MISMATCH, format!("{error:#}")).into(),
        None => error,
    })
}

fn replayed(from: &Files, context: &Context) -> anyhow::Result<u8> {
    let replayed = if from.data.is_some() {
        let source = from.source(context)?;
        replay(&source, source.head(), |_, _| Ok(()))?
    } else {
        replay_all(&context.client(), |_, _| Ok(()))?
    };
    let roots: Vec<Value> =
        replayed.roots.iter().map(|(name, root)| json!({ "node": name, "root": root })).collect();
    let value = json!({
        "blocks": replayed.state.height(),
        "certified": replayed.certified,
        "state_root": replayed.state.root(),
        "supply": replayed.state.supply(),
        "roots": roots,
        "equal": replayed.equal,
    });
    output::show(context.json, "gongsuan/replay/v1", &value, || {
        let rows = replayed.roots.iter().map(|(name, root)| vec![name.clone(), root.to_string()]);
        let table = match replayed.roots.len() {
            0 => String::new(),
            _ => format!("{}\n", output::table(&["node", "state root"], rows)),
        };
        let word = if replayed.equal { "equal" } else { "DIFFERENT" };
        format!(
            "{table}replay of {} blocks: {}  {word}\ncertificates cover block {}",
            replayed.state.height(),
            replayed.state.root(),
            replayed.certified
        )
    });
    Ok(if replayed.equal { 0 } else { exit::MISMATCH })
}

fn supply(from: &Files, context: &Context) -> anyhow::Result<u8> {
    let view: SupplyView = if from.data.is_some() {
        let source = from.source(context)?;
        let state = replay(&source, source.head(), |_, _| Ok(()))?.state;
        // The replay has checked every record against these sums, and the holds against orders and deals.
        SupplyView::new(state.height(), state.supply())
    } else {
        context.client().get("/v1/supply")?
    };
    output::show(context.json, "gongsuan/supply/v1", &serde_json::to_value(&view)?, || {
        let supply = view.supply;
        format!(
            "height   {}\ntotal    {}\nfree     {}\nheld     {}\ntreasury {}\nequal    {}",
            view.height, supply.total, supply.free, supply.held, supply.treasury, view.equal
        )
    });
    Ok(if view.equal { 0 } else { exit::MISMATCH })
}

fn watch(segments: u32, context: &Context) -> anyhow::Result<u8> {
    let mut watcher = Watcher::new(context.client(), context.key()?, segments);
    watcher.run(|deal, segment, looked| {
        let (word, detail) = match looked {
            Looked::True => ("true", "what was committed is what comes out"),
            Looked::Challenged => ("challenged", "something else comes out; the validators judge"),
            Looked::Private => ("private", "the job is private, and we were sent no keys"),
            Looked::NoList => ("no-list", "the list of receipts is not to be had"),
        };
        let value = json!({ "deal": deal.id, "provider": deal.provider, "segment": segment, "result": word });
        output::show(context.json, "gongsuan/watch/v1", &value, || {
            format!("deal {} segment {segment} of {}: {detail}", deal.id, deal.provider.short())
        });
    });
    Ok(0)
}

fn story(job: OrderId, from: &Files, context: &Context) -> anyhow::Result<u8> {
    let source = from.source(context)?;
    let nodes = from.data.is_none().then(|| context.client());
    let story = crate::audit::story::tell(&source, job, nodes.as_ref())?;
    if story.events.is_empty() {
        let text = format!("there was no order {job} in {} blocks", source.head());
        return Err(Coded(exit::NOT_FOUND, text).into());
    }
    output::show(context.json, "gongsuan/trail/v1", &serde_json::to_value(&story)?, || {
        let rows = story.events.iter().map(|line| {
            let tx = line.row.tx.map_or_else(|| "block".to_owned(), |tx| tx.short());
            vec![
                line.row.height.to_string(),
                tx,
                line.what.clone(),
                format!("{} ok", line.row.proof_kind()),
            ]
        });
        format!(
            "{}\n{} lines, {} proofs: all hold from genesis {} on. One of them as a file: gongsuan audit prove receipt TX",
            output::table(&["height", "tx", "what", "proof"], rows),
            story.events.len(),
            story.proofs.len(),
            source.genesis().chain_id().short()
        )
    });
    Ok(0)
}

fn trail(of: Of, from: &Files, context: &Context) -> anyhow::Result<u8> {
    let source = from.source(context)?;
    let trail = Trail::new(&source, of)?;
    let mut all = Vec::new();
    for block in source.blocks(Height(1), source.head()) {
        all.extend(trail.rows(&block?)?);
    }
    let (kind, id) = match of {
        Of::Deal(deal) => ("deal", json!(deal)),
        Of::Account(address) => ("account", json!(address)),
        Of::Job(job) => ("job", json!(job)),
    };
    if all.is_empty() {
        let text = format!("nothing ever happened to {kind} {id} in {} blocks", source.head());
        return Err(Coded(exit::NOT_FOUND, text).into());
    }
    let value = json!({ kind: id, "events": all });
    output::show(context.json, "gongsuan/trail/v1", &value, || {
        let lines = all.iter().map(|row| format!("{:>6}  {}", row["height"], row["event"]));
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(0)
}

fn make(
    kind: &str,
    id: &str,
    from: &Files,
    out: Option<&Path>,
    context: &Context,
) -> anyhow::Result<u8> {
    let subject = Subject::parse(kind, id).map_err(|refusal| {
        let kinds: Vec<String> =
            KINDS.iter().map(|(kind, form)| format!("  {kind:<12} {form}")).collect();
        usage(format!("{refusal}\nwhat can be proved:\n{}", kinds.join("\n")))
    })?;
    let file = if from.data.is_some() {
        ProofFile::new(&prove::prove(&from.source(context)?, &subject)?)
    } else {
        let (kind, id) = subject.name();
        context.client().get(&format!("/v1/proofs/{kind}/{id}"))?
    };
    let text = serde_json::to_string_pretty(&file)?;
    let Some(out) = out else {
        output::data(&text);
        return Ok(0);
    };
    replace(out, |to| Ok(std::io::Write::write_all(to, text.as_bytes())?))?;
    let value = json!({ "file": out, "kind": file.kind, "id": file.id, "shows": file.shows });
    output::show(context.json, "gongsuan/proof-file/v1", &value, || {
        let path = out.display();
        format!("{path}; check it: gongsuan audit verify-proof {path} --genesis genesis.json")
    });
    Ok(0)
}

fn read_json<T: serde::de::DeserializeOwned>(file: &Path, what: &str) -> anyhow::Result<T> {
    let path = file.display();
    let length = std::fs::metadata(file).map_err(|error| usage(format!("{path}: {error}")))?.len();
    if length > FILE_BYTES_MAX {
        return Err(usage(format!("{path}: {length} bytes, the limit is {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read(file).with_context(|| path.to_string())?;
    serde_json::from_slice(&text).map_err(|error| usage(format!("{path}: not a {what}: {error}")))
}

fn verify(
    file: &Path,
    mut client: LightClient<Validators>,
    save: Option<&Path>,
    context: &Context,
) -> anyhow::Result<u8> {
    let proof: ProofFile = read_json(file, "proof")?;
    let checks = proof.check(&mut client);
    let valid = checks.iter().all(|check| check.ok);
    if let (true, Some(path), Ok(inside)) = (valid, save, proof.read()) {
        let checkpoint = Checkpoint::new(inside.anchor, client.authority().set().clone());
        let text = serde_json::to_string_pretty(&checkpoint)?;
        replace(path, |to| Ok(std::io::Write::write_all(to, text.as_bytes())?))?;
    }
    let failed = checks.iter().find(|check| !check.ok).map(|check| check.name.clone());
    let value = json!({
        "valid": valid,
        "kind": proof.kind,
        "id": proof.id,
        "shows": valid.then_some(&proof.shows),
        "failed": failed,
        "checks": checks,
    });
    output::show(context.json, "gongsuan/proof-check/v1", &value, || {
        let word = if valid { "the proof holds" } else { "the proof does NOT hold" };
        let shows = if valid { format!("\n{}", proof.shows) } else { String::new() };
        format!("{}\n{word}{shows}", table(&checks))
    });
    Ok(if valid { 0 } else { exit::MISMATCH })
}

fn export(
    source: &Source,
    table: Table,
    range: Range,
    format: Format,
    out: Option<&Path>,
    context: &Context,
) -> anyhow::Result<u8> {
    let Some(out) = out else {
        let to = std::io::BufWriter::new(std::io::stdout().lock());
        return match write(source, table, range, format, to) {
            Ok(_) => Ok(0),
            // Whoever read the rows has enough of them.
            Err(error) if is_closed_pipe(&error) => Ok(0),
            Err(error) => Err(error),
        };
    };
    let rows = write_file(source, table, range, format, out)?;
    let value = json!({
        "table": table.name(),
        "columns": table.columns(),
        "rows": rows,
        "first": range.from,
        "last": range.to,
        "file": out,
    });
    output::show(context.json, "gongsuan/export/v1", &value, || {
        let (name, path) = (table.name(), out.display());
        format!("{rows} rows of {name}, blocks {} to {}: {path}", range.from, range.to)
    });
    Ok(0)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.into_iter().any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn receipt(file: &Path, chain: Option<Hash>, context: &Context) -> anyhow::Result<u8> {
    let bundle: Bundle = read_json(file, "receipt")?;
    let checks = check(&bundle, chain);
    let valid = checks.iter().all(|check| check.ok);
    let value = json!({ "valid": valid, "checks": checks });
    output::show(context.json, "gongsuan/receipt-check/v1", &value, || {
        let word = if valid { "the receipt is valid" } else { "the receipt is NOT valid" };
        format!("{}\n{word}", table(&checks))
    });
    Ok(if valid { 0 } else { exit::MISMATCH })
}

fn table(checks: &[Check]) -> String {
    let rows = checks.iter().map(|check| {
        let mark = if check.ok { "ok" } else { "FAILED" };
        vec![mark.to_owned(), check.name.clone(), check.detail.clone()]
    });
    output::table(&["", "check", ""], rows)
}
