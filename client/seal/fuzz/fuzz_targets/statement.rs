//! Texts about a pool: a statement once its signature was checked, an enrolment file, a signed statement.
#![no_main]

use std::sync::LazyLock;

use filemill_seal::fuzzing::{parse_statement, sign_anything};
use filemill_seal::{Enrolment, PoolRoot, STATEMENT_MAX_SECONDS, SignedStatement};
use libfuzzer_sys::fuzz_target;

static POOL: LazyLock<(PoolRoot, Enrolment)> = LazyLock::new(|| {
    let root = PoolRoot::from_seed(&[1; 32]);
    let enrolment = root.enrolment("example").expect("a name");
    (root, enrolment)
});

const NOW: u64 = 1_800_000_000;

fuzz_target!(|text: &str| {
    let (root, pinned) = &*POOL;
    if let Ok(statement) = parse_statement(text) {
        let lifetime = statement.not_after.checked_sub(statement.not_before);
        assert!(lifetime.is_some_and(|seconds| (1..=STATEMENT_MAX_SECONDS).contains(&seconds)));
        assert!(root.sign(&statement).is_ok());
    }
    if let Ok(signed) = sign_anything(root, text)
        && let Ok(statement) = pinned.verify(&signed, NOW, 5)
    {
        assert!(statement.pool == "example" && statement.serial >= 5);
        assert!((statement.not_before..=statement.not_after).contains(&NOW));
    }
    if let Ok(enrolment) = Enrolment::from_json(text) {
        assert_eq!(Enrolment::from_json(&enrolment.to_json()).as_ref(), Ok(&enrolment));
        let _ = enrolment.fingerprint();
    }
    if let Ok(signed) = serde_json::from_str::<SignedStatement>(text) {
        assert!(pinned.verify(&signed, NOW, 0).is_err(), "a statement was forged");
    }
});
