//! Bits into bytes.

/// Takes bits, the highest first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// The lowest [`count`](Self::count) bits are not among the bytes yet; what stands above them is.
    held: u64,
    /// Fewer than 32.
    count: u32,
}

impl Bits {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.held, self.count) = (0, 0);
    }

    /// Appends the lowest `count` (0..=32) bits of `value`, which has no higher ones.
    #[expect(clippy::cast_possible_truncation, reason = "what is above the 32 bits was written before")]
    #[inline]
    pub(super) fn put(&mut self, value: u32, count: u32) {
        self.held = self.held << count | u64::from(value);
        self.count += count;
        if self.count >= 32 {
            self.count -= 32;
            self.bytes.extend_from_slice(&((self.held >> self.count) as u32).to_be_bytes());
        }
    }

    /// Appends a number with its sign in `count` bits.
    pub(super) fn signed(&mut self, value: i32, count: u32) {
        self.put(value.cast_unsigned() & (u32::MAX >> (32 - count)), count);
    }

    /// Appends `zeros` zeros and a one.
    #[inline]
    pub(super) fn unary(&mut self, mut zeros: u32) {
        while zeros >= 32 {
            self.put(0, 32);
            zeros -= 32;
        }
        self.put(1, zeros + 1);
    }

    #[cfg(test)]
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64 * 8 + u64::from(self.count)
    }

    /// Bytes so far, the last one filled up with zeros.
    pub(super) fn aligned(&mut self) -> &mut Vec<u8> {
        self.put(0, (8 - self.count % 8) % 8);
        while self.count > 0 {
            self.count -= 8;
            self.bytes.push((self.held >> self.count).to_le_bytes()[0]);
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_their_order() {
        let mut bits = Bits::default();
        bits.put(0b101, 3);
        bits.signed(-2, 5);
        bits.put(u32::MAX, 32);
        bits.unary(35);
        bits.put(0, 0);
        assert_eq!(bits.aligned(), &[0b1011_1110, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0b0001_0000]);
    }
}
