//! The form of a token.

/// The longest token, in bytes. A server's own are far shorter.
pub(crate) const TOKEN_MAX_BYTES: usize = 4 << 10;

/// Whether it has the form of a token: `fm_`, a letter for what it is good for, and what only its owner knows.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn check_token(token: &str) -> Result<(), String> {
    if token.is_empty() {
        return Err("it is empty".to_owned());
    }
    if token.len() > TOKEN_MAX_BYTES {
        return Err(format!("it is longer than {TOKEN_MAX_BYTES} bytes"));
    }
    if !token.starts_with("fm_") || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a token is one word that begins with `fm_`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        check_token("fm_u_0123").unwrap();
        let long = format!("fm_u_{}", "a".repeat(TOKEN_MAX_BYTES));
        for other in ["", "secret", "fm_a b", "fm_a\r\nx: y", "fm_\0\x07", "fm_é", &long] {
            check_token(other).unwrap_err();
        }
    }
}
