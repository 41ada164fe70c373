//! Many streams at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::{Connection, post};
use super::system;

/// What many streams gave.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) errors: usize,
    pub(crate) first_error: Option<std::io::Error>,
    /// Of each token, counted from when its request was sent.
    pub(crate) late: Vec<Duration>,
    /// Memory of the process when half of the streams have ended.
    pub(crate) resident: Option<u64>,
}

/// Runs streams at once; they begin evenly within `spread`.
pub(crate) async fn load(
    address: SocketAddr,
    model: &'static str,
    (streams, tokens): (usize, u32),
    spread: Duration,
    interval: Duration,
) -> Outcome {
    let request: Arc<[u8]> = post(model, true).into();
    let begin = tokio::time::Instant::now();
    let mut all = JoinSet::new();
    for index in 0..streams {
        let request = Arc::clone(&request);
        let at = begin + spread * u32::try_from(index).unwrap() / u32::try_from(streams).unwrap();
        all.spawn(async move {
            tokio::time::sleep_until(at).await;
            let mut connection = Connection::open(address, 4 << 10).await?;
            let mut late = Vec::with_capacity(tokens as usize);
            let sent = Instant::now();
            let events = connection.stream(&request, |from, to| {
                let now = Instant::now();
                // The first event has the role; the last two the end and its mark.
                for token in from.max(1)..to.min(tokens + 1) {
                    late.push(now.saturating_duration_since(sent + interval * token));
                }
            });
            let events = events.await?;
            if events == tokens + 3 { Ok(late) } else { Err(std::io::Error::other(format!("{events} events"))) }
        });
    }
    let mut outcome = Outcome::default();
    while let Some(ended) = all.join_next().await {
        match ended.unwrap() {
            Ok(late) => outcome.late.extend(late),
            Err(error) => {
                outcome.errors += 1;
                outcome.first_error.get_or_insert(error);
            }
        }
        if all.len() == streams / 2 {
            outcome.resident = system::resident();
        }
    }
    outcome
}
