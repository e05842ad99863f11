//! Hashes of the input, computed natively and only when the guest asks for them.

use aws_lc_rs::digest::{Context, SHA256};

use super::stop::Stop;

/// A hash that a guest can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashAlgorithm {
    Sha256,
    Blake3,
}

pub(crate) type Hash = [u8; 32];

/// One hash under way.
pub(super) enum Hasher {
    Sha256(Context),
    // 1.9 KiB.
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256(Context::new(&SHA256)),
            HashAlgorithm::Blake3 => Self::Blake3(Box::default()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(context) => context.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The hash of what came until now.
    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Sha256(context) => {
                let mut hash = Hash::default();
                hash.copy_from_slice(context.clone().finish().as_ref());
                hash
            }
            Self::Blake3(hasher) => *hasher.finalize().as_bytes(),
        }
    }
}

/// The hashes of what `read` passes.
#[derive(Default)]
pub(super) struct Passing {
    sha256: Option<Hasher>,
    blake3: Option<Hasher>,
}

impl Passing {
    /// Hashes from now on; without effect where it does already.
    pub(super) fn start(&mut self, algorithm: HashAlgorithm) {
        self.of(algorithm).get_or_insert_with(|| Hasher::new(algorithm));
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for hasher in [&mut self.sha256, &mut self.blake3].into_iter().flatten() {
            hasher.update(bytes);
        }
    }

    /// The hash of what has passed since the start; `None` where it was not asked for.
    pub(super) fn hash(&mut self, algorithm: HashAlgorithm) -> Option<Hash> {
        self.of(algorithm).as_ref().map(Hasher::hash)
    }

    fn of(&mut self, algorithm: HashAlgorithm) -> &mut Option<Hasher> {
        match algorithm {
            HashAlgorithm::Sha256 => &mut self.sha256,
            HashAlgorithm::Blake3 => &mut self.blake3,
        }
    }
}

/// The guest asked too late.
pub(super) const TOO_LATE: Stop =
    Stop::Misuse("the engine asked for a hash of what it had read already (hint: call `hash` before the first `read`)");
