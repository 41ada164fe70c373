//! A model.

use std::path::PathBuf;

use mullama_core::{KvOverride, LoraSpec, SplitMode};

use crate::field::{Apply, Field, Kind, number, section, whole};

section! {
    /// A model: its file, its names, and how it is loaded.
    pub struct ModelConfig {
        /// The GGUF file; of a split model the first one. Empty (default): none is meant.
        path: String = String::new(), Kind::Path, ReloadModel;
        /// What a server calls it. Empty (default): as its file, without `.gguf`.
        name: String = String::new(), Kind::Text, ReloadModel;
        /// Further names. Default: none.
        aliases: Vec<String> = Vec::new(), Kind::List(&Kind::Text), ReloadModel;
        /// Layers to put on GPUs; -1 (default): all. Has no effect in a build without a GPU backend.
        gpu_layers: i32 = -1, whole(-1, i32::MAX as i128), ReloadModel;
        /// Tokens that prompt and answer may have together; 0 (default): as `context.n_ctx` says. Both must not differ.
        context_size: u32 = 0, whole(0, 1 << 24), ReloadModel;
        /// How several GPUs share the model. Default: `layer`.
        split_mode: SplitMode = SplitMode::Layer, Kind::Names(&["none", "layer", "row", "tensor"]), ReloadModel;
        /// The GPU that holds the model when it is not split. Default 0.
        main_gpu: u32 = 0, whole(0, 1_023), ReloadModel;
        /// Shares of the model for each GPU, in any unit; empty (default): by free memory.
        tensor_split: Vec<f32> = Vec::new(), Kind::List(&number(0.0, 1e9)), ReloadModel;
        /// Names of the devices to use, as `mullama devices` tells them; empty (default): all.
        devices: Vec<String> = Vec::new(), Kind::List(&Kind::Text), ReloadModel;
        /// Map the file into memory instead of reading it. Default true.
        mmap: bool = true, Kind::Flag, ReloadModel;
        /// Keep the weights from being swapped out. Default false.
        mlock: bool = false, Kind::Flag, ReloadModel;
        /// Look for invalid numbers in the weights; reads them all. Default false.
        check_tensors: bool = false, Kind::Flag, ReloadModel;
        /// Metadata values to use instead of the file's: `{ key = "...", value = { int = 1 } }`; the type is `int`, `float`,
        /// `bool` or `str`. Default: none.
        kv_overrides: Vec<KvOverride> = Vec::new(), Kind::Sections(OVERRIDE), ReloadModel;
        /// Adapters: `{ path = "a.gguf", scale = 1.0 }`. Default: none.
        lora: Vec<LoraSpec> = Vec::new(), Kind::Sections(ADAPTER), ReloadModel;
        /// A file with a chat template (Jinja) to use instead of the model's own. It is a program: take it from people whom
        /// you trust. Default: none.
        chat_template_file: Option<PathBuf> = None, Kind::Path, ReloadModel;
    }
}

const OVERRIDE: &[Field] = &[
    Field { name: "key", kind: Kind::Text, apply: Apply::ReloadModel, doc: "The key, at most 127 bytes." },
    Field { name: "value", kind: Kind::Any, apply: Apply::ReloadModel, doc: "The value, under the name of its type." },
];

const ADAPTER: &[Field] = &[
    Field { name: "path", kind: Kind::Path, apply: Apply::ReloadModel, doc: "The adapter's GGUF file." },
    Field {
        name: "scale",
        kind: number(-100.0, 100.0),
        apply: Apply::ReloadModel,
        doc: "1.0 as it was trained, 0.0 off.",
    },
];
