//! What stands before several servers, as an operator's load balancer does: it passes connections on, whatever they carry.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a server may take to accept a connection on this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Listens until it is dropped.
pub(super) struct Balancer {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Balancer {
    /// Gives each connection to the next of `servers`, or to one behind it where that one does not take it: nobody is told
    /// when a server is about to end.
    pub(super) fn start(servers: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a load balancer")?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicUsize::new(0));
        let servers = Arc::new(servers);
        let accepting = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                for client in listener.incoming() {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    let (Ok(client), servers) = (client, Arc::clone(&servers)) else { continue };
                    let first = next.fetch_add(1, Ordering::Relaxed);
                    // Ends with its connection, at the latest with this program.
                    thread::spawn(move || {
                        // Whoever was cut off says so himself.
                        let _ = pass_on(client, &servers, first);
                    });
                }
            }
        });
        Ok(Self { address, ended, accepting: Some(accepting) })
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn pass_on(client: TcpStream, servers: &[SocketAddr], first: usize) -> io::Result<()> {
    let in_turn = (0..servers.len()).map(|step| &servers[(first + step) % servers.len()]);
    let server = in_turn
        .filter_map(|server| TcpStream::connect_timeout(server, CONNECT_LIMIT).ok())
        .next()
        .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || copy(from, to));
    copy(server, client)?;
    up.join().unwrap_or(Ok(()))
}

/// Copies until `from` ends, and says so to `to`.
fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let copied = loop {
        match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(bytes) => {
                if let Err(error) = to.write_all(&buffer[..bytes]) {
                    break Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    if copied.is_err() {
        // One direction is gone: so is the other.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    } else {
        // It may have ended already.
        let _ = to.shutdown(Shutdown::Write);
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each connection with its name.
    fn server(name: &'static str) -> (SocketAddr, Arc<TcpListener>) {
        let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
        let address = listener.local_addr().expect("bound");
        let accepting = Arc::clone(&listener);
        thread::spawn(move || {
            for client in accepting.incoming() {
                let mut client = client.expect("a connection");
                client.write_all(name.as_bytes()).expect("written");
            }
        });
        (address, listener)
    }

    fn ask(balancer: &Balancer) -> String {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(balancer.address).expect("it listens");
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn connections_go_to_each_server_in_turn_and_past_one_that_is_away() {
        let ((one, _listening), (two, _also)) = (server("one"), server("two"));
        let balancer = Balancer::start(vec![one, two]).expect("started");
        assert_eq!([ask(&balancer), ask(&balancer), ask(&balancer)], ["one", "two", "one"]);
        let away = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            listener.local_addr().expect("bound")
        };
        let balancer = Balancer::start(vec![away, two]).expect("started");
        assert_eq!([ask(&balancer), ask(&balancer)], ["two", "two"]);
    }
}
