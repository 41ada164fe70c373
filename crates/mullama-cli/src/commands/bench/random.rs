//! Random numbers that are the same on every machine (SplitMix64).

/// A source of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// A source for these seeds; another for any others.
    pub(super) fn new(seeds: &[u64]) -> Self {
        let mut random = Self(0x6d_756c_6c61_6d61);
        for seed in seeds {
            random.0 ^= *seed;
            random.0 = random.next();
        }
        random
    }

    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`.
    #[expect(clippy::cast_possible_truncation, reason = "the high half of a product is below its factor, a usize")]
    pub(super) fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// Two numbers of the standard normal distribution (Box and Muller).
    pub(super) fn normal(&mut self) -> (f32, f32) {
        let bits = self.next();
        let unit = |half: u64| (half as f32 + 0.5) / 4_294_967_296.0;
        let (radius, angle) = (unit(bits >> 32), unit(bits & 0xffff_ffff));
        let radius = (-2.0 * radius.ln()).sqrt();
        let (sine, cosine) = (angle * std::f32::consts::TAU).sin_cos();
        (radius * cosine, radius * sine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_their_mean_and_deviation() {
        let mut random = Random::new(&[1]);
        let numbers: Vec<f64> = (0..50_000)
            .flat_map(|_| {
                let (a, b) = random.normal();
                [f64::from(a), f64::from(b)]
            })
            .collect();
        let mean = numbers.iter().sum::<f64>() / 1e5;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        assert!(numbers.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn numbers_are_below_their_limit_and_all_come() {
        let mut random = Random::new(&[7, 8]);
        let mut seen = [0; 5];
        (0..1_000).for_each(|_| seen[random.below(5)] += 1);
        assert!(seen.iter().all(|count| *count > 120), "{seen:?}");
    }
}
