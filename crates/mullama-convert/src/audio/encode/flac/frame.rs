//! A block of samples as a frame (RFC 9639, 9.1 and 9.2).

use super::bits::Bits;
use super::predict::{self, Finder, Linear, PRECISION};
use super::rice::{self, Division};
use crate::audio::flac::{DEPTHS, RATES, crc8, crc16};
use crate::audio::pcm::Spec;

/// Makes frame after frame.
#[derive(Debug)]
pub(super) struct Framer {
    spec: Spec,
    /// Bits of a sample.
    depth: u32,
    number: u32,
    planes: Vec<Vec<i32>>,
    /// The mean and the difference of two channels.
    middle: Vec<i32>,
    side: Vec<i32>,
    finder: Finder,
    residual: Vec<i32>,
    other: Vec<i32>,
    bits: Bits,
}

/// How the two channels of stereo are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    Apart,
    LeftSide,
    SideRight,
    MiddleSide,
}

impl Framer {
    pub(super) fn new(spec: Spec, depth: u32) -> Self {
        Self {
            spec,
            depth,
            number: 0,
            planes: vec![Vec::new(); usize::from(spec.channels)],
            middle: Vec::new(),
            side: Vec::new(),
            finder: Finder::default(),
            residual: Vec::new(),
            other: Vec::new(),
            bits: Bits::default(),
        }
    }

    /// The frame of these interleaved samples: a block of at most 65 535 frames.
    pub(super) fn frame(&mut self, samples: &[i32]) -> &[u8] {
        let channels = self.planes.len();
        for (index, plane) in self.planes.iter_mut().enumerate() {
            plane.clear();
            plane.extend(samples.iter().skip(index).step_by(channels));
        }
        let frames = samples.len() / channels;
        let pair = match &self.planes[..] {
            [left, right] => pair(left, right),
            _ => Pair::Apart,
        };
        self.bits.clear();
        self.header(frames, pair);
        self.number += 1;
        if let ([left, right], true) = (&self.planes[..], pair != Pair::Apart) {
            self.side.clear();
            self.side.extend(left.iter().zip(right).map(|(left, right)| left - right));
            if pair == Pair::MiddleSide {
                self.middle.clear();
                self.middle.extend(left.iter().zip(right).map(|(left, right)| (left + right) >> 1));
            }
        }
        let mut planes = std::mem::take(&mut self.planes);
        let (mut middle, mut side) = (std::mem::take(&mut self.middle), std::mem::take(&mut self.side));
        match (pair, &mut planes[..]) {
            (Pair::LeftSide, [left, _]) => {
                self.subframe(left, self.depth);
                self.subframe(&mut side, self.depth + 1);
            }
            (Pair::SideRight, [_, right]) => {
                self.subframe(&mut side, self.depth + 1);
                self.subframe(right, self.depth);
            }
            (Pair::MiddleSide, _) => {
                self.subframe(&mut middle, self.depth);
                self.subframe(&mut side, self.depth + 1);
            }
            (_, planes) => planes.iter_mut().for_each(|plane| self.subframe(plane, self.depth)),
        }
        (self.planes, self.middle, self.side) = (planes, middle, side);
        let bytes = self.bits.aligned();
        bytes.extend_from_slice(&crc16(bytes).to_be_bytes());
        bytes
    }

    fn header(&mut self, frames: usize, pair: Pair) {
        let bits = &mut self.bits;
        // The mark, and blocks of one size.
        bits.put(0xfff8, 16);
        let length = u32::try_from(frames - 1).unwrap_or(0);
        bits.put(if frames == super::BLOCK { 12 } else { 7 }, 4);
        let rate = self.spec.rate;
        let (code, value, count) = match RATES.iter().position(|known| *known == rate) {
            Some(index) => (u32::try_from(index + 1).unwrap_or(0), 0, 0),
            None if rate <= 0xffff => (13, rate, 16),
            None if rate.is_multiple_of(10) && rate / 10 <= 0xffff => (14, rate / 10, 16),
            None => (0, 0, 0),
        };
        bits.put(code, 4);
        bits.put(
            match pair {
                Pair::Apart => u32::from(self.spec.channels) - 1,
                Pair::LeftSide => 8,
                Pair::SideRight => 9,
                Pair::MiddleSide => 10,
            },
            4,
        );
        let depth = DEPTHS.iter().position(|known| *known == self.depth);
        bits.put(depth.map_or(0, |index| u32::try_from(index + 1).unwrap_or(0)) << 1, 4);
        coded(self.number, bits);
        if frames != super::BLOCK {
            bits.put(length, 16);
        }
        bits.put(value, count);
        let bytes = bits.aligned();
        bytes.push(crc8(bytes));
    }

    /// One channel, in the way that takes the fewest bits. `samples` are changed where all end in zeros.
    fn subframe(&mut self, samples: &mut [i32], depth: u32) {
        if samples.iter().all(|sample| *sample == samples[0]) {
            self.bits.put(0, 8);
            self.bits.signed(samples[0], depth);
            return;
        }
        let wasted = samples.iter().fold(0, |bits, sample| bits | sample).trailing_zeros().min(depth - 1);
        if wasted > 0 {
            samples.iter_mut().for_each(|sample| *sample >>= wasted);
        }
        let depth = depth - wasted;
        let block = samples.len();
        let way = self.way(samples, depth);
        let order = way.order();
        self.bits.put(way.code() << 1 | u32::from(wasted > 0), 8);
        if wasted > 0 {
            self.bits.unary(wasted - 1);
        }
        let first = if way == Way::Verbatim { block } else { order };
        samples[..first].iter().for_each(|sample| self.bits.signed(*sample, depth));
        match way {
            Way::Verbatim => {}
            Way::Fixed(_, division) => division.write(&self.residual, block, order, &mut self.bits),
            Way::Linear(linear, division) => {
                self.bits.put(PRECISION - 1, 4);
                self.bits.put(linear.shift, 5);
                for coefficient in &linear.coefficients[..order] {
                    self.bits.signed(*coefficient, PRECISION);
                }
                division.write(&self.residual, block, order, &mut self.bits);
            }
        }
    }

    /// Chooses, and leaves the residual.
    fn way(&mut self, samples: &[i32], depth: u32) -> Way {
        let block = samples.len();
        let verbatim = block as u64 * u64::from(depth);
        let misses = predict::fixed_misses(samples);
        let order = if block < 5 { 0 } else { (0..5).min_by_key(|order| misses[*order]).unwrap_or(0) };
        predict::fixed_residual(samples, order, &mut self.residual);
        let division = rice::divide(&self.residual, block, order);
        let fixed = division.bits + order as u64 * u64::from(depth);
        let mut best = (fixed, Way::Fixed(order, division));
        if block >= MIN_LINEAR
            && let Some(linear) = self.finder.find(samples, depth)
            && linear.residual(samples, depth, &mut self.other)
        {
            let division = rice::divide(&self.other, block, linear.order);
            let bits = division.bits + 9 + linear.order as u64 * u64::from(depth + PRECISION);
            if bits < best.0 {
                best = (bits, Way::Linear(linear, division));
                std::mem::swap(&mut self.residual, &mut self.other);
            }
        }
        if best.0 < verbatim { best.1 } else { Way::Verbatim }
    }
}

/// How a channel's samples are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Verbatim,
    Fixed(usize, Division),
    Linear(Linear, Division),
}

impl Way {
    fn order(&self) -> usize {
        match self {
            Self::Verbatim => 0,
            Self::Fixed(order, _) => *order,
            Self::Linear(linear, _) => linear.order,
        }
    }

    fn code(&self) -> u32 {
        let order = u32::try_from(self.order()).unwrap_or(0);
        match self {
            Self::Verbatim => 1,
            Self::Fixed(..) => 8 + order,
            Self::Linear(..) => 32 + order - 1,
        }
    }
}

/// Which two of left, right, mean and difference are likely to take the fewest bits, by their second differences.
fn pair(left: &[i32], right: &[i32]) -> Pair {
    let mut sums = [0u64; 4];
    for (left, right) in left.windows(3).zip(right.windows(3)) {
        let (left, right) = (left[2] - 2 * left[1] + left[0], right[2] - 2 * right[1] + right[0]);
        sums[0] += u64::from(left.unsigned_abs());
        sums[1] += u64::from(right.unsigned_abs());
        sums[2] += u64::from(((left + right) >> 1).unsigned_abs());
        sums[3] += u64::from((left - right).unsigned_abs());
    }
    let bits = sums.map(|sum| (sum.max(1) as f64).log2());
    let [left, right, middle, side] = bits;
    let ways = [
        (left + right, Pair::Apart),
        (left + side, Pair::LeftSide),
        (side + right, Pair::SideRight),
        (middle + side, Pair::MiddleSide),
    ];
    ways.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(Pair::Apart, |(_, pair)| pair)
}

/// A number in the way of UTF-8, up to 31 bits (RFC 9639, 9.1.5).
fn coded(number: u32, bits: &mut Bits) {
    if number < 0x80 {
        return bits.put(number, 8);
    }
    // Bytes behind the first, with six bits each.
    let more = (1..=5).find(|more| number < 1 << (more * 5 + 6)).unwrap_or(5);
    let lead = 0xff00u32 >> (more + 1) & 0xff;
    bits.put(lead | number >> (more * 6), 8);
    for at in (0..more).rev() {
        bits.put(0x80 | number >> (at * 6) & 0x3f, 8);
    }
}

/// Frames of a block from which on a linear predictor may pay.
const MIN_LINEAR: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_numbers_are_coded_as_characters_are() {
        for number in [0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff0, 0x1_0000, 0x10_ffff] {
            let mut bits = Bits::default();
            coded(number, &mut bits);
            let text = char::from_u32(number).unwrap().to_string();
            assert_eq!(bits.aligned(), text.as_bytes(), "{number:x}");
        }
        let mut bits = Bits::default();
        coded(0x7fff_ffff, &mut bits);
        assert_eq!(bits.aligned(), &[0xfd, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf]);
    }
}
