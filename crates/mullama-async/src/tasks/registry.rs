//! The tasks of a manager, by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::status::{TaskId, TaskState, TaskStatus};
use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Registry {
    records: HashMap<String, Record>,
    /// At this many records the oldest ended ones are forgotten.
    forget_at: usize,
    closed: bool,
}

impl Registry {
    /// Adds a task; it takes the place of an ended one of the same name.
    pub(super) fn add(&mut self, record: Record) -> Result<()> {
        if self.closed {
            return Err(Error::ShutDown);
        }
        if self.records.len() >= self.forget_at {
            self.forget();
        }
        match self.records.entry(record.name.clone()) {
            Entry::Occupied(entry) if !entry.get().has_ended() => Err(Error::DuplicateTask { name: record.name }),
            entry => {
                entry.insert_entry(record);
                Ok(())
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Result<&Record> {
        self.records.get(name).ok_or_else(|| Error::NoSuchTask { name: name.to_owned() })
    }

    pub(super) fn statuses(&self) -> Vec<TaskStatus> {
        let mut statuses: Vec<_> = self.records.values().map(Record::status).collect();
        statuses.sort_by_key(|status| status.id);
        statuses
    }

    /// Takes no task from now on; gives those that have not ended.
    pub(super) fn close(&mut self) -> Vec<watch::Receiver<TaskStatus>> {
        self.closed = true;
        self.records.values().filter(|record| !record.has_ended()).map(Record::watch).collect()
    }

    fn forget(&mut self) {
        let mut ended: Vec<_> =
            self.records.values().filter(|record| record.has_ended()).map(|record| record.id).collect();
        ended.sort_unstable();
        if let Some(last) = ended.len().checked_sub(REMEMBERED + 1) {
            let last = ended[last];
            self.records.retain(|_, record| record.id > last || !record.has_ended());
        }
        self.forget_at = (self.records.len() * 2).max(FORGET_AT);
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self { records: HashMap::new(), forget_at: FORGET_AT, closed: false }
    }
}

/// One task, as its manager sees it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) token: CancellationToken,
    id: TaskId,
    name: String,
    status: watch::Receiver<TaskStatus>,
}

impl Record {
    pub(super) fn new(id: TaskId, name: String, token: CancellationToken) -> (watch::Sender<TaskStatus>, Self) {
        let (sender, status) = watch::channel(TaskStatus {
            id,
            name: name.clone(),
            state: TaskState::Running,
            restarts: 0,
            started: SystemTime::now(),
            last_error: None,
        });
        (sender, Self { token, id, name, status })
    }

    pub(super) fn status(&self) -> TaskStatus {
        self.status.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<TaskStatus> {
        self.status.clone()
    }

    fn has_ended(&self) -> bool {
        self.status.borrow().state.has_ended()
    }
}

const FORGET_AT: usize = 1024;
/// Ended tasks that are kept when others are forgotten.
const REMEMBERED: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ended_tasks_are_forgotten_and_live_ones_are_kept() {
        let mut registry = Registry::default();
        let mut alive = Vec::new();
        for number in 0..10_000_u64 {
            let name = number.to_string();
            let (status, record) = Record::new(TaskId(number), name, CancellationToken::new());
            registry.add(record).unwrap();
            if number % 100 == 0 {
                alive.push(status);
            } else {
                status.send_modify(|status| status.state = TaskState::Finished);
            }
            assert!(registry.records.len() <= 2 * (REMEMBERED + alive.len()));
        }
        assert_eq!(registry.close().len(), 100);
        assert!(registry.find("0").is_ok() && registry.find("9999").is_ok() && registry.find("9600").is_ok());
        assert!(matches!(registry.find("1"), Err(Error::NoSuchTask { .. })));
        let numbers: Vec<_> = registry.statuses().iter().map(|status| status.id).collect();
        assert!(numbers.is_sorted());
    }
}
