//! Any workload, in any order.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::naive::Ask;
use super::scripted::{Faults, Script, family};
use super::world::{Setup, World};
use crate::engine::decoder::Shape;
use crate::engine::params::Speculation;
use crate::tokenizer::TokenId;

#[derive(Debug, Clone)]
enum Action {
    Submit(Request),
    Turns(u8),
    Read(Index, u8),
    StopReading(Index),
    ReadAll(Index),
    Cancel(Index, bool),
    Wait(u16),
}

/// A request whose prompt depends on the engine's limits, and on what was asked before.
#[derive(Debug, Clone)]
struct Request {
    ask: Ask,
    /// Begins with a text that others begin with too.
    family: u8,
    shared: usize,
    /// Goes on where the answer to that one ended.
    follows: Option<Index>,
}

impl Request {
    fn resolve(self, world: &World) -> Ask {
        let length = world.setup.shape.length;
        let mut prompt: Vec<_> = family(self.family).take(self.shared).collect();
        if let Some(other) = self.follows.filter(|_| !world.clients.is_empty()) {
            let other = other.get(&world.clients);
            prompt.clone_from(&other.ask.prompt);
            prompt.extend(&other.expected.tokens);
        }
        prompt.extend(self.ask.prompt);
        prompt.truncate(length);
        Ask { prompt, ..self.ask }
    }
}

fn request() -> impl Strategy<Value = Request> {
    let prompt =
        (0_u8..3, 0_usize..100, prop::option::weighted(0.2, any::<Index>()), prop::collection::vec(3_i32..16, 1..30));
    let limits = (
        prop::option::weighted(0.8, 1_u32..60),
        prop::collection::vec("[a-m]{1,2}|é", 0..2),
        prop::option::weighted(0.1, 0_u64..2_000),
        prop::bool::weighted(0.2),
        0_usize..20,
    );
    let class = (
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.9),
        prop::sample::select(vec![0_u8, 0, 0, 1]),
        prop::sample::select(vec![0_u8, 0, 0, 0, 0, 1]),
    );
    let reader = (prop::sample::select(vec![1_usize, 2, 4, 16, 64]), prop::bool::weighted(0.8));
    (prompt, limits, class, reader).prop_map(|(prompt, limits, class, reader)| {
        let (family, shared, follows, suffix) = prompt;
        let (max_tokens, stop, timeout_ms, shift, keep) = limits;
        let (batch, cache, salt, adapters) = class;
        let (buffer, reads) = reader;
        let prompt = suffix.into_iter().map(TokenId).collect();
        // A shift may go on forever.
        let max_tokens = if shift { max_tokens.map(|max| max * 3).or(Some(200)) } else { max_tokens.or(Some(500)) };
        let ask =
            Ask { prompt, batch, cache, max_tokens, stop, timeout_ms, shift, keep, salt, adapters, buffer, reads };
        Request { ask, family, shared, follows }
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => request().prop_map(Action::Submit),
        8 => (1_u8..20).prop_map(Action::Turns),
        2 => (any::<Index>(), 0_u8..20).prop_map(|(client, events)| Action::Read(client, events)),
        1 => any::<Index>().prop_map(Action::StopReading),
        1 => any::<Index>().prop_map(Action::ReadAll),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(client, goes)| Action::Cancel(client, goes)),
        1 => (0_u16..600).prop_map(Action::Wait),
    ]
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let kind = (any::<bool>(), prop::bool::weighted(0.8), 0_u32..6);
    let shape = (1_usize..=6, 16_usize..=128, 0.0_f64..1.0, 6_usize..=64, kind);
    shape.prop_map(|(slots, length, more, batch, (unified, partial_removal, gather_after))| {
        // From as few as one request needs to as many as all do.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
        let extra = ((length * (slots - 1)) as f64 * more * more) as usize;
        let cells = if unified { length + extra } else { length * slots };
        Shape { slots, length, cells, batch, unified, partial_removal, gather_after }
    })
}

fn setup(faults: impl Strategy<Value = Faults>) -> impl Strategy<Value = Setup> {
    let lookup = (1_u32..4, 1_u32..=16).prop_map(|(ngram, tokens)| Speculation::PromptLookup { ngram, tokens });
    let speculation = prop_oneof![Just(Speculation::Off), lookup];
    let script = prop_oneof![Just(Script::Whole), Just(Script::Repeating)];
    let host = prop_oneof![Just(0_u64), 100_u64..3_000, Just(1 << 20)];
    let reader_timeout_ms = prop::option::weighted(0.3, 1_u64..1_000);
    (shape(), script, faults, host, speculation, (reader_timeout_ms, 1_u32..64)).prop_map(
        |(shape, script, faults, host, speculation, (reader_timeout_ms, micro_batch))| Setup {
            shape,
            script,
            faults,
            host,
            speculation,
            reader_timeout_ms,
            micro_batch,
        },
    )
}

pub(crate) fn faults() -> impl Strategy<Value = Faults> {
    let often = || prop_oneof![2 => Just(0_u8), 1 => 1_u8..20];
    (any::<u64>(), often(), often(), often(), often(), often(), often(), often()).prop_map(
        |(seed, no_room, failed, copy, save, restore, shift, adapt)| Faults {
            seed,
            no_room,
            failed,
            copy,
            save,
            restore,
            shift,
            adapt,
            ..Faults::default()
        },
    )
}

/// So many cases where nobody asks for another number with `PROPTEST_CASES`.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases: usual, ..config } }
}

fn run(setup: Setup, actions: Vec<Action>) {
    let mut world = World::new(setup);
    for action in actions {
        let anybody = !world.clients.is_empty();
        let which = |client: Index| client.index(world.clients.len());
        match action {
            Action::Submit(request) => {
                let ask = request.resolve(&world);
                world.submit(ask);
            }
            Action::Turns(number) => world.turns(number.into()),
            Action::Wait(ms) => world.schedule.decoder.jump(Duration::from_millis(ms.into())),
            Action::Read(client, events) if anybody => world.read(which(client), events.into()),
            Action::StopReading(client) if anybody => {
                let client = which(client);
                world.clients[client].ask.reads = false;
            }
            Action::ReadAll(client) if anybody => {
                let client = which(client);
                world.clients[client].ask.reads = true;
                world.read(client, usize::MAX);
            }
            Action::Cancel(client, goes) if anybody => world.cancel(which(client), goes),
            _ => {}
        }
    }
    world.finish();
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn each_gets_what_it_would_get_alone(
        setup in setup(Just(Faults::default())),
        actions in prop::collection::vec(action(), 1..100),
    ) {
        run(setup, actions);
    }

    #[test]
    fn faults_change_nobody_elses_answer(setup in setup(faults()), actions in prop::collection::vec(action(), 1..100)) {
        run(setup, actions);
    }
}
