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
        // One bit more for each pays where a code of the next length is likelier than by the golden ratio: for values that get
        // rarer by a steady factor, from a mean of 2^(parameter + 1) * 1.04 - 1/2 on.
        let mean = (sum + count / 2) * 15 / (16 * count.max(1));
        let parameter = mean.checked_ilog2().unwrap_or(0).min(MAX_PARAMETER);
        *place = u8::try_from(parameter).unwrap_or(0);
        // The lower bits, which the shift cuts off, are nearly as often set as not.
        let cut = count * ((1 << parameter) - 1) / 2;
        division.bits += count * u64::from(parameter + 1) + (sum.saturating_sub(cut) >> parameter);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Residuals with a mean of about `mean` around 0, near Laplace's distribution.
    fn residual(mean: f64, count: usize, mut noise: u64) -> Vec<i32> {
        // Splitmix64: neighbours have nothing to do with each other.
        let mut random = || {
            noise = noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (noise ^ noise >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
        };
        #[expect(clippy::cast_possible_truncation, reason = "far below 2^31")]
        let mut value = || ((random().max(1e-7).ln() - random().max(1e-7).ln()) * mean).round() as i32;
        (0..count).map(|_| value()).collect()
    }

    fn written(division: &Division, residual: &[i32], block: usize, order: usize) -> u64 {
        let mut bits = Bits::default();
        division.write(residual, block, order, &mut bits);
        bits.length()
    }

    #[test]
    fn the_cost_is_what_is_written() {
        for (block, order) in [(4096, 0), (4096, 8), (1000, 2), (192, 4)] {
            for power in 0..20 {
                let mean = 0.2 * 2f64.powf(power as f64 * 0.9);
                let mut residual = residual(mean, block - order, power + 1);
                if power % 3 == 0 {
                    // Louder behind the middle: several parts pay.
                    residual[block / 2..].iter_mut().for_each(|value| *value *= 9);
                }
                let division = divide(&residual, block, order);
                let exact = written(&division, &residual, block, order);
                let off = (division.bits as f64 / exact as f64 - 1.0).abs();
                assert!(off < 0.05, "{block}, {order}, {mean}: {} told, {exact} written", division.bits);
            }
        }
    }

    #[test]
    fn no_other_parameter_takes_fewer_bits() {
        for power in 0..40 {
            let mean = 0.2 * 2f64.powf(power as f64 * 0.45);
            let residual = residual(mean, 4096, power + 1);
            // One part: all of it has one parameter.
            let sum = residual.iter().map(|value| u64::from(folded(*value))).sum();
            let mut sums: Sums = [0; 1 << MAX_PARTS];
            sums[0] = sum;
            let chosen = cost(&sums, 4096, 0, 0);
            let least = (0..20).map(|parameter| {
                let mut other = chosen;
                other.parameters[0] = parameter;
                written(&other, &residual, 4096, 0)
            });
            let (least, exact) = (least.min().unwrap(), written(&chosen, &residual, 4096, 0));
            assert!(exact as f64 <= least as f64 * 1.002, "{mean}: {exact} written, {least} would do");
        }
    }
}
