//! Loads: progress, cancelling, failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use mullama_async::{AsyncModel, Error};
use mullama_core::{Error as CoreError, ErrorKind, ModelParams};
use mullama_demo_models::CHAT;

use crate::shared::eventually;

#[tokio::test]
async fn progress_rises_to_one_and_the_model_is_there() {
    let (progress, loading) = AsyncModel::from_bytes(CHAT).load_with_progress();
    let parts: Vec<f32> = progress.collect().await;
    assert!(parts.is_sorted() && parts.iter().all(|part| (0.0..=1.0).contains(part)), "{parts:?}");
    assert_eq!(parts.last(), Some(&1.0));
    assert!(loading.await.unwrap().model().parameter_count() > 3_000_000);
}

#[tokio::test]
async fn nobody_has_to_look_at_the_progress() {
    let (progress, loading) = AsyncModel::from_bytes(CHAT.to_vec()).load_with_progress();
    drop(progress);
    assert!(loading.await.is_ok());
    let shared: Arc<[u8]> = CHAT.into();
    let builder = AsyncModel::from_bytes(shared).params(ModelParams { vocab_only: true, ..Default::default() });
    assert!(builder.load().await.unwrap().model().is_vocab_only());
}

/// Bytes that come when they are asked for a second time, and tell when they are dropped.
struct Late {
    asked: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
    gone: Arc<AtomicBool>,
}

impl AsRef<[u8]> for Late {
    fn as_ref(&self) -> &[u8] {
        self.asked.send(()).unwrap();
        // Whoever holds the other end lets go.
        let _ = self.go.lock().unwrap_or_else(PoisonError::into_inner).recv();
        CHAT
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn dropping_the_future_cancels_the_load() {
    for cancelled in [true, false] {
        let (asked, is_asked) = mpsc::channel();
        let (go, going) = mpsc::channel();
        let gone = Arc::new(AtomicBool::new(false));
        let bytes = Late { asked, go: Mutex::new(going), gone: Arc::clone(&gone) };
        let (mut progress, loading) = AsyncModel::from_bytes(bytes).load_with_progress();
        is_asked.recv().unwrap();
        // The load has begun and stands before the first tensor.
        let loading = if cancelled {
            drop(loading);
            None
        } else {
            Some(loading)
        };
        drop(go);
        let mut last = 0.0;
        while let Some(part) = progress.next().await {
            last = part;
        }
        match loading {
            None => assert!(last < 0.5, "{last}"),
            Some(loading) => {
                assert_eq!(last, 1.0);
                loading.await.unwrap();
            }
        }
        eventually("the thread ends", Duration::from_secs(5), || gone.load(Ordering::SeqCst)).await;
    }
}

#[tokio::test]
async fn failures_say_what_is_wrong() {
    let error = AsyncModel::load("/no/such/model.gguf").await.unwrap_err();
    assert!(matches!(error, Error::Core(CoreError::File { .. })), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let (progress, loading) = AsyncModel::from_bytes(b"not a model".as_slice()).load_with_progress();
    assert_eq!(progress.collect::<Vec<_>>().await.last(), Some(&0.0));
    assert_eq!(loading.await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_load_needs_no_runtime() {
    for dropped in [true, false] {
        let (mut progress, loading) = AsyncModel::from_bytes(CHAT).load_with_progress();
        let loading = (!dropped).then_some(loading);
        let mut context = Context::from_waker(Waker::noop());
        while !matches!(progress.poll_next_unpin(&mut context), Poll::Ready(None)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The progress ends a moment before the model is handed over.
        std::thread::sleep(Duration::from_millis(200));
        assert!(loading.is_none_or(|loading| loading.now_or_never().unwrap().is_ok()));
    }
}
