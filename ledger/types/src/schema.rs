//! `OpenAPI` schemas of the types that have a text form of their own; the others derive theirs. For whoever describes an API.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, schema::SchemaType};
use utoipa::{PartialSchema, ToSchema};

use crate::{Address, Amount, EncryptionKey, Hash, PublicKey, Signature};

macro_rules! text {
    ($name:ident, $pattern:expr, $description:expr) => {
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::Type(Type::String))
                    .pattern(Some($pattern))
                    .description(Some($description))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

text!(Hash, "^[0-9a-f]{64}$", "32 bytes in hexadecimal.");
text!(PublicKey, "^[0-9a-f]{64}$", "An x-only public key of BIP 340 in hexadecimal.");
text!(EncryptionKey, "^[0-9a-f]{64}$", "An X25519 public key in hexadecimal.");
text!(Signature, "^[0-9a-f]{128}$", "A signature of BIP 340 in hexadecimal.");
text!(Address, "^gs1[02-9ac-hj-np-z]+$", "An account's address: bech32m of its public key.");
text!(
    Amount,
    "^[0-9]+$",
    "Micro-tokens as a decimal number in a string: JSON numbers lose precision."
);
