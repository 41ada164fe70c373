//! Checks of the tensors: where their data lies, and whether llama.cpp has kernels for their types.

use super::{
    Gguf,
    error::{GgufError, TensorProblem},
    tensor::GgufTensor,
};

/// Checks that the tensors follow one another without gaps, aligned and within the file.
///
/// llama.cpp itself refuses gaps and data outside the file, but asserts on the address of the first mapped tensor.
pub(super) fn layout(gguf: &Gguf) -> Result<(), GgufError> {
    let mut expected = 0_u64;
    for tensor in gguf.tensors() {
        let wrong = |problem| Err(GgufError::Tensor { name: tensor.name.clone(), problem });
        if tensor.offset != expected {
            return wrong(TensorProblem::Offset { found: tensor.offset, expected });
        }
        let Some(at) = gguf.data_offset().checked_add(tensor.offset) else {
            return wrong(TensorProblem::Overflow);
        };
        if !at.is_multiple_of(TENSOR_ALIGNMENT) {
            return wrong(TensorProblem::Unaligned { at, align: TENSOR_ALIGNMENT });
        }
        let end = tensor.bytes.checked_next_multiple_of(u64::from(gguf.alignment()));
        let Some(end) = end.and_then(|padded| expected.checked_add(padded)) else {
            return wrong(TensorProblem::Overflow);
        };
        expected = end;
    }
    // The padding after the last tensor may be missing.
    let Some(last) = gguf.tensors().last() else { return Ok(()) };
    let need = gguf.data_offset().saturating_add(last.offset).saturating_add(last.bytes);
    let have = gguf.file_size();
    if need > have { Err(GgufError::TruncatedData { need, have }) } else { Ok(()) }
}

/// Checks the types of the tensors whose use is clear from their names.
pub(super) fn weights(gguf: &Gguf) -> Result<(), GgufError> {
    match gguf.tensors().iter().find(|tensor| !is_usable(tensor)) {
        Some(tensor) => {
            let problem = TensorProblem::Type { kind: tensor.kind };
            Err(GgufError::Tensor { name: tensor.name.clone(), problem })
        }
        None => Ok(()),
    }
}

fn is_usable(tensor: &GgufTensor) -> bool {
    let name = tensor.name.as_str();
    // Added to or multiplied with activations in f32: the CPU backend aborts on another type (binary-ops.cpp), and
    // ggml_rope_ext asserts on it while the model is being loaded.
    if name.ends_with("norm.weight") || name.ends_with(".bias") || name.starts_with("rope_f") {
        return tensor.kind.name() == "f32";
    }
    let stem = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, stem)| stem);
    // The one table of numbers among them: which token goes to which expert.
    let is_matrix = stem != "ffn_gate_tid2eid.weight"
        && MATRICES.iter().any(|prefix| stem.starts_with(prefix))
        && stem.ends_with(".weight");
    !is_matrix || tensor.kind.is_weight()
}

/// `TENSOR_ALIGNMENT` of ggml-backend.cpp.
const TENSOR_ALIGNMENT: u64 = 32;

/// Beginnings of the names of tensors that are only used in matrix products and as tables of embeddings.
const MATRICES: [&str; 9] =
    ["token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down", "ffn_gate"];
