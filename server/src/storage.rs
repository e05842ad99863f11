//! S3: the only place with storage credentials. Signs requests for others, and puts, lists and deletes for itself.

mod keys;
mod presign;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, ChecksumMode, CreateBucketConfiguration, Delete, ObjectIdentifier};
use data_encoding::{BASE64, HEXLOWER};
use url::Url;

pub use keys::{Area, InvalidKey, ObjectKey};
pub use presign::Signer;

/// Most objects that one S3 request deletes.
const BATCH: usize = 1000;
/// Credentials that end sooner than this after a URL's own end are replaced before they sign it.
const CREDENTIALS_MARGIN: Duration = Duration::from_secs(60);

/// An object in storage, as a presigned PUT or GET must name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: ObjectKey,
    /// Its exact length in bytes.
    pub length: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}

/// Where objects are kept.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// The bucket.
    pub bucket: String,
    /// Another endpoint than AWS's own, addressed by path. Clients and processors must reach it under this origin.
    pub endpoint: Option<Url>,
    /// The region; otherwise from the AWS configuration, otherwise `us-east-1`.
    pub region: Option<String>,
    /// Fixed credentials; otherwise the AWS default chain (environment, profile, container, instance).
    pub credentials: Option<StorageCredentials>,
    /// Make the bucket if there is none.
    pub create_bucket: bool,
    /// How long a presigned request is good; at most 15 minutes.
    pub lifetime: Duration,
}

/// An access key of S3's.
#[derive(Clone)]
pub struct StorageCredentials {
    /// Its public half.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
}

impl std::fmt::Debug for StorageCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What storage did not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// S3 refused, or did not answer, after the SDK's own retries.
    #[error("storage did not {action} `{subject}`: {detail}")]
    Request {
        /// What was asked.
        action: &'static str,
        /// Of which object or bucket.
        subject: String,
        /// The SDK's words, its causes included.
        detail: String,
    },
    /// There are no credentials to sign with.
    #[error("there are no credentials for storage: {0}")]
    Credentials(String),
    /// An identifier cannot stand in a key.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// A request could not be signed.
    #[error("the request for `{key}` could not be signed: {detail}")]
    Signing {
        /// Which object.
        key: String,
        /// The signer's words.
        detail: String,
    },
}

impl StorageError {
    /// What the service answered, if it did; otherwise all that the SDK says, which is much.
    fn request<E>(action: &'static str, subject: &str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let service = error.as_service_error().and_then(|answer| Some((answer.code()?, answer.message())));
        let detail = match service {
            Some((code, Some(message))) => format!("{message} ({code})"),
            Some((code, None)) => format!("it answers {code}"),
            None => DisplayErrorContext(error).to_string(),
        };
        Self::Request { action, subject: subject.to_owned(), detail }
    }

    /// A request that could not even be made.
    fn unmade(action: &'static str, subject: &str, error: impl std::fmt::Display) -> Self {
        Self::Request { action, subject: subject.to_owned(), detail: error.to_string() }
    }

    fn signing(key: &ObjectKey, error: impl std::fmt::Display) -> Self {
        Self::Signing { key: key.to_string(), detail: error.to_string() }
    }
}

/// Objects as storage lists them.
#[derive(Clone, Debug)]
pub struct Page {
    /// At most 1,000.
    pub objects: Vec<Listed>,
    /// Behind which key to read on; none at the end.
    pub next: Option<String>,
}

/// An object that is stored.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// When it was stored, by storage's clock.
    pub stored_at: SystemTime,
}

/// One bucket. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    shared: Arc<Shared>,
}

struct Shared {
    client: aws_sdk_s3::Client,
    bucket: String,
    /// What every URL starts with; ends in a slash.
    base: Arc<str>,
    origin: String,
    region: Arc<str>,
    lifetime: Duration,
    provider: SharedCredentialsProvider,
    /// What signs now. A lock held for a clone, never across an await.
    credentials: Mutex<Option<Credentials>>,
}

impl Storage {
    /// Connects to the bucket, makes it if asked to, and learns where its objects are.
    ///
    /// # Errors
    /// There are no credentials, or the bucket is not there or not to be reached.
    pub async fn open(config: StorageConfig) -> Result<Self, StorageError> {
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::standard()).timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .operation_attempt_timeout(Duration::from_secs(60))
                    .operation_timeout(Duration::from_secs(120))
                    .build(),
            );
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(keys) = &config.credentials {
            let keys = Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "filemill");
            loader = loader.credentials_provider(keys);
        }
        let sdk = loader.load().await;
        let region = sdk.region().map_or_else(|| "us-east-1".to_owned(), ToString::to_string);
        let provider = sdk.credentials_provider().ok_or_else(|| {
            StorageError::Credentials("none are configured (hint: set AWS_ACCESS_KEY_ID or a profile)".to_owned())
        })?;
        let mut builder = aws_sdk_s3::config::Builder::from(&sdk).region(Region::new(region.clone()));
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint.as_str()).force_path_style(true);
        }
        let client = aws_sdk_s3::Client::from_conf(builder.build());
        let (base, origin) = locate(&client, &config.bucket).await?;
        let storage = Self {
            shared: Arc::new(Shared {
                client,
                bucket: config.bucket,
                base: base.into(),
                origin,
                region: region.into(),
                lifetime: config.lifetime.min(Duration::from_secs(u64::from(filemill_api::limits::PRESIGNED_SECONDS))),
                provider,
                credentials: Mutex::new(None),
            }),
        };
        storage.find_bucket(config.create_bucket).await?;
        Ok(storage)
    }

    /// The origin that every presigned URL points to, such as `https://bucket.s3.eu-central-1.amazonaws.com`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// How long a presigned request is good.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.shared.lifetime
    }

    /// Signs a batch of requests as of now.
    ///
    /// # Errors
    /// Credentials have run out and the provider gives no new ones.
    pub async fn signer(&self) -> Result<Signer, StorageError> {
        let shared = &self.shared;
        let now = SystemTime::now();
        let held = shared.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let good = |credentials: &Credentials| {
            credentials.expiry().is_none_or(|end| end > now + shared.lifetime + CREDENTIALS_MARGIN)
        };
        let credentials = match held.filter(good) {
            Some(credentials) => credentials,
            None => {
                let fresh = shared
                    .provider
                    .provide_credentials()
                    .await
                    .map_err(|error| StorageError::Credentials(DisplayErrorContext(error).to_string()))?;
                *shared.credentials.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
                fresh
            }
        };
        // A URL signed with temporary credentials ends with them, so that it says no more than it can keep.
        let lifetime = match credentials.expiry().map(|end| end.duration_since(now).unwrap_or_default()) {
            Some(left) if left < shared.lifetime => left.max(Duration::from_secs(1)),
            _ => shared.lifetime,
        };
        Ok(Signer {
            base: Arc::clone(&shared.base),
            region: Arc::clone(&shared.region),
            credentials,
            lifetime,
            signed_at: now,
        })
    }

    /// Stores an object; storage checks its digest on arrival.
    ///
    /// # Errors
    /// Storage refused or was not reached.
    pub async fn put(&self, key: &ObjectKey, bytes: Vec<u8>, sha256: &[u8]) -> Result<(), StorageError> {
        self.shared
            .client
            .put_object()
            .bucket(&self.shared.bucket)
            .key(key.as_str())
            .checksum_sha256(BASE64.encode(sha256))
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| StorageError::request("store", key.as_str(), error))?;
        Ok(())
    }

    /// Whether an object of this length is there; and, where storage tells its checksum, of this digest.
    ///
    /// # Errors
    /// Storage refused or was not reached.
    pub async fn holds(&self, key: &ObjectKey, length: u64, sha256: &str) -> Result<bool, StorageError> {
        let asked = self
            .shared
            .client
            .head_object()
            .bucket(&self.shared.bucket)
            .key(key.as_str())
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        match asked {
            Ok(found) => {
                let same = HEXLOWER.decode(sha256.as_bytes()).is_ok_and(|digest| {
                    found.checksum_sha256().is_none_or(|checksum| checksum == BASE64.encode(&digest))
                });
                Ok(same && found.content_length().and_then(|found| u64::try_from(found).ok()) == Some(length))
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => Ok(false),
            Err(error) => Err(StorageError::request("find", key.as_str(), error)),
        }
    }

    /// Deletes objects; one that is not there counts as deleted. Stops at the first refusal: what was deleted stays so,
    /// and the call can be repeated.
    ///
    /// # Errors
    /// Storage refused or was not reached.
    pub async fn delete(&self, keys: &[ObjectKey]) -> Result<(), StorageError> {
        for batch in keys.chunks(BATCH) {
            let first = batch.first().map_or("", ObjectKey::as_str);
            let objects = batch
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key.as_str()).build())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| StorageError::unmade("delete", first, error))?;
            let delete = Delete::builder()
                .set_objects(Some(objects))
                .quiet(true)
                .build()
                .map_err(|error| StorageError::unmade("delete", first, error))?;
            let answer = self
                .shared
                .client
                .delete_objects()
                .bucket(&self.shared.bucket)
                .delete(delete)
                .send()
                .await
                .map_err(|error| StorageError::request("delete", first, error))?;
            if let Some(refused) = answer.errors().first() {
                return Err(StorageError::Request {
                    action: "delete",
                    subject: refused.key().unwrap_or(first).to_owned(),
                    detail: refused.message().or(refused.code()).unwrap_or("no reason given").to_owned(),
                });
            }
        }
        Ok(())
    }

    /// One page of an area's objects, in order of their keys, behind the one where the last page ended.
    ///
    /// # Errors
    /// Storage refused or was not reached.
    pub async fn list(&self, area: Area, after: Option<String>) -> Result<Page, StorageError> {
        let answer = self
            .shared
            .client
            .list_objects_v2()
            .bucket(&self.shared.bucket)
            .prefix(area.prefix())
            .set_start_after(after)
            .send()
            .await
            .map_err(|error| StorageError::request("list", area.prefix(), error))?;
        let next = match answer.is_truncated() {
            Some(true) => answer.contents().last().and_then(|object| object.key()).map(ToOwned::to_owned),
            _ => None,
        };
        let objects = answer
            .contents()
            .iter()
            .filter_map(|object| {
                let stored_at = SystemTime::try_from(*object.last_modified()?).ok()?;
                // What somebody else keeps in the bucket stays there.
                let key = ObjectKey::parse(object.key()?).ok()?;
                Some(Listed { key, stored_at })
            })
            .collect();
        Ok(Page { objects, next })
    }

    async fn find_bucket(&self, create: bool) -> Result<(), StorageError> {
        let Shared { client, bucket, region, .. } = &*self.shared;
        match client.head_bucket().bucket(bucket).send().await {
            Ok(_) => return Ok(()),
            Err(error) if create && error.as_service_error().is_some_and(|e| e.is_not_found()) => {}
            Err(error) => return Err(StorageError::request("find bucket", bucket, error)),
        };
        tracing::info!(%bucket, "making the bucket");
        // `us-east-1` is the one region that must not be named.
        let place = (&**region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(&**region)).build()
        });
        match client.create_bucket().bucket(bucket).set_create_bucket_configuration(place).send().await {
            Ok(_) => Ok(()),
            // Another server made it meanwhile.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_bucket_already_owned_by_you()) => Ok(()),
            Err(error) => Err(StorageError::request("make bucket", bucket, error)),
        }
    }
}

/// Asks the SDK where objects of the bucket are: the URL before the key, and its origin.
async fn locate(client: &aws_sdk_s3::Client, bucket: &str) -> Result<(String, String), StorageError> {
    const PROBE: &str = "probe";
    let soon =
        PresigningConfig::expires_in(Duration::from_secs(1)).map_err(|e| StorageError::unmade("locate", bucket, e))?;
    let request = client
        .get_object()
        .bucket(bucket)
        .key(PROBE)
        .presigned(soon)
        .await
        .map_err(|error| StorageError::request("locate", bucket, error))?;
    let unexpected = |detail: &str| StorageError::Request {
        action: "locate",
        subject: bucket.to_owned(),
        detail: detail.to_owned(),
    };
    let url = Url::parse(request.uri()).map_err(|error| StorageError::unmade("locate", bucket, error))?;
    let origin = url.origin().ascii_serialization();
    let before_query = request.uri().split('?').next().unwrap_or_default();
    let base =
        before_query.strip_suffix(PROBE).ok_or_else(|| unexpected("the object's URL does not end in its key"))?;
    Ok((base.to_owned(), origin))
}
