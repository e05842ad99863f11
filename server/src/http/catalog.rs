//! What can be run: releases, descriptions, engines that nodes bring, pools.

pub(super) mod engines;
pub(super) mod pools;
pub(super) mod releases;

/// What a list may take while it is made; nearly all are far shorter.
const LIST_ROOM_BYTES: usize = 2 << 20;
