//! Where a program may fetch from and store to.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Scheme, host and port of a server or of a storage service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(url::Origin);

/// A text that is not an [`Origin`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an origin: {why}")]
pub struct OriginError {
    found: String,
    why: &'static str,
}

/// A presigned URL that is not followed. No request is made; what is said of it holds no part of its signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignUrl {
    /// Not a URL.
    #[error("the server names a storage URL that is malformed")]
    Malformed,
    /// It leads to this origin, which is not configured.
    #[error("the server names a storage URL on `{0}`, which is not a configured storage origin")]
    Origin(String),
    /// It leads to this origin, which is configured, with a user name or a password.
    #[error("the server names a storage URL with a user name or a password")]
    Credentials(String),
}

/// The origins that presigned URLs may point to. There is no way to allow any: a server that may name every place could have
/// data sent to one of its choice, and have whoever asks it look into a private network.
#[derive(Clone, Debug)]
pub struct Origins(Vec<Origin>);

impl Origin {
    /// The origin of `url`.
    pub fn of(url: &Url) -> Self {
        Self(url.origin())
    }

    /// Whether what goes there cannot be read on the way: it is encrypted, or stays on this machine.
    pub fn is_private(&self) -> bool {
        let url::Origin::Tuple(scheme, host, _) = &self.0 else {
            return false;
        };
        match scheme.as_str() {
            "https" => true,
            "http" => match host {
                Host::Domain(name) => name == "localhost",
                Host::Ipv4(address) => address.is_loopback(),
                Host::Ipv6(address) => address.is_loopback(),
            },
            _ => false,
        }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let error = |why| OriginError { found: text.chars().take(200).collect(), why };
        let url = Url::parse(text).map_err(|_| error("it is no URL"))?;
        if !is_web(&url) || url.host().is_none() {
            return Err(error("it does not start with https:// or http:// and a host"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || has_credentials(&url) {
            return Err(error("it has more than scheme, host and port"));
        }
        Ok(Self::of(&url))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.ascii_serialization())
    }
}

impl ForeignUrl {
    /// The origin that it leads to, as far as there is one.
    pub fn origin(&self) -> &str {
        match self {
            Self::Malformed => "(not a URL)",
            Self::Origin(origin) | Self::Credentials(origin) => origin,
        }
    }
}

impl Origins {
    /// Only these, which somebody configured: not the server.
    pub fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        Self(origins.into_iter().collect())
    }

    /// The URL, if it points to one of these: same scheme, same host, same port, no user name and no password.
    ///
    /// # Errors
    ///
    /// [`ForeignUrl`] for every other.
    pub fn check(&self, url: &str) -> Result<Url, ForeignUrl> {
        let url = Url::parse(url).map_err(|_| ForeignUrl::Malformed)?;
        let origin = Origin::of(&url);
        if !is_web(&url) || !self.0.contains(&origin) {
            return Err(ForeignUrl::Origin(origin.to_string()));
        }
        if has_credentials(&url) {
            return Err(ForeignUrl::Credentials(origin.to_string()));
        }
        Ok(url)
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http")
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins<const N: usize>(texts: [&str; N]) -> Origins {
        Origins::new(texts.map(|text| text.parse().expect(text)))
    }

    #[test]
    fn only_scheme_host_and_port_make_an_origin() {
        for good in ["https://s3.example.org", "http://127.0.0.1:9000/", "https://[::1]:9000"] {
            good.parse::<Origin>().expect(good);
        }
        for bad in [
            "s3.example.org",
            "ftp://s3.example.org",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://:p@a",
            "file:///x",
            "null",
            "",
        ] {
            bad.parse::<Origin>().expect_err(bad);
        }
    }

    #[test]
    fn urls_on_configured_origins_are_asked() {
        let origins = origins(["http://127.0.0.1:9000/", "https://bucket.s3.example"]);
        for good in [
            "http://127.0.0.1:9000/b/k?X-Amz-Signature=1",
            "https://bucket.s3.example:443/k",
            "HTTPS://BUCKET.S3.EXAMPLE/k",
            // The parser reads it as a path of this host, and so does whoever makes the request from what it read.
            r"https://bucket.s3.example\@evil.org/k",
        ] {
            let url = origins.check(good).expect(good);
            assert!(matches!(url.host_str(), Some("127.0.0.1" | "bucket.s3.example")), "{url}");
        }
    }

    #[test]
    fn a_url_elsewhere_is_refused_without_repeating_its_signature() {
        let origins = origins(["https://s3.example.org", "http://127.0.0.1:9000"]);
        for bad in [
            "https://s3.example.org.evil.org/key?X-Amz-Signature=secret",
            "https://evil.s3.example.org/key?X-Amz-Signature=secret",
            "https://s3.example.orgevil/key?X-Amz-Signature=secret",
            "https://evils3.example.org/key?X-Amz-Signature=secret",
            "https://s3.example.org./key?X-Amz-Signature=secret",
            "http://s3.example.org/key?X-Amz-Signature=secret",
            "http://s3.example.org:443/key?X-Amz-Signature=secret",
            "https://s3.example.org:8443/key?X-Amz-Signature=secret",
            "https://s3.example.org@evil.org/key?X-Amz-Signature=secret",
            "https://s3.example.org:443@evil.org/key?X-Amz-Signature=secret",
            "https://evil.org/https://s3.example.org/key?X-Amz-Signature=secret",
            r"https://evil.org\@s3.example.org/key?X-Amz-Signature=secret",
            "http://127.0.0.1:9001/key?X-Amz-Signature=secret",
            "http://127.0.0.1/key?X-Amz-Signature=secret",
            "http://127.0.0.2:9000/key?X-Amz-Signature=secret",
            "http://localhost:9000/key?X-Amz-Signature=secret",
            "https://127.0.0.1:9000/key?X-Amz-Signature=secret",
            "http://169.254.169.254/latest/meta-data/?X-Amz-Signature=secret",
            "ftp://s3.example.org/key?X-Amz-Signature=secret",
            "wss://s3.example.org/key?X-Amz-Signature=secret",
            "file:///etc/passwd?X-Amz-Signature=secret",
            "data:text/plain,X-Amz-Signature=secret",
        ] {
            let error = origins.check(bad).expect_err(bad);
            assert!(matches!(error, ForeignUrl::Origin(_)), "{bad}: {error:?}");
            assert!(!format!("{error} {}", error.origin()).contains("secret"), "{error}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_without_repeating_them() {
        let origins = origins(["https://s3.example.org"]);
        for bad in [
            "https://secret@s3.example.org/key",
            "https://user:secret@s3.example.org/key",
            "https://:secret@s3.example.org/key",
        ] {
            let error = origins.check(bad).expect_err(bad);
            assert_eq!(error, ForeignUrl::Credentials("https://s3.example.org".to_owned()), "{bad}");
            assert!(!format!("{error} {}", error.origin()).contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_without_repeating_it() {
        for bad in ["not a url, secret", "", "//s3.example.org/secret", "/key?secret", "https://", "https://a b/secret"]
        {
            let error = origins(["https://s3.example.org"]).check(bad).expect_err(bad);
            assert_eq!(error, ForeignUrl::Malformed, "{bad}");
            assert_eq!(error.origin(), "(not a URL)");
        }
    }

    #[test]
    fn without_a_configured_origin_nothing_is_asked() {
        for url in ["https://s3.example.org/key", "file:///x"] {
            Origins::new([]).check(url).expect_err(url);
        }
        // Such an origin is equal to no other, not even to itself read again.
        let opaque = Origin::of(&Url::parse("file:///x").expect("a URL"));
        Origins::new([opaque]).check("file:///x").expect_err("not a place to fetch from");
    }

    #[test]
    fn plain_http_is_private_on_loopback_only() {
        for (origin, private) in [
            ("https://s3.example.org", true),
            ("http://localhost:9000", true),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("http://s3.example.org", false),
            ("http://10.0.0.1:9000", false),
            ("http://[::2]", false),
            ("http://localhost.example.org", false),
        ] {
            assert_eq!(origin.parse::<Origin>().expect(origin).is_private(), private, "{origin}");
        }
        for other in ["ftp://localhost", "ws://127.0.0.1", "file:///x"] {
            assert!(!Origin::of(&Url::parse(other).expect(other)).is_private(), "{other}");
        }
    }
}
