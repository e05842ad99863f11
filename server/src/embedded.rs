//! The embedded default: everything under one folder, storage included, so that on one machine too every byte takes the
//! real path (presigned URL, SigV4, PUT, GET).

mod blocks;
mod folder;
mod listing;
mod place;
mod reading;
mod refusals;
mod transfers;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Request;
use futures::future::BoxFuture;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use url::Url;

use crate::bounds::Bounds;
use crate::callers::Callers;
use crate::listen;
use crate::listen::{Exchange, Lane, Received};
use crate::storage::{StorageConfig, StorageCredentials};
use folder::Folder;

pub use place::Addresses;
pub(crate) use place::{DirLock, is_place, make_dir, read_addresses, write_addresses};

/// The bucket of embedded storage.
const BUCKET: &str = "filemill";
/// Its region: the one that needs no naming.
const REGION: &str = "us-east-1";
/// Written when the server is ready, removed when it has stopped.
pub(crate) const RUNNING: &str = "server.json";
/// Where the server listened last: clients hold that origin, so the next start takes the same ports if they are free.
pub(crate) const LAST: &str = "last-addresses.json";

/// Where its objects are, below its folder.
const OBJECTS: &str = "objects";

/// What embedded storage did not get.
#[derive(Debug)]
pub(crate) enum StorageStartError {
    /// Its part of the folder.
    Dir(io::Error),
    /// Its address.
    Listen(io::Error),
}

/// Starts the storage endpoint over `DIR/objects` on `lane`, and says how to reach it.
///
/// # Errors
/// The folder or the address is unavailable.
pub(crate) async fn start_storage(
    dir: &Path,
    listen: SocketAddr,
    lifetime: Duration,
    lane: &Lane,
    bounds: &Bounds,
) -> Result<StorageConfig, StorageStartError> {
    let secrets = place::secrets(dir).map_err(StorageStartError::Dir)?;
    let folder = Folder::open(dir.join(OBJECTS), bounds).map_err(StorageStartError::Dir)?;
    let (listener, address) = listen::bind(listen).await.map_err(StorageStartError::Listen)?;
    let mut builder = S3ServiceBuilder::new(folder);
    builder.set_auth(SimpleAuth::from_single(secrets.access_key_id.clone(), secrets.secret_access_key.clone()));
    builder.set_access(Verified);
    let endpoint = Endpoint { s3: builder.build(), callers: Arc::new(Callers::new(bounds)) };
    lane.serve(listener, endpoint, bounds.clone());
    let origin = origin(address).map_err(StorageStartError::Listen)?;
    Ok(configuration(&origin, secrets.credentials(), lifetime))
}

/// The folder of the bucket, if a server has used `dir` before and it is not there any more. A server has made it before it says
/// where it listens.
pub(crate) fn lost_objects(dir: &Path) -> Option<PathBuf> {
    let bucket = dir.join(OBJECTS).join(BUCKET);
    (dir.join(LAST).exists() && !bucket.is_dir()).then_some(bucket)
}

/// Lets those do something who show that they may, and marks their connections: from a request's head on, not when it is done, or a
/// slow one would be cut for another connection on which nobody has shown anything.
struct Verified;

#[async_trait::async_trait]
impl S3Access for Verified {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "a signature is required"));
        }
        if let Some(exchange) = context.extensions_mut().get::<Arc<Exchange>>() {
            // Whose request it is, a presigned URL does not say: the address is all there is.
            exchange.line().belongs_to_its_address();
        }
        Ok(())
    }
}

/// Refuses what Filemill never sends, and says little about it.
#[derive(Clone)]
struct Endpoint {
    s3: S3Service,
    /// For whom refusals are under way.
    callers: Arc<Callers>,
}

impl tower::Service<Request<Received>> for Endpoint {
    type Response = s3s::HttpResponse;
    type Error = s3s::HttpError;
    type Future = BoxFuture<'static, Result<s3s::HttpResponse, s3s::HttpError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), s3s::HttpError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Self::Future {
        if let Some(refused) = refusals::at_sight(&request) {
            return Box::pin(async { Ok(refused) });
        }
        let exchange = request.extensions().get::<Arc<Exchange>>().cloned();
        let (answering, callers) = (tower::Service::call(&mut self.s3, request), Arc::clone(&self.callers));
        Box::pin(async move { Ok(refusals::bounded(answering.await?, &callers, exchange.as_ref())) })
    }
}

/// How to reach the storage endpoint of the server that runs on this folder now.
///
/// # Errors
/// The credentials or the address cannot be read.
pub(crate) fn running_storage(dir: &Path, addresses: &Addresses, lifetime: Duration) -> io::Result<StorageConfig> {
    let origin = addresses.storage.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(configuration(&origin, place::secrets(dir)?.credentials(), lifetime))
}

/// The origin of a listener; one on every address of the machine is named by its loopback address.
pub(crate) fn origin(address: SocketAddr) -> io::Result<Url> {
    let address = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    };
    format!("http://{address}").parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn configuration(origin: &Url, credentials: StorageCredentials, lifetime: Duration) -> StorageConfig {
    StorageConfig {
        bucket: BUCKET.to_owned(),
        endpoint: Some(origin.clone()),
        region: Some(REGION.to_owned()),
        credentials: Some(credentials),
        create_bucket: true,
        lifetime,
    }
}
