//! A process that ends while an engine computes.

use std::process::Command;

use mullama_core::{GenerationParams, GenerationRequest, SamplingParams};

use crate::shared;

/// The test runs itself again, in a process that leaves from the middle of a batch; static objects of C++ that go first
/// would end it with a signal.
#[test]
fn leaving_in_the_middle_of_a_batch_is_no_crash() {
    if std::env::var_os("MULLAMA_LEAVE").is_some() {
        let engine = shared::tiny().engine().sequences(2).start().unwrap();
        let params = GenerationParams {
            sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
            ..GenerationParams::greedy(4_000)
        };
        let request = || GenerationRequest::new("Once").params(params.clone()).event_buffer(8_000);
        let mut streams = [engine.submit(request()).unwrap(), engine.submit(request()).unwrap()];
        streams.iter_mut().for_each(|stream| drop(stream.next()));
        #[expect(clippy::exit, reason = "it is what is tested")]
        std::process::exit(0);
    }
    for _ in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "exit::leaving_in_the_middle_of_a_batch_is_no_crash"]);
        let output = child.env("MULLAMA_LEAVE", "1").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
