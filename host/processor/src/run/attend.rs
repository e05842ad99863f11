//! From a leased upload to spans at work: its header is checked once for all of them, and each release once for those that it runs over.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use filemill_api::LeasedUpload;
use filemill_seal::{Digest, Format};
use futures::FutureExt as _;
use futures::future::join_all;

use super::conclude::Conclusion;
use super::context::{FINAL_ATTEMPT, SpanContext};
use super::parts::{Parts, Span};
use super::span::work;
use crate::input::{Admission, Allowed, Fetcher, Fetching, NotAdmitted, SpanUrls, Upload, UploadJob, UrlSource, Urls};
use crate::leases::{Disputes, Lease, Missing, Stop, aside};
use crate::releases::{NoRelease, Ready, Releases};
use crate::results::{About, JobEnd, SpanResults, end_all};

/// What is said of a fault of this program. The panic itself was said by whoever panicked.
const PANICKED: &str = "the processor panicked";

/// A leased span, and its jobs.
type Leased = (Arc<Lease>, Vec<UploadJob>);

/// What attends to leased uploads.
pub(crate) struct Attending {
    /// The pool of this node.
    pub(crate) pool: String,
    pub(crate) admission: Admission,
    pub(crate) releases: Arc<Releases>,
    pub(crate) disputes: Arc<Disputes>,
    pub(crate) fetching: Arc<Fetching>,
    pub(crate) urls: Arc<UrlSource>,
    pub(crate) parts: Arc<Parts>,
    pub(crate) conclusion: Conclusion,
}

impl Attending {
    /// Sees to the spans of one leased upload: checks header and releases once, then attends to each span in a task of its own.
    pub(crate) async fn upload(
        self: Arc<Self>,
        mut leased: LeasedUpload,
        leases: Vec<Arc<Lease>>,
        answered_at: Duration,
    ) {
        let urls = Urls::default();
        urls.learn(std::mem::take(&mut leased.chunks), answered_at);
        // Whatever happens, the leases come to an end: the node reports all that it has, and a forgotten one would never pass
        // to another.
        let beginning = self.begin(&leased, &leases, &urls);
        if AssertUnwindSafe(beginning).catch_unwind().await.is_err() {
            self.stop_all(&leases, || Stop::Fault(PANICKED.to_owned())).await;
        }
    }

    async fn begin(self: &Arc<Self>, leased: &LeasedUpload, leases: &[Arc<Lease>], urls: &Urls) {
        let admitted = match self.parts.shutdown.unless_draining(self.admission.admit(leased)).await {
            Ok(admitted) => admitted,
            Err(_) => return self.stop_all(leases, || Stop::ShuttingDown).await,
        };
        if let Ok(upload) | Err(NotAdmitted::Refused { upload: Some(upload), .. }) = &admitted
            && upload.header.format == Format::Two
        {
            leases.iter().for_each(|lease| lease.needs_version_2());
        }
        let upload = match admitted {
            Ok(upload) => upload,
            Err(NotAdmitted::Away(why)) => return self.stop_all(leases, || Stop::Away(why.clone())).await,
            Err(NotAdmitted::Fault(why)) => return self.stop_all(leases, || Stop::Fault(why.clone())).await,
            Err(NotAdmitted::UnknownKey) => {
                let why = format!(
                    "the upload's header is sealed for none of the keys of pool `{}` that this processor has (hint: bring its \
                     pool folder up to date after `pool renew --rotate`; `filemill-processor pool show` tells the recipient)",
                    self.pool
                );
                // Not a fault of the node, which would pause it: anybody can seal a header for a key of their own.
                return self.stop_or_end(leases, None, &why, || JobEnd::Refused(why.clone())).await;
            }
            Err(NotAdmitted::Disputed(why)) => {
                self.disputes.dispute();
                return self.stop_all(leases, || Stop::Unfit(why.clone())).await;
            }
            Err(NotAdmitted::Missing(why)) => {
                let missing = || Stop::Missing { what: Missing::Header, why: why.clone() };
                return self.stop_all(leases, missing).await;
            }
            Err(NotAdmitted::Refused { why, upload }) => {
                tracing::warn!(upload = leased.upload, "refused: {why}");
                let upload = upload.as_ref().map(|upload| (upload, None));
                return self.end_leases(leases, upload, || JobEnd::Refused(why.clone())).await;
            }
        };
        // A span that the server makes up says nothing of the others.
        let mut by_release: BTreeMap<Digest, Vec<Leased>> = BTreeMap::new();
        let mut refused = Vec::new();
        for lease in leases {
            match upload.allowed(&lease.span) {
                Ok(Allowed { release, jobs }) => by_release.entry(release).or_default().push((Arc::clone(lease), jobs)),
                Err(why) => refused.push((lease, why)),
            }
        }
        let refusing = join_all(refused.into_iter().map(|(lease, why)| self.refuse(&upload, lease, why)));
        // One that takes a minute to compile keeps no other waiting.
        let running =
            join_all(by_release.into_iter().map(|(digest, spans)| self.release(&upload, digest, spans, urls)));
        futures::join!(refusing, running);
    }

    /// Ends a span that contradicts the header.
    async fn refuse(&self, upload: &Arc<Upload>, lease: &Arc<Lease>, why: String) {
        tracing::warn!(upload = lease.upload, "refused: {why}");
        self.end_leases(std::slice::from_ref(lease), Some((upload, None)), || JobEnd::Refused(why.clone())).await;
    }

    /// Sees to the spans of an upload that one release is to run over.
    async fn release(self: &Arc<Self>, upload: &Arc<Upload>, release_digest: Digest, spans: Vec<Leased>, urls: &Urls) {
        let leases: Vec<Arc<Lease>> = spans.iter().map(|(lease, _)| Arc::clone(lease)).collect();
        let Some(ready) = self.ready(upload, release_digest, &leases).await else { return };
        for (lease, jobs) in spans {
            let about = About {
                lease: Arc::clone(&lease),
                upload: Arc::clone(upload),
                release: Some(release_digest),
                description: Some(ready.described.digest),
            };
            let context = SpanContext {
                lease: Arc::clone(&lease),
                upload: Arc::clone(upload),
                release_digest,
                ready: Arc::clone(&ready),
                results: SpanResults::new(about, Arc::clone(&self.parts.completions)),
            };
            let urls = SpanUrls::new(Arc::clone(&self.urls), urls.clone(), lease);
            let fetcher = Fetcher { shared: Arc::clone(&self.fetching), upload: Arc::clone(upload), urls };
            let (context, fetcher) = (Arc::new(context), Arc::new(fetcher));
            let span = Span { parts: Arc::clone(&self.parts), context, fetcher };
            self.parts.tasks.spawn(Arc::clone(self).span(span, jobs));
        }
    }

    /// The release, ready to run over this upload; else the leases are seen to.
    async fn ready(&self, upload: &Arc<Upload>, digest: Digest, leases: &[Arc<Lease>]) -> Option<Arc<Ready>> {
        // Whoever would have to compile it for that gives the leases back instead, and calls the compiler off.
        let getting = aside(leases, self.releases.get_patiently(digest));
        let found = match self.parts.shutdown.unless_draining(getting).await {
            Ok(found) => found,
            Err(_) => {
                self.stop_all(leases, || Stop::ShuttingDown).await;
                return None;
            }
        };
        match found {
            Ok(ready) if upload.accepts(ready.kind) => return Some(ready),
            Ok(ready) => {
                let why = format!(
                    "release `{digest}` is of kind `{}`, and the header accepts no such isolation (hint: choose a release that is a \
                     component, or accept that isolation when you send)",
                    ready.kind
                );
                tracing::warn!(upload = %upload.id(), "refused: {why}");
                self.end_leases(leases, Some((upload, None)), || JobEnd::Refused(why.clone())).await;
            }
            Err(NoRelease::Away(why)) => self.stop_all(leases, || Stop::Away(why.clone())).await,
            Err(NoRelease::Fault(why)) => self.stop_all(leases, || Stop::Fault(why.clone())).await,
            Err(NoRelease::Refused(why)) => {
                tracing::warn!(upload = %upload.id(), "refused: {why}");
                self.end_leases(leases, Some((upload, None)), || JobEnd::Refused(why.clone())).await;
            }
            // Other releases may run here, and this one on another node; that it never does is for the server to say.
            Err(NoRelease::NotNow { why, it_may_be: true, .. }) => {
                self.stop_all(leases, || Stop::Unfit(why.clone())).await;
            }
            Err(NoRelease::NotNow { why, .. }) => self.stop_all(leases, || Stop::Fault(why.clone())).await,
            Err(NoRelease::Damaged(why)) => {
                self.stop_or_end(leases, Some((upload, None)), &why, || JobEnd::HostFailed(why.clone())).await;
            }
            Err(NoRelease::Unfit(why) | NoRelease::Suspect { why, .. }) => {
                let about = Some((upload, Some(digest)));
                self.stop_or_end(leases, about, &why, || JobEnd::HostFailed(why.clone())).await;
            }
        }
        None
    }

    async fn stop_all(&self, leases: &[Arc<Lease>], stop: impl Fn() -> Stop) {
        for lease in leases {
            self.conclusion.conclude(lease, Err(stop())).await;
        }
    }

    /// Hands leases back that another processor may be able to run, and ends those that enough processors could not.
    async fn stop_or_end(
        &self,
        leases: &[Arc<Lease>],
        upload: Option<(&Arc<Upload>, Option<Digest>)>,
        why: &str,
        end: impl Fn() -> JobEnd,
    ) {
        let (last, early): (Vec<_>, Vec<_>) =
            leases.iter().cloned().partition(|lease| lease.span.attempt >= FINAL_ATTEMPT);
        self.stop_all(&early, || Stop::Unfit(why.to_owned())).await;
        if let Some(lease) = last.first() {
            tracing::warn!(upload = lease.upload, "{why}");
        }
        self.end_leases(&last, upload, end).await;
    }

    async fn end_leases(
        &self,
        leases: &[Arc<Lease>],
        upload: Option<(&Arc<Upload>, Option<Digest>)>,
        end: impl Fn() -> JobEnd,
    ) {
        for lease in leases {
            let ended = end_all(&self.parts.completions, lease, upload, &end).await;
            self.conclusion.conclude(lease, ended).await;
        }
    }

    async fn span(self: Arc<Self>, span: Span, jobs: Vec<UploadJob>) {
        let Span { context, .. } = &span;
        let lease = &context.lease;
        let ended = tokio::select! {
            biased;
            () = lease.over.cancelled() => Err(Stop::Over),
            () = self.parts.shutdown.aborted() => Err(Stop::ShuttingDown),
            ended = AssertUnwindSafe(work(&span, jobs)).catch_unwind() => {
                ended.unwrap_or_else(|_| Err(Stop::Fault(PANICKED.to_owned())))
            }
        };
        // What has ended counts, however the rest did.
        let ended = context.results.finish().await.and(ended);
        self.conclusion.conclude(lease, ended).await;
    }
}
