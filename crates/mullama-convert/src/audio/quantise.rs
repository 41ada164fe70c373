//! Floats into integers: clipping that is counted, dither that repeats.

use super::options::Dither;
use super::pcm::nearest;

/// Turns floats into integers of a depth.
#[derive(Debug)]
pub(crate) struct Quantiser {
    scale: f32,
    lowest: f32,
    highest: f32,
    dither: bool,
    /// Samples that got noise so far: the noise follows from the sample's number.
    drawn: u32,
    clipped: u64,
}

impl Quantiser {
    /// For integers of `bits` (8..=32). There is dither only if `dither` asks for it and the depth is 16 or fewer.
    pub(crate) fn new(bits: u32, dither: Dither) -> Self {
        let scale = (1u64 << (bits - 1)) as f32;
        // The largest f32 below 2^31 is 2^31 - 128: beyond 24 bits the top is what a float can say.
        let highest = if bits > 24 { scale - 128.0 } else { scale - 1.0 };
        Self { scale, lowest: -scale, highest, dither: dither == Dither::Tpdf && bits <= 16, drawn: 0, clipped: 0 }
    }

    /// Samples beyond full scale so far.
    pub(crate) fn clipped(&self) -> u64 {
        self.clipped
    }

    pub(crate) fn run(&mut self, input: &[f32], output: &mut Vec<i32>) {
        output.resize(input.len(), 0);
        // Two loops that the compiler can make wide.
        if self.dither {
            let drawn = self.drawn;
            self.each(input, output, |scaled, index| scaled + triangle(drawn.wrapping_add(index)));
            self.drawn = self.drawn.wrapping_add(low(input.len()));
        } else {
            self.each(input, output, |scaled, _| scaled);
        }
    }

    #[inline(always)]
    fn each(&mut self, input: &[f32], output: &mut [i32], noisy: impl Fn(f32, u32) -> f32) {
        let (scale, lowest, highest) = (self.scale, self.lowest, self.highest);
        let mut index = 0u32;
        // In pieces, so that 32 bits count what is clipped.
        for (input, output) in input.chunks(PIECE).zip(output.chunks_mut(PIECE)) {
            let mut clipped = 0u32;
            for (at, (sample, out)) in (0..).zip(input.iter().zip(output)) {
                let scaled = sample * scale;
                // Full scale itself has no positive integer; that is rounding, not clipping.
                clipped += u32::from(scaled > scale) | u32::from(scaled < lowest);
                *out = nearest(noisy(scaled, index.wrapping_add(at)).clamp(lowest, highest).into());
            }
            index = index.wrapping_add(low(input.len()));
            self.clipped += u64::from(clipped);
        }
    }
}

/// Triangular noise in -1.0..1.0 steps: two uniform numbers of 16 bits from the hash of the sample's number.
#[expect(clippy::cast_precision_loss, reason = "16 bits fit into an f32")]
#[inline(always)]
fn triangle(number: u32) -> f32 {
    // "lowbias32" of Chris Wellons' hash prospector: each bit in flips half of those out.
    let mut hash = number ^ (number >> 16);
    hash = hash.wrapping_mul(0x7feb_352d);
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x846c_a68b);
    hash ^= hash >> 16;
    let (one, other) = ((hash >> 16).cast_signed(), (hash & 0xffff).cast_signed());
    (one - other) as f32 / 65_536.0
}

/// A length as the counter of samples has it.
#[expect(clippy::cast_possible_truncation, reason = "the counter wraps")]
fn low(length: usize) -> u32 {
    length as u32
}

const PIECE: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_as_they_were() {
        for bits in [8u32, 16, 24] {
            let top = 1i32 << (bits - 1);
            let values: Vec<i32> = (-50..=50).map(|at| at * (top / 51)).chain([-top, top - 1, 0, 1, -1]).collect();
            #[expect(clippy::cast_precision_loss, reason = "24 bits fit into an f32")]
            let floats: Vec<f32> = values.iter().map(|value| *value as f32 / top as f32).collect();
            let mut quantiser = Quantiser::new(bits, Dither::None);
            let mut back = Vec::new();
            quantiser.run(&floats, &mut back);
            assert_eq!(back, values);
            assert_eq!(quantiser.clipped(), 0);
        }
    }

    #[test]
    fn what_is_too_loud_is_cut_and_counted() {
        let mut quantiser = Quantiser::new(16, Dither::None);
        let mut back = Vec::new();
        quantiser.run(&[1.5, -1.5, 1.0, 1e30], &mut back);
        assert_eq!(back, [32_767, -32_768, 32_767, 32_767]);
        assert_eq!(quantiser.clipped(), 3);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn dither_keeps_what_rounding_would_lose() {
        // A constant of 0.3 steps rounds to 0; with dither its mean survives, and the noise has the variance of the
        // triangular distribution plus the rounding's (1/6 + 1/12 of a step squared).
        let input = vec![0.3 / 32_768.0; 200_000];
        let mut output = Vec::new();
        Quantiser::new(16, Dither::Tpdf).run(&input, &mut output);
        let mean = output.iter().map(|v| f64::from(*v)).sum::<f64>() / output.len() as f64;
        let variance = output.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / output.len() as f64;
        assert!((mean - 0.3).abs() < 0.01, "{mean}");
        assert!((variance - 0.25).abs() < 0.01, "{variance}");
    }
}
