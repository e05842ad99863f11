//! How the fake behaves, and what it was told.

use std::collections::{HashMap, HashSet, VecDeque};

use filemill_api::{
    ChunkUrl, ErrorCode, JoinRequest, LeaseRequest, LeasedUpload, LoginCode, Offer, ReturnReason, SignedGet,
    SignedStatement, SpanKey, SpanResult,
};

/// What storage answers for an object.
#[derive(Clone)]
pub(crate) enum Reply {
    Bytes(Vec<u8>),
    /// Storage's own.
    Status(u16),
    /// Something in storage's place.
    Portal(u16),
    Redirect(String),
    /// Announces the length and breaks off before it.
    CutOff(Vec<u8>),
}

/// Which versions of the API a server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Both, as a server of today does.
    #[default]
    Both,
    /// Version 1 alone, as one of release 0.1.0 does.
    One,
    /// There are two servers, one of each kind, that answer in turn.
    InTurn,
}

/// What the node said, in order, in the words of version 2.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Started(SpanKey, Vec<u32>),
    Completed(SpanKey, Vec<SpanResult>),
    Returned(SpanKey, ReturnReason),
    Missing(SpanKey, Vec<(u32, String)>),
    NoHeader(SpanKey),
    Published(SignedStatement),
    Leased(LeaseRequest),
    /// It asks for no more work, and offers nothing.
    SignedOff,
    /// A call that was answered with 409.
    Refused(String),
}

/// How the fake behaves, and what it saw.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) speaks: Speaks,
    /// What it speaks once it has given something to do.
    pub(crate) speaks_then: Option<Speaks>,
    /// How often each path was asked for.
    pub(crate) calls: HashMap<String, u32>,
    pub(super) requests: u64,
    pub(crate) scope: String,
    /// The pool that its token is for.
    pub(crate) pool: Option<String>,
    /// The one-time code that is good, and by whom it was redeemed.
    pub(crate) code: Option<String>,
    pub(crate) redeemer: Option<String>,
    /// What comes with it, if not a usual code.
    pub(crate) login: Option<LoginCode>,
    /// So many answers to whoever redeems it are lost.
    pub(crate) lost_joins: u32,
    /// What the code gives, if not the usual token.
    pub(crate) token: Option<String>,
    /// What whoever shows the code is answered first.
    pub(crate) join_refusals: VecDeque<ErrorCode>,
    pub(crate) joins: Vec<JoinRequest>,
    pub(crate) lease_ms: u32,
    pub(super) storage: String,
    /// Where the server says that it stores.
    pub(crate) stores_on: Vec<String>,
    pub(crate) offers: VecDeque<LeasedUpload>,
    pub(crate) component: Option<SignedGet>,
    /// Components that are given by their digest, and not in place of any other.
    pub(crate) components: HashMap<String, SignedGet>,
    /// URLs of stored chunks, by span.
    pub(crate) chunks: HashMap<i64, Vec<ChunkUrl>>,
    pub(crate) objects: HashMap<String, VecDeque<Reply>>,
    pub(crate) lost: HashSet<i64>,
    pub(crate) cancelled: HashSet<i64>,
    /// Spans whose completions are fenced off.
    pub(crate) fenced: HashSet<i64>,
    /// Calls to the API that are answered with 503 first.
    pub(crate) unavailable: HashMap<String, u32>,
    /// Calls to the API that are answered with 409.
    pub(crate) conflicts: HashSet<String>,
    /// The code of these answers, if it is one of a newer server's.
    pub(crate) newer_code: Option<&'static str>,
    /// What storage answers whoever puts something, if not 200.
    pub(crate) put_reply: Option<Reply>,
    /// Where large results are to be put, if not to the storage that is configured.
    pub(crate) results_to: Option<String>,
    pub(crate) said: Vec<Said>,
    /// Requests for each object.
    pub(crate) fetched: HashMap<String, u32>,
    pub(crate) stored: HashMap<String, Vec<u8>>,
    pub(crate) reports: u32,
    /// How often the node asked who it is; its answer says what time it is, too.
    pub(crate) whoami_calls: u32,
    /// Whether a question for work is answered at once, with nothing if there is nothing.
    pub(crate) never_held: bool,
    /// Each list of engines that the node offered.
    pub(crate) offered: Vec<Vec<Offer>>,
    /// Offers of these names are refused that often.
    pub(crate) refused_offers: HashMap<String, u32>,
    /// By how many seconds the server's clock is ahead of this machine's, if it says what time it is.
    pub(crate) date_ahead: Option<i64>,
    /// The root whose statements it takes, hex, if it knows one.
    pub(crate) root: Option<String>,
    /// Statements that the server has, beside the node's.
    pub(crate) pools: Vec<SignedStatement>,
    /// What the server says that it lacks, the next time that a node names what it told.
    pub(crate) lacks: Vec<String>,
    /// As above, of descriptions.
    pub(crate) lacks_descriptions: Vec<String>,
    /// Releases that the server asks the next node to describe.
    pub(crate) describe: Vec<String>,
    /// Descriptions that nodes gave, by release.
    pub(crate) described: Vec<(String, String)>,
    pub(super) completed: HashMap<i64, usize>,
    pub(super) span_sizes: HashMap<i64, usize>,
}
