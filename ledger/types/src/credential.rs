//! Attributes that an issuer vouches for, of which a holder shows one without the others.
//!
//! An issuer puts a person's or machine's attributes (country, level, owner, …) under one Merkle root, each with a salt of its own, and attests the
//! root on the chain. The holder keeps the list. To show one attribute it hands over that attribute, its salt and its path; the salts of the others
//! stay secret, so nobody can guess them from the root.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Hash, Refusal, merkle};

/// Attributes in one list, at most.
pub const ATTRIBUTES_MAX: usize = 64;
/// Bytes of a name or a value, at most.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;

/// One attribute.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Attribute {
    /// What it is, such as `country`.
    pub name: String,
    /// What it says, such as `DE`.
    pub value: String,
    /// 32 random bytes, for this attribute alone.
    pub salt: Hash,
}

/// One attribute, shown.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// The attribute.
    pub attribute: Attribute,
    /// Its path to the root.
    pub proof: merkle::Proof,
}

impl Attribute {
    fn leaf(&self) -> Hash {
        merkle::leaf(&crate::codec::encode(self))
    }
}

/// The root over a list of attributes, for [`Shown::verify`].
///
/// # Errors
/// A [`Refusal`] if there are none or too many, one is too long, or two have one name.
pub fn root(attributes: &[Attribute]) -> Result<Hash, Refusal> {
    crate::order::within("attributes", attributes.len() as u64, 1, ATTRIBUTES_MAX as u64)?;
    let mut names = BTreeSet::new();
    for attribute in attributes {
        for part in [&attribute.name, &attribute.value] {
            let most = ATTRIBUTE_BYTES_MAX as u64;
            crate::order::within("attributes.bytes", part.len() as u64, 1, most)?;
        }
        if !names.insert(&attribute.name) {
            let message = "an attribute stands twice";
            let got = attribute.name.escape_debug();
            return Err(Refusal::new("duplicate", "attributes.name", "distinct", got, message));
        }
    }
    Ok(merkle::root(&leaves(attributes)))
}

fn leaves(attributes: &[Attribute]) -> Vec<Hash> {
    attributes.iter().map(Attribute::leaf).collect()
}

impl Shown {
    /// Shows the attribute with a name, if it is in the list.
    #[must_use]
    pub fn new(attributes: &[Attribute], name: &str) -> Option<Self> {
        let at = attributes.iter().position(|attribute| attribute.name == name)?;
        let proof = merkle::Proof::new(&leaves(attributes), at)?;
        Some(Self { attribute: attributes[at].clone(), proof })
    }

    /// Whether the attribute is under an attested root.
    #[must_use]
    pub fn verify(&self, root: Hash) -> bool {
        self.proof.verify(root, self.attribute.leaf())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<Attribute> {
        ["country", "level", "owner"]
            .map(|name| Attribute {
                name: name.into(),
                value: format!("{name}'s value"),
                salt: Hash::of_content(name.as_bytes()),
            })
            .into()
    }

    #[test]
    fn one_attribute_is_shown_without_the_others_and_no_other_value_for_it() {
        let root = root(&list()).unwrap();
        let shown = Shown::new(&list(), "level").unwrap();
        assert!(shown.verify(root));
        let text = format!("{shown:?}");
        assert!(!text.contains("country") && !text.contains("owner"), "{text}");
        let mut lie = shown.clone();
        lie.attribute.value = "5".into();
        assert!(!lie.verify(root));
        let mut guess = shown;
        guess.attribute.salt = Hash::ZERO;
        assert!(!guess.verify(root));
        assert_eq!(Shown::new(&list(), "age"), None);
    }

    #[test]
    fn lists_that_could_be_read_two_ways_have_no_root() {
        assert_eq!(root(&[]).unwrap_err().field, "attributes");
        let mut twice = list();
        twice[1].name = "country".into();
        assert_eq!(root(&twice).unwrap_err().code, "duplicate");
        let mut long = list();
        long[0].value = "x".repeat(ATTRIBUTE_BYTES_MAX + 1);
        assert_eq!(root(&long).unwrap_err().field, "attributes.bytes");
    }
}
