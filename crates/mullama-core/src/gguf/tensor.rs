//! Descriptions of tensors: their types, shapes and places in the file.

use std::fmt;

use super::error::{GgufError, TensorProblem};

/// Storage type of a tensor: plain numbers, or blocks of quantized ones.
///
/// Wraps `ggml_type`. A row of a tensor is stored as `row / block_size` blocks of `type_size` bytes each.
///
/// ```
/// use mullama_core::gguf::TensorType;
///
/// let q8 = TensorType::from_id(8).expect("Q8_0 has the number 8");
/// assert_eq!((q8.name(), q8.block_size(), q8.type_size()), ("q8_0", 32, 34));
/// assert!(TensorType::from_id(4).is_none(), "Q4_2 is gone since 2023");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorType {
    id: u32,
    name: &'static str,
    block_size: u32,
    type_size: u32,
}

impl TensorType {
    /// Finds the type that has the number `id` in a file; `None` for unknown and for withdrawn types.
    #[must_use]
    pub fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().find(|row| row.id == id).copied()
    }

    /// Number of the type in the file (`enum ggml_type`).
    #[must_use]
    pub fn id(self) -> u32 {
        self.id
    }

    /// Name that llama.cpp prints, such as `f16` or `q4_K`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Elements in a block; 1 for plain numbers.
    #[must_use]
    pub fn block_size(self) -> u64 {
        u64::from(self.block_size)
    }

    /// Bytes of a block.
    #[must_use]
    pub fn type_size(self) -> u64 {
        u64::from(self.type_size)
    }

    /// Whether the values are stored in blocks with a scale.
    #[must_use]
    pub fn is_quantized(self) -> bool {
        self.block_size > 1
    }

    /// Whether llama.cpp's CPU backend has a dot product for the type. It has none for integers, `f64` and the two
    /// types that only exist for activations, and calls a null pointer when a file uses one of them for a weight.
    pub(super) fn is_weight(self) -> bool {
        !matches!(self.name, "i8" | "i16" | "i32" | "i64" | "f64" | "q8_1" | "q8_K")
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TensorType({})", self.name)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One tensor as the header describes it; its data is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GgufTensor {
    /// Name, such as `blk.0.attn_q.weight`; less than 64 bytes.
    pub name: String,
    /// Elements along each dimension, the contiguous one first; at most 4, none for a single number.
    pub dimensions: Vec<u64>,
    /// Storage type.
    pub kind: TensorType,
    /// Where the data begins, in bytes after [`Gguf::data_offset`](super::Gguf::data_offset).
    pub offset: u64,
    /// Size of the data in bytes, without padding.
    pub bytes: u64,
}

impl GgufTensor {
    /// Builds a description, checking the shape as `gguf_init_from_file` does.
    pub(super) fn new(name: String, dimensions: Vec<u64>, type_id: u32, offset: u64) -> Result<Self, GgufError> {
        match measure(&dimensions, type_id) {
            Ok((kind, bytes)) => Ok(Self { name, dimensions, kind, offset, bytes }),
            Err(problem) => Err(GgufError::Tensor { name, problem }),
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.dimensions.iter().product()
    }
}

/// Type and size in bytes of a tensor, or why it has none.
fn measure(dimensions: &[u64], type_id: u32) -> Result<(TensorType, u64), TensorProblem> {
    let kind = TensorType::from_id(type_id).ok_or(TensorProblem::UnknownType { id: type_id })?;
    if let Some(axis) = dimensions.iter().position(|&length| length == 0) {
        return Err(TensorProblem::EmptyDimension { axis });
    }
    // ggml counts in i64 and multiplies strides in usize; both hold when the product fits an i64.
    let elements = dimensions.iter().try_fold(1_u64, |product, &length| product.checked_mul(length));
    let elements = elements.filter(|&n| i64::try_from(n).is_ok()).ok_or(TensorProblem::Overflow)?;
    let row = dimensions.first().copied().unwrap_or(1);
    if !row.is_multiple_of(kind.block_size()) {
        return Err(TensorProblem::PartialBlock { row, kind });
    }
    let bytes = (elements / kind.block_size()).checked_mul(kind.type_size());
    let bytes = bytes.filter(|&n| i64::try_from(n).is_ok()).ok_or(TensorProblem::Overflow)?;
    Ok((kind, bytes))
}

const fn row(id: u32, name: &'static str, block_size: u32, type_size: u32) -> TensorType {
    TensorType { id, name, block_size, type_size }
}

/// Source: `enum ggml_type` (ggml.h), `type_traits` (ggml.c) and the block structs (ggml-common.h) of llama.cpp at the
/// version that llama-cpp-sys-2 0.1.161 carries. The missing numbers are withdrawn types, which llama.cpp refuses.
const TYPES: [TensorType; 35] = [
    row(0, "f32", 1, 4),
    row(1, "f16", 1, 2),
    row(2, "q4_0", 32, 18),
    row(3, "q4_1", 32, 20),
    row(6, "q5_0", 32, 22),
    row(7, "q5_1", 32, 24),
    row(8, "q8_0", 32, 34),
    row(9, "q8_1", 32, 36),
    row(10, "q2_K", 256, 84),
    row(11, "q3_K", 256, 110),
    row(12, "q4_K", 256, 144),
    row(13, "q5_K", 256, 176),
    row(14, "q6_K", 256, 210),
    row(15, "q8_K", 256, 292),
    row(16, "iq2_xxs", 256, 66),
    row(17, "iq2_xs", 256, 74),
    row(18, "iq3_xxs", 256, 98),
    row(19, "iq1_s", 256, 50),
    row(20, "iq4_nl", 32, 18),
    row(21, "iq3_s", 256, 110),
    row(22, "iq2_s", 256, 82),
    row(23, "iq4_xs", 256, 136),
    row(24, "i8", 1, 1),
    row(25, "i16", 1, 2),
    row(26, "i32", 1, 4),
    row(27, "i64", 1, 8),
    row(28, "f64", 1, 8),
    row(29, "iq1_m", 256, 56),
    row(30, "bf16", 1, 2),
    row(34, "tq1_0", 256, 54),
    row(35, "tq2_0", 256, 66),
    row(39, "mxfp4", 32, 17),
    row(40, "nvfp4", 64, 36),
    row(41, "q1_0", 128, 18),
    row(42, "q2_0", 64, 18),
];
