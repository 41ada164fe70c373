//! Residuals in Rice codes, a parameter for each of a power of two of parts (RFC 9639, 9.2.7).

use super::bits::Bits;

/// How a residual is divided, and the bits that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Division {
    /// There are 2^`parts` parts.
    parts: u32,
    parameters: [u8; 1 << MAX_PARTS],
    pub(super) bits: u64,
}

/// The sums of the finest parts, and of larger ones.
type Sums = [u64; 1 << MAX_PARTS];

/// The division of a block of `block` samples, the first `order` of which have no residual, that takes the fewest bits.
pub(super) fn divide(residual: &[i32], block: usize, order: usize) -> Division {
    let mut parts = MAX_PARTS.min(block.trailing_zeros());
    while parts > 0 && block >> parts <= order.max(SHORTEST) {
        parts -= 1;
    }
    let mut sums: Sums = [0; 1 << MAX_PARTS];
    for (sum, part) in sums.iter_mut().zip(pieces(residual, block, order, parts)) {
        *sum = part.iter().map(|value| u64::from(folded(*value))).sum();
    }
    let mut best = cost(&sums, block, order, parts);
    while parts > 0 {
        parts -= 1;
        for at in 0..1 << parts {
            sums[at] = sums[2 * at] + sums[2 * at + 1];
        }
        let division = cost(&sums, block, order, parts);
        if division.bits < best.bits {
            best = division;
        }
    }
    best
}

fn cost(sums: &Sums, block: usize, order: usize, parts: u32) -> Division {
    let mut division = Division { parts, parameters: [0; 1 << MAX_PARTS], bits: 6 };
    for (at, (sum, place)) in sums[..1 << parts].iter().zip(&mut division.parameters).enumerate() {
        let count = (block >> parts) as u64 - if at == 0 { order as u64 } else { 0 };
        // Half a step less for each: what is cut off by the shift.
        let sum = sum.saturating_sub(count / 2);
        let parameter = (sum / count.max(1)).checked_ilog2().unwrap_or(0).min(MAX_PARAMETER);
        *place = u8::try_from(parameter).unwrap_or(0);
        division.bits += count * u64::from(parameter + 1) + (sum >> parameter);
    }
    division.bits += u64::from(division.parameter_bits()) << parts;
    division
}

impl Division {
    /// Writes the residual that this was made for.
    pub(super) fn write(&self, residual: &[i32], block: usize, order: usize, bits: &mut Bits) {
        let wide = self.parameter_bits();
        bits.put(wide - 4, 2);
        bits.put(self.parts, 4);
        for (parameter, part) in self.parameters.iter().zip(pieces(residual, block, order, self.parts)) {
            let parameter = u32::from(*parameter);
            bits.put(parameter, wide);
            let (mark, mask) = (1 << parameter, (1 << parameter) - 1);
            for value in part {
                let value = folded(*value);
                let zeros = value >> parameter;
                // Most codes are short: zeros, the one and the rest at once.
                if zeros + 1 + parameter <= 32 {
                    bits.put(mark | value & mask, zeros + 1 + parameter);
                } else {
                    bits.unary(zeros);
                    bits.put(value & mask, parameter);
                }
            }
        }
    }

    /// Bits of a parameter: 4 where all are below 15.
    fn parameter_bits(&self) -> u32 {
        if self.parameters[..1 << self.parts].iter().all(|parameter| *parameter < 15) { 4 } else { 5 }
    }
}

/// The parts of a residual; the first is shorter by the order.
fn pieces(residual: &[i32], block: usize, order: usize, parts: u32) -> impl Iterator<Item = &[i32]> {
    let length = block >> parts;
    let (first, rest) = residual.split_at(length - order);
    std::iter::once(first).chain(rest.chunks(length))
}

/// Signs folded into the lowest bit: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
#[inline]
fn folded(value: i32) -> u32 {
    (value << 1 ^ value >> 31).cast_unsigned()
}

/// Parts, as a power of two, at most.
const MAX_PARTS: u32 = 8;
/// Parts are longer than this.
const SHORTEST: usize = 15;
/// One less than what stands for samples that are not coded.
const MAX_PARAMETER: u32 = 30;
