//! What reading and writing FLAC (RFC 9639) have in common.

/// Rates that have a code of their own in a frame's header, from 1 on.
pub(super) const RATES: [u32; 11] =
    [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

/// Depths of samples that have a code of their own, from 1 on; 0 where a code is reserved.
pub(super) const DEPTHS: [u32; 7] = [8, 12, 0, 16, 20, 24, 32];

/// The checksum of a frame's header (9.1.8): x^8 + x^2 + x + 1.
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |sum, byte| (0..8).fold(sum ^ byte, |sum, _| if sum & 0x80 == 0 { sum << 1 } else { sum << 1 ^ 0x07 }))
}

/// The checksum of a frame (9.3): x^16 + x^15 + x^2 + 1, eight bytes at a time.
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
