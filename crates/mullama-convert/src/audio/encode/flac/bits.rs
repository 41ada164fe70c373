//! Bits into bytes, and the checksums of frames (RFC 9639, 9.1.8 and 9.3).

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

/// The checksum of a frame's header: x^8 + x^2 + x + 1.
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |sum, byte| (0..8).fold(sum ^ byte, |sum, _| if sum & 0x80 == 0 { sum << 1 } else { sum << 1 ^ 0x07 }))
}

/// The checksum of a frame: x^16 + x^15 + x^2 + 1, eight bytes at a time.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let sum = eights.iter().fold(0u16, |sum, [a, b, c, d, e, f, g, h]| {
        let [high, low] = sum.to_be_bytes();
        let at = |table: usize, byte: &u8| CRC16[table][usize::from(*byte)];
        at(7, &(a ^ high)) ^ at(6, &(b ^ low)) ^ at(5, c) ^ at(4, d) ^ at(3, e) ^ at(2, f) ^ at(1, g) ^ at(0, h)
    });
    rest.iter().fold(sum, |sum, byte| sum << 8 ^ CRC16[0][usize::from(sum.to_be_bytes()[0] ^ byte)])
}

/// The checksums of each byte with none to seven zeros behind it.
static CRC16: [[u16; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0u16;
    while byte < 256 {
        let mut sum = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x8005 };
            bit += 1;
        }
        tables[0][byte as usize] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u16 = tables[table - 1][byte];
            tables[table][byte] = before << 8 ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
};

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

    #[test]
    fn checksums_have_the_values_of_the_catalogue() {
        // "CRC-8/SMBUS" and "CRC-16/UMTS".
        assert_eq!(crc8(b"123456789"), 0xf4);
        assert_eq!(crc16(b"123456789"), 0xfee8);
        assert_eq!(
            crc16(b"12345678"),
            (b"12345678".iter())
                .fold(0u16, |sum, byte| { sum << 8 ^ CRC16[0][usize::from(sum.to_be_bytes()[0] ^ byte)] })
        );
    }
}
