//! Bits out of bytes.

use super::predict::Block;
use crate::audio::decode::codec::Damage;

/// Gives bits, the highest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to be held.
    at: usize,
    /// The next bits, from the highest on. Below the [`count`](Self::count) that are there may be more, the right ones.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, held: 0, count: 0 }
    }

    /// Holds at least 56 bits, or all that are left.
    #[inline]
    fn fill(&mut self) {
        if let Some(eight) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.held |= u64::from_be_bytes(*eight) >> self.count;
            // As many whole bytes as there was room for.
            self.at += ((63 - self.count) / 8) as usize;
            self.count |= 56;
        } else {
            while self.count <= 56
                && let Some(byte) = self.bytes.get(self.at)
            {
                self.held |= u64::from(*byte) << (56 - self.count);
                self.at += 1;
                self.count += 8;
            }
        }
    }

    #[inline]
    fn drop(&mut self, count: u32) {
        self.held <<= count;
        self.count -= count;
    }

    /// The next `count` (0..=33) bits.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u64, Damage> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(Damage("a frame ends too early".to_owned()));
            }
        }
        // In two steps: none of 64 bits is asked for as a shift by 64.
        let value = self.held >> 1 >> (63 - count);
        self.drop(count);
        Ok(value)
    }

    /// The next bits as a number of few.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "of 32 bits at the most")]
    pub(super) fn small(&mut self, count: u32) -> Result<u32, Damage> {
        debug_assert!(count <= 32, "asked for {count} bits");
        self.take(count).map(|value| value as u32)
    }

    /// A number with its sign in `count` (0..=33) bits.
    #[inline]
    pub(super) fn signed(&mut self, count: u32) -> Result<i64, Damage> {
        let value = self.take(count)?.cast_signed();
        // 0 bits are a 0.
        Ok(if count == 0 { 0 } else { value << (64 - count) >> (64 - count) })
    }

    /// Zeros up to the next one, which goes, too.
    pub(super) fn zeros(&mut self) -> Result<u32, Damage> {
        let mut sum = 0;
        loop {
            self.fill();
            let zeros = self.held.leading_zeros();
            if zeros < self.count {
                self.drop(zeros);
                self.drop(1);
                return Ok(sum + zeros);
            }
            if self.count == 0 {
                return Err(Damage("a frame ends too early".to_owned()));
            }
            sum += self.count;
            // Nothing below is anything but zero: what is held goes as a whole.
            self.held = 0;
            self.count = 0;
        }
    }

    /// Puts numbers in Rice's code, their signs folded into the lowest bits, with `parameter` (0..=30) bits of each as they
    /// are, into a channel of `block`.
    #[expect(clippy::cast_possible_truncation, reason = "of 30 bits at the most")]
    pub(super) fn rice(&mut self, parameter: u32, block: &mut Block, channel: usize) -> Result<(), Damage> {
        // A copy, which needs not be in memory.
        let mut here = *self;
        // As many as are likely to be held: most quotients are below 4.
        let likely = (56 / (parameter + 4)).clamp(1, 4) as usize;
        for frames in block.chunks_mut(likely) {
            here.fill();
            for frame in frames {
                let zeros = here.held.leading_zeros();
                let length = zeros + 1 + parameter;
                let folded = if length <= here.count && zeros + parameter < 32 {
                    let low = (here.held << zeros << 1 >> 1 >> (63 - parameter)) as u32;
                    here.drop(length);
                    zeros << parameter | low
                } else {
                    here.long(parameter)?
                };
                frame[channel] = f64::from((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed());
            }
        }
        *self = here;
        Ok(())
    }

    /// A number that is not held as a whole.
    #[cold]
    fn long(&mut self, parameter: u32) -> Result<u32, Damage> {
        let zeros = self.zeros()?;
        let high = zeros.checked_shl(parameter).filter(|high| high >> parameter == zeros);
        Ok(high.ok_or_else(|| Damage("a residual has more than 32 bits".to_owned()))? | self.small(parameter)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rice(bits: &mut Bits<'_>, parameter: u32) -> Result<f64, Damage> {
        let mut block = [[7.0; 2]];
        bits.rice(parameter, &mut block, 1)?;
        Ok(block[0][1])
    }

    #[test]
    fn bits_come_in_their_order() {
        let bytes = [0b1011_1110, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0b0001_0110, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let mut bits = Bits::new(&bytes);
        assert_eq!((bits.take(3).unwrap(), bits.signed(5).unwrap()), (0b101, -2));
        assert_eq!((bits.take(32).unwrap(), bits.zeros().unwrap()), (0xffff_ffff, 35));
        // A quotient of 1 and two bits: 6, which is 3; a quotient of 5.
        assert_eq!((rice(&mut bits, 2).unwrap(), bits.signed(0).unwrap()), (3.0, 0));
        assert_eq!(bits.zeros().unwrap(), 0);
        assert_eq!(bits.zeros().unwrap(), 78);
        assert!(bits.take(1).is_err() && bits.zeros().is_err() && rice(&mut bits, 0).is_err());
        assert_eq!(bits.take(0).unwrap(), 0);
    }

    #[test]
    fn residuals_of_32_bits_are_read_and_longer_ones_refused() {
        // 2^32 - 1 is the lowest; with a parameter of 28 its quotient is 15.
        let lowest = [0, 1, 0xff, 0xff, 0xff, 0xf0];
        assert_eq!(rice(&mut Bits::new(&lowest), 28).unwrap(), f64::from(i32::MIN));
        let beyond = [0, 0, 0x80, 0, 0, 0, 0];
        assert!(rice(&mut Bits::new(&beyond), 28).is_err());
    }
}
