//! Generations as jobs of a task manager.

use mullama_core::{GenerationParams, RequestPrompt, Summary};

use crate::error::Result;
use crate::model::AsyncModel;
use crate::tasks::{JobHandle, TaskManager};

impl TaskManager {
    /// Puts a generation into the queue of jobs. A generation worker hands it to the model's engine and waits for the text;
    /// so that no more requests are at the engine than there are workers.
    ///
    /// Dropping the handle cancels the job, and with it the request.
    ///
    /// ```no_run
    /// use mullama_async::{AsyncModel, MullamaRuntime, TaskManager};
    /// use mullama_core::GenerationParams;
    ///
    /// # async fn example() -> mullama_async::Result<()> {
    /// let runtime = MullamaRuntime::new().worker_threads(2).build()?;
    /// let mut task_manager = TaskManager::new(&runtime);
    /// task_manager.spawn_generation_worker().await?;
    /// let model = AsyncModel::load("model.gguf").await?;
    /// let job = task_manager.generate(&model, "Once upon a time", &GenerationParams::greedy(64))?;
    /// let (text, summary) = job.await??;
    /// println!("{text} ({})", summary.finish_reason);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`TaskManager::submit`]. The handle gives those of [`AsyncModel::submit`] and of the generation.
    pub fn generate(
        &self,
        model: impl Into<AsyncModel>,
        prompt: impl Into<RequestPrompt>,
        params: &GenerationParams,
    ) -> Result<JobHandle<Result<(String, Summary)>>> {
        let (model, prompt, params) = (model.into(), prompt.into(), params.clone());
        self.submit(move |_context| async move { model.generate(prompt, &params).await?.complete().await })
    }
}
