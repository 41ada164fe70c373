//! Residuals into samples (RFC 9639, 9.2.5 and 9.2.6), two channels at a time.
//!
//! A sample is a sum of products with those before it, so that the loop over samples waits for each; what can be wide is the
//! pair. In doubles: they hold all numbers up to 2^53 exactly, and every processor multiplies pairs of them.

use std::cell::Cell;

use crate::audio::pcm::MAGIC;

/// Frames of two channels.
pub(super) type Block = [[f64; 2]];

/// What a channel's samples are expected to be from those before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Predictor {
    pub(super) order: usize,
    /// The first for the sample just before.
    pub(super) coefficients: [i32; MAX_ORDER],
    pub(super) shift: u32,
}

impl Predictor {
    /// Of samples that are all there.
    pub(super) const NONE: Self = Self { order: 0, coefficients: [0; MAX_ORDER], shift: 0 };

    /// The fixed one of an order up to 4.
    pub(super) fn fixed(order: usize) -> Self {
        let known: &[i32] = match order {
            0 => &[],
            1 => &[1],
            2 => &[2, -1],
            3 => &[3, -3, 1],
            _ => &[4, -6, 4, -1],
        };
        let mut coefficients = [0; MAX_ORDER];
        coefficients[..known.len()].copy_from_slice(known);
        Self { order: known.len(), coefficients, shift: 0 }
    }

    /// Whether no sum of samples of `depth` bits passes 2^51: [`MAGIC`] rounds no more.
    fn fits(&self, depth: u32) -> bool {
        let sum: u64 = self.coefficients[..self.order].iter().map(|value| u64::from(value.unsigned_abs())).sum();
        sum << (depth - 1) < 1 << 51
    }

    /// Makes what is there the samples of one of the two channels, in integers.
    fn restore(&self, block: &mut Block, channel: usize, frames: std::ops::Range<usize>) {
        for at in frames {
            let (before, rest) = block.split_at_mut(at);
            let products = self.coefficients[..self.order]
                .iter()
                .zip(before.iter().rev())
                .map(|(coefficient, frame)| i64::from(*coefficient).wrapping_mul(whole(frame[channel])));
            let sum = products.fold(0i64, i64::wrapping_add);
            rest[0][channel] += (sum >> self.shift) as f64;
        }
    }
}

/// Makes the first samples and the residuals behind them the samples of both channels, of as many bits as `depths` says.
/// Where they are no FLAC, others come of it.
pub(super) fn restore(block: &mut Block, predictors: &[Predictor; 2], depths: [u32; 2]) {
    let wide = predictors.iter().zip(depths).all(|(predictor, depth)| predictor.fits(depth));
    let reach = match predictors[0].order.max(predictors[1].order) {
        0 => return,
        1..=4 => 4,
        5..=8 => 8,
        9..=12 => 12,
        _ => MAX_ORDER,
    };
    let narrow = if wide { reach.min(block.len()) } else { block.len() };
    for (channel, predictor) in predictors.iter().enumerate() {
        predictor.restore(block, channel, predictor.order..narrow);
    }
    if narrow == block.len() {
        return;
    }
    match reach {
        4 => both::<4>(block, predictors),
        8 => both::<8>(block, predictors),
        12 => both::<12>(block, predictors),
        _ => both::<MAX_ORDER>(block, predictors),
    }
}

/// Both channels from the `N`th frame on.
fn both<const N: usize>(block: &mut Block, predictors: &[Predictor; 2]) {
    let pair = |value: &dyn Fn(&Predictor) -> f64| [value(&predictors[0]), value(&predictors[1])];
    // Powers of two change no digit.
    let scale = pair(&|predictor| 0.5f64.powi(predictor.shift.cast_signed()));
    let taps: [[f64; 2]; N] = std::array::from_fn(|tap| {
        let [left, right] = pair(&|predictor| f64::from(predictor.coefficients[tap]));
        [left * scale[0], right * scale[1]]
    });
    // Between the rounding to the nearest and that towards the lower: of a half without the least that a sum has.
    let down = scale.map(|scale| scale / 2.0 - 0.5);
    let cells = Cell::from_mut(block).as_slice_of_cells();
    let Some(last) = cells[..N].last() else { return };
    let mut newest = last.get();
    for at in N..cells.len() {
        let Some(window) = cells[..at].last_chunk::<N>() else { return };
        // Two sums: neither waits for the other.
        let mut sums = [down, [0.0; 2]];
        for tap in (1..N).rev() {
            let sample = window[N - 1 - tap].get();
            for channel in 0..2 {
                sums[tap % 2][channel] += sample[channel] * taps[tap][channel];
            }
        }
        let residual = cells[at].get();
        for channel in 0..2 {
            // What waits for the sample before comes last.
            let sum = sums[0][channel] + sums[1][channel] + newest[channel] * taps[0][channel];
            newest[channel] = sum + MAGIC + (residual[channel] - MAGIC);
        }
        cells[at].set(newest);
    }
}

/// A whole number that a double holds.
#[expect(clippy::cast_possible_truncation, reason = "samples have 33 bits; what is none may become anything")]
fn whole(value: f64) -> i64 {
    value as i64
}

/// Half a whole number, the higher of two where it is odd.
#[inline]
pub(super) fn half(value: f64) -> f64 {
    value * 0.5 + 0.25 + MAGIC - MAGIC
}

/// The highest order of a predictor.
pub(super) const MAX_ORDER: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::pcm::nearest;

    fn predictor() -> impl Strategy<Value = Predictor> {
        let linear = (1..=MAX_ORDER, proptest::collection::vec(-(1 << 14)..1 << 14, MAX_ORDER), 0..16u32);
        prop_oneof![
            (0..5usize).prop_map(Predictor::fixed),
            linear.prop_map(|(order, mut coefficients, shift)| {
                coefficients[order..].fill(0);
                // So that samples neither die nor grow beyond what any file holds.
                coefficients.iter_mut().for_each(|value| *value /= 1 << (15 - shift).min(14));
                Predictor { order, coefficients: coefficients.try_into().unwrap(), shift }
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn doubles_give_what_integers_give(
            predictors in [predictor(), predictor()],
            samples in proptest::collection::vec([-30_000..30_000i32, -30_000..30_000i32], 1..100),
        ) {
            let frames = samples.len();
            prop_assume!(predictors.iter().all(|predictor| predictor.order <= frames));
            // What the predictors miss of these samples, which are to come back.
            let mut block: Vec<[f64; 2]> = vec![[0.0; 2]; frames];
            for (channel, predictor) in predictors.iter().enumerate() {
                for at in 0..frames {
                    let sum: i64 = if at < predictor.order { 0 } else {
                        let before = samples[..at].iter().rev();
                        predictor.coefficients[..predictor.order].iter().zip(before)
                            .map(|(coefficient, frame)| i64::from(*coefficient) * i64::from(frame[channel])).sum()
                    };
                    block[at][channel] = (i64::from(samples[at][channel]) - (sum >> predictor.shift)) as f64;
                }
            }
            let expected: Vec<[f64; 2]> = samples.iter().map(|frame| frame.map(f64::from)).collect();
            // Of 16 bits by doubles; of 33 bits nothing is known to fit.
            for depth in [16, 33] {
                let mut block = block.clone();
                restore(&mut block, &predictors, [depth; 2]);
                prop_assert_eq!(&block, &expected, "{}", depth);
            }
        }

        #[test]
        fn halves_and_low_bits_are_those_of_integers(value in -(1i64 << 33)..1 << 33) {
            let number = value as f64;
            prop_assert_eq!(whole(half(number)), (value + 1) >> 1);
            #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are compared")]
            let expected = value as i32;
            prop_assert_eq!(nearest(number), expected);
        }
    }
}
