//! The age file around headers and results, against what the `age` crate would do with it.

use std::time::{Duration, Instant};

use filemill_seal::{
    AGE_STANZAS_MAX, CHUNK_SIZE_MIN, EnvelopeError, Header, HeaderError, Identity, KeyError, Recipient, ResultError,
    SealedHeader, open_result,
};

use crate::support::{Scene, age_recipient};

fn refusal(bytes: Vec<u8>, identity: &Identity) -> EnvelopeError {
    let sealed = SealedHeader::from_bytes(bytes.clone()).expect("short enough");
    let identities = std::slice::from_ref(identity);
    let Err(HeaderError::Envelope(error)) = Header::open(&sealed, identities) else { panic!("not refused") };
    assert_eq!(open_result(&bytes, identities).err(), Some(ResultError::Envelope(error)));
    error
}

#[test]
fn what_is_no_age_file_is_called_that() {
    let identity = Identity::generate();
    for bytes in [&b""[..], b"a", b"age-encryption.org/v", b"age-encryption.org/v2\n", b"{}", &[0; 1000]] {
        assert_eq!(refusal(bytes.to_vec(), &identity), EnvelopeError::NotAge);
    }
    assert_eq!(refusal(b"age-encryption.org/v1\n".to_vec(), &identity), EnvelopeError::Recipients);
    assert_eq!(refusal(b"age-encryption.org/v1\n--- \n".to_vec(), &identity), EnvelopeError::Damaged);
}

const LAST_LINE: &[u8] = b"--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789abcdef";

#[test]
fn a_flood_of_recipients_is_refused_at_once() {
    let identity = Identity::generate();
    let started = Instant::now();
    let flood =
        |stanza: &[u8], count: usize| [b"age-encryption.org/v1\n", &stanza.repeat(count)[..], LAST_LINE].concat();
    assert_eq!(refusal(flood(b"-> x\n\n", 600_000), &identity), EnvelopeError::Recipients);
    assert_eq!(refusal(flood(b"-> x\n\n", AGE_STANZAS_MAX + 1), &identity), EnvelopeError::Recipients);
    assert_eq!(refusal(flood(b"-> x\n\n", AGE_STANZAS_MAX), &identity), EnvelopeError::NoMatchingKey);
    let line = [b'A'; 64];
    let lines = [b"-> x\n", &[&line[..], b"\n"].concat().repeat(60)[..], b"\n"].concat();
    assert_eq!(refusal(flood(&lines, 1), &identity), EnvelopeError::NoMatchingKey);
    assert_eq!(refusal(flood(&lines, 2), &identity), EnvelopeError::Recipients);
    // A last line without an end.
    let mut endless = flood(b"-> x\n\n", 1);
    endless.truncate(endless.len() - 17);
    endless.resize(4 << 20, b'A');
    assert_eq!(refusal(endless, &identity), EnvelopeError::Damaged);
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
}

#[test]
fn a_stranger_opens_nothing_and_any_fitting_key_does() {
    let scene = Scene::new(CHUNK_SIZE_MIN, &[1]);
    let sealed = scene.header.seal(&[scene.pool.recipient()]).expect("it seals");
    let stranger = || scene.stranger.clone();
    assert_eq!(refusal(sealed.as_bytes().to_vec(), &scene.stranger), EnvelopeError::NoMatchingKey);
    assert!(matches!(Header::open(&sealed, &[]), Err(HeaderError::Envelope(EnvelopeError::NoMatchingKey))));
    for fitting in [&scene.pool, &scene.uploader] {
        assert!(Header::open(&sealed, &[stranger(), fitting.clone()]).is_ok());
    }
}

#[test]
fn a_file_that_age_itself_made_opens() {
    let scene = Scene::new(CHUNK_SIZE_MIN, &[1]);
    let plaintext = filemill_seal::fuzzing::encode_header(&scene.header);
    let recipient = age_recipient(&scene.pool);
    let sealed = SealedHeader::from_bytes(age::encrypt(&recipient, &plaintext).expect("it encrypts")).expect("short");
    let header = Header::open(&sealed, std::slice::from_ref(&scene.pool)).expect("it opens");
    assert_eq!(filemill_seal::fuzzing::encode_header(&header), plaintext);
}

#[test]
fn keys_are_parsed_in_their_one_form_and_never_shown() {
    let identity = Identity::generate();
    let secret = identity.expose_secret();
    let again: Identity = secret.parse().expect("its own form");
    assert_eq!(again.recipient(), identity.recipient());
    assert!(!format!("{identity:?}").contains("SECRET"));
    let recipient = identity.recipient().to_string();
    assert_eq!(recipient.parse(), Ok(identity.recipient()));

    for text in ["", "age1", &recipient[..61], &recipient.to_uppercase(), &format!("{recipient} "), &secret] {
        assert!(matches!(text.parse::<Recipient>(), Err(KeyError::Recipient { .. })), "{text}");
    }
    for text in ["", "AGE-SECRET-KEY-1", &recipient, &secret[..60]] {
        assert_eq!(text.parse::<Identity>().err(), Some(KeyError::Identity), "{text}");
    }
}

#[test]
fn points_of_small_order_are_no_recipients() {
    let encode = |point: [u8; 32]| {
        bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("age").expect("a prefix"), &point).expect("it encodes")
    };
    let mut edge = [0xff; 32];
    edge[31] = 0x7f;
    let mut points = vec![[0; 32]];
    for low in [0xec, 0xed, 0xee] {
        edge[0] = low;
        points.push(edge);
    }
    let mut one = [0; 32];
    one[0] = 1;
    points.push(one);
    for point in points {
        for top in [0, 0x80] {
            let mut point = point;
            point[31] |= top;
            assert!(matches!(encode(point).parse::<Recipient>(), Err(KeyError::SmallOrder { .. })), "{point:x?}");
        }
    }
}
