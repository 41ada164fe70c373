//! One channel of a frame (RFC 9639, 9.2).

use super::bits::Bits;
use super::predict::{Block, MAX_ORDER, Predictor};
use crate::audio::decode::codec::Damage;

/// What is read of a channel beside the numbers in its block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subframe {
    pub(super) predictor: Predictor,
    /// Bits of a sample, without those that are wasted.
    pub(super) depth: u32,
    /// Zeros that every sample ends with.
    pub(super) wasted: u32,
}

/// Reads a channel of samples of `depth` (4..=33) bits into its place in `block`: the first samples, then residuals.
pub(super) fn read(bits: &mut Bits<'_>, depth: u32, block: &mut Block, channel: usize) -> Result<Subframe, Damage> {
    let head = bits.small(8)?;
    let wasted = if head & 1 == 0 { 0 } else { bits.zeros()?.saturating_add(1) };
    if wasted >= depth {
        return Err(damage("every bit of a channel is wasted"));
    }
    let depth = depth - wasted;
    let predictor = match head >> 1 {
        0 => {
            let value = bits.signed(depth)? as f64;
            block.iter_mut().for_each(|frame| frame[channel] = value);
            Predictor::NONE
        }
        1 => {
            verbatim(bits, depth, block, channel)?;
            Predictor::NONE
        }
        kind @ 8..=12 => {
            let predictor = Predictor::fixed(kind as usize - 8);
            let (first, rest) = halves(block, predictor.order)?;
            verbatim(bits, depth, first, channel)?;
            residual(bits, predictor.order, rest, channel)?;
            predictor
        }
        kind @ 32..=63 => {
            let order = kind as usize - 31;
            let (first, rest) = halves(block, order)?;
            verbatim(bits, depth, first, channel)?;
            let predictor = linear(bits, order)?;
            residual(bits, order, rest, channel)?;
            predictor
        }
        kind => return Err(Damage(format!("a channel is of the reserved kind {kind}"))),
    };
    Ok(Subframe { predictor, depth, wasted })
}

fn halves(block: &mut Block, order: usize) -> Result<(&mut Block, &mut Block), Damage> {
    block.split_at_mut_checked(order).ok_or_else(|| damage("a block is shorter than its predictor"))
}

fn verbatim(bits: &mut Bits<'_>, depth: u32, block: &mut Block, channel: usize) -> Result<(), Damage> {
    for frame in block {
        frame[channel] = bits.signed(depth)? as f64;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "coefficients have 15 bits")]
fn linear(bits: &mut Bits<'_>, order: usize) -> Result<Predictor, Damage> {
    let precision = bits.small(4)? + 1;
    let shift = u32::try_from(bits.signed(5)?).map_err(|_| damage("a predictor shifts to the left"))?;
    if precision > 15 {
        return Err(damage("a predictor is of the reserved precision"));
    }
    let mut coefficients = [0; MAX_ORDER];
    for coefficient in &mut coefficients[..order] {
        *coefficient = bits.signed(precision)? as i32;
    }
    Ok(Predictor { order, coefficients, shift })
}

/// Reads the residuals of a block whose first `order` samples are before `rest`.
fn residual(bits: &mut Bits<'_>, order: usize, mut rest: &mut Block, channel: usize) -> Result<(), Damage> {
    let parameter_bits = match bits.small(2)? {
        0 => 4,
        1 => 5,
        _ => return Err(damage("a residual is coded in a reserved way")),
    };
    let parts = bits.small(4)?;
    let frames = order + rest.len();
    let each = frames >> parts;
    if each << parts != frames || each < order {
        return Err(damage("a block cannot be parted as its residual says"));
    }
    for part in 0..1 << parts {
        let length = if part == 0 { each - order } else { each };
        let Some((now, behind)) = rest.split_at_mut_checked(length) else { break };
        rest = behind;
        let parameter = bits.small(parameter_bits)?;
        if parameter + 1 == 1 << parameter_bits {
            let width = bits.small(5)?;
            verbatim(bits, width, now, channel)?;
        } else {
            bits.rice(parameter, now, channel)?;
        }
    }
    Ok(())
}

fn damage(problem: &str) -> Damage {
    Damage(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bits for `frames` frames of 8 bits.
    fn told(text: &str, frames: usize) -> Result<Vec<f64>, String> {
        let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b' ').map(|digit| digit - b'0').collect();
        let bytes: Vec<u8> =
            digits.chunks(8).map(|bits| (0..8).fold(0, |byte, at| byte << 1 | bits.get(at).unwrap_or(&0))).collect();
        let mut block = vec![[0.0; 2]; frames];
        let subframe = read(&mut Bits::new(&bytes), 8, &mut block, 1).map_err(|Damage(problem)| problem)?;
        super::super::restore(&mut block, &[Predictor::NONE, subframe.predictor], [1, subframe.depth]);
        let scale = (1u64 << subframe.wasted) as f64;
        Ok(block.iter().map(|frame| frame[1] * scale).collect())
    }

    #[test]
    fn each_kind_is_read() {
        assert_eq!(told("0 000000 0 11111110", 3).unwrap(), [-2.0; 3]);
        assert_eq!(told("0 000001 0 00000001 10000000 01111111", 3).unwrap(), [1.0, -128.0, 127.0]);
        // Two bits wasted of eight.
        assert_eq!(told("0 000001 1 01 000001 100000", 2).unwrap(), [4.0, -128.0]);
        // The fixed predictor of order 1 with a residual in one part, its parameter 1: 2, -1.
        assert_eq!(told("0 001001 0 00001010 00 0000 0001 001 0 1 1", 3).unwrap(), [10.0, 12.0, 11.0]);
        // In two parts, the first without a residual, the second as it is in 3 bits, then in none.
        assert_eq!(told("0 001001 0 00001010 00 0001 0000 1111 00011 101", 2).unwrap(), [10.0, 7.0]);
        assert_eq!(told("0 001001 0 00001010 01 0001 00000 11111 00000", 2).unwrap(), [10.0, 10.0]);
        // Linear, order 1, coefficients of 3 bits: -3 / 2 of the one before, rounded down.
        assert_eq!(told("0 100000 0 00000011 0010 00001 101 00 0000 0000 1 1", 3).unwrap(), [3.0, -5.0, 7.0]);
    }

    #[test]
    fn what_is_none_is_told() {
        for (bits, problem) in [
            ("0 000010 0", "the reserved kind 2"),
            ("0 001101 0", "the reserved kind 13"),
            ("1 000000 0", "the reserved kind 64"),
            ("0 000001 1 000000001", "wasted"),
            ("0 001100 0", "shorter than its predictor"),
            ("0 100000 0 00000000 1111 00000 0", "precision"),
            ("0 100000 0 00000000 0000 11111 0 00 0000", "to the left"),
            ("0 001000 0 10 0000", "reserved way"),
            ("0 001000 0 00 0001", "parted"),
            ("0 001000 0 00 0000 0000 1", "too early"),
        ] {
            let refused = told(bits, 3).unwrap_err();
            assert!(refused.contains(problem), "{bits}: {refused}");
        }
    }
}
