//! `gongsuan lease submit`: work for leased cores.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_executor::pool::Backend as _;
use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{Cancel, Inputs, Job, verify};
use gongsuan_market::{Deal, DealState};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Fuel, Hash, OrderId};
use serde_json::json;

use super::lease::View;
use super::{Coded, Context, exit, job, output, usage};
use crate::client::Client;
use crate::lease::{Answer, Desk, Task};
use crate::renter::Then;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a task needs here.
struct Work {
    task: Task,
    module: Vec<u8>,
    input: Vec<u8>,
}

/// The deal of a lease that is not over.
fn open(client: &Client, bid: OrderId) -> anyhow::Result<Deal> {
    let deal = View::read(client, bid)?.deal;
    deal.filter(|deal| !deal.is_over()).ok_or_else(|| {
        let message = format!("lease {bid} does not run; see `gongsuan lease status {bid}`");
        Coded(exit::JOB_FAILED, message).into()
    })
}

pub(super) fn submit(
    bid: OrderId,
    file: &Path,
    out: &Path,
    check: u32,
    context: &Context,
) -> anyhow::Result<u8> {
    let ready = job::file::load(file)?;
    let (Then::Nothing, Inputs::Shared(input)) = (&ready.plan.then, &ready.plan.job.inputs) else {
        let message = "a lease runs maps whose segments read one `input`; [reduce], [iterate] and `inputs` are for `gongsuan job run`";
        return Err(usage(format!("{}: {message}", file.display())));
    };
    let (module, input) = (ready.plan.job.module.to_vec(), input.to_vec());
    let work = Work { task: Task { spec: ready.wish.spec }, module, input };
    let (client, key) = (context.client(), context.key()?);
    let first = open(&client, bid)?;
    let mut desk = Desk::new(&client, &key, first.id)?;
    let id = work.task.id();
    let mut handed_to = None;
    let (provider, answer) = loop {
        let deal = open(&client, bid)?;
        // Run before, by a command that was interrupted, say.
        if let Some(answer) = desk.answer(deal.provider, id)? {
            break (deal.provider, answer);
        }
        // It may begin only now, or have gone on with the next provider.
        let runs = matches!(deal.state, DealState::Leased { .. });
        if runs && handed_to != Some(deal.provider) {
            desk.hand_in(&deal, &work.task, (&work.module, &work.input))?;
            handed_to = Some(deal.provider);
            output::note(&format!("task {} is handed in at {}", id.short(), deal.provider.short()));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let receipts = match answer {
        Answer::Done(receipts) => receipts,
        Answer::Refused(why) => {
            let message = format!("the provider does not run the task: {why}");
            return Err(Coded(exit::JOB_FAILED, message).into());
        }
    };
    let segments = work.task.spec.segment_count();
    let is_whole = receipts.len() == segments as usize
        && receipts.iter().zip(0..).all(|(receipt, segment)| receipt.segment == segment);
    if !is_whole {
        let message = format!("the answer has not one receipt for each of {segments} segments");
        return Err(Coded(exit::MISMATCH, message).into());
    }
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    for receipt in &receipts {
        let path = out.join(format!("segment-{}", receipt.segment));
        std::fs::write(&path, desk.output(receipt)?).with_context(|| path.display().to_string())?;
    }
    let fuel = Fuel(receipts.iter().fold(0, |fuel, receipt| fuel.saturating_add(receipt.fuel.0)));
    let wrong = again(&work, &receipts, check.min(segments))?;
    let value = json!({
        "bid": bid,
        "deal": first.id,
        "task": id,
        "provider": provider,
        "segments": segments,
        "fuel": fuel,
        "checked": check.min(segments),
        "wrong": wrong,
        "receipts": receipts,
    });
    let path = out.join("answer.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&value)?)
        .with_context(|| path.display().to_string())?;
    output::show(context.json, "gongsuan/lease-task/v1", &value, || match wrong.first() {
        Some(segment) => {
            format!("segment {segment} gives something else here than the provider says")
        }
        None => format!(
            "{segments} outputs in {}, {fuel} fuel; {} run again here, equal",
            out.display(),
            check.min(segments)
        ),
    });
    Ok(if wrong.is_empty() { 0 } else { exit::MISMATCH })
}

/// Runs some segments again, and says which of them give something else.
fn again(work: &Work, receipts: &[Receipt], count: u32) -> anyhow::Result<Vec<u32>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let all = u32::try_from(receipts.len()).context("too many segments")?;
    let segments = verify::draw(&Hash(seed), all, count);
    let job = Job {
        module: work.module.clone().into(),
        spec: work.task.spec.clone(),
        segments,
        inputs: Inputs::Shared(work.input.clone().into()),
    };
    let pool = Pool::new(PoolConfig::new(std::env::current_exe()?, ["worker"]));
    let found = pool.run(&job, &Cancel::new(), &mut |_| {})?;
    let wrong = found.iter().filter(|found| {
        let said = receipts.get(found.segment as usize);
        said.is_none_or(|said| verify::difference(said, found).is_some())
    });
    Ok(wrong.map(|receipt| receipt.segment).collect())
}
