//! What wit-bindgen generates from `wit/engine`: the only place of an engine with unsafe code. [`export!`](crate::export)
//! uses it; an engine does not.
#![allow(unsafe_code, missing_docs, unreachable_pub)]

/// Contract 1.
pub mod v1 {
    // The world has a name of its own, because it names the exported macro, and the majors' would be one.
    wit_bindgen::generate!({
        inline: "package filemill:sdk; world engine-v1 { include filemill:engine/engine@1.0.0; }",
        path: "../../wit/engine/v1",
        world: "filemill:sdk/engine-v1",
        generate_all,
        pub_export_macro: true,
    });
}

/// Contract 2.
pub mod v2 {
    wit_bindgen::generate!({
        inline: "package filemill:sdk; world engine-v2 { include filemill:engine/engine@2.0.0; }",
        path: "../../wit/engine/v2",
        world: "filemill:sdk/engine-v2",
        generate_all,
        pub_export_macro: true,
    });
}
