//! Floats into integers: clipping that is counted, dither that repeats.

use super::options::Dither;

/// Turns floats into integers of a depth.
#[derive(Debug)]
pub(crate) struct Quantiser {
    scale: f32,
    lowest: f32,
    highest: f32,
    dither: bool,
    noise: u64,
    clipped: u64,
}

impl Quantiser {
    /// For integers of `bits` (8..=32). There is dither only if `dither` asks for it and the depth is 16 or fewer.
    pub(crate) fn new(bits: u32, dither: Dither) -> Self {
        let scale = (1u64 << (bits - 1)) as f32;
        // The largest f32 below 2^31 is 2^31 - 128: beyond 24 bits the top is what a float can say.
        let highest = if bits > 24 { scale - 128.0 } else { scale - 1.0 };
        Self {
            scale,
            lowest: -scale,
            highest,
            dither: dither == Dither::Tpdf && bits <= 16,
            noise: 0x9e37_79b9_7f4a_7c15,
            clipped: 0,
        }
    }

    /// Samples beyond full scale so far.
    pub(crate) fn clipped(&self) -> u64 {
        self.clipped
    }

    #[expect(clippy::cast_possible_truncation, reason = "clamped to the depth before")]
    pub(crate) fn run(&mut self, input: &[f32], output: &mut Vec<i32>) {
        output.clear();
        output.reserve(input.len());
        for sample in input {
            let scaled = sample * self.scale;
            // Full scale itself has no positive integer; that is rounding, not clipping.
            if scaled > self.scale || scaled < self.lowest {
                self.clipped += 1;
            }
            let noise = if self.dither { self.triangle() } else { 0.0 };
            output.push((scaled + noise).round_ties_even().clamp(self.lowest, self.highest) as i32);
        }
    }

    /// Triangular noise in -1.0..1.0 steps: two uniform numbers from one draw of xorshift64*.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit into an f32")]
    fn triangle(&mut self) -> f32 {
        self.noise ^= self.noise >> 12;
        self.noise ^= self.noise << 25;
        self.noise ^= self.noise >> 27;
        let drawn = self.noise.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let uniform = |bits: u64| (bits & 0xff_ffff) as f32 / 16_777_216.0;
        uniform(drawn >> 40) - uniform(drawn >> 12)
    }
}

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
