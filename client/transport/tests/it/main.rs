//! What the network may do to a client or a processor, with a server on loopback that says exactly what it is told to say.

mod bodies;
mod redirects;
mod server;
mod storage;
mod words;
