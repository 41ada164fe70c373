//! What stands before the routes: who may call from a browser, how large a body may be, how much work is taken.

mod browser;
mod work;

pub(crate) use browser::{cors, known_caller};
pub(crate) use work::{announced_size, work_limits};
