//! Where a node may fetch from and store to.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Scheme, host and port of a server or of a storage service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(url::Origin);

/// A text that is no [`Origin`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an origin: {why}")]
pub struct OriginError {
    found: String,
    why: &'static str,
}

/// A presigned URL that is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForeignUrl {
    #[error("the server names a storage URL that is malformed")]
    Malformed,
    #[error("the server names a storage URL on `{0}`, which is not a configured storage origin")]
    Origin(String),
    #[error("the server names a storage URL with a user name or a password")]
    Credentials,
}

/// The origins that presigned URLs may point to.
#[derive(Clone, Debug)]
pub(crate) struct StorageOrigins(Vec<Origin>);

impl Origin {
    /// The origin of `url`.
    pub fn of(url: &Url) -> Self {
        Self(url.origin())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let error = |why| OriginError { found: text.chars().take(200).collect(), why };
        let url = Url::parse(text).map_err(|_| error("it is no URL"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
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

impl StorageOrigins {
    pub(crate) fn new(origins: Vec<Origin>) -> Self {
        Self(origins)
    }

    /// The URL, if it points to one of these.
    pub(crate) fn check(&self, url: &str) -> Result<Url, ForeignUrl> {
        let url = Url::parse(url).map_err(|_| ForeignUrl::Malformed)?;
        let origin = Origin::of(&url);
        if !self.0.contains(&origin) {
            return Err(ForeignUrl::Origin(origin.to_string()));
        }
        if has_credentials(&url) {
            return Err(ForeignUrl::Credentials);
        }
        Ok(url)
    }
}

/// Whether a plain-http address stays on this machine (or the address is not plain).
pub(crate) fn is_private(origin: &Origin) -> bool {
    let url::Origin::Tuple(scheme, host, _) = &origin.0 else {
        return false;
    };
    scheme == "https"
        || match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_make_an_origin() {
        for good in ["https://s3.example.org", "http://127.0.0.1:9000/", "https://[::1]:9000"] {
            good.parse::<Origin>().expect(good);
        }
        for bad in ["s3.example.org", "ftp://s3.example.org", "https://a/b", "https://a?b", "https://u@a", "file:///x"]
        {
            bad.parse::<Origin>().expect_err(bad);
        }
    }

    #[test]
    fn a_url_elsewhere_is_refused_without_repeating_its_signature() {
        let origins = StorageOrigins::new(vec!["https://s3.example.org".parse().expect("origin")]);
        origins.check("https://s3.example.org/bucket/key?X-Amz-Signature=secret").expect("configured");
        for bad in [
            "https://s3.example.org.evil.org/key?X-Amz-Signature=secret",
            "http://s3.example.org/key?X-Amz-Signature=secret",
            "https://s3.example.org:8443/key?X-Amz-Signature=secret",
            "https://s3.example.org@evil.org/key?X-Amz-Signature=secret",
            "https://user@s3.example.org/key?X-Amz-Signature=secret",
            "not a url, X-Amz-Signature=secret",
        ] {
            let error = origins.check(bad).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn plain_http_is_private_on_loopback_only() {
        for (origin, private) in [
            ("https://s3.example.org", true),
            ("http://localhost:9000", true),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("http://10.0.0.1:9000", false),
            ("http://localhost.example.org", false),
        ] {
            assert_eq!(is_private(&origin.parse().expect(origin)), private, "{origin}");
        }
    }
}
