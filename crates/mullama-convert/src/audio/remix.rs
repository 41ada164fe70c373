//! Channels into other channels, with the weights of ITU-R BS.775.

use super::pcm::{Position, layout};

/// A matrix from the source's channels to the target's.
#[derive(Debug)]
pub(crate) struct Remix {
    inputs: usize,
    /// A row for each target channel.
    rows: Vec<Vec<f32>>,
}

impl Remix {
    /// The matrix between the standard layouts, or `None` if both have the same number of channels.
    pub(crate) fn between(from: u16, to: u16) -> Option<Self> {
        if from == to {
            return None;
        }
        let (inputs, outputs) = (layout(from), layout(to));
        let mut rows = vec![vec![0.0f32; inputs.len()]; outputs.len()];
        for (column, position) in inputs.iter().enumerate() {
            // A single channel is the same sound from both sides, not a loudspeaker in the middle at -3 dB.
            let weight = if inputs.len() == 1 && outputs.len() > 1 { std::f32::consts::SQRT_2 } else { 1.0 };
            spread(*position, weight, outputs, 4, &mut |row, share| rows[row][column] += share);
        }
        // The loudest row keeps full scale at full scale: nothing can clip that did not before.
        let loudest = rows.iter().map(|row| row.iter().sum::<f32>()).fold(0.0, f32::max);
        if loudest > 1.0 {
            rows.iter_mut().flatten().for_each(|weight| *weight /= loudest);
        }
        Some(Self { inputs: inputs.len(), rows })
    }

    pub(crate) fn apply(&self, input: &[f32], output: &mut Vec<f32>) {
        output.clear();
        output.reserve(input.len() / self.inputs * self.rows.len());
        for frame in input.chunks_exact(self.inputs) {
            output.extend(self.rows.iter().map(|row| row.iter().zip(frame).map(|(a, b)| a * b).sum::<f32>()));
        }
    }
}

/// Gives a channel to the target's loudspeaker of the same place, or to those that stand in for it.
fn spread(position: Position, weight: f32, outputs: &[Position], steps: u8, add: &mut impl FnMut(usize, f32)) {
    const THIRD: f32 = std::f32::consts::FRAC_1_SQRT_2;
    if let Some(row) = outputs.iter().position(|output| *output == position) {
        return add(row, weight);
    }
    let Some(steps) = steps.checked_sub(1) else { return };
    let stand_in: &[(Position, f32)] = match position {
        Position::FrontLeft | Position::FrontRight => &[(Position::FrontCentre, THIRD)],
        Position::FrontCentre => &[(Position::FrontLeft, THIRD), (Position::FrontRight, THIRD)],
        Position::BackCentre => &[(Position::BackLeft, THIRD), (Position::BackRight, THIRD)],
        Position::SideLeft if outputs.contains(&Position::BackLeft) => &[(Position::BackLeft, 1.0)],
        Position::SideRight if outputs.contains(&Position::BackRight) => &[(Position::BackRight, 1.0)],
        Position::BackLeft if outputs.contains(&Position::SideLeft) => &[(Position::SideLeft, 1.0)],
        Position::BackRight if outputs.contains(&Position::SideRight) => &[(Position::SideRight, 1.0)],
        Position::SideLeft | Position::BackLeft => &[(Position::FrontLeft, THIRD)],
        Position::SideRight | Position::BackRight => &[(Position::FrontRight, THIRD)],
        // The low effects are an extra, not a part of the mix (BS.775 annex 4).
        Position::Lfe => &[],
    };
    for (place, share) in stand_in {
        spread(*place, weight * share, outputs, steps, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_one_to_stereo_has_the_weights_of_the_standard() {
        let remix = Remix::between(6, 2).unwrap();
        let sum = 1.0 + 2.0 * std::f32::consts::FRAC_1_SQRT_2;
        let third = std::f32::consts::FRAC_1_SQRT_2 / sum;
        let expected = [1.0 / sum, 0.0, third, 0.0, third, 0.0];
        for (weight, expected) in remix.rows[0].iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6, "{:?}", remix.rows);
        }
    }

    #[test]
    fn stereo_to_mono_is_the_mean_and_mono_to_stereo_a_copy() {
        let mut out = Vec::new();
        Remix::between(2, 1).unwrap().apply(&[1.0, 0.5, -1.0, -1.0], &mut out);
        assert!((out[0] - 0.75).abs() < 1e-6 && (out[1] + 1.0).abs() < 1e-6, "{out:?}");
        Remix::between(1, 2).unwrap().apply(&[0.25], &mut out);
        assert!((out[0] - 0.25).abs() < 1e-6 && (out[1] - 0.25).abs() < 1e-6, "{out:?}");
    }

    #[test]
    fn no_matrix_lets_full_scale_clip_and_every_pair_has_one() {
        for from in 1..=8 {
            for to in 1..=8 {
                let Some(remix) = Remix::between(from, to) else { continue };
                assert_eq!(remix.rows.len(), usize::from(to));
                for row in &remix.rows {
                    assert!(row.iter().sum::<f32>() < 1.0001, "{from} to {to}: {row:?}");
                }
                assert!(remix.rows.iter().flatten().any(|weight| *weight > 0.0));
            }
        }
    }
}
