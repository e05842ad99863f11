//! Why something failed, in words that people know.

use std::error::Error;
use std::io::{self, ErrorKind};

/// An operating system's error in the house's words: lower case, without its number.
pub fn reason(error: &io::Error) -> String {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return "it is a symbolic link, or a loop of them".to_owned();
    }
    match error.kind() {
        ErrorKind::NotFound => "it does not exist".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "no room left on the disk".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let mut characters = text.chars();
            characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
        }
    }
}

/// An error and its causes, in one line. Libraries say the same at several levels: a cause that ends what was said already is left
/// out.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = match cause.downcast_ref::<io::Error>() {
            Some(system) if system.raw_os_error().is_some() => reason(system),
            _ => cause.to_string(),
        };
        if !text.ends_with(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Said(&'static str, Option<Box<dyn Error + 'static>>);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Said {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref()
        }
    }

    #[test]
    fn a_missing_file_is_told_without_the_systems_number_and_nothing_twice() {
        let missing = io::Error::from_raw_os_error(2);
        let error = Said("cannot open `a`", Some(Box::new(missing)));
        assert_eq!(chain(&error), "cannot open `a`: it does not exist");
        let database =
            Said("the database says: (code: 26) it is none", Some(Box::new(Said("(code: 26) it is none", None))));
        assert_eq!(
            chain(&Said("cannot open it", Some(Box::new(database)))),
            "cannot open it: the database says: (code: 26) it is none"
        );
        assert_eq!(reason(&io::Error::from_raw_os_error(111)), "connection refused");
    }
}
