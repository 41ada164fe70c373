//! What the pool asks of those that load: the seam at which its tests put a model without weights.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;

/// Makes and ends engines.
pub(super) trait Loader: Send + Sync + 'static {
    /// What a model is made from.
    type Spec: Send + Sync + 'static;
    /// A handle on an engine.
    type Engine: Clone + Send + Sync + 'static;

    /// Bytes that the model will take, all replicas together.
    fn estimate(&self, spec: Arc<Self::Spec>) -> impl Future<Output = Result<u64>> + Send;

    /// Loads the model and starts its replicas, at least one.
    fn load(&self, spec: Arc<Self::Spec>) -> impl Future<Output = Result<Vec<Self::Engine>>> + Send;

    /// A new engine in the place of one that has ended.
    fn replace(&self, ended: Self::Engine) -> impl Future<Output = Result<Self::Engine>> + Send;

    /// Ends engines: what they compute may go on until the deadline. True: all was done in time. The memory is free when
    /// it returns.
    fn close(&self, engines: Vec<Self::Engine>, deadline: Duration) -> impl Future<Output = bool> + Send;

    /// Does it take requests?
    fn is_open(engine: &Self::Engine) -> bool;

    /// Requests that it has.
    fn load_of(engine: &Self::Engine) -> usize;
}
