//! One-time codes: whoever shows one is given what it grants, once.

use serde::{Deserialize, Serialize};

/// What a code is made of: digits and capital letters, without those that are taken for others (I, L, O, U). Five bits each.
pub const JOIN_CODE_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 140 bits.
pub const JOIN_CODE_CHARACTERS: usize = 28;
/// Characters between two hyphens, where a code is shown.
const GROUP: usize = 4;

/// Shows a one-time code, in place of a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinRequest {
    /// The code, as it was shown, or as somebody typed it.
    pub code: String,
    /// 32 random bytes of the redeemer's own in hex, made and kept before the first request: the same code with the same bytes is
    /// answered alike for ten minutes more, and with others never again.
    pub redeemer: String,
    /// As what it is redeemed: `user` or `processor`. A code for another scope is refused, and stays good.
    pub scope: String,
    /// The pool whose keys a processor has already. A code for another is refused, and stays good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// What a code granted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinAnswer {
    /// The bearer token.
    pub token: String,
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the user or node that the token is for.
    pub user: String,
    /// `user` or `processor`.
    pub scope: String,
    /// The pool that a processor's token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A code for a person, to be shown by the processor together with its pool's root, and kept nowhere. There only if the
    /// processor's code was made with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginCode>,
}

/// A code that is handed on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginCode {
    /// The code.
    pub code: String,
    /// Name of the user that it is for.
    pub user: String,
    /// How long it is good, in seconds from the answer.
    pub expires_in_s: u32,
}

// None of them shows a secret.
impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest").field("scope", &self.scope).field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for JoinAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinAnswer")
            .field("organisation", &self.organisation)
            .field("user", &self.user)
            .field("scope", &self.scope)
            .field("pool", &self.pool)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LoginCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginCode").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A code as it is compared: capital letters without hyphens and spaces, `O` read as 0, and `I` and `L` as 1. `None` if it is not a
/// code.
#[must_use]
pub fn join_code(text: &str) -> Option<String> {
    let mut code = String::with_capacity(JOIN_CODE_CHARACTERS);
    // Whatever is longer than a code with a separator behind each character is not a code.
    for character in text.chars().take(2 * JOIN_CODE_CHARACTERS + 1) {
        let character = match character.to_ascii_uppercase() {
            '-' | ' ' => continue,
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if !character.is_ascii() || !JOIN_CODE_ALPHABET.contains(&(character as u8)) {
            return None;
        }
        code.push(character);
    }
    (code.len() == JOIN_CODE_CHARACTERS && text.len() <= 2 * JOIN_CODE_CHARACTERS).then_some(code)
}

/// A code that [`join_code`] read as it is shown: in groups of four with hyphens between them.
#[must_use]
pub fn shown_join_code(code: &str) -> String {
    let groups: Vec<_> = code.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
    groups.join("-")
}

/// A code of random bytes, of which five bits each count: as it is compared.
#[must_use]
pub fn join_code_of(random: &[u8; JOIN_CODE_CHARACTERS]) -> String {
    random.iter().map(|byte| char::from(JOIN_CODE_ALPHABET[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_was_typed() {
        let code = join_code_of(&std::array::from_fn(|index| index as u8));
        assert_eq!(code, "0123456789ABCDEFGHJKMNPQRSTV");
        let shown = shown_join_code(&code);
        assert_eq!(shown, "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV");
        for typed in [shown.to_lowercase(), shown.replace('-', " "), shown.replace('0', "o").replace('1', "l"), shown] {
            assert_eq!(join_code(&typed).as_deref(), Some(&*code), "{typed}");
        }
    }

    #[test]
    fn what_is_no_code_is_not_taken_for_one() {
        let code = join_code_of(&[7; JOIN_CODE_CHARACTERS]);
        let spread = code.chars().map(|character| format!("{character}-")).collect::<String>();
        assert_eq!(join_code(&spread).as_deref(), Some(&*code));
        for other in
            ["", "fm_p_00", &code[1..], &format!("{code}7"), &code.replacen('7', "U", 1), &format!("{spread}-")]
        {
            assert_eq!(join_code(other), None, "{other}");
        }
        assert_eq!(join_code(&code.replacen('7', "\u{ff17}", 1)), None);
        assert_eq!(join_code(&"-".repeat(1 << 20)), None);
    }

    #[test]
    fn no_secret_is_shown_by_chance() {
        let request = JoinRequest {
            code: "SECRET".into(),
            redeemer: "SECRET".into(),
            scope: "processor".into(),
            pool: Some("main".into()),
        };
        let login = LoginCode { code: "SECRET".into(), user: "ann".into(), expires_in_s: 600 };
        let answer = JoinAnswer {
            token: "SECRET".into(),
            organisation: "acme".into(),
            user: "node".into(),
            scope: "processor".into(),
            pool: None,
            login: Some(login),
        };
        let shown = format!("{request:?} {answer:?}");
        assert!(!shown.contains("SECRET") && shown.contains("ann"), "{shown}");
    }
}
