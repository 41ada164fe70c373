//! Layers over layers: defaults, system file, user file, the file that is named, environment, flags.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};
use serde::Serialize;
use serde_json::Value as Json;

use crate::config::MullamaConfig;
use crate::error::{Error, Fault, Problem, Problems, Result, Warning};
use crate::field::{Apply, Field, Kind};
use crate::file::{Content, Texts};
use crate::layer::Layer;
use crate::origin::Origin;
use crate::render;
use crate::secret::{MASK, Secret};
use crate::suggest::join;
use crate::validate;

/// Puts a configuration together. Each layer goes over those before it: defaults, the system's file, the user's file, the
/// file that is named, the environment, flags.
///
/// ```
/// use mullama_config::Loader;
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("mullama.toml");
/// std::fs::write(&file, "[server]\nport = 9000\n")?;
/// let loaded = Loader::new()
///     .file(&file)
///     .environment([("MULLAMA_SERVER__THREADS", "4")])
///     .flag("server.host", "::1", "--host")
///     .load()?;
/// let server = &loaded.config().server;
/// assert_eq!((server.host.as_str(), server.port, server.threads), ("::1", 9000, 4));
/// assert!(loaded.origin("server.port").to_string().ends_with("mullama.toml:2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Loader {
    system: Option<PathBuf>,
    user: Option<PathBuf>,
    file: Option<PathBuf>,
    variables: Vec<(String, Option<String>)>,
    flags: Vec<Given>,
    each_model: Vec<Given>,
    models_of_flags: bool,
    only: Option<&'static [&'static str]>,
    skips_denied: bool,
    /// Whose files are known to be there.
    in_force: Option<Arc<Loaded>>,
    /// What was changed while the program runs.
    runtime: Option<Json>,
}

/// The values of variables, flags and changes may be secrets.
impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<_> = self.files().collect();
        f.debug_struct("Loader").field("files", &files).finish_non_exhaustive()
    }
}

/// What a flag says.
#[derive(Clone)]
struct Given {
    path: String,
    value: Value,
    flag: String,
}

impl Loader {
    /// Nothing over the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the programs take: `/etc/mullama/config.toml`, `mullama/config.toml` under `$XDG_CONFIG_HOME` or `~/.config`, and
    /// the environment of the process.
    pub fn standard() -> Self {
        let loader = Self::new().system_file("/etc/mullama/config.toml");
        let home = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let folder = home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")));
        let loader = match folder {
            Some(folder) => loader.user_file(folder.join("mullama/config.toml")),
            None => loader,
        };
        loader.environment(std::env::vars_os())
    }

    /// The system's file, if it is there.
    pub fn system_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.system = Some(path.into());
        self
    }

    /// The user's file, if it is there.
    pub fn user_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.user = Some(path.into());
        self
    }

    /// The file that is named, which must be there: JSON if its name ends so, else TOML.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Variables: `MULLAMA_SERVER__PORT` is `server.port`; lists with commas between, or as TOML writes them. Others than
    /// those that begin with `MULLAMA_` and have `__` in them are left alone. `MULLAMA_API_KEY` is
    /// `server.auth.api_keys`.
    pub fn environment<N: Into<OsString>, T: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        self.variables = variables
            .into_iter()
            .filter_map(|(name, text)| Some((name.into().into_string().ok()?, text.into().into_string().ok())))
            .collect();
        self
    }

    /// A value of the command line; `flag` is what its user calls it. What cannot be written as a value is an error of
    /// [`Loader::load`].
    pub fn flag(mut self, path: &str, value: impl Serialize, flag: &str) -> Self {
        self.flags.push(Given::new(path, value, flag));
        self
    }

    /// As [`Loader::flag`], for a field of `model` and of each of `models`.
    pub fn model_flag(mut self, field: &str, value: impl Serialize, flag: &str) -> Self {
        let given = Given::new(field, value, flag);
        self.flags.push(Given { path: format!("model.{field}"), ..given.clone() });
        self.each_model.push(given);
        self
    }

    /// The flags name all models there are. What files and the environment say of others does not count, but for what
    /// `model` says of the machine (GPUs, memory): that is for each of them.
    pub fn models_of_flags(mut self) -> Self {
        self.models_of_flags = true;
        self
    }

    /// For a program that uses these sections alone, as `model`: others are as by default, whatever is said of them, and what
    /// is wrong with them is not its business.
    pub fn only(mut self, sections: &'static [&'static str]) -> Self {
        self.only = Some(sections);
        self
    }

    /// A file of the system or the user that the program may not read, perhaps because keys are in it, is as if it were not
    /// there. Otherwise it is an error.
    pub fn skip_denied(mut self) -> Self {
        self.skips_denied = true;
        self
    }

    /// What takes the place of this: files that it names already are not looked at again.
    pub(crate) fn instead_of(mut self, in_force: Arc<Loaded>) -> Self {
        self.in_force = Some(in_force);
        self
    }

    /// What was changed while the program runs, over the flags.
    pub(crate) fn runtime(mut self, changed: Json) -> Self {
        self.runtime = Some(changed);
        self
    }

    /// The files that are read, those too that are not there.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.system, &self.user, &self.file].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Reads all layers, and checks each of them and what they make together.
    ///
    /// # Errors
    /// [`Error::Invalid`], with everything that is wrong in any layer.
    pub fn load(&self) -> Result<Loaded> {
        self.load_from(&self.texts())
    }

    /// What stands in the files.
    pub(crate) fn texts(&self) -> Texts {
        Texts::read(self.files())
    }

    /// As [`Loader::load`], of files that were read.
    pub(crate) fn load_from(&self, texts: &Texts) -> Result<Loaded> {
        let mut layers = self.layers(texts);
        let mut secrets = Vec::new();
        for layer in &mut layers {
            layer.check(&mut secrets);
        }
        let mut problems: Vec<Problem> =
            layers.iter_mut().flat_map(|layer| std::mem::take(&mut layer.problems)).collect();
        problems.retain(|problem| self.concerns(&problem.path));
        for layer in &mut layers {
            layer.tree.retain(|section, _| self.concerns(section));
        }
        if problems.is_empty() {
            self.settle_models(&mut layers);
        }
        let mut figment = Figment::from(Serialized::defaults(MullamaConfig::default()));
        for layer in &layers {
            figment = figment.merge(layer.clone());
        }
        let loaded = match figment.extract::<MullamaConfig>() {
            Ok(mut config) => {
                reveal(&mut config, &secrets);
                let mut loaded = Loaded { config, layers, warnings: Vec::new() };
                let in_force = self.in_force.as_ref().map(|loaded| &loaded.config);
                problems.extend(validate::together(&loaded.config, &|path| loaded.origin(path), in_force));
                loaded.warnings = validate::permissions(&loaded);
                Some(loaded)
            }
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| misformed(&error, &layers)));
                None
            }
        };
        match loaded {
            Some(loaded) if problems.is_empty() => Ok(loaded),
            _ => {
                problems.sort_by_key(|problem| place(&problem.origin));
                Err(Error::Invalid(Problems(problems)))
            }
        }
    }

    /// Is a problem with this field one of the program? Of what is no section at all it is.
    fn concerns(&self, path: &str) -> bool {
        let section = path.split(['.', '[']).next().unwrap_or_default();
        let other = |only: &[&str]| !only.contains(&section) && crate::field::find(section).is_some();
        !self.only.is_some_and(other)
    }

    fn layers(&self, texts: &Texts) -> Vec<Layer> {
        let optional = [&self.system, &self.user].into_iter().flatten().map(|path| (path, texts.of(path)));
        let optional = optional.filter(|(_, content)| match content {
            Content::Absent => false,
            Content::Refused { denied, .. } => !(*denied && self.skips_denied),
            Content::Text(_) => true,
        });
        let named = self.file.iter().map(|path| (path, texts.of(path)));
        let mut layers: Vec<Layer> = optional.chain(named).map(|(path, content)| Layer::file(path, &content)).collect();
        layers.push(Layer::environment(self.variables.iter().map(|(name, text)| (name.as_str(), text.as_deref()))));
        let mut flags = Layer { name: FLAGS.to_owned(), ..Layer::default() };
        for given in &self.flags {
            flags.set(&given.path, given.value.clone(), given.origin());
        }
        layers.push(flags);
        layers.extend(self.runtime.clone().map(Layer::runtime));
        layers
    }

    /// Whose models count, and what counts for all of them.
    fn settle_models(&self, layers: &mut [Layer]) {
        let mut of_machine = Vec::new();
        if self.models_of_flags {
            for layer in layers.iter_mut().filter(|layer| layer.name != FLAGS) {
                layer.tree.remove(MODELS);
                let origin = |name: &str| layer.origin(&join(MODEL, name));
                let Some(Value::Dict(_, model)) = layer.tree.get(MODEL) else { continue };
                let told = |name: &'static str| model.get(name).map(|value| (name, value.clone(), origin(name)));
                let told: Vec<_> = OF_MACHINE.into_iter().filter_map(told).collect();
                let kept: Dict = told.iter().map(|(name, value, _)| ((*name).to_owned(), value.clone())).collect();
                layer.tree.insert(MODEL.to_owned(), kept.into());
                of_machine.extend(told);
            }
        }
        // The list is as its last layer has it.
        if let Some(layer) = layers.iter_mut().rev().find(|layer| layer.tree.contains_key(MODELS)) {
            for (name, value, origin) in of_machine {
                layer.set_in_each(MODELS, name, &value, &origin);
            }
            for given in &self.each_model {
                layer.set_in_each(MODELS, &given.path, &given.value, &given.origin());
            }
        }
    }
}

impl Given {
    fn new(path: &str, value: impl Serialize, flag: &str) -> Self {
        // What does not serialize fits no field, and is told as such.
        let value = Value::serialize(value).unwrap_or_else(|_| Value::from(Dict::new()));
        Self { path: path.to_owned(), value, flag: flag.to_owned() }
    }

    fn origin(&self) -> Origin {
        Origin::Flag { name: self.flag.clone() }
    }
}

/// A configuration that was put together, and where each value of it comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    config: MullamaConfig,
    layers: Vec<Layer>,
    warnings: Vec<Warning>,
}

/// A field with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// `server.port`, `models[0].path`.
    pub path: String,
    /// As TOML writes it; `***` for secrets, `None` where it is unset.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// When a change of it takes effect.
    pub apply: Apply,
}

impl Loaded {
    /// The values.
    #[must_use]
    pub fn config(&self) -> &MullamaConfig {
        &self.config
    }

    /// The same, without where they come from.
    #[must_use]
    pub fn into_config(self) -> MullamaConfig {
        self.config
    }

    /// What should be looked at.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Where the value of a field comes from: `server.port`, `models[0].path`. Of a table: [`Origin::Default`].
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        // A list is that of one layer alone.
        let whole = path.find('[').map_or(path, |end| &path[..end]);
        let Some(layer) = self.layers.iter().rev().find(|layer| layer.says(whole)) else { return Origin::Default };
        if layer.says(path) { layer.origin(path) } else { Origin::Default }
    }

    /// All fields with their values.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Ok(Value::Dict(_, tree)) = Value::serialize(&self.config) {
            self.list(&tree, MullamaConfig::FIELDS, "", &mut entries);
        }
        entries
    }

    fn list(&self, tree: &Dict, fields: &'static [Field], table: &str, entries: &mut Vec<Entry>) {
        for field in fields {
            let path = join(table, field.name);
            match (&field.kind, tree.get(field.name)) {
                (Kind::Section(inner), Some(Value::Dict(_, tree))) => self.list(tree, inner, &path, entries),
                (Kind::Sections(inner), Some(Value::Array(_, items))) if path == MODELS => {
                    for (at, item) in items.iter().enumerate() {
                        if let Value::Dict(_, tree) = item {
                            self.list(tree, inner, &format!("{path}[{at}]"), entries);
                        }
                    }
                }
                (_, value) => {
                    let value = value.filter(|value| !matches!(value, Value::Empty(..))).map(render::toml);
                    entries.push(Entry { value, origin: self.origin(&path), apply: field.apply, path });
                }
            }
        }
    }

    /// The files with secrets in them.
    pub(crate) fn secret_files(&self) -> impl Iterator<Item = &Path> {
        self.layers.iter().filter(|layer| layer.has_secrets).filter_map(|layer| layer.file.as_deref())
    }
}

/// Puts the secrets in the places of their handles.
fn reveal(config: &mut MullamaConfig, secrets: &[Secret]) {
    let auth = &mut config.server.auth;
    for key in auth.api_keys.iter_mut().chain(&mut auth.admin_keys) {
        let number = key.expose().parse::<usize>().ok();
        if let Some(secret) = number.and_then(|number| secrets.get(number)) {
            *key = secret.clone();
        }
    }
}

/// What only the type of a field could see.
fn misformed(error: &figment::Error, layers: &[Layer]) -> Problem {
    let mut path = String::new();
    for part in &error.path {
        match part.parse::<usize>() {
            Ok(number) => path.push_str(&format!("[{number}]")),
            Err(_) => path = join(&path, part),
        }
    }
    let secret = crate::field::find(&path).is_some_and(|field| field.kind.holds_secrets());
    let reason = if secret { MASK.to_owned() } else { error.kind.to_string() };
    let origin =
        layers.iter().rev().find(|layer| layer.says(&path)).map_or(Origin::Default, |layer| layer.origin(&path));
    Problem { path, origin, fault: Fault::Form { reason }, hint: None }
}

/// Files by their lines, then the environment, then flags.
fn place(origin: &Origin) -> (u8, usize) {
    match origin {
        Origin::Code | Origin::Default => (0, 0),
        Origin::File { line, .. } => (1, line.unwrap_or(0)),
        Origin::Environment { .. } => (2, 0),
        Origin::Flag { .. } => (3, 0),
        Origin::Runtime => (4, 0),
    }
}

const FLAGS: &str = "flags";
const MODEL: &str = "model";
const MODELS: &str = "models";
/// What a model's table says of the machine rather than of the model.
const OF_MACHINE: [&str; 8] =
    ["gpu_layers", "split_mode", "main_gpu", "tensor_split", "devices", "mmap", "mlock", "check_tensors"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_not_be_read_is_an_error_unless_it_is_to_be_skipped() {
        let denied = Content::Refused { reason: "Permission denied".to_owned(), denied: true };
        let texts = Texts(vec![("a.toml".into(), denied.clone()), ("b.toml".into(), denied)]);
        let loader = || Loader::new().system_file("a.toml");
        assert_eq!(loader().load_from(&texts).unwrap_err().to_string(), "cannot read `a.toml`: Permission denied");
        loader().skip_denied().load_from(&texts).unwrap();
        // One that is named must be read.
        assert!(loader().skip_denied().file("b.toml").load_from(&texts).is_err());
        let broken = Content::Refused { reason: "I/O error".to_owned(), denied: false };
        assert!(loader().skip_denied().load_from(&Texts(vec![("a.toml".into(), broken)])).is_err());
    }
}
