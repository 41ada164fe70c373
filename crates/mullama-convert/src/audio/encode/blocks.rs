//! Samples in blocks of one size, so that no caller's pieces can change the bytes.

use crate::error::Result;

/// Cuts what comes in pieces of any size.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    waiting: Vec<T>,
    size: usize,
}

impl<T: Copy> Blocks<T> {
    /// Blocks of `size` samples.
    pub(super) fn new(size: usize) -> Self {
        Self { waiting: Vec::with_capacity(size), size }
    }

    /// Hands on each block that is full.
    pub(super) fn push(&mut self, mut samples: &[T], mut block: impl FnMut(&[T]) -> Result<()>) -> Result<()> {
        if !self.waiting.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(self.size - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            samples = later;
            if self.waiting.len() < self.size {
                return Ok(());
            }
            block(&self.waiting)?;
            self.waiting.clear();
        }
        let whole = samples.chunks_exact(self.size);
        self.waiting.extend_from_slice(whole.remainder());
        whole.into_iter().try_for_each(block)
    }

    /// What is left: less than a block.
    pub(super) fn rest(&self) -> &[T] {
        &self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_depend_on_pieces() {
        let samples: Vec<u32> = (0..100).collect();
        for piece in [1, 3, 7, 8, 9, 16, 50, 100] {
            let mut blocks = Blocks::new(8);
            let mut seen = Vec::new();
            for piece in samples.chunks(piece) {
                let mut take = |block: &[u32]| {
                    assert_eq!(block.len(), 8);
                    seen.extend_from_slice(block);
                    Ok(())
                };
                blocks.push(piece, &mut take).unwrap();
            }
            assert_eq!((seen.len(), blocks.rest().len()), (96, 4), "{piece}");
            seen.extend_from_slice(blocks.rest());
            assert_eq!(seen, samples, "{piece}");
        }
    }
}
