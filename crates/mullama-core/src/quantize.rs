//! Models to smaller models.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ffi::{self, RawQuantizeParams};
use crate::gguf::Gguf;
use crate::model::{c_path, invalid};
use crate::prepare::{cores, on_own_thread};

/// The number formats that [`quantize`](quantize()) makes, under llama.cpp's names.
macro_rules! file_types {
    ($($variant:ident = $name:literal, $raw:ident;)*) => {
        /// A number format of a whole model, under llama.cpp's name ("Q4_K_M").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "llama.cpp's names of number formats")]
        pub enum FileType {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl FileType {
            /// Every format, largest first.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// llama.cpp's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            const fn raw(self) -> mullama_sys::llama_ftype {
                match self { $(Self::$variant => mullama_sys::$raw,)* }
            }
        }
    };
}

file_types! {
    F32 = "F32", LLAMA_FTYPE_ALL_F32;
    Bf16 = "BF16", LLAMA_FTYPE_MOSTLY_BF16;
    F16 = "F16", LLAMA_FTYPE_MOSTLY_F16;
    Q8_0 = "Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0;
    Q6K = "Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K;
    Q5_1 = "Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1;
    Q5KM = "Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M;
    Q5KS = "Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S;
    Q5_0 = "Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0;
    Q4_1 = "Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1;
    Q4KM = "Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M;
    Q4KS = "Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S;
    Iq4Nl = "IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL;
    Iq4Xs = "IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS;
    Q4_0 = "Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0;
    Q3KL = "Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L;
    Q3KM = "Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M;
    Q3KS = "Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S;
    Q2K = "Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K;
}

impl std::fmt::Display for FileType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for FileType {
    type Err = Error;

    /// Reads llama.cpp's name, in any case.
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|kind| kind.name().eq_ignore_ascii_case(text)).copied();
        found.ok_or_else(|| Error::parameter("file_type", text, "a name such as Q8_0, Q6_K, Q5_K_M, Q4_K_M or F16"))
    }
}

/// How a model is quantized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantizeParams {
    /// Threads; 0 (default): as many as the machine has cores.
    pub threads: u32,
    /// Take models that are quantized already, although that loses more. Default false.
    pub allow_requantize: bool,
    /// Quantize the output tensor too. Default true.
    pub quantize_output_tensor: bool,
    /// Give every tensor the same format. Default false.
    pub pure: bool,
    /// Write as many files as the input has. Default false.
    pub keep_split: bool,
}

impl Default for QuantizeParams {
    fn default() -> Self {
        Self { threads: 0, allow_requantize: false, quantize_output_tensor: true, pure: false, keep_split: false }
    }
}

/// Writes `input` as `output` in the given format. `progress` is told of each tensor: how many of how many. Blocks; on
/// failure no output remains. Wraps `llama_model_quantize`.
///
/// ```no_run
/// use mullama_core::{FileType, QuantizeParams, quantize};
///
/// quantize("model-f16.gguf", "model-q4.gguf", FileType::Q4KM, &QuantizeParams::default(), |done, of| {
///     println!("{done}/{of}");
/// })?;
/// # Ok::<(), mullama_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`], [`Error::InvalidModel`], [`Error::InvalidParameter`] when input and output are the same file or the
/// input is quantized already and [`allow_requantize`](QuantizeParams::allow_requantize) is false, [`Error::Quantize`]
/// with llama.cpp's message.
pub fn quantize(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    file_type: FileType,
    params: &QuantizeParams,
    mut progress: impl FnMut(usize, usize) + Send,
) -> Result<()> {
    let (input, output) = (input.as_ref(), output.as_ref());
    ffi::init();
    let header = Gguf::open_checked(input).map_err(|source| invalid(input, source))?;
    let inputs = header.split_paths(input).map_err(|source| invalid(input, source))?;
    let outputs = if params.keep_split { split_names(output, inputs.len()) } else { vec![output.to_owned()] };
    if inputs.iter().any(|from| outputs.iter().any(|to| same_file(from, to))) {
        return Err(Error::parameter("output", output.display(), "another file than the input"));
    }
    let quantized = header.tensors().iter().find(|tensor| tensor.kind.is_quantized());
    if let Some(tensor) = quantized
        && !params.allow_requantize
    {
        let given = format!("false, and the input is {} already", tensor.kind.name());
        return Err(Error::parameter(
            "allow_requantize",
            given,
            "true to quantize it again, which loses more than from F16",
        ));
    }
    if params.threads > 512 {
        return Err(Error::parameter("threads", params.threads, "0 (automatic) to 512"));
    }
    let threads = if params.threads == 0 { cores() } else { params.threads as usize };
    let raw = RawQuantizeParams {
        file_type: file_type.raw(),
        threads: i32::try_from(threads.min(512)).unwrap_or(1),
        allow_requantize: params.allow_requantize,
        quantize_output_tensor: params.quantize_output_tensor,
        pure: params.pure,
        keep_split: params.keep_split,
        dry_run: false,
    };
    // llama.cpp would leave half a file where it fails; a split output names its files itself.
    let part = if params.keep_split { output.to_owned() } else { beside(output) };
    let (from, to) = (c_path(input)?, c_path(&part)?);
    let failed = |action, source| Error::File { action, path: output.to_owned(), source };
    if !params.keep_split {
        // What the system refuses is told by it; llama.cpp would only log it.
        std::fs::File::create(&part).map_err(|source| failed("create", source))?;
    }
    let mut told = |line: &str| {
        if let Some((done, of)) = tensor_line(line) {
            progress(done, of);
        }
    };
    let outcome = on_own_thread("mullama-quantize", || ffi::with_info(&mut told, || ffi::quantize(&from, &to, &raw)))?;
    let outcome = outcome.map_err(|reason| Error::Quantize { path: input.to_owned(), reason });
    if params.keep_split {
        return outcome.inspect_err(|_| {
            for part in &outputs {
                // The first error is the one to tell.
                let _ = std::fs::remove_file(part);
            }
        });
    }
    outcome.and_then(|()| std::fs::rename(&part, output).map_err(|source| failed("write", source))).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&part);
    })
}

/// "[   3/  47]  blk.0.attn_k.weight - [ ..." in llama.cpp's log.
fn tensor_line(line: &str) -> Option<(usize, usize)> {
    let (numbers, _) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let (done, of) = numbers.split_once('/')?;
    Some((done.trim().parse().ok()?, of.trim().parse().ok()?))
}

/// The names that llama.cpp gives to the parts of an output (`llama_split_path`).
fn split_names(output: &Path, count: usize) -> Vec<PathBuf> {
    let name = |number| format!("{}-{number:05}-of-{count:05}.gguf", output.display());
    (1..=count).map(|number| PathBuf::from(name(number))).collect()
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn beside(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        for kind in FileType::ALL {
            assert_eq!(kind.name().to_lowercase().parse::<FileType>().unwrap(), *kind);
        }
        assert!("Q9_9".parse::<FileType>().is_err());
    }

    #[test]
    fn the_log_line_of_a_tensor_gives_the_progress() {
        assert_eq!(tensor_line("[   3/  47]   blk.0.attn_k.weight - [256, 256]"), Some((3, 47)));
        assert_eq!(tensor_line("llama_model_quantize_impl: model size = 1 MiB"), None);
    }
}
