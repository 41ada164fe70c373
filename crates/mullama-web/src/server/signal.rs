//! When the system asks the process to end.

/// Ends when the process is asked to end: SIGTERM or SIGINT, elsewhere Ctrl-C. From the first poll on these do not end the
/// process by themselves any more; who wants a second one to end it at once awaits this twice. Where the system gives no
/// handler, that is logged and this never ends.
///
/// # Cancel safety
/// Cancel safe; what comes while nobody waits is lost.
pub async fn signal() {
    if let Err(error) = wait().await {
        tracing::error!(%error, "signals cannot be waited for");
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn wait() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn wait() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
