//! Money: integers only.
//!
//! An [`Amount`] counts micro-tokens (10⁻⁶ token) in a `u128`. There is no `Add`: addition and subtraction
//! are checked and return `Option`. A [`Price`] is micro-tokens per unit; multiplying it by units cannot
//! overflow a `u128`, because both are at most 64 bits.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Fuel, Units};

/// Micro-tokens in one token.
pub const MICRO_PER_TOKEN: u128 = 1_000_000;

/// Fuel in one unit of proved work: 1 Gf = 10⁹ fuel.
pub const FUEL_PER_UNIT: u64 = 1_000_000_000;

/// An amount of money in micro-tokens. Text form: tokens with up to six decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Amount(u128);

/// Micro-tokens per unit (a Gf of proved work, or a core-second of leased time).
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub u64);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an amount of tokens such as `12.5` (at most six decimals), got `{0}`")]
pub struct AmountError(pub String);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of micro-tokens.
    #[must_use]
    pub const fn new(micro: u128) -> Self {
        Self(micro)
    }

    /// An amount of whole tokens, unless it overflows.
    #[must_use]
    pub fn from_tokens(tokens: u64) -> Option<Self> {
        u128::from(tokens).checked_mul(MICRO_PER_TOKEN).map(Self)
    }

    /// The number of micro-tokens.
    #[must_use]
    pub const fn micro(self) -> u128 {
        self.0
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, unless it overflows.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, unless it is negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The difference, or nothing where it would be negative.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum of many, unless it overflows.
    #[must_use]
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// `self × numerator / denominator`, rounded down (in favour of whoever pays the result); `None` on overflow
    /// or a zero denominator.
    #[must_use]
    pub fn mul_div_floor(self, numerator: u64, denominator: u64) -> Option<Self> {
        self.0.checked_mul(u128::from(numerator))?.checked_div(u128::from(denominator)).map(Self)
    }

    /// `self × basis_points / 10,000`, rounded down; `None` on overflow.
    #[must_use]
    pub fn basis_points(self, basis_points: u32) -> Option<Self> {
        self.mul_div_floor(u64::from(basis_points), 10_000)
    }
}

impl Price {
    /// What `units` cost. Cannot overflow.
    #[must_use]
    pub fn cost(self, units: Units) -> Amount {
        Amount(u128::from(self.0) * u128::from(units.0))
    }

    /// What `fuel` of proved work costs, rounded down, in the payer's favour. Cannot overflow.
    #[must_use]
    pub fn cost_of_fuel(self, fuel: Fuel) -> Amount {
        Amount(u128::from(self.0) * u128::from(fuel.0) / u128::from(FUEL_PER_UNIT))
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0 / MICRO_PER_TOKEN, self.0 % MICRO_PER_TOKEN);
        if part == 0 {
            return f.pad(&whole.to_string());
        }
        f.pad(format!("{whole}.{part:06}").trim_end_matches('0'))
    }
}

impl std::fmt::Display for Price {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Amount(u128::from(self.0)).fmt(f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || AmountError(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || part.len() > 6 || !digits(whole) || !digits(part) {
            return Err(bad());
        }
        let whole: u128 = whole.parse().map_err(|_| bad())?;
        let part: u128 = format!("{part:0<6}").parse().map_err(|_| bad())?;
        whole
            .checked_mul(MICRO_PER_TOKEN)
            .and_then(|micro| micro.checked_add(part))
            .map(Self)
            .ok_or_else(bad)
    }
}

impl FromStr for Price {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let amount: Amount = text.parse()?;
        u64::try_from(amount.0).map(Self).map_err(|_| AmountError(text.to_owned()))
    }
}

impl Serialize for Amount {
    /// A number in the canonical codec; a decimal string of micro-tokens where people and JSON parsers read,
    /// because JSON numbers lose precision above 2⁵³.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(&self.0) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return u128::deserialize(d).map(Self);
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map(Self).map_err(|_| {
            serde::de::Error::custom(format!(
                "expected micro-tokens as a decimal string, got `{text}`"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_tokens_with_at_most_six_decimals() {
        for (text, micro) in
            [("0", 0), ("1", 1_000_000), ("0.5", 500_000), ("12.000001", 12_000_001)]
        {
            assert_eq!(text.parse::<Amount>().unwrap().micro(), micro);
            assert_eq!(Amount::new(micro).to_string(), text);
        }
        for bad in ["", ".5", "-1", "1.0000001", "1e3", "NaN", "1,5", " 1", "+1"] {
            assert_eq!(bad.parse::<Amount>(), Err(AmountError(bad.into())));
        }
    }

    #[test]
    fn overflow_and_negative_results_are_none() {
        let max = Amount::new(u128::MAX);
        assert_eq!(max.checked_add(Amount::new(1)), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount::new(1)), None);
        assert_eq!(max.basis_points(2), None);
        assert_eq!(Amount::new(199).basis_points(100), Some(Amount::new(1)));
    }

    #[test]
    fn fuel_is_priced_in_the_payers_favour() {
        assert_eq!(Price(3).cost_of_fuel(Fuel(FUEL_PER_UNIT - 1)), Amount::new(2));
        assert_eq!(Price(u64::MAX).cost(Units(u64::MAX)).micro(), u128::from(u64::MAX).pow(2));
    }
}
