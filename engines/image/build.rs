//! Gives the guest a larger stack than engines have by default: decoders keep rows, tables and blocks of pixels on it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo:rustc-link-arg-cdylib=-zstack-size=1048576");
    }
}
