//! `gongsuan account payouts` and `payout`: addresses that single deals were paid to.

use std::path::Path;

use gongsuan_types::DealId;
use serde_json::json;

use super::{Context, account, output};
use crate::keystore::payout_key;
use crate::provider::{deals, earned};

/// The payout addresses of this account's deals, with what they have now.
pub(super) fn list(context: &Context) -> anyhow::Result<u8> {
    let (client, key) = (context.client(), context.key()?);
    let (me, chain_id) = (key.address(), client.status()?.chain_id);
    let mut rows = Vec::new();
    for deal in deals(&client, &format!("state=all&account={me}"))? {
        let paid = earned(&deal);
        if deal.provider == me && deal.is_over() && !paid.is_zero() {
            let address = payout_key(&key, &chain_id, deal.id).address();
            rows.push((deal.id, paid, address, client.account(address)?.balance));
        }
    }
    let value = rows.iter().map(|(deal, earned, address, balance)| {
        json!({ "deal": deal, "earned": earned, "address": address, "balance": balance })
    });
    let value = json!({ "payouts": value.collect::<Vec<_>>() });
    output::show(context.json, "gongsuan/payouts/v1", &value, || {
        let lines = rows.iter().map(|(deal, earned, address, balance)| {
            vec![deal.to_string(), earned.to_string(), address.to_string(), balance.to_string()]
        });
        output::table(&["deal", "earned", "address", "balance"], lines)
    });
    Ok(0)
}

/// Stores the key of one payout address, to spend what is there.
pub(super) fn store(
    deal: DealId,
    file: &Path,
    password: &account::Password,
    context: &Context,
) -> anyhow::Result<u8> {
    let chain_id = context.client().status()?.chain_id;
    let key = payout_key(&context.key()?, &chain_id, deal);
    account::store(file, &key, password, context)
}
