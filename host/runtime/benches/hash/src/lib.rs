//! BLAKE3 of a file: `{"by": "guest"}` computes it here, with WebAssembly's SIMD, `{"by": "host"}` asks the host for it.

use filemill_engine::{Description, Engine, Failure, File, HashAlgorithm, Input, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

struct Hash;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    by: By,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum By {
    Guest,
    Host,
}

#[derive(Serialize)]
struct Found {
    blake3: String,
}

impl Engine for Hash {
    type Parameters = Parameters;

    fn describe() -> Description {
        filemill_engine::description!().parameters::<Parameters>()
    }

    fn analyze(_file: &File, input: &mut Input, parameters: Parameters) -> Result<Report, Failure> {
        let hash = match parameters.by {
            By::Host => input.digest(HashAlgorithm::Blake3)?,
            By::Guest => {
                let mut hasher = blake3::Hasher::new();
                loop {
                    let piece = input.next(256 << 10)?;
                    if piece.is_empty() {
                        break *hasher.finalize().as_bytes();
                    }
                    hasher.update(&piece);
                }
            }
        };
        let blake3 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Report::new("hashed", &Found { blake3 })
    }
}

filemill_engine::export!(Hash);
