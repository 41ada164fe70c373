//! An MP4 file with one AAC track (ISO/IEC 14496-12 and -14): units as they come, the index at the end, an edit list that
//! makes the length exact.

use std::io::{BufWriter, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::audio::pcm::Spec;
use crate::audio::sink::{Sink, write_error};
use crate::error::{Error, Result};

pub(crate) struct Mp4 {
    sink: Sink,
    spec: Spec,
    /// The `AudioSpecificConfig`.
    config: Vec<u8>,
    /// The content of `ilst`, whole.
    tags: Vec<u8>,
    /// Where the length of `mdat` stands.
    mdat_at: u64,
    /// How long each unit is, in 32 bits.
    sizes: Table,
    /// Where each chunk of [`CHUNK`] units begins, in 64 bits.
    chunks: Table,
    units: u64,
    /// Bytes of all units.
    total: u64,
    largest: u32,
}

/// A long table of the index. What does not fit into [`IN_MEMORY`] bytes lies in a file without a name.
struct Table {
    entries: BufWriter<SpooledTempFile>,
    bytes: u64,
}

impl Mp4 {
    pub(super) fn new(spec: Spec, config: &[u8], tags: Vec<u8>, mut sink: Sink) -> Result<Self> {
        sink.put(&atom(b"ftyp", b"M4A \0\0\x02\0M4A mp42isom"))?;
        let mdat_at = sink.written();
        // Length 1 means: 64 bits follow the name.
        sink.put(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\0")?;
        Ok(Self {
            sink,
            spec,
            config: config.to_vec(),
            tags,
            mdat_at,
            sizes: Table::new(),
            chunks: Table::new(),
            units: 0,
            total: 0,
            largest: 0,
        })
    }

    pub(super) fn put(&mut self, unit: &[u8]) -> Result<()> {
        let too_large = || Error::TooLarge {
            what: "an access unit",
            value: unit.len() as u64,
            limit: u16::MAX.into(),
            unit: "bytes",
        };
        let size = u16::try_from(unit.len()).map_err(|_| too_large())?;
        if self.units.is_multiple_of(CHUNK.into()) {
            self.chunks.put(&self.sink.written().to_be_bytes())?;
        }
        self.sizes.put(&u32::from(size).to_be_bytes())?;
        self.units += 1;
        self.total += u64::from(size);
        self.largest = self.largest.max(size.into());
        self.sink.put(unit)
    }

    /// Writes the index. `priming` frames come before the sound, `frames` are the sound.
    pub(super) fn finish(mut self, priming: u64, frames: u64) -> Result<Sink> {
        let end = self.sink.written();
        self.sink.patch(self.mdat_at + 8, &(end - self.mdat_at).to_be_bytes())?;
        let tags = self.meta();
        let head = self.moov(priming, frames, tags.len() as u64)?;
        self.sink.put(&head)?;
        let chunks = u32::try_from(self.chunks.bytes / 8).unwrap_or(u32::MAX);
        self.sizes.copy(&mut self.sink)?;
        self.sink.put(&head_of(b"co64", 8 + self.chunks.bytes)?)?;
        self.sink.put(&[&[0; 4][..], &chunks.to_be_bytes()].concat())?;
        self.chunks.copy(&mut self.sink)?;
        self.sink.put(&tags)?;
        Ok(self.sink)
    }

    /// The `moov` box up to the table of sizes; `tags` bytes follow the tables.
    fn moov(&self, priming: u64, frames: u64, tags: u64) -> Result<Vec<u8>> {
        let coded = self.units * 1024;
        // Movie and track tick with the sample rate: every length is whole. Version 1 of the boxes has 64 bits for them.
        let scale = self.spec.rate.to_be_bytes();
        let mut mvhd = vec![1, 0, 0, 0];
        mvhd.extend_from_slice(&[0; 16]);
        mvhd.extend_from_slice(&scale);
        mvhd.extend_from_slice(&frames.to_be_bytes());
        mvhd.extend_from_slice(b"\0\x01\0\0\x01\0\0\0\0\0\0\0\0\0\0\0");
        mvhd.extend_from_slice(MATRIX);
        mvhd.extend_from_slice(&[0; 24]);
        mvhd.extend_from_slice(&2u32.to_be_bytes());

        let mut tkhd = vec![1, 0, 0, 7];
        tkhd.extend_from_slice(&[0; 16]);
        tkhd.extend_from_slice(b"\0\0\0\x01\0\0\0\0");
        tkhd.extend_from_slice(&frames.to_be_bytes());
        tkhd.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
        tkhd.extend_from_slice(MATRIX);
        tkhd.extend_from_slice(&[0; 8]);

        let mut elst = b"\x01\0\0\0\0\0\0\x01".to_vec();
        elst.extend_from_slice(&frames.to_be_bytes());
        elst.extend_from_slice(&priming.to_be_bytes());
        elst.extend_from_slice(b"\0\x01\0\0");

        let mut mdhd = vec![1, 0, 0, 0];
        mdhd.extend_from_slice(&[0; 16]);
        mdhd.extend_from_slice(&scale);
        mdhd.extend_from_slice(&coded.to_be_bytes());
        mdhd.extend_from_slice(&0x55c4_0000u32.to_be_bytes());

        let hdlr = b"\0\0\0\0\0\0\0\0soun\0\0\0\0\0\0\0\0\0\0\0\0sound\0";
        let dref = [&b"\0\0\0\0\0\0\0\x01"[..], &atom(b"url ", b"\0\0\0\x01")].concat();
        let tables = self.sizes.bytes + 16 + self.chunks.bytes;
        let dinf = atom(b"dinf", &atom(b"dref", &dref));
        let minf = open(b"minf", &[atom(b"smhd", &[0; 8]), dinf, self.stbl(tables)?].concat(), tables)?;
        let mdia = open(b"mdia", &[atom(b"mdhd", &mdhd), atom(b"hdlr", hdlr), minf].concat(), tables)?;
        let edts = atom(b"edts", &atom(b"elst", &elst));
        let trak = open(b"trak", &[atom(b"tkhd", &tkhd), edts, mdia].concat(), tables)?;
        open(b"moov", &[atom(b"mvhd", &mvhd), trak].concat(), tables + tags)
    }

    /// The box of tags, empty if there are none.
    fn meta(&self) -> Vec<u8> {
        if self.tags.is_empty() {
            return Vec::new();
        }
        let handler = atom(b"hdlr", b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0");
        atom(b"udta", &atom(b"meta", &[&b"\0\0\0\0"[..], &handler, &self.tags].concat()))
    }

    /// The `stbl` box up to the table of sizes; `tables` bytes of tables follow.
    fn stbl(&self, tables: u64) -> Result<Vec<u8>> {
        let count = u32::try_from(self.units).map_err(|_| Error::TooLarge {
            what: "the sound",
            value: self.units,
            limit: u32::MAX.into(),
            unit: "access units",
        })?;
        let mut stts = b"\0\0\0\0\0\0\0\x01".to_vec();
        stts.extend_from_slice(&count.to_be_bytes());
        stts.extend_from_slice(&1024u32.to_be_bytes());

        let (whole, rest) = (count / CHUNK, count % CHUNK);
        let mut runs = Vec::new();
        if whole > 0 {
            runs.push((1, CHUNK));
        }
        if rest > 0 {
            runs.push((whole + 1, rest));
        }
        let mut stsc = vec![0, 0, 0, 0, 0, 0, 0, u8::try_from(runs.len()).unwrap_or(0)];
        for (first, units) in runs {
            for value in [first, units, 1] {
                stsc.extend_from_slice(&value.to_be_bytes());
            }
        }

        let stsz = [&[0; 8][..], &count.to_be_bytes()].concat();
        let stsd = [&b"\0\0\0\0\0\0\0\x01"[..], &atom(b"mp4a", &self.mp4a())].concat();
        let stsz = open(b"stsz", &stsz, self.sizes.bytes)?;
        open(b"stbl", &[atom(b"stsd", &stsd), atom(b"stts", &stts), atom(b"stsc", &stsc), stsz].concat(), tables)
    }

    /// The sample entry with the decoder's configuration (ISO/IEC 14496-14, 5.6; 14496-1, 7.2.6).
    fn mp4a(&self) -> Vec<u8> {
        let average = self.total * 8 * u64::from(self.spec.rate) / (self.units.max(1) * 1024);
        let average = u32::try_from(average).unwrap_or(u32::MAX).to_be_bytes();
        let most = u64::from(self.largest) * 8 * u64::from(self.spec.rate) / 1024;
        let most = u32::try_from(most).unwrap_or(u32::MAX).to_be_bytes();

        let mut decoder = vec![0x40, 0x15];
        decoder.extend_from_slice(&self.largest.to_be_bytes()[1..]);
        decoder.extend_from_slice(&most);
        decoder.extend_from_slice(&average);
        decoder.extend_from_slice(&descriptor(5, &self.config));
        let es = [&b"\0\0\0"[..], &descriptor(4, &decoder), &descriptor(6, &[2])].concat();
        let esds = [&b"\0\0\0\0"[..], &descriptor(3, &es)].concat();

        let mut entry = b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
        entry.extend_from_slice(&self.spec.channels.to_be_bytes());
        entry.extend_from_slice(b"\0\x10\0\0\0\0");
        // 16.16 fixed point: rates beyond 65 535 Hz do not fit, and the configuration tells the true one.
        entry.extend_from_slice(&u16::try_from(self.spec.rate).unwrap_or(0).to_be_bytes());
        entry.extend_from_slice(&[0, 0]);
        entry.extend_from_slice(&atom(b"esds", &esds));
        entry
    }
}

impl Table {
    fn new() -> Self {
        Self { entries: BufWriter::new(SpooledTempFile::new(IN_MEMORY)), bytes: 0 }
    }

    fn put(&mut self, entry: &[u8]) -> Result<()> {
        self.bytes += entry.len() as u64;
        self.entries.write_all(entry).map_err(write_error)
    }

    fn copy(self, sink: &mut Sink) -> Result<()> {
        let copied = self.entries.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|mut table| {
            table.seek(SeekFrom::Start(0))?;
            std::io::copy(&mut table, sink)
        });
        copied.map(drop).map_err(write_error)
    }
}

/// A box's beginning: its header and this much of its content; `more` bytes follow.
fn open(name: &[u8; 4], content: &[u8], more: u64) -> Result<Vec<u8>> {
    Ok([&head_of(name, content.len() as u64 + more)?[..], content].concat())
}

/// The header of a box with this many bytes of content.
fn head_of(name: &[u8; 4], content: u64) -> Result<Vec<u8>> {
    let limit = u32::MAX.into();
    let too_large = || Error::TooLarge { what: "the index of the sound", value: content, limit, unit: "bytes" };
    let size = u32::try_from(content + 8).map_err(|_| too_large())?;
    Ok([&size.to_be_bytes()[..], name].concat())
}

/// A whole small box.
fn atom(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], name, content].concat()
}

/// A descriptor with the four bytes of length that all readers take.
fn descriptor(tag: u8, content: &[u8]) -> Vec<u8> {
    let size = content.len();
    let part = |shift: usize| u8::try_from(size >> shift & 0x7f).unwrap_or(0);
    [&[tag, part(21) | 0x80, part(14) | 0x80, part(7) | 0x80, part(0)][..], content].concat()
}

/// Upright, not scaled.
const MATRIX: &[u8] = b"\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0";

/// Units in a chunk: about half a second.
const CHUNK: u32 = 24;

/// Bytes of a table that stay in memory: those of half an hour at 44.1 kHz.
const IN_MEMORY: usize = 256 << 10;
