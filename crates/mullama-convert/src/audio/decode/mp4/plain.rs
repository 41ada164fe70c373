//! The tables of a whole file (8.6.1.2, 8.7.3 to 8.7.5).

use std::io;

use symphonia::core::io::MediaSource;

use super::{Sample, Table};

/// Walks through the tables of a track, all together.
#[derive(Debug)]
pub(super) struct Plain {
    tables: Tables,
    /// How many packets last as long as the next one, and how long.
    lasting: [u32; 2],
    /// The number of the chunk, from 1 on.
    chunk: u32,
    /// Packets of each chunk; the chunk from which on there are others, and how many.
    each: u32,
    next: Option<[u32; 2]>,
    /// Packets that are left in the chunk, and where the next one is.
    left: u32,
    at: u64,
}

/// The tables of a track.
#[derive(Debug)]
pub(super) struct Tables {
    /// `stts`: how long packets last.
    pub(super) times: Table,
    /// `stsz`: their bytes; all have as many where the number is not 0.
    pub(super) fixed: u32,
    pub(super) sizes: Table,
    /// `stsc`: how many are in the chunks.
    pub(super) runs: Table,
    /// `stco` and `co64`: where the chunks are.
    pub(super) chunks: Table,
}

impl Plain {
    pub(super) fn new(mut tables: Tables, media: &mut dyn MediaSource) -> io::Result<Self> {
        let next = run(&mut tables.runs, media)?;
        Ok(Self { tables, lasting: [0; 2], chunk: 0, each: 0, next, left: 0, at: 0 })
    }

    /// How long all packets are together, in the track's ticks.
    pub(super) fn total(&self, media: &mut dyn MediaSource) -> io::Result<u64> {
        let mut times = self.tables.times.clone();
        let mut total = 0u64;
        while let Some([count, ticks]) = times.numbers(media)? {
            total = total.saturating_add(u64::from(count) * u64::from(ticks));
        }
        Ok(total)
    }

    pub(super) fn next(&mut self, media: &mut dyn MediaSource) -> io::Result<Option<Sample>> {
        while self.left == 0 {
            if !self.next_chunk(media)? {
                return Ok(None);
            }
        }
        while self.lasting[0] == 0 {
            let Some(lasting) = self.tables.times.numbers(media)? else { return Ok(None) };
            self.lasting = lasting;
        }
        let size = match self.tables.fixed {
            0 => match self.tables.sizes.numbers(media)? {
                Some([size]) => size,
                None => return Ok(None),
            },
            size if self.tables.sizes.take() => size,
            _ => return Ok(None),
        };
        let sample = Sample { at: self.at, size, ticks: self.lasting[1] };
        self.left -= 1;
        self.lasting[0] -= 1;
        self.at = self.at.saturating_add(size.into());
        Ok(Some(sample))
    }

    /// Goes to the next chunk. `false` if there is none.
    fn next_chunk(&mut self, media: &mut dyn MediaSource) -> io::Result<bool> {
        let chunks = &mut self.tables.chunks;
        let at = if chunks.entry == 8 {
            chunks.numbers(media)?.map(|[high, low]| u64::from(high) << 32 | u64::from(low))
        } else {
            chunks.numbers(media)?.map(|[at]| u64::from(at))
        };
        let Some(at) = at else { return Ok(false) };
        self.chunk += 1;
        if let Some([_, each]) = self.next.filter(|[first, _]| *first <= self.chunk) {
            self.each = each;
            self.next = run(&mut self.tables.runs, media)?;
        }
        (self.at, self.left) = (at, self.each);
        Ok(true)
    }
}

/// The next entry of the runs: its first chunk and how many packets each has.
fn run(runs: &mut Table, media: &mut dyn MediaSource) -> io::Result<Option<[u32; 2]>> {
    Ok(runs.numbers(media)?.map(|[first, each, _description]| [first, each]))
}
