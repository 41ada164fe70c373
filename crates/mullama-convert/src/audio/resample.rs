//! Sample rates into others: rubato's FFT resampler, with its delay cut off and the exact length.

use audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

use super::pcm::{extract, interleave};
use crate::error::{Error, Result};

/// Turns one rate into another. What goes in may come in pieces of any size; what comes out does not depend on them.
#[derive(Debug)]
pub(crate) struct Resampler {
    inner: Fft<f32>,
    channels: usize,
    rates: (u64, u64),
    /// A plane for each channel: what waits for a whole chunk.
    waiting: Vec<Vec<f32>>,
    output: Vec<Vec<f32>>,
    /// Frames that came in.
    taken: u64,
    /// Frames that went out.
    given: u64,
    /// Frames of delay that are still to be dropped.
    delay: usize,
}

impl Resampler {
    pub(crate) fn new(from: u32, to: u32, channels: u16) -> Result<Self> {
        let channels = usize::from(channels);
        let failed = |source| Error::Encode { format: "resampled", source };
        let size = |rate: u32| usize::try_from(rate).unwrap_or(usize::MAX);
        let inner = Fft::<f32>::new_custom(
            size(from),
            size(to),
            chunk(from, to),
            1,
            channels,
            rubato::WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|error| failed(error.into()))?;
        let output = vec![vec![0.0; inner.output_frames_max()]; channels];
        let waiting = vec![Vec::with_capacity(inner.input_frames_max()); channels];
        let delay = inner.output_delay();
        Ok(Self { inner, channels, rates: (from.into(), to.into()), waiting, output, taken: 0, given: 0, delay })
    }

    /// Appends to `output` what can be computed.
    pub(crate) fn push(&mut self, mut input: &[f32], output: &mut Vec<f32>) -> Result<()> {
        self.taken += (input.len() / self.channels) as u64;
        let chunk = self.inner.input_frames_next();
        while !input.is_empty() {
            let room = chunk - self.waiting[0].len();
            let (now, later) = input.split_at(input.len().min(room * self.channels));
            for (channel, plane) in self.waiting.iter_mut().enumerate() {
                extract(now, self.channels, channel, plane);
            }
            input = later;
            if self.waiting[0].len() == chunk {
                self.process(chunk, u64::MAX, output)?;
            }
        }
        Ok(())
    }

    /// Appends the rest: `ceil(frames in * to / from)` frames have come out then.
    pub(crate) fn finish(&mut self, output: &mut Vec<f32>) -> Result<()> {
        let total = (self.taken * self.rates.1).div_ceil(self.rates.0);
        let chunk = self.inner.input_frames_next();
        while self.given < total {
            let have = self.waiting[0].len();
            self.waiting.iter_mut().for_each(|plane| plane.resize(chunk, 0.0));
            self.process(have, total, output)?;
        }
        Ok(())
    }

    fn process(&mut self, have: usize, total: u64, output: &mut Vec<f32>) -> Result<()> {
        let failed = |problem: String| Error::Encode { format: "resampled", source: problem.into() };
        let frames = self.inner.output_frames_next();
        let chunk = self.inner.input_frames_next();
        let input = SequentialSliceOfVecs::new(&self.waiting, self.channels, chunk)
            .map_err(|error| failed(error.to_string()))?;
        let mut planes = SequentialSliceOfVecs::new_mut(&mut self.output, self.channels, frames)
            .map_err(|error| failed(error.to_string()))?;
        let partial = Indexing::new().partial_len(have);
        let (_, made) = self
            .inner
            .process_into_buffer(&input, &mut planes, (have < chunk).then_some(&partial))
            .map_err(|error| failed(error.to_string()))?;
        self.waiting.iter_mut().for_each(Vec::clear);
        let skip = self.delay.min(made);
        self.delay -= skip;
        let room = usize::try_from(total - self.given).unwrap_or(usize::MAX);
        let end = made.min(skip.saturating_add(room));
        interleave(&self.output, skip..end, output);
        self.given += (end - skip) as u64;
        Ok(())
    }
}

/// Frames of input that are computed at once. Input and output must both be even: the filter's delay is half of them, and half
/// a frame would shift the sound.
fn chunk(from: u32, to: u32) -> usize {
    let (mut least, mut rest) = (from, to);
    while rest != 0 {
        (least, rest) = (rest, least % rest);
    }
    let least = usize::try_from(from / least.max(1)).unwrap_or(usize::MAX);
    CHUNK.div_ceil(least).next_multiple_of(2) * least
}

/// Frames that are computed at once, about: long enough for a steep filter, short enough to stay in the cache.
const CHUNK: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: u32, to: u32, input: &[f32], piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to, 1).unwrap();
        let mut output = Vec::new();
        for piece in input.chunks(piece) {
            resampler.push(piece, &mut output).unwrap();
        }
        resampler.finish(&mut output).unwrap();
        output
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "a sine fits into an f32")]
    fn a_sine_stays_where_it_was_and_the_length_is_exact() {
        for (from, to) in [(44_100, 48_000), (48_000, 44_100), (44_100, 16_000), (8_000, 48_000), (48_000, 22_050)] {
            let sine =
                |rate: u32, at: usize| (at as f64 / f64::from(rate) * 1000.0 * std::f64::consts::TAU).sin() as f32;
            let input: Vec<f32> = (0..30_000).map(|at| sine(from, at)).collect();
            let output = run(from, to, &input, 777);
            let frames = (30_000u64 * u64::from(to)).div_ceil(u64::from(from));
            assert_eq!(output.len() as u64, frames, "{from} to {to}");
            let middle = output.len() / 4..output.len() * 3 / 4;
            let worst = middle.map(|at| (output[at] - sine(to, at)).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-4, "{from} to {to}: {worst}");
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let input: Vec<f32> = (0u16..5_000).map(|at| f32::from(at.wrapping_mul(7919)) / 65_536.0 - 0.5).collect();
        let whole = run(44_100, 48_000, &input, usize::MAX);
        for piece in [1, 7, 1023, 1024, 1025] {
            assert_eq!(run(44_100, 48_000, &input, piece), whole, "{piece}");
        }
        for frames in [0, 1, 2, 1_000] {
            assert_eq!(run(44_100, 48_000, &input[..frames], 7).len(), (frames * 48_000).div_ceil(44_100));
        }
    }
}
