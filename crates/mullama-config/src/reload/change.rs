//! What is different between two configurations.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::field::Apply;
use crate::load::{Entry, Loaded};

/// A field with another value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// `server.port`, `models[0].path`.
    pub path: String,
    /// As TOML writes it; `***` for secrets, `None` where it was unset.
    pub from: Option<String>,
    /// The same of the new one.
    pub to: Option<String>,
    /// When it takes effect.
    pub apply: Apply,
}

impl Change {
    /// Does it take effect only with a restart?
    #[must_use]
    pub fn waits(&self) -> bool {
        self.apply == Apply::Restart
    }

    /// Does it take effect at once, or with the next request?
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.apply.is_live()
    }
}

impl Loaded {
    /// What is different in another one.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let by_path = |entries: Vec<Entry>| -> BTreeMap<String, (Option<String>, Apply)> {
            entries.into_iter().map(|entry| (entry.path, (entry.value, entry.apply))).collect()
        };
        let (before, mut after) = (by_path(self.entries()), by_path(new.entries()));
        let mut changes = Vec::new();
        for (path, (from, apply)) in before {
            let to = after.remove(&path).and_then(|(to, _)| to);
            // What is masked is the same in print.
            let (old, new) = (&self.config().server.auth, &new.config().server.auth);
            let keys = (path == API_KEYS && old.api_keys != new.api_keys)
                || (path == ADMIN_KEYS && old.admin_keys != new.admin_keys);
            if from != to || keys {
                changes.push(Change { path, from, to, apply });
            }
        }
        // Of models that are new.
        changes.extend(after.into_iter().map(|(path, (to, apply))| Change { path, from: None, to, apply }));
        changes
    }
}

const API_KEYS: &str = "server.auth.api_keys";
const ADMIN_KEYS: &str = "server.auth.admin_keys";
