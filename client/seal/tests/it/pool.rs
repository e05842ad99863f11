//! A client seals for a recipient only if the root it pinned says so.

use filemill_seal::fuzzing::sign_anything;
use filemill_seal::{
    Enrolment, Format, Identity, PoolError, PoolRoot, STATEMENT_MAX_BYTES, STATEMENT_MAX_SECONDS, SignedStatement,
    Statement,
};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

fn root() -> PoolRoot {
    PoolRoot::from_seed(&[7; 32])
}

fn enrolment() -> Enrolment {
    root().enrolment("berlin").expect("a name")
}

fn statement() -> Statement {
    Statement {
        pool: "berlin".to_owned(),
        recipient: Identity::generate().recipient(),
        not_before: NOW - 300,
        not_after: NOW + 86_400,
        serial: 5,
    }
}

fn refusal(change: impl FnOnce(&mut Statement)) -> PoolError {
    let mut statement = statement();
    change(&mut statement);
    let signed = root().sign(&statement).expect("it signs");
    enrolment().verify(&signed, NOW, 5).expect_err("it is refused")
}

proptest! {
    #[test]
    fn what_the_root_signs_is_accepted(
        pool in "[A-Za-z0-9._-]{1,64}", start in 0..NOW, seconds in 1..=STATEMENT_MAX_SECONDS, serial in 0..1_u64 << 53,
    ) {
        let root = PoolRoot::generate();
        let statement = Statement {
            pool: pool.clone(),
            recipient: Identity::generate().recipient(),
            not_before: start,
            not_after: start + seconds,
            serial,
        };
        let passed_on = serde_json::to_string(&root.sign(&statement)?).expect("JSON");
        let signed: SignedStatement = serde_json::from_str(&passed_on).expect("its own form");
        let pinned = Enrolment::from_json(&root.enrolment(&pool)?.to_json())?;
        prop_assert_eq!(pinned.verify(&signed, start, serial)?, statement.clone());
        prop_assert_eq!(pinned.verify(&signed, start + seconds, 0)?, statement);
    }
}

#[test]
fn the_signed_bytes_are_those_of_the_protocol() {
    let statement = statement();
    let signed = serde_json::to_value(root().sign(&statement).expect("it signs")).expect("JSON");
    let text = format!(
        r#"{{"filemill_pool":1,"pool":"berlin","recipient":"{}","not_before":1799999700,"not_after":1800086400,"serial":5}}"#,
        statement.recipient
    );
    assert_eq!(signed["statement"], text);
    assert_eq!(signed["signature"].as_str().map(str::len), Some(128));
}

#[test]
fn each_reason_to_refuse_has_its_name() {
    assert_eq!(
        refusal(|statement| statement.pool = "paris".to_owned()),
        PoolError::OtherPool { expected: "berlin".to_owned(), found: "paris".to_owned() }
    );
    let (early, late) = (NOW + 1, NOW - 1);
    assert_eq!(
        refusal(|statement| statement.not_before = early),
        PoolError::NotYetValid { not_before: early, now: NOW }
    );
    assert_eq!(refusal(|statement| statement.not_after = late), PoolError::Expired { not_after: late, now: NOW });
    assert_eq!(refusal(|statement| statement.serial = 4), PoolError::Superseded { lowest: 5, found: 4 });
}

#[test]
fn a_recipient_that_another_root_signed_is_refused() {
    let signed = PoolRoot::generate().sign(&statement()).expect("it signs");
    let not_signed = PoolError::NotSigned { pool: "berlin".to_owned() };
    assert_eq!(enrolment().verify(&signed, NOW, 0), Err(not_signed));
}

#[test]
fn no_changed_character_is_accepted() {
    let signed = serde_json::to_value(root().sign(&statement()).expect("it signs")).expect("JSON");
    for field in ["statement", "signature"] {
        let text = signed[field].as_str().expect("a text");
        let shortened =
            std::iter::once(text[1..].to_owned()).chain([text[..text.len() - 1].to_owned(), format!("{text} ")]);
        let upper = (text.to_uppercase() != text).then(|| text.to_uppercase());
        let changed = (0..text.len()).map(|at| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            String::from_utf8(bytes).expect("ASCII")
        });
        for text in changed.chain(shortened).chain(upper) {
            let mut other = signed.clone();
            other[field] = text.clone().into();
            let other: SignedStatement = serde_json::from_value(other).expect("two texts");
            assert!(matches!(enrolment().verify(&other, NOW, 0), Err(PoolError::NotSigned { .. })), "{text}");
        }
    }
}

#[test]
fn lifetimes_are_one_second_to_31_days() {
    let sign = |not_before, not_after| root().sign(&Statement { not_before, not_after, ..statement() });
    assert!(sign(NOW, NOW + STATEMENT_MAX_SECONDS).is_ok());
    for (not_before, not_after) in [(NOW, NOW), (NOW, NOW - 1), (NOW, NOW + STATEMENT_MAX_SECONDS + 1), (0, u64::MAX)] {
        assert_eq!(sign(not_before, not_after), Err(PoolError::Lifetime { not_before, not_after }));
    }
    // Nor does a client take what a careless root signed.
    let text =
        r#"{"filemill_pool":1,"pool":"berlin","recipient":"R","not_before":0,"not_after":9000000000,"serial":5}"#;
    let signed = sign_anything(&root(), &text.replace('R', &statement().recipient.to_string())).expect("it signs");
    assert!(matches!(enrolment().verify(&signed, NOW, 0), Err(PoolError::Lifetime { .. })));
}

#[test]
fn texts_of_another_form_are_refused_even_if_signed() {
    let recipient = statement().recipient.to_string();
    let verify = |text: &str| {
        let signed = sign_anything(&root(), &text.replace("age1R", &recipient)).expect("it signs");
        enrolment().verify(&signed, NOW, 0)
    };
    let good = r#"{"filemill_pool":1,"pool":"berlin","recipient":"age1R","not_before":1799999999,"not_after":1800000001,"serial":5}"#;
    assert!(verify(good).is_ok());
    assert_eq!(verify(&good.replace("pool\":1", "pool\":2")), Err(PoolError::Version { found: 2 }));
    let malformed = |text: &str| assert!(matches!(verify(text), Err(PoolError::Malformed { .. })), "{text}");
    malformed("");
    malformed("[]");
    malformed("{}");
    malformed(&good.replace("{\"f", "{\"new\":1,\"f"));
    malformed(&good.replace("{\"f", "{\"serial\":1,\"f"));
    malformed(&good.replace(",\"serial\":5", ""));
    malformed(&good.replace("age1R", "age1"));
    malformed(&good.replace("\"serial\":5", "\"serial\":9007199254740992"));
    malformed(&good.replace("\"serial\":5", "\"serial\":-1"));
    assert!(matches!(verify(&good.replace("berlin", "ber lin")), Err(PoolError::Name { .. })));
}

#[test]
fn names_and_lengths_are_bounded() {
    let long = "x".repeat(65);
    for name in ["", "a b", "ä", "a/b", "a\"", &long] {
        assert!(matches!(root().enrolment(name), Err(PoolError::Name { .. })), "{name}");
        let statement = Statement { pool: name.to_owned(), ..statement() };
        assert!(matches!(root().sign(&statement), Err(PoolError::Name { .. })), "{name}");
    }
    let found = STATEMENT_MAX_BYTES + 1;
    let long = format!("{}{}", enrolment().to_json(), " ".repeat(found - enrolment().to_json().len()));
    assert_eq!(Enrolment::from_json(&long), Err(PoolError::TooLong { found }));
    let long = serde_json::json!({"statement": " ".repeat(found), "signature": "0".repeat(128)});
    let long: SignedStatement = serde_json::from_value(long).expect("two texts");
    assert_eq!(enrolment().verify(&long, NOW, 0), Err(PoolError::TooLong { found }));
}

#[test]
fn an_enrolment_file_is_read_strictly_and_with_white_space() {
    let good = enrolment().to_json();
    assert_eq!(Enrolment::from_json(&good), Ok(enrolment()));
    assert_eq!(Enrolment::from_json(&format!("\n {good}\r\n")), Ok(enrolment()));
    let unknown = Enrolment::from_json(&good.replace(":1,", ":7,")).expect_err("of a later version");
    assert_eq!(unknown, PoolError::EnrolmentVersion { found: 7 });
    assert!(unknown.hint().starts_with("update this program"), "{}", unknown.hint());
    for text in
        ["", "{}", "berlin", &good.replace("{\"f", "{\"x\":0,\"f"), &good.replace("\"root\":\"", "\"root\":\"0")]
    {
        assert!(matches!(Enrolment::from_json(text), Err(PoolError::Malformed { .. })), "{text}");
    }
}

#[test]
fn an_enrolment_of_version_2_says_the_lowest_format_and_one_of_version_1_says_nothing_of_it() {
    assert_eq!(enrolment().lowest_format(), None);
    for (format, number) in [(Format::One, 1), (Format::Two, 2)] {
        let asking = enrolment().with_lowest_format(format);
        let text = asking.to_json();
        assert!(text.starts_with("{\"filemill_enrolment\":2,"), "{text}");
        assert!(text.ends_with(&format!(",\"lowest_format\":{number}}}")), "{text}");
        let read = Enrolment::from_json(&text).expect("an enrolment");
        assert_eq!((read.lowest_format(), &read), (Some(format), &asking));
        assert!(read.is_same_pool(&enrolment()) && read != enrolment());
        assert_eq!(read.fingerprint(), enrolment().fingerprint(), "people compare pool and root");
        let later = text.replace(&format!(":{number}}}"), ":3}");
        assert_eq!(Enrolment::from_json(&later), Err(PoolError::LowestFormat { found: 3 }));
        for malformed in [
            enrolment().to_json().replace(":1,", ":2,"),
            text.replace(":2,\"pool", ":1,\"pool"),
            text.replace(&format!(":{number}}}"), ":\"2\"}"),
            text.replace('}', ",\"more\":1}"),
        ] {
            assert!(matches!(Enrolment::from_json(&malformed), Err(PoolError::Malformed { .. })), "{malformed}");
        }
    }
}

#[test]
fn a_fingerprint_stands_for_key_and_name() {
    let fingerprint = enrolment().fingerprint();
    assert_eq!(fingerprint.len(), 29);
    assert!(fingerprint.split('-').all(|group| group.len() == 4));
    assert_ne!(fingerprint, root().enrolment("paris").expect("a name").fingerprint());
    assert_ne!(fingerprint, PoolRoot::generate().enrolment("berlin").expect("a name").fingerprint());
}

#[test]
fn a_root_comes_back_from_its_seed_and_is_not_shown() {
    let root = PoolRoot::generate();
    let again = PoolRoot::from_seed(root.expose_seed());
    assert_eq!(again.enrolment("p"), root.enrolment("p"));
    let seed = data_encoding::HEXLOWER.encode(root.expose_seed());
    assert!(!format!("{root:?}").contains(&seed));
}
