//! Quantities that must not be mixed up. The constructor shows at the call site; there is no `From<u64>`.
//!
//! `next` and `plus` saturate: at one block a millisecond a 64-bit height lasts 584 million years.

use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one (saturating).
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotANumber;
            fn from_str(text: &str) -> Result<Self, NotANumber> {
                text.parse().map(Self).map_err(|_| NotANumber(text.chars().take(40).collect()))
            }
        }
    };
}

/// A text that is not a whole number from 0 to 2⁶⁴ − 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a whole number such as `12`, got `{0}`")]
pub struct NotANumber(String);

quantity!(
    /// A block's position in the chain. Genesis is 0; the first block is 1.
    Height
);
quantity!(
    /// A leader's reign in consensus.
    Term
);
quantity!(
    /// A moment, in milliseconds since the Unix epoch. On the chain: block time.
    TimeMs
);
quantity!(
    /// A span of time in milliseconds.
    DurationMs
);
quantity!(
    /// Weighted WASM work. 10⁹ fuel is one Gf.
    Fuel
);
quantity!(
    /// How much of a class is offered, wanted or filled: Gf of proved work, or core-seconds of leased time.
    Units
);
quantity!(
    /// An order, numbered by the chain in the order of acceptance.
    OrderId
);
quantity!(
    /// A deal, numbered by the chain in the order of opening.
    DealId
);

impl TimeMs {
    /// The moment `span` later (saturating: a deadline beyond the end of time never comes).
    #[must_use]
    pub const fn plus(self, span: DurationMs) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span since `earlier`, or zero if that lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }
}

impl Fuel {
    /// The units that cover this fuel, rounded up: a Gf has begun.
    #[must_use]
    pub const fn to_units_ceil(self) -> Units {
        Units(self.0.div_ceil(crate::amount::FUEL_PER_UNIT))
    }

    /// The sum, unless it overflows.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}
