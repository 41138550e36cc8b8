//! `gongsuan job run`: stage by stage, the whole deal.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_executor::{Inputs, Job};
use gongsuan_market::{Deal, DealState, Order};
use gongsuan_types::order::{Side, Work};
use gongsuan_types::{OrderId, SecretKey};
use serde_json::json;

use super::fetch::{Done, fetch, output_path};
use super::file::{Ready, load};
use super::quote::Quote;
use crate::cli::{Coded, Context, exit, output};
use crate::client::{Client, ClientError, Page};
use crate::envelope::{Files, Post, Sharer};
use crate::renter::{self, Duties};

/// Orders a job, waits for it, fetches and checks its outputs. To resume is to go on with bids of the same job that this account has placed before.
pub(super) fn run(file: &Path, out: &Path, resume: bool, context: &Context) -> anyhow::Result<u8> {
    let ready = load(file)?;
    let person = Person { client: context.client(), key: context.key()? };
    output::note(&Quote::of(&ready, context)?.to_string());
    let widths = ready.plan.widths();
    let (mut stages, mut job): (Vec<Done>, Job) = (Vec::new(), ready.plan.first());
    loop {
        let number = stages.len();
        let folder = match widths.len() {
            1 => out.to_owned(),
            all => {
                output::note(&format!("stage {number} of {all}: {} segments", widths[number]));
                out.join(format!("stage-{number}"))
            }
        };
        let wish = ready.wish_of(&job);
        let known = if resume { person.find(&job)? } else { None };
        let mut duties = Duties::new(&person.client, &person.key, person.store(&ready, &job)?);
        let order = match known {
            Some(order) => {
                output::note(&format!("bid {} of this job is there already", order.id));
                order
            }
            None => {
                let now = crate::node::clock();
                let secret = renter::secret(&person.key, &job.spec, now.plus(wish.match_within));
                let bid = renter::place(&person.client, &person.key, wish.to_bid(now, &secret))?;
                let order = person.client.order(bid)?;
                output::note(&format!(
                    "bid {bid} is placed; {} tokens are in escrow until it is over",
                    order.held
                ));
                order
            }
        };
        person.follow(&ready, &job, &order, &mut duties)?;
        let done = fetch(context, order.id, &folder)?;
        if done.code() != 0 || widths.len() == 1 {
            done.show(context);
            return Ok(done.code());
        }
        if let Some((segment, status)) = done.unfinished().next() {
            let message = format!(
                "segment {segment} of stage {number} ended with {status:?}: its output is no input for the next stage; what there is lies in {}",
                folder.display()
            );
            return Err(Coded(exit::JOB_FAILED, message).into());
        }
        output::note(&done.text());
        let outputs = done.ends.keys().map(|segment| {
            let path = output_path(&folder, *segment);
            std::fs::read(&path).with_context(|| path.display().to_string())
        });
        let outputs = outputs.collect::<anyhow::Result<Vec<Vec<u8>>>>()?;
        stages.push(done);
        let Some(next) = ready.plan.after(u32::try_from(number)?, &outputs) else {
            return finish(&stages, &outputs.concat(), out, context);
        };
        job = next;
    }
}

/// The last output is the result.
fn finish(stages: &[Done], result: &[u8], out: &Path, context: &Context) -> anyhow::Result<u8> {
    let path = out.join("result");
    std::fs::write(&path, result).with_context(|| path.display().to_string())?;
    let value = json!({ "result": path, "stages": stages.iter().map(Done::value).collect::<Vec<_>>(), "verified": true });
    output::show(context.json, "gongsuan/job-stages/v1", &value, || {
        format!("{} stages, verified\n{}", stages.len(), path.display())
    });
    Ok(0)
}

/// Who orders.
struct Person {
    client: Client,
    key: SecretKey,
}

impl Person {
    /// The newest bid of this account for this very job that is on its way, or has brought its results.
    fn find(&self, job: &Job) -> Result<Option<Order>, ClientError> {
        let mut page = Page {
            limit: Some(1_000),
            account: Some(self.key.address()),
            side: Some(Side::Bid),
            ..Page::default()
        };
        loop {
            let orders = self.client.orders(&page)?.orders;
            let Some(last) = orders.last() else { return Ok(None) };
            page.below = Some(last.id.0);
            for order in orders {
                let is_same = order.bid().is_some_and(
                    |bid| matches!(&bid.work, Work::Job(order) if order.spec == job.spec),
                );
                if !is_same {
                    continue;
                }
                let deals = renter::deals_of(&self.client, order.id)?;
                let goes_on = !deals.is_empty() || order.is_live();
                if goes_on && failed(&deals).is_none() {
                    return Ok(Some(order));
                }
            }
        }
    }

    /// Stores what a stage needs: as it is or, of a private job, encrypted, with somebody to send the keys.
    fn store(&self, ready: &Ready, job: &Job) -> anyhow::Result<Option<Sharer>> {
        if !ready.is_private() {
            self.client.put_blob(&job.module)?;
            if let Some(predicate) = &ready.predicate {
                self.client.put_blob(predicate)?;
            }
            match &job.inputs {
                Inputs::Shared(input) => drop(self.client.put_blob(input)?),
                Inputs::Each(each) => {
                    let mut index = Vec::new();
                    for input in each.values() {
                        index.extend_from_slice(&self.client.put_blob(input)?.0);
                    }
                    self.client.put_blob(&index)?;
                }
            }
            return Ok(None);
        }
        let post = Post::new(&self.client, &self.key)?;
        post.publish()?;
        let files = match &job.inputs {
            Inputs::Shared(input) => Files::shared(&post, &job.module, input)?,
            Inputs::Each(each) => {
                let inputs: Vec<Vec<u8>> = each.values().map(|input| input.to_vec()).collect();
                Files::each(&post, &job.module, &inputs)?
            }
        };
        Ok(Some(Sharer::new(post, files)))
    }

    /// Waits for the match and for the end, and does what a renter has to do meanwhile.
    fn follow(
        &self,
        ready: &Ready,
        job: &Job,
        order: &Order,
        duties: &mut Duties,
    ) -> anyhow::Result<()> {
        let bid = order.id;
        let wish = &ready.wish;
        let wanted = job.spec.segment_count() * u32::from(wish.check.copies());
        let patience = Duration::from_millis(wish.match_within.0);
        let matched = self.client.wait_for("a match", patience, |client| {
            let deals = renter::deals_of(client, bid)?;
            duties.look(&deals);
            Ok((deals.iter().map(|deal| deal.terms.count).sum::<u32>() == wanted).then_some(()))
        });
        if let Err(error) = matched {
            return Err(self.unmatched(bid, &error));
        }
        let expires_at = order.bid().context("the order is no bid")?.expires_at;
        let secret = renter::secret(&self.key, &job.spec, expires_at);
        let mut told = 0;
        let patience = Duration::from_millis(wish.run_within.0) + Duration::from_secs(300);
        let deals = renter::follow(&self.client, &self.key, bid, secret, patience, |deals| {
            duties.look(deals);
            let done: u32 = deals.iter().map(renter::done).sum();
            if done > told {
                told = done;
                output::note(&format!("{done}/{wanted} segments"));
            }
            Ok(())
        })?;
        if let Some(failed) = failed(&deals) {
            let message =
                format!("deal {} failed; its escrow is back: {:?}", failed.id, failed.state);
            return Err(Coded(exit::JOB_FAILED, message).into());
        }
        Ok(())
    }

    fn unmatched(&self, bid: OrderId, error: &ClientError) -> anyhow::Error {
        let why = self.client.why(bid).map(|why| why.summary).unwrap_or_default();
        let message = format!("{error}: {why}; ask again with `gongsuan market why {bid}`");
        Coded(exit::NO_MATCH, message).into()
    }
}

/// A deal whose work is lost. A copy of a quorum that failed is nobody's loss while another one of its group did not.
fn failed(deals: &[Deal]) -> Option<&Deal> {
    let has_failed = |deal: &Deal| matches!(deal.state, DealState::Failed { .. });
    deals.iter().find(|deal| {
        let twin = |other: &&Deal| deal.group.is_some() && other.group == deal.group;
        has_failed(deal) && deals.iter().filter(twin).all(has_failed)
    })
}
