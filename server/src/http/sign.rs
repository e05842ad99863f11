//! Presigned requests for objects that a domain names.

use filemill_api::{ErrorBody, Item, SignedGet, SignedPut};

use super::problem::fault;
use crate::storage::{Object, Signer};

/// A GET of this object.
pub(super) fn get(signer: &Signer, object: &Object) -> Result<SignedGet, ErrorBody> {
    signer.get(&object.key, object.length, &object.sha256).map_err(fault)
}

/// A PUT of exactly this object.
pub(super) fn put(signer: &Signer, object: &Object) -> Result<SignedPut, ErrorBody> {
    signer.put(&object.key, object.length, &object.sha256).map_err(fault)
}

/// What a batch answers for one object.
pub(super) fn put_item(signer: &Signer, object: Result<Object, ErrorBody>) -> Item<SignedPut> {
    object.and_then(|object| put(signer, &object)).into()
}
