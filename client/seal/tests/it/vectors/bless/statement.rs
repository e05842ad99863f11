//! A pool's statement, and what is wrong with others.

use filemill_seal::fuzzing::sign_anything;
use filemill_seal::{Identity, PoolRoot, SignedStatement, Statement};

use super::refused;
use crate::vectors::form::{Hex, RefusedStatement, StatementCase, StatementFile, write};

#[test]
#[ignore = "writes client/seal/vectors/statement.json"]
fn bless_statement() {
    let (now, lowest_serial) = (1_800_000_000, 5);
    let seed = *b"the 32 byte seed of a pool root.";
    let root = PoolRoot::from_seed(&seed);
    let enrolment = root.enrolment("example").expect("a name");
    let statement = Statement {
        pool: "example".to_owned(),
        recipient: Identity::generate().recipient(),
        not_before: now - 300,
        not_after: now + 86_400,
        serial: 5,
    };
    let refuse = |name: &str, signed: SignedStatement| {
        let error = enrolment.verify(&signed, now, lowest_serial).expect_err(name);
        refused(name, error, RefusedStatement { signed })
    };
    let other = |change: &dyn Fn(&mut Statement)| {
        let mut statement = statement.clone();
        change(&mut statement);
        root.sign(&statement).expect("it signs")
    };
    let signed = root.sign(&statement).expect("it signs");
    let value = serde_json::to_value(&signed).expect("JSON");
    let text = |from: &str, to: &str| {
        let text = value["statement"].as_str().expect("text").replace(from, to);
        assert_ne!(text, value["statement"]);
        text
    };
    let unsigned =
        serde_json::json!({"statement": text("\"serial\":5", "\"serial\":6"), "signature": value["signature"]});
    let anything = |text: &str| sign_anything(&root, text).expect("it signs");
    let refused = vec![
        refuse("altered after signing", serde_json::from_value(unsigned).expect("two texts")),
        refuse("signed by another root", PoolRoot::from_seed(&[0; 32]).sign(&statement).expect("it signs")),
        refuse("another pool", other(&|statement| statement.pool = "elsewhere".to_owned())),
        refuse("not yet valid", other(&|statement| statement.not_before = now + 1)),
        refuse("expired", other(&|statement| statement.not_after = now - 1)),
        refuse("replaced", other(&|statement| statement.serial = 4)),
        refuse("32 days", anything(&text("\"not_before\":1799999700", "\"not_before\":1797321600"))),
        refuse("version 2", anything(&text("pool\":1", "pool\":2"))),
        refuse("a field more", anything(&text("{", "{\"more\":1,"))),
        refuse("a recipient that is not one", anything(&text("age1", "age2"))),
    ];
    let accepted = vec![StatementCase {
        name: "valid".to_owned(),
        signed,
        pool: statement.pool.clone(),
        recipient: statement.recipient.to_string(),
        not_before: statement.not_before,
        not_after: statement.not_after,
        serial: statement.serial,
    }];
    let file = StatementFile {
        root_seed: Hex(seed.to_vec()),
        enrolment: enrolment.to_json(),
        fingerprint: enrolment.fingerprint(),
        now,
        lowest_serial,
        accepted,
        refused,
    };
    write("statement.json", &file);
}
