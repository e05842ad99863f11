//! Engines that a node brings itself, for its pool.

use serde::{Deserialize, Serialize};

use crate::{Item, SignedPut};

/// What the names of such engines begin with. No published engine's name has a slash.
pub const LOCAL_PREFIX: &str = "local/";

/// All engines that a node offers now: whatever it listed before and does not list here is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferRequest {
    /// The node, as in its [`crate::LeaseRequest`]s. Its engines are there for as long as it asks for work.
    pub node: String,
    /// At most [`crate::limits::MAX_OFFERED_ENGINES`], each name once.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_OFFERED_ENGINES }>")]
    pub engines: Vec<Offer>,
    /// The node asks for no more work: it counts as gone from now on, and the engines that it names here are not looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
}

/// One engine that a node offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offer {
    /// Name behind [`LOCAL_PREFIX`]: 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub name: String,
    /// SHA-256 of the component, hex.
    pub digest: String,
    /// Its length in bytes, at most [`crate::limits::MAX_COMPONENT_BYTES`].
    pub length: u64,
    /// Major of the engine contract it was built for.
    pub contract: u32,
    /// Its minor.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub minor: u32,
    /// The description document, as text: a JSON object of at most [`crate::limits::MAX_DESCRIPTION_BYTES`] bytes.
    pub description: String,
    /// The component was stored where an earlier answer said.
    #[serde(default)]
    pub stored: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What becomes of each offer, in the order sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferAnswer {
    /// One for each engine.
    pub engines: Vec<Item<OfferState>>,
}

/// What becomes of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferState {
    /// Clients of the pool see it now.
    pub visible: bool,
    /// Where to store the component; then send the whole list again, with this one as stored. Absent although it is not
    /// visible: its object is being deleted, send the list again in a few seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<SignedPut>,
}
