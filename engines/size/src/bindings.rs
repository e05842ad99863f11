//! What wit-bindgen generates from `wit/engine/v1`: the only place of this engine with unsafe code.
#![allow(unsafe_code, missing_docs, unreachable_pub)]

use crate::Size;

wit_bindgen::generate!({
    world: "engine",
    path: "../../wit/engine/v1",
});

export!(Size);
