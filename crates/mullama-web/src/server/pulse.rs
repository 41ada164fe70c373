//! Where a connection stands, as far as its time limits go: one watch over head, silence and slow readers.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Shared by a connection's stream, its handler and its task.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Of the phase; of the last byte where the phase is [`Phase::Idle`].
    since: Instant,
    /// Since when the client takes nothing.
    blocked: Option<Instant>,
    head: Head,
    /// Waits for the answer's end, to be told that the client says no more.
    eof: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come.
    Fresh,
    /// Between two requests.
    Idle,
    /// Some of a request's head has come.
    Head,
    /// A request is handled.
    Busy,
    /// Its answer is under way.
    Answering,
    /// It does not speak HTTP any more.
    Upgraded,
}

/// Which limit is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// No request comes.
    Quiet,
    /// A head does not end.
    Head,
    /// The client takes nothing.
    Blocked,
}

/// The limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let (phase, since, head) = (Phase::Fresh, Instant::now(), Head::default());
        Self(Mutex::new(State { phase, since, blocked: None, head, eof: None }))
    }

    /// Bytes have come.
    pub(super) fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        match state.phase {
            Phase::Fresh | Phase::Idle => {
                state.enter(Phase::Head);
                state.head = Head::default();
                state.head.feed(bytes);
            }
            Phase::Head => state.head.feed(bytes),
            Phase::Busy | Phase::Answering | Phase::Upgraded => {}
        }
    }

    /// The client says no more. True: its answer is under way and it may still listen, so that this is to be told when
    /// `waker` is woken; a client that is gone shows when something is written to it. Before the answer begins nothing is
    /// written, so that there it counts as gone.
    pub(super) fn half_closed(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        let later = state.phase == Phase::Answering;
        if later {
            state.eof = Some(waker.clone());
        }
        later
    }

    /// The client has taken something.
    pub(super) fn wrote(&self) {
        let mut state = self.state();
        state.blocked = None;
        if state.phase == Phase::Idle {
            state.since = Instant::now();
        }
    }

    /// The client takes nothing.
    pub(super) fn blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// A request is handled. True: its head had a `content-length`, which may be missing among the headers of the request
    /// (where there is `transfer-encoding` too). Heads of requests that were sent before the last answer ended are not
    /// looked at.
    pub(super) fn called(&self) -> bool {
        let mut state = self.state();
        state.enter(Phase::Busy);
        std::mem::take(&mut state.head).has_length
    }

    /// The answer begins.
    pub(super) fn answered(&self, upgraded: bool) {
        self.state().enter(if upgraded { Phase::Upgraded } else { Phase::Answering });
    }

    /// The answer has ended.
    pub(super) fn ended(&self) {
        let mut state = self.state();
        if state.phase == Phase::Upgraded {
            return;
        }
        state.enter(Phase::Idle);
        if let Some(waker) = state.eof.take() {
            waker.wake();
        }
    }

    /// Ready when a limit is over. To be polled again after whatever happened.
    pub(super) fn poll_late(
        &self,
        mut timer: Pin<&mut Sleep>,
        limits: Limits,
        context: &mut Context<'_>,
    ) -> Poll<Late> {
        let Some((deadline, late)) = self.state().deadline(limits) else { return Poll::Pending };
        loop {
            // Requests come faster than their limits end: a timer that is early anyway is not moved for each.
            if timer.is_elapsed() || timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(context));
            if deadline <= Instant::now() {
                return Poll::Ready(late);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn deadline(&self, limits: Limits) -> Option<(Instant, Late)> {
        let phase = match self.phase {
            Phase::Fresh => Some((self.since + limits.head, Late::Quiet)),
            Phase::Head => Some((self.since + limits.head, Late::Head)),
            Phase::Idle => Some((self.since + limits.idle, Late::Quiet)),
            Phase::Busy | Phase::Answering | Phase::Upgraded => None,
        };
        let blocked = self.blocked.map(|since| (since + limits.write, Late::Blocked));
        [phase, blocked].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

/// Reads the names of a head's lines as they come: the parser drops a `content-length` that stands beside
/// `transfer-encoding`, which may be an attempt to have two servers see two different requests (RFC 9112, section 6.1).
#[derive(Debug, Default)]
struct Head {
    /// The beginning of the line, in lower case.
    line: [u8; LENGTH.len()],
    /// Bytes of the line, up to one more than that.
    count: usize,
    begun: bool,
    over: bool,
    has_length: bool,
}

impl Head {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.over {
                return;
            }
            match byte {
                b'\r' => {}
                b'\n' => {
                    // Empty lines before the first one are skipped by the parser too.
                    self.over = self.begun && self.count == 0;
                    self.count = 0;
                }
                _ => {
                    self.begun = true;
                    if let Some(place) = self.line.get_mut(self.count) {
                        *place = byte.to_ascii_lowercase();
                        self.count += 1;
                        self.has_length |= self.count == LENGTH.len() && self.line == *LENGTH;
                    }
                }
            }
        }
    }
}

const LENGTH: &[u8; 15] = b"content-length:";

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { head: Duration::from_secs(10), idle: Duration::from_secs(75), write: Duration::from_secs(30) };

    /// Which limit ends first from now on, and after how long; not within an hour: `None`.
    async fn late(pulse: &Pulse) -> Option<(Late, u64)> {
        let start = Instant::now();
        let timer = tokio::time::sleep(LIMITS.head);
        tokio::pin!(timer);
        let late = std::future::poll_fn(|context| pulse.poll_late(timer.as_mut(), LIMITS, context));
        let late = tokio::time::timeout(Duration::from_secs(3_600), late).await.ok()?;
        Some((late, start.elapsed().as_secs()))
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_limit() {
        let pulse = Pulse::new();
        assert_eq!(late(&pulse).await, Some((Late::Quiet, 10)));
        pulse.read(b"GET / HTTP/1.1\r\n");
        assert_eq!(late(&pulse).await, Some((Late::Head, 10)));
        pulse.called();
        assert_eq!(late(&pulse).await, None);
        pulse.answered(false);
        assert_eq!(late(&pulse).await, None);
        pulse.blocked();
        assert_eq!(late(&pulse).await, Some((Late::Blocked, 30)));
        pulse.wrote();
        pulse.ended();
        assert_eq!(late(&pulse).await, Some((Late::Quiet, 75)));
    }

    #[tokio::test(start_paused = true)]
    async fn more_of_a_head_gives_no_more_time() {
        let pulse = Pulse::new();
        pulse.read(b"G");
        tokio::time::advance(Duration::from_secs(9)).await;
        pulse.read(b"E");
        assert_eq!(late(&pulse).await, Some((Late::Head, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgraded_connection_has_no_limits() {
        let pulse = Pulse::new();
        pulse.called();
        pulse.answered(true);
        pulse.ended();
        assert_eq!(late(&pulse).await, None);
    }

    #[tokio::test]
    async fn the_end_of_input_waits_for_the_answer() {
        let pulse = Pulse::new();
        assert!(!pulse.half_closed(Waker::noop()));
        pulse.called();
        assert!(!pulse.half_closed(Waker::noop()));
        pulse.answered(false);
        assert!(pulse.half_closed(Waker::noop()));
        pulse.ended();
        assert!(!pulse.half_closed(Waker::noop()));
    }

    #[test]
    fn a_length_is_seen_wherever_the_bytes_are_cut() {
        let has_length = |head: &[u8], cut: usize| {
            let mut reader = Head::default();
            reader.feed(&head[..cut]);
            reader.feed(&head[cut..]);
            reader.has_length
        };
        let with = b"\r\nPOST / HTTP/1.1\r\nhost: a\r\nContent-LENGTH: 5\r\n\r\nhello";
        let without = b"POST / HTTP/1.1\r\nx: content-length: 5\r\nx-content-length: 5\r\n\r\ncontent-length: 5\r\n";
        for cut in 0..with.len() {
            assert!(has_length(with, cut), "cut at {cut}");
        }
        for cut in 0..without.len() {
            assert!(!has_length(without, cut), "cut at {cut}");
        }
    }
}
