//! Presigned requests: SigV4 in the query, with the headers that pin what may be sent.
//!
//! The SDK's own presigner runs its whole request pipeline for each URL (endpoint rules, serialisation, interceptors);
//! a server signs thousands a second, so this calls the SDK's signer, `aws-sigv4`, directly. What the URL starts with
//! is still the SDK's decision: it is asked once, when storage is opened.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use data_encoding::{BASE64, HEXLOWER};
use filemill_api::{SignedGet, SignedPut};
use url::form_urlencoded;

use super::{ObjectKey, StorageError};

/// Signs with one set of credentials, which it holds only as long as it lives: take a new one for each batch.
#[derive(Clone)]
pub struct Signer {
    pub(super) base: std::sync::Arc<str>,
    pub(super) region: std::sync::Arc<str>,
    pub(super) credentials: Credentials,
    pub(super) lifetime: Duration,
    pub(super) signed_at: SystemTime,
}

impl Signer {
    /// A PUT of exactly `length` bytes with this SHA-256 under `key`; storage refuses anything else.
    ///
    /// # Errors
    /// The digest is not hex, or the signer refuses the request.
    pub fn put(&self, key: &ObjectKey, length: u64, sha256: &str) -> Result<SignedPut, StorageError> {
        let digest = HEXLOWER.decode(sha256.as_bytes()).map_err(|error| StorageError::signing(key, error))?;
        let headers = [("content-length", length.to_string()), ("x-amz-checksum-sha256", BASE64.encode(&digest))];
        let url = self.sign("PUT", key, &headers)?;
        Ok(SignedPut {
            url,
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            expires_in_s: self.lifetime_s(),
        })
    }

    /// A GET of the object, of which `length` and `sha256` are told so that the reader can check them.
    ///
    /// # Errors
    /// The signer refuses the request.
    pub fn get(&self, key: &ObjectKey, length: u64, sha256: &str) -> Result<SignedGet, StorageError> {
        let url = self.sign("GET", key, &[])?;
        Ok(SignedGet { url, length, sha256: sha256.to_owned(), expires_in_s: self.lifetime_s() })
    }

    fn lifetime_s(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn sign(&self, method: &str, key: &ObjectKey, headers: &[(&str, String)]) -> Result<String, StorageError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(self.lifetime);
        // S3 signs the path as it is sent.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(self.signed_at)
            .settings(settings)
            .build()
            .map_err(|error| StorageError::signing(key, error))?
            .into();
        // A key is hex, digits, slashes and fixed words: it needs no escaping in a path.
        let mut url = format!("{}{key}", self.base);
        let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let request = SignableRequest::new(method, url.as_str(), headers, SignableBody::UnsignedPayload)
            .map_err(|error| StorageError::signing(key, error))?;
        let (instructions, _signature) =
            sign(request, &params).map_err(|error| StorageError::signing(key, error))?.into_parts();
        url.push('?');
        let mut query = form_urlencoded::Serializer::for_suffix(String::with_capacity(512), 0);
        for (name, value) in instructions.params() {
            query.append_pair(name, value);
        }
        url.push_str(&query.finish());
        Ok(url)
    }
}
