//! The checks of the crates that own the parameters, for what is not in the table.

use mullama_core::Error as Core;
use mullama_web::Error as Web;

use super::{Found, named};
use crate::config::MullamaConfig;
use crate::field;
use crate::section::{AuthConfig, ServeConfig};

/// What they refuse is told where nothing is known of the field yet.
pub(super) fn check(config: &MullamaConfig, found: &mut Found<'_>) {
    for (path, model) in named(config) {
        core(model.plain_params().validate(), &path, found);
    }
    core(config.engine_params(&config.model).validate(), "engine", found);
    core(config.generation_params().validate(), "generation", found);
    // Nothing is to be said of keys here; in the clear they are nowhere but where they are used.
    let auth = AuthConfig { api_keys: Vec::new(), admin_keys: Vec::new(), ..config.server.auth.clone() };
    let without_keys = ServeConfig { auth, ..config.server.clone() };
    let web = MullamaConfig { server: without_keys, ..config.clone() }.web_config().validate();
    let server = config.server_config().validate();
    for refused in [web, server] {
        if let Err(Web::InvalidConfig { name, value, expected }) = refused {
            tell("server", name, value, expected, found);
        }
    }
}

fn core(result: mullama_core::Result<()>, section: &str, found: &mut Found<'_>) {
    if let Err(Core::InvalidParameter { name, value, expected }) = result {
        tell(section, name, value, expected, found);
    }
}

fn tell(section: &str, name: &str, value: String, expected: &str, found: &mut Found<'_>) {
    let path = place(section, name);
    let about = |path: &str| found.problems.iter().any(|problem| problem.path.starts_with(path));
    if !about(&path) {
        found.wrong(&path, value, expected, "");
    }
}

/// The field that a parameter stands for: one of that name in the section or, for the server, in a section of it.
fn place(section: &str, name: &str) -> String {
    let renamed = match name {
        "api_keys" => "auth.api_keys",
        "admin_keys" => "auth.admin_keys",
        "cors_origins" => "cors.origins",
        "tls_certificate" => "tls.certificate",
        "tls_key" => "tls.key",
        "lora" => "lora",
        name => name,
    };
    let tables = ["", "auth.", "cors.", "http.", "limits."];
    let sections = [section, "sampling"];
    let mut paths = sections.iter().flat_map(|section| tables.map(|table| format!("{section}.{table}{renamed}")));
    let known = paths.find(|path| field::find(path).is_some());
    known.unwrap_or_else(|| format!("{section}.{renamed}"))
}
