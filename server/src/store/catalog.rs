//! Statements of the catalog: releases, descriptions, engines that nodes bring, pools, nodes.

mod descriptions;
mod engines;
mod need_sets;
mod nodes;
mod pools;
mod releases;
mod service;
mod told;

pub(crate) use descriptions::NewDescription;
pub(crate) use engines::{ComponentRow, KnownComponent};
pub(crate) use pools::PoolRow;
pub(crate) use releases::ReleaseRow;
