//! Takes connections, as many as there are seats, and rests when the system has no more to give.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::{Service, ServiceExt as _};

use super::config::ServerConfig;
use super::connection::{self, Settings};

/// Takes connections and serves each on a task of its own.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    addresses: Option<Arc<Addresses>>,
    settings: Arc<Settings>,
    open: TaskTracker,
}

/// What a connection takes up; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    _address: Option<AddressSeat>,
    /// A shutdown waits for it, whoever holds it.
    _open: TaskTrackerToken,
}

impl Acceptor {
    pub(super) fn new(
        listener: TcpListener,
        config: &ServerConfig,
        settings: Arc<Settings>,
        open: TaskTracker,
    ) -> Self {
        let most = config.max_connections_per_address;
        Self {
            listener,
            seats: Arc::new(Semaphore::new(config.max_connections)),
            addresses: most.map(|most| Arc::new(Addresses { most, counts: Mutex::default() })),
            settings,
            open,
        }
    }

    /// Goes on until it is dropped.
    pub(super) async fn run<M, S>(self, mut make: M)
    where
        M: Service<SocketAddr, Response = S, Error = Infallible>,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        // Nobody closes the semaphore.
        while let Ok(permit) = Arc::clone(&self.seats).acquire_owned().await {
            let (stream, peer) = self.accept().await;
            let address = match &self.addresses {
                None => None,
                Some(addresses) => match addresses.seat(peer.ip()) {
                    Some(seat) => Some(seat),
                    None => {
                        tracing::debug!(%peer, "too many connections from this address");
                        continue;
                    }
                },
            };
            let app = match make.ready().await {
                Ok(make) => make.call(peer).await,
                Err(never) => match never {},
            };
            let app = match app {
                Ok(app) => app,
                Err(never) => match never {},
            };
            let seat = Seat { _permit: permit, _address: address, _open: self.open.token() };
            drop(self.open.spawn(connection::serve(Arc::clone(&self.settings), stream, peer, seat, app)));
        }
    }

    /// The next connection.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        let mut rest = SHORTEST_REST;
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // Of that connection, not of the listener.
                Err(error) if concerns_one(error.kind()) => tracing::debug!(%error, "a connection broke off"),
                Err(error) => {
                    // Out of file descriptors or memory: trying again at once would only burn a core.
                    tracing::warn!(%error, ?rest, "no connection can be taken; trying again");
                    sleep(rest).await;
                    rest = (rest * 2).min(LONGEST_REST);
                }
            }
        }
    }
}

fn concerns_one(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(kind, Kind::ConnectionAborted | Kind::ConnectionRefused | Kind::ConnectionReset | Kind::Interrupted)
}

/// How many connections each address has.
#[derive(Debug)]
struct Addresses {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

#[derive(Debug)]
struct AddressSeat {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Addresses {
    fn seat(self: &Arc<Self>, address: IpAddr) -> Option<AddressSeat> {
        let network = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&network).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        counts.insert(network, count + 1);
        Some(AddressSeat { addresses: Arc::clone(self), network })
    }
}

impl Drop for AddressSeat {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.network)),
        }
    }
}

/// What one client has: of IPv6 a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

const SHORTEST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_nothing_stays_behind() {
        let addresses = Arc::new(Addresses { most: 2, counts: Mutex::default() });
        let seat = |address: &str| addresses.seat(address.parse().unwrap());
        let (one, two) = (seat("10.0.0.1"), seat("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some() && seat("10.0.0.1").is_none());
        let other = seat("10.0.0.2");
        assert!(other.is_some());
        drop(one);
        assert!(seat("10.0.0.1").is_some());
        let (six, seven) = (seat("2001:db8:1:2::1"), seat("2001:db8:1:2:ffff::9"));
        assert!(six.is_some() && seven.is_some() && seat("2001:db8:1:2::3").is_none());
        assert!(seat("2001:db8:1:3::1").is_some());
        drop((two, other, six, seven));
        assert!(addresses.counts.lock().unwrap().is_empty());
    }
}
