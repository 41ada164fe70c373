//! Checks of the hyperparameters against the assertions and the divisions of llama.cpp.
//!
//! Where a key is missing or has another type than llama.cpp insists on, it says so itself, and nothing is said here.

use super::{
    Gguf,
    error::{GgufError, HyperparameterProblem as Problem},
    value::{GgufArray, GgufValue},
};

/// Checks the hyperparameters of a model in the order in which `llama_model_base::load_hparams` reads them.
pub(super) fn check(gguf: &Gguf, architecture: &str) -> Result<(), GgufError> {
    let model = Model { gguf, architecture };
    model.range("context_length", 1, MAX_LENGTH)?;
    model.range("embedding_length", 1, MAX_LENGTH)?;
    model.range("block_count", 1, MAX_LAYERS)?;
    if let Some(layers) = model.number("block_count") {
        model.range("nextn_predict_layers", 0, layers)?;
    }
    model.experts()?;
    model.scaling()?;
    model.heads()?;
    model.recurrence()?;
    model.norms_and_pooling()
}

struct Model<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl Model<'_> {
    fn experts(&self) -> Result<(), GgufError> {
        let used = self.layers("expert_used_count").unwrap_or_default();
        let (mut count, mut most) = (self.or_zero("expert_count"), used.iter().copied().max().unwrap_or(0));
        if matches!(self.architecture, "hunyuan_vl" | "hunyuan-dense") && count <= 1 {
            (count, most) = (0, 0);
        }
        if count == 0 && ONLY_WITH_EXPERTS.contains(&self.architecture) {
            return self.wrong("expert_count", 0, Problem::Zero);
        }
        self.range("expert_count", 0, MAX_EXPERTS)?;
        if most > count {
            return self.wrong("expert_used_count", most, Problem::Above { limit: count });
        }
        if count == 0 {
            return self.range("expert_group_count", 0, 0);
        }
        // The width of an expert is the width of the layer divided by the experts in use, unless it is given.
        let divides = self.layers("expert_feed_forward_length").is_none_or(|widths| widths.contains(&0));
        if most == 0 || (divides && used.contains(&0)) {
            return self.wrong("expert_used_count", 0, Problem::Zero);
        }
        self.range("expert_group_count", 0, count - 1)?;
        let groups = self.or_zero("expert_group_count");
        if groups <= 1 {
            return Ok(());
        }
        if !count.is_multiple_of(groups) {
            return self.wrong("expert_count", count, Problem::NotMultiple { of: groups });
        }
        if self.or_zero("expert_group_used_count") == 0 {
            return self.wrong("expert_group_used_count", 0, Problem::Zero);
        }
        self.range("expert_group_used_count", 1, groups - 1)
    }

    fn scaling(&self) -> Result<(), GgufError> {
        let key = self.key("rope.scaling.type");
        match self.gguf.text(&key) {
            None | Some("none" | "linear" | "yarn" | "longrope") => Ok(()),
            Some(name) => {
                let value = GgufValue::String(name.to_owned());
                Err(GgufError::Hyperparameter { key, value, problem: Problem::Unknown })
            }
        }
    }

    fn heads(&self) -> Result<(), GgufError> {
        let Some(heads) = self.layers("attention.head_count") else { return Ok(()) };
        let shared = self.layers("attention.head_count_kv").unwrap_or_default();
        if heads.iter().all(|&count| count == 0) {
            // Right for models without attention alone.
            let recurrent = self.number("ssm.inner_size").or(self.number("wkv.head_size")).is_some();
            return if recurrent { Ok(()) } else { self.wrong("attention.head_count", 0, Problem::Zero) };
        }
        for layer in 0..heads.len().max(shared.len()) {
            let at = |list: &[u64]| list.get(layer).or(list.first()).copied().unwrap_or(0);
            let (count, groups) = (at(&heads), at(&shared));
            if count > 0 && groups > 0 && !count.is_multiple_of(groups) {
                return self.wrong("attention.head_count", count, Problem::NotMultiple { of: groups });
            }
        }
        match heads.first() {
            None | Some(0) => Ok(()),
            Some(&count) => self.head_size(count),
        }
    }

    /// The size of a head and the part of it that is rotated, for the first layer.
    fn head_size(&self, heads: u64) -> Result<(), GgufError> {
        let Some(width) = self.number("embedding_length") else { return Ok(()) };
        let key_length = self.number("attention.key_length");
        if key_length.is_none() && !width.is_multiple_of(heads) {
            return self.wrong("embedding_length", width, Problem::NotMultiple { of: heads });
        }
        let key = key_length.unwrap_or(width / heads);
        let value = self.number("attention.value_length").unwrap_or(width / heads);
        if key.max(value).saturating_mul(heads) > MAX_LENGTH {
            return self.wrong("attention.head_count", heads, Problem::Above { limit: MAX_LENGTH / key.max(value) });
        }
        // Sliding windows may have heads of their own size, and a first layer with them is beyond this check.
        let uniform = !["key_length", "value_length"].iter().any(|name| self.has(&format!("attention.{name}_swa")));
        if uniform && key != value && SAME_HEADS.contains(&self.architecture) {
            return self.wrong("attention.value_length", value, Problem::Differs { expected: key });
        }

        let given = self.number("rope.dimension_count");
        let rotated = given.unwrap_or(key);
        let whole = ROTATED_HEADS.contains(&self.architecture);
        if whole && uniform && rotated != key && !self.has("rope.dimension_count_swa") {
            return self.wrong("rope.dimension_count", rotated, Problem::Differs { expected: key });
        }
        if (given.is_some() || whole) && !rotated.is_multiple_of(2) {
            return self.wrong("rope.dimension_count", rotated, Problem::Odd);
        }
        if rotated > key {
            return self.wrong("rope.dimension_count", rotated, Problem::Above { limit: key });
        }
        match self.number("attention.key_length_mla") {
            Some(latent @ 1..) if rotated >= latent => {
                return self.wrong("rope.dimension_count", rotated, Problem::Above { limit: latent - 1 });
            }
            _ => {}
        }
        match self.signed("rope.dimension_sections") {
            Some(sections) if SECTIONED.contains(&self.architecture) && sections.iter().take(3).all(|&n| n <= 0) => {
                self.wrong("rope.dimension_sections", 0, Problem::Zero)
            }
            _ => Ok(()),
        }
    }

    fn recurrence(&self) -> Result<(), GgufError> {
        let positive = [
            "ssm.conv_kernel",
            "ssm.state_size",
            "ssm.inner_size",
            "ssm.time_step_rank",
            "wkv.head_size",
            "full_attention_interval",
        ];
        for name in positive {
            self.range(name, 1, MAX_LENGTH)?;
        }
        let width = self.or_zero("embedding_length");
        if let Some(head) = self.number("wkv.head_size")
            && !width.is_multiple_of(head)
        {
            return self.wrong("embedding_length", width, Problem::NotMultiple { of: head });
        }
        let Some(inner) = self.number("ssm.inner_size") else { return Ok(()) };
        if matches!(self.architecture, "jamba" | "granitehybrid") && inner != 2 * width {
            return self.wrong("ssm.inner_size", inner, Problem::Differs { expected: 2 * width });
        }
        if !GROUPED_STATES.contains(&self.architecture) {
            return Ok(());
        }
        self.range("ssm.group_count", 1, MAX_LENGTH)?;
        for (name, divisor) in [("ssm.inner_size", "ssm.time_step_rank"), ("ssm.time_step_rank", "ssm.group_count")] {
            if let (Some(value), Some(of)) = (self.number(name), self.number(divisor))
                && !value.is_multiple_of(of)
            {
                return self.wrong(name, value, Problem::NotMultiple { of });
            }
        }
        Ok(())
    }

    fn norms_and_pooling(&self) -> Result<(), GgufError> {
        for name in ["layer_norm_epsilon", "layer_norm_rms_epsilon", "group_norm_epsilon"] {
            let key = self.key(&format!("attention.{name}"));
            match self.gguf.get(&key) {
                Some(&GgufValue::F32(epsilon)) if epsilon.is_nan() || epsilon < 0.0 => {
                    let value = GgufValue::F32(epsilon);
                    return Err(GgufError::Hyperparameter { key, value, problem: Problem::Negative });
                }
                _ => {}
            }
        }
        match self.number("pooling_type") {
            // Of the known types the last is "rank"; -1 leaves the choice to the caller.
            Some(kind) if kind > 4 && kind != u64::from(u32::MAX) => self.wrong("pooling_type", kind, Problem::Unknown),
            _ => Ok(()),
        }
    }

    /// Checks that a number, if it is there, is within a range that begins at 0 or 1.
    fn range(&self, name: &str, low: u64, high: u64) -> Result<(), GgufError> {
        match self.number(name) {
            Some(value) if value < low => self.wrong(name, value, Problem::Zero),
            Some(value) if value > high => self.wrong(name, value, Problem::Above { limit: high }),
            _ => Ok(()),
        }
    }

    fn wrong(&self, name: &str, value: u64, problem: Problem) -> Result<(), GgufError> {
        Err(GgufError::Hyperparameter { key: self.key(name), value: GgufValue::U64(value), problem })
    }

    fn or_zero(&self, name: &str) -> u64 {
        self.number(name).unwrap_or(0)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.gguf.u32(&self.key(name)).map(u64::from)
    }

    /// A number for each layer, or one for all of them, as `get_key_or_arr` reads them.
    fn layers(&self, name: &str) -> Option<Vec<u64>> {
        match self.gguf.get(&self.key(name))? {
            &GgufValue::U32(number) => Some(vec![number.into()]),
            GgufValue::Array(GgufArray::U32(list)) => Some(list.iter().copied().map(u64::from).collect()),
            GgufValue::Array(GgufArray::I32(list)) => {
                Some(list.iter().map(|number| number.cast_unsigned().into()).collect())
            }
            _ => None,
        }
    }

    fn signed(&self, name: &str) -> Option<Vec<i32>> {
        match self.gguf.get(&self.key(name))? {
            GgufValue::Array(GgufArray::I32(list)) => Some(list.clone()),
            GgufValue::Array(GgufArray::U32(list)) => Some(list.iter().map(|number| number.cast_signed()).collect()),
            _ => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.gguf.get(&self.key(name)).is_some()
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }
}

/// `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: u64 = 512;
/// `LLAMA_MAX_EXPERTS`.
const MAX_EXPERTS: u64 = 1_024;
/// Lengths are handed on as C's `int`.
const MAX_LENGTH: u64 = i32::MAX as u64;

/// Architectures whose loader asserts that there are experts.
const ONLY_WITH_EXPERTS: [&str; 6] = ["bailingmoe2", "glm4moe", "grovemoe", "lfm2moe", "llada-moe", "smallthinker"];

/// Architectures that divide by the number of groups of states (Mamba 2 and gated delta nets).
const GROUPED_STATES: [&str; 9] = [
    "falcon-h1",
    "granitehybrid",
    "mamba2",
    "nemotron_h",
    "nemotron_h_moe",
    "qwen35",
    "qwen35moe",
    "qwen3next",
    "qwen4exp",
];

/// Architectures whose rotation is divided into sections, on which ggml asserts that they are not all empty.
const SECTIONED: [&str; 8] =
    ["clef", "paddleocr", "qwen2vl", "qwen35", "qwen35moe", "qwen3tts", "qwen3vl", "qwen3vlmoe"];

/// Architectures whose graph asserts `n_embd_head == n_embd_head_k`, where the former is the length of a value.
#[rustfmt::skip]
const SAME_HEADS: [&str; 95] = [
    "afmoe", "apertus", "arcee", "arctic", "baichuan", "bailingmoe2", "bert", "bitnet", "bloom", "chameleon",
    "chatglm", "clef", "codeshell", "cogvlm", "cohere2", "cohere2moe", "command-r", "dbrx", "deci", "deepseek",
    "dots1", "dream", "eagle3", "ernie4_5", "ernie4_5-moe", "eurobert", "exaone", "falcon", "glm4", "glm4moe", "gpt2",
    "gptneox", "granite", "granite_swa", "granitehybrid", "graniteswitch", "grok", "grovemoe", "hunyuan-moe",
    "hunyuan_vl", "hy_v3", "internlm2", "jais", "jais2", "laguna", "llada", "llada-moe", "llama", "llama4",
    "maincoder", "mellum", "minimax-01", "minimax-m2", "minimax-m3", "mistral3", "modern-bert", "mpt", "muse-glimmer",
    "nanbeige", "nemotron", "nemotron_h", "neo-bert", "olmo", "olmo2", "olmoe", "openelm", "orion", "paddleocr",
    "pangu-embedded", "phi2", "phi3", "plamo", "pockettts", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen35",
    "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "refact", "rnd1", "seed_oss", "smallthinker",
    "smollm3", "spark2_5", "stablelm", "starcoder", "starcoder2", "t5", "xverse",
];

/// Architectures whose graph asserts `n_embd_head == n_rot`; nearly all of them are above, so that keys and values are alike.
#[rustfmt::skip]
const ROTATED_HEADS: [&str; 58] = [
    "apertus", "arcee", "arctic", "baichuan", "chameleon", "codeshell", "cogvlm", "cohere2moe", "dbrx", "deci",
    "deepseek", "dots1", "dream", "ernie4_5", "ernie4_5-moe", "exaone", "exaone-moe", "exaone4", "falcon", "granite",
    "granite_swa", "graniteswitch", "grok", "grovemoe", "hunyuan-moe", "hunyuan_vl", "hy_v3", "internlm2", "jais2",
    "llada", "llada-moe", "llama", "llama4", "maincoder", "mellum", "mistral3", "olmo", "olmo2", "olmoe", "orion",
    "paddleocr", "pangu-embedded", "plamo", "pockettts", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe",
    "qwen3vl", "qwen3vlmoe", "rnd1", "seed_oss", "smallthinker", "smollm3", "starcoder2", "talkie", "xverse",
];
