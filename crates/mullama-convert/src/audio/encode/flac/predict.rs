//! What a channel's samples are expected to be from those before: fixed predictors and linear prediction (RFC 9639, 9.2.5 and
//! 9.2.6). The loops over samples are written so that the compiler can make them wide.

/// The highest order of linear prediction: of the streamable subset up to 48 kHz 12 are allowed, 8 are what most encoders take.
pub(super) const MAX_ORDER: usize = 8;

/// A predictor of the linear kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linear {
    pub(super) order: usize,
    /// The first for the sample just before.
    pub(super) coefficients: [i32; MAX_ORDER],
    pub(super) shift: u32,
}

/// How much the fixed predictors of orders 0 to 4 miss: sums of absolute values behind the first four samples.
pub(super) fn fixed_misses(samples: &[i32]) -> [u64; 5] {
    let mut misses = [0u64; 5];
    for window in samples.windows(5) {
        let [a, b, c, d, e] = [window[0], window[1], window[2], window[3], window[4]];
        misses[0] += u64::from(e.unsigned_abs());
        misses[1] += u64::from((e - d).unsigned_abs());
        misses[2] += u64::from((e - 2 * d + c).unsigned_abs());
        misses[3] += u64::from((e - 3 * d + 3 * c - b).unsigned_abs());
        misses[4] += u64::from((e - 4 * d + 6 * c - 4 * b + a).unsigned_abs());
    }
    misses
}

/// What the fixed predictor of an order misses at each sample but the first `order`.
pub(super) fn fixed_residual(samples: &[i32], order: usize, residual: &mut Vec<i32>) {
    residual.clear();
    match order {
        0 => residual.extend_from_slice(samples),
        1 => residual.extend(samples.windows(2).map(|w| w[1] - w[0])),
        2 => residual.extend(samples.windows(3).map(|w| w[2] - 2 * w[1] + w[0])),
        3 => residual.extend(samples.windows(4).map(|w| w[3] - 3 * w[2] + 3 * w[1] - w[0])),
        _ => residual.extend(samples.windows(5).map(|w| w[4] - 4 * w[3] + 6 * w[2] - 4 * w[1] + w[0])),
    }
}

/// Finds linear predictors.
#[derive(Debug, Default)]
pub(super) struct Finder {
    window: Vec<f64>,
    weighed: Vec<f64>,
}

impl Finder {
    /// The linear predictor that is expected to need the fewest bits for samples of `bits` bits.
    pub(super) fn find(&mut self, samples: &[i32], bits: u32) -> Option<Linear> {
        let most = MAX_ORDER.min(samples.len() / 2);
        self.weigh(samples);
        let mut correlation = [0.0; MAX_ORDER + 1];
        for (lag, sum) in correlation.iter_mut().enumerate().take(most + 1) {
            *sum = product(&self.weighed[lag..], &self.weighed[..self.weighed.len() - lag]);
        }
        let (order, coefficients) = levinson(&correlation, most, |order, error| {
            // Of samples with a Laplace distribution, by their variance.
            let count = samples.len() as f64;
            let each = (0.5 * (error * LN_2_SQUARED / (2.0 * count)).log2()).max(0.0);
            each * (count - order as f64) + (order as f64) * f64::from(bits + PRECISION)
        })?;
        quantised(&coefficients[..order])
    }

    /// Multiplies the samples with a window of Tukey's, half of which is flat.
    fn weigh(&mut self, samples: &[i32]) {
        let count = samples.len();
        if self.window.len() != count {
            let slope = (count / 4).max(1);
            self.window.clear();
            self.window.extend((0..count).map(|at| {
                let edge = at.min(count - 1 - at);
                if edge >= slope { 1.0 } else { 0.5 - 0.5 * (std::f64::consts::PI * edge as f64 / slope as f64).cos() }
            }));
        }
        self.weighed.clear();
        self.weighed.extend(samples.iter().zip(&self.window).map(|(sample, weight)| f64::from(*sample) * weight));
    }
}

/// The sum of products, in lanes of its own order.
fn product(left: &[f64], right: &[f64]) -> f64 {
    let (lefts, left) = left.as_chunks::<16>();
    let (rights, right) = right.as_chunks::<16>();
    let mut lanes = [0.0; 16];
    for (left, right) in lefts.iter().zip(rights) {
        for ((lane, a), b) in lanes.iter_mut().zip(left).zip(right) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f64>() + left.iter().zip(right).map(|(a, b)| a * b).sum::<f64>()
}

/// Levinson's and Durbin's recursion: the order with the lowest cost, and its coefficients.
fn levinson(
    correlation: &[f64; MAX_ORDER + 1],
    most: usize,
    cost: impl Fn(usize, f64) -> f64,
) -> Option<(usize, [f64; MAX_ORDER])> {
    let mut error = correlation[0];
    let mut coefficients = [0.0; MAX_ORDER];
    let mut best = None;
    for order in 1..=most {
        if error <= 0.0 {
            break;
        }
        let known = coefficients;
        let last = order - 1;
        let sum: f64 = (0..last).map(|at| known[at] * correlation[last - at]).sum();
        let reflection = (correlation[order] - sum) / error;
        coefficients[last] = reflection;
        for at in 0..last {
            coefficients[at] = known[at] - reflection * known[last - 1 - at];
        }
        error *= 1.0 - reflection * reflection;
        let cost = cost(order, error.max(0.0));
        if best.is_none_or(|(_, _, least)| cost < least) {
            best = Some((order, coefficients, cost));
        }
    }
    best.map(|(order, coefficients, _)| (order, coefficients))
}

/// Rounds coefficients to integers; what one loses the next gets.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the precision before")]
fn quantised(coefficients: &[f64]) -> Option<Linear> {
    let largest = coefficients.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    if largest <= 0.0 || !largest.is_finite() {
        return None;
    }
    let exponent = largest.log2().floor() as i32 + 1;
    let shift = u32::try_from((PRECISION.cast_signed() - 1 - exponent).min(15)).ok()?;
    let top = f64::from((1i32 << (PRECISION - 1)) - 1);
    let mut linear = Linear { order: coefficients.len(), coefficients: [0; MAX_ORDER], shift };
    let mut carried = 0.0;
    for (place, value) in linear.coefficients.iter_mut().zip(coefficients) {
        carried += value * f64::from(1u32 << shift);
        let rounded = carried.round().clamp(-top - 1.0, top);
        carried -= rounded;
        *place = rounded as i32;
    }
    Some(linear)
}

impl Linear {
    /// What it misses at each sample but the first `order`. `false` if that does not fit into 32 bits.
    pub(super) fn residual(&self, samples: &[i32], bits: u32, residual: &mut Vec<i32>) -> bool {
        residual.clear();
        residual.resize(samples.len() - self.order, 0);
        match self.order {
            1 => self.run::<1>(samples, bits, residual),
            2 => self.run::<2>(samples, bits, residual),
            3 => self.run::<3>(samples, bits, residual),
            4 => self.run::<4>(samples, bits, residual),
            5 => self.run::<5>(samples, bits, residual),
            6 => self.run::<6>(samples, bits, residual),
            7 => self.run::<7>(samples, bits, residual),
            _ => self.run::<MAX_ORDER>(samples, bits, residual),
        }
    }

    fn run<const N: usize>(&self, samples: &[i32], bits: u32, residual: &mut [i32]) -> bool {
        let mut backwards = [0; N];
        backwards.iter_mut().zip(self.coefficients[..N].iter().rev()).for_each(|(to, from)| *to = *from);
        // Each tap's samples as a slice of one length: nothing is checked within the loops.
        let count = residual.len();
        let taps: [&[i32]; N] = std::array::from_fn(|tap| &samples[tap..tap + count]);
        let now = &samples[N..N + count];
        let sum: u64 = backwards.iter().map(|value| u64::from(value.unsigned_abs())).sum();
        // No sum can pass 32 bits, whatever the samples are.
        if sum << (bits - 1) < 1 << 31 {
            for at in 0..count {
                let mut sum = 0i32;
                for tap in 0..N {
                    sum = sum.wrapping_add(taps[tap][at].wrapping_mul(backwards[tap]));
                }
                residual[at] = now[at].wrapping_sub(sum >> self.shift);
            }
            return true;
        }
        let wide = backwards.map(i64::from);
        let mut beyond = false;
        for at in 0..count {
            let mut sum = 0i64;
            for tap in 0..N {
                sum += i64::from(taps[tap][at]) * wide[tap];
            }
            let missed = i64::from(now[at]) - (sum >> self.shift);
            // A bit is left for the code of signs.
            beyond |= missed.unsigned_abs() >= 1 << 30;
            #[expect(clippy::cast_possible_truncation, reason = "what does not fit is not used")]
            let missed = missed as i32;
            residual[at] = missed;
        }
        !beyond
    }
}

/// Bits of a coefficient. Tones need many.
pub(super) const PRECISION: u32 = 15;

const LN_2_SQUARED: f64 = std::f64::consts::LN_2 * std::f64::consts::LN_2;
