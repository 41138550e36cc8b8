//! The table of transitions: the one place that says which there are. `docs/deals.md` shows it, [`Market::enter`] enforces it, and the model test
//! finds every row of it.

use serde::{Deserialize, Serialize};

use crate::{Deal, DealState, Event, Market, Outcome};

/// A [`DealState`] without its contents.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the states of the same names are documented")]
pub enum Stage {
    Matched,
    Running,
    Committed,
    Drawn,
    Disputed,
    Settled,
    Failed,
    Asked,
    Examined,
    Demanded,
    Closing,
    Sealed,
    Rematch,
    Cancelled,
    Leased,
    Completed,
}

impl Stage {
    /// The stage of a state.
    #[must_use]
    pub const fn of(state: &DealState) -> Self {
        match state {
            DealState::Matched { .. } => Self::Matched,
            DealState::Running { .. } => Self::Running,
            DealState::Committed { .. } => Self::Committed,
            DealState::Drawn { .. } => Self::Drawn,
            DealState::Disputed { .. } => Self::Disputed,
            DealState::Settled { .. } => Self::Settled,
            DealState::Failed { .. } => Self::Failed,
            DealState::Asked { .. } => Self::Asked,
            DealState::Examined { .. } => Self::Examined,
            DealState::Demanded { .. } => Self::Demanded,
            DealState::Closing { .. } => Self::Closing,
            DealState::Sealed { .. } => Self::Sealed,
            DealState::Rematch { .. } => Self::Rematch,
            DealState::Cancelled { .. } => Self::Cancelled,
            DealState::Leased { .. } => Self::Leased,
            DealState::Completed { .. } => Self::Completed,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Running => "running",
            Self::Committed => "committed",
            Self::Drawn => "drawn",
            Self::Disputed => "disputed",
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Asked => "asked",
            Self::Examined => "examined",
            Self::Demanded => "demanded",
            Self::Closing => "closing",
            Self::Sealed => "sealed",
            Self::Rematch => "rematch",
            Self::Cancelled => "cancelled",
            Self::Leased => "leased",
            Self::Completed => "completed",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// The states in which it can happen.
    pub from: &'static [Stage],
    /// The states to which it can lead.
    pub to: &'static [Stage],
    /// Who causes it. *Deadline*: any block at or after it, whoever's transactions are in it.
    pub who: &'static str,
    /// What has to happen.
    pub when: &'static str,
    /// How money follows.
    pub money: &'static str,
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $name:ident: $from:expr => $to:expr, $who:literal, $when:literal, $money:literal;)+) => {
        /// A transition. Variants are appended, never reordered.
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Step {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Step {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its row.
            #[must_use]
            pub const fn row(self) -> Transition {
                use Stage::*;
                match self {
                    $(Self::$name => Transition {
                        from: &$from, to: &$to, who: $who, when: $when, money: $money,
                    },)+
                }
            }
        }
    };
}

steps! {
    /// Work begins.
    Acknowledge: [Matched] => [Running, Leased], "provider", "has the module and the inputs; of a lease: the machine is ready", "–";
    /// Nobody began.
    NoAck: [Matched] => [Rematch, Failed], "deadline", "`ack_by`", "5 % of the deposit to the renter, the rest home";
    /// The input is said to be missing.
    AskInput: [Matched] => [Asked], "provider", "cannot get the input: opens a case", "provider's stake is held";
    /// The input is there.
    InputThere: [Asked] => [Matched], "validators", "the input is available; a new `ack_by`", "stake: 70 % to the renter, the rest to the treasury";
    /// The input is missing.
    InputMissing: [Asked] => [Cancelled], "validators", "the input is not available", "the renter's bond to the provider; stake, deposit and escrow home";
    /// Nobody knows whether the input is there.
    InputUnjudged: [Asked] => [Cancelled], "deadline", "no verdict in time", "everything home";
    /// A sign of life.
    Progress: [Running] => [Running], "provider", "more segments are done; a new heartbeat deadline", "–";
    /// No sign of life.
    Silent: [Running] => [Rematch, Failed], "deadline", "`heartbeat_by`", "10 % of the deposit to the renter, the rest home";
    /// Not ready in time.
    Late: [Running] => [Rematch, Failed], "deadline", "`done_by`", "10 % of the deposit to the renter, the rest home";
    /// Results, or a batch of them.
    Commit: [Running, Closing] => [Committed, Examined], "provider", "commits the next segments; with a predicate the validators examine them", "–";
    /// A sealed result, one of a quorum.
    Seal: [Running] => [Sealed], "provider", "seals its result (quorum)", "–";
    /// The seal is opened.
    Unseal: [Sealed] => [Committed], "provider", "all others have sealed or failed", "–";
    /// The seal was not opened.
    Unopened: [Sealed] => [Failed], "deadline", "`unseal_by`", "10 % of the deposit to the renter, the rest home";
    /// The renter's share of the draw.
    Reveal: [Committed] => [Committed], "renter", "reveals the next secret", "–";
    /// The next block's hash is known.
    Beacon: [Committed] => [Committed], "deadline", "the next block", "–";
    /// Samples are drawn.
    Draw: [Committed] => [Drawn], "deadline", "beacon and secret are there, or `reveal_by`", "–";
    /// All of a quorum got the same.
    Agree: [Committed] => [Settled], "deadline", "a majority of the copies is there and all are equal", "work paid less 2 %, deposit and unused escrow home";
    /// The predicate accepts.
    Approve: [Examined] => [Running, Closing, Settled], "validators", "the predicate accepts", "as for WindowOver";
    /// The predicate refuses.
    Refuse: [Examined] => [Rematch, Failed], "validators", "the predicate refuses an output", "batch void, deposit home";
    /// Nobody ran the predicate.
    Unexamined: [Examined] => [Committed], "deadline", "no verdict in time: drawn as in the lottery", "–";
    /// An auditor got the same.
    Audit: [Drawn] => [Drawn], "drawn auditor", "executed the sample and got the same", "125 % of the segment's price to the auditor, from the budget";
    /// An auditor binds itself.
    SealAudit: [Drawn] => [Drawn], "drawn auditor", "seals what it got, while only the provider knows what it committed", "–";
    /// Somebody got something else.
    Challenge: [Drawn] => [Disputed], "anyone", "got another receipt for a segment: opens a case", "challenger's stake is held";
    /// The output is said to be missing.
    DemandOutput: [Drawn] => [Disputed], "anyone", "cannot get the list of receipts or an output: opens a case", "challenger's stake is held";
    /// The provider is right.
    Upheld: [Disputed] => [Drawn], "validators", "got what was committed, or the output is available", "stake: 70 % to the provider, the rest to the treasury";
    /// The provider is wrong.
    Fraud: [Disputed] => [Rematch, Failed], "validators", "got something else than was committed", "deposit: 50 % to the challenger (if its receipt is the right one), 20 % to the renter, the rest to the treasury; stake home; batch void; an auditor that found it equal loses its pledge";
    /// The output is missing.
    OutputMissing: [Disputed] => [Rematch, Failed], "validators", "the output is not available", "deposit: 70 % to the renter, the rest to the treasury; stake home; batch void";
    /// What is needed to judge is missing.
    Unknowable: [Disputed] => [Drawn], "validators", "the module or the input is not available", "stake home";
    /// Nobody judged.
    Unjudged: [Disputed] => [Rematch, Failed], "deadline", "no verdict in time", "stake and deposit home; batch void";
    /// A receipt is wanted.
    Demand: [Drawn] => [Demanded], "anyone", "wants to see the receipt of a segment", "the fee for it is held";
    /// The receipt is shown.
    Serve: [Demanded] => [Drawn], "provider", "shows the receipt and its path", "fee to the provider";
    /// The receipt is not shown.
    Withheld: [Demanded] => [Rematch, Failed], "deadline", "`serve_by`", "deposit: 70 % to the renter, the rest to the treasury; fee home; batch void";
    /// Nothing was found.
    WindowOver: [Drawn] => [Running, Closing, Settled], "deadline", "`open_until`, and all samples answered or `audit_by`", "fuel × price of the batch less 2 % to the provider, 2 % to the treasury; absent auditors lose 5 % of their pledge; at the end deposit and unused escrow home";
    /// The renter wants it to end.
    Stop: [Matched, Rematch, Running, Committed, Drawn, Disputed, Examined, Demanded, Leased] => [Cancelled, Closing, Committed, Drawn, Disputed, Examined, Demanded, Leased, Completed], "renter", "stops early: what is done may still be committed once (not in a quorum, whose copies show together); a lease ends, where the chain is the witness with one more heartbeat or its grace", "from matched, rematch and leased: everything that is left home";
    /// Nothing more was committed.
    Closed: [Closing] => [Cancelled], "deadline", "`commit_by`", "deposit and unused escrow home";
    /// Another provider.
    Rematched: [Rematch] => [Matched], "matcher", "the cheapest suitable ask of somebody who has not tried, for all that is left", "deposit moves from the ask";
    /// Nobody else.
    NoOffer: [Rematch] => [Failed], "deadline", "`until`", "unused escrow home";
    /// The machine is there.
    Beat: [Leased] => [Leased, Completed], "provider", "shows the renter's token for the interval, or answers what the chain asked for it", "the interval's price, after a stop that of its part until then, less 2 % to the provider, 2 % to the treasury; at the end deposit and unused escrow home";
    /// The machine is gone.
    Gap: [Leased] => [Rematch, Failed, Completed], "deadline", "`beat_by`, where the chain is the witness", "10 % of the deposit to the renter, the rest home; after a stop everything home";
    /// Nobody says that the machine is there.
    Unwitnessed: [Leased] => [Rematch, Failed], "deadline", "`beat_by`, where the renter is the witness: who is silent cannot be told", "the interval is not paid; deposit home";
    /// The provider goes.
    Leave: [Leased] => [Rematch, Failed], "provider", "leaves early", "the interval is not paid; 5 % of the deposit to the renter, the rest home";
    /// Another copy has got more time.
    Await: [Sealed] => [Sealed], "others", "another copy of the quorum begins, or asks for its input: `unseal_by` moves behind it", "–";
    /// The court has not come to it.
    Crowded: [Disputed, Asked] => [Disputed, Asked], "deadline", "no verdict in time while other cases are open: another window, four in all at most", "–";
}

impl Step {
    /// Its number in the table, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|step| *step == self).map_or(0, |index| index + 1)
    }

    /// The table in Markdown, as `docs/deals.md` shows it.
    #[must_use]
    pub fn to_markdown() -> String {
        let names = |stages: &[Stage]| {
            stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(", ")
        };
        let mut text = String::from(
            "| # | step | from | to | who | when | money |\n|---|---|---|---|---|---|---|\n",
        );
        for step in Self::ALL {
            let row = step.row();
            let (from, to) = (names(row.from), names(row.to));
            text.push_str(&format!(
                "| {} | {step:?} | {from} | {to} | {} | {} | {} |\n",
                step.number(),
                row.who,
                row.when,
                row.money
            ));
        }
        text
    }
}

impl Market {
    /// Brings a deal into another state: the only way to do so after it was opened.
    ///
    /// # Panics
    /// If the table has no such transition: a defect.
    pub(crate) fn enter(
        &mut self,
        mut deal: Deal,
        step: Step,
        state: DealState,
        outcome: &mut Outcome,
    ) {
        let (from, to, row) = (Stage::of(&deal.state), Stage::of(&state), step.row());
        let is_row = row.from.contains(&from) && row.to.contains(&to);
        assert!(is_row, "the table has no {step:?} from {from:?} to {to:?}");
        outcome.events.push(Event::Moved { deal: deal.id, step, to });
        deal.state = state;
        self.table.put_deal(deal);
    }
}
