//! Samples between the stages, and what their channels mean.

use std::ops::Range;

/// A block of interleaved samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Samples {
    /// Nominally -1.0..=1.0.
    Float(Vec<f32>),
    /// The highest bit of the source's sample is bit 31, whatever its depth.
    Int(Vec<i32>),
}

impl Samples {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Float(samples) => samples.len(),
            Self::Int(samples) => samples.len(),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Float(samples) => samples.clear(),
            Self::Int(samples) => samples.clear(),
        }
    }

    pub(crate) fn resize(&mut self, len: usize) {
        match self {
            Self::Float(samples) => samples.resize(len, 0.0),
            Self::Int(samples) => samples.resize(len, 0),
        }
    }

    /// Drops the first `count` samples.
    pub(crate) fn drop_front(&mut self, count: usize) {
        match self {
            Self::Float(samples) => drop(samples.drain(..count.min(samples.len()))),
            Self::Int(samples) => drop(samples.drain(..count.min(samples.len()))),
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            Self::Float(samples) => samples.truncate(len),
            Self::Int(samples) => samples.truncate(len),
        }
    }
}

/// Rate and channels of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) rate: u32,
    pub(crate) channels: u16,
}

/// Channels that a file may have.
pub(crate) const MAX_CHANNELS: u16 = 8;

/// Where a loudspeaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    FrontLeft,
    FrontRight,
    FrontCentre,
    Lfe,
    BackLeft,
    BackRight,
    BackCentre,
    SideLeft,
    SideRight,
}

use Position::{BackCentre, BackLeft, BackRight, FrontCentre, FrontLeft, FrontRight, Lfe, SideLeft, SideRight};

/// The channels of a file with this many, in the order of WAVE, FLAC and MPEG's default configurations.
pub(crate) const fn layout(channels: u16) -> &'static [Position] {
    match channels {
        1 => &[FrontCentre],
        2 => &[FrontLeft, FrontRight],
        3 => &[FrontLeft, FrontRight, FrontCentre],
        4 => &[FrontLeft, FrontRight, BackLeft, BackRight],
        5 => &[FrontLeft, FrontRight, FrontCentre, BackLeft, BackRight],
        6 => &[FrontLeft, FrontRight, FrontCentre, Lfe, BackLeft, BackRight],
        7 => &[FrontLeft, FrontRight, FrontCentre, Lfe, BackCentre, SideLeft, SideRight],
        8 => &[FrontLeft, FrontRight, FrontCentre, Lfe, BackLeft, BackRight, SideLeft, SideRight],
        _ => &[],
    }
}

/// Which channel of [`layout`] stands at each place of Vorbis and Opus (Vorbis I specification, 4.3.9).
pub(crate) const fn vorbis_order(channels: u16) -> &'static [usize] {
    match channels {
        1 => &[0],
        2 => &[0, 1],
        3 => &[0, 2, 1],
        4 => &[0, 1, 2, 3],
        5 => &[0, 2, 1, 3, 4],
        6 => &[0, 2, 1, 4, 5, 3],
        7 => &[0, 2, 1, 5, 6, 4, 3],
        8 => &[0, 2, 1, 6, 7, 4, 5, 3],
        _ => &[],
    }
}

/// `WAVEFORMATEXTENSIBLE`'s channel mask of [`layout`].
pub(crate) fn wave_mask(channels: u16) -> u32 {
    layout(channels).iter().fold(0, |mask, position| {
        mask | match position {
            FrontLeft => 0x1,
            FrontRight => 0x2,
            FrontCentre => 0x4,
            Lfe => 0x8,
            BackLeft => 0x10,
            BackRight => 0x20,
            BackCentre => 0x100,
            SideLeft => 0x200,
            SideRight => 0x400,
        }
    })
}

/// Makes `out` the lowest `N` bytes of each sample behind `shift` bits that are dropped.
pub(crate) fn low_bytes<const N: usize>(samples: &[i32], shift: u32, out: &mut Vec<u8>) {
    out.resize(samples.len() * N, 0);
    for (place, sample) in out.as_chunks_mut::<N>().0.iter_mut().zip(samples) {
        place.copy_from_slice(&(sample >> shift).to_le_bytes()[..N]);
    }
}

/// With it added, a double has no digits behind the point, and its last 32 are those of the nearest whole number within 2^51
/// about 0, to even where two are as near.
pub(crate) const MAGIC: f64 = (3u64 << 51) as f64;

/// The lowest 32 bits of the nearest whole number, of any within 2^51 about 0. The compiler makes it wide, which it does not do
/// with a conversion that saturates.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are asked for")]
#[inline]
pub(crate) fn nearest(value: f64) -> i32 {
    (value + MAGIC).to_bits() as i32
}

/// Appends these frames of planes.
pub(crate) fn interleave(planes: &[impl AsRef<[f32]>], frames: Range<usize>, out: &mut Vec<f32>) {
    let start = out.len();
    out.resize(start + frames.len() * planes.len(), 0.0);
    let (out, cut) = (&mut out[start..], |plane: usize| &planes[plane].as_ref()[frames.clone()]);
    match planes.len() {
        1 => out.copy_from_slice(cut(0)),
        2 => {
            for (frame, (left, right)) in out.as_chunks_mut::<2>().0.iter_mut().zip(cut(0).iter().zip(cut(1))) {
                *frame = [*left, *right];
            }
        }
        channels => {
            for index in 0..channels {
                let places = out.iter_mut().skip(index).step_by(channels);
                places.zip(cut(index)).for_each(|(place, sample)| *place = *sample);
            }
        }
    }
}

/// Appends one channel of interleaved samples to its plane.
pub(crate) fn extract(samples: &[f32], channels: usize, channel: usize, plane: &mut Vec<f32>) {
    match channels {
        1 => plane.extend_from_slice(samples),
        2 => plane.extend(samples.as_chunks::<2>().0.iter().map(|frame| frame[channel])),
        _ => plane.extend(samples.chunks_exact(channels).map(|frame| frame[channel])),
    }
}

/// Cuts interleaved samples into planes, in the order that `order` names.
pub(crate) fn deinterleave(samples: &[f32], order: &[usize], planes: &mut [Vec<f32>]) {
    for (plane, channel) in planes.iter_mut().zip(order) {
        plane.clear();
        extract(samples, order.len(), *channel, plane);
    }
}
