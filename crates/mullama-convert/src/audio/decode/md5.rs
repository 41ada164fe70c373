//! FLAC's checksum of all samples (RFC 9639, 8.2), found on a thread of its own while the next block is decoded.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use md5::{Digest as _, Md5};

use crate::audio::pcm::low_bytes;

/// Compares what is decoded with the checksum that the file carries.
#[derive(Debug)]
pub(super) struct Md5Check {
    expected: [u8; 16],
    state: State,
}

#[derive(Debug)]
enum State {
    /// A file that is only looked at needs no thread: the first block is hashed here.
    First(Hasher),
    Here(Hasher),
    Beside(Worker),
}

#[derive(Debug)]
struct Worker {
    full: SyncSender<Vec<i32>>,
    /// Blocks to be filled again.
    empty: Receiver<Vec<i32>>,
    thread: JoinHandle<Hasher>,
}

#[derive(Debug, Clone)]
struct Hasher {
    bits: u32,
    md5: Md5,
    bytes: Vec<u8>,
}

impl Md5Check {
    /// For samples of `bits` (1..=32) bits.
    pub(super) fn new(expected: [u8; 16], bits: u32) -> Self {
        let hasher = Hasher { bits, md5: Md5::new(), bytes: Vec::new() };
        Self { expected, state: State::First(hasher) }
    }

    /// Takes the next samples, the highest bit of each in bit 31.
    pub(super) fn update(&mut self, samples: &[i32]) {
        match &mut self.state {
            State::First(hasher) => {
                hasher.update(samples);
                // On a processor alone a thread would only be in the way.
                let alone = std::thread::available_parallelism().is_ok_and(|threads| threads.get() == 1);
                self.state = if alone {
                    State::Here(hasher.clone())
                } else {
                    Worker::new(hasher.clone()).map_or_else(State::Here, State::Beside)
                };
            }
            State::Here(hasher) => hasher.update(samples),
            State::Beside(worker) => {
                let mut block = worker.empty.try_recv().unwrap_or_default();
                block.clear();
                block.extend_from_slice(samples);
                // It fails only if the thread has panicked, which `matches` tells.
                let _gone = worker.full.send(block);
            }
        }
    }

    /// Whether all samples were those of the checksum.
    pub(super) fn matches(self) -> bool {
        let hasher = match self.state {
            State::First(hasher) | State::Here(hasher) => hasher,
            State::Beside(Worker { full, thread, .. }) => {
                drop(full);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        };
        hasher.md5.finalize()[..] == self.expected
    }
}

impl Worker {
    /// Goes on with `hasher` on a thread, or gives it back if the system has none.
    fn new(hasher: Hasher) -> Result<Self, Hasher> {
        let (full, blocks) = sync_channel::<Vec<i32>>(WAITING);
        let (back, empty) = channel();
        let mut beside = hasher.clone();
        let work = move || {
            for block in blocks {
                beside.update(&block);
                // At the end nobody fills it any more.
                let _unused = back.send(block);
            }
            beside
        };
        let thread = std::thread::Builder::new().name("flac-md5".to_owned()).spawn(work).map_err(|_| hasher)?;
        Ok(Self { full, empty, thread })
    }
}

impl Hasher {
    fn update(&mut self, samples: &[i32]) {
        let shift = 32 - self.bits;
        match self.bits.div_ceil(8) {
            1 => low_bytes::<1>(samples, shift, &mut self.bytes),
            2 => low_bytes::<2>(samples, shift, &mut self.bytes),
            3 => low_bytes::<3>(samples, shift, &mut self.bytes),
            _ => low_bytes::<4>(samples, shift, &mut self.bytes),
        }
        self.md5.update(&self.bytes);
    }
}

/// Blocks that wait to be hashed, at most.
const WAITING: usize = 4;
