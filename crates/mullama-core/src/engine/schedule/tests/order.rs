//! Who is served when, and who is no longer.

use std::time::Duration;

use super::naive::Ask;
use super::scripted::{STEP, Script, family};
use super::world::{Setup, World};
use crate::engine::params::Speculation;
use crate::engine::schedule::Next;
use crate::error::Error;
use crate::generate::FinishReason;
use crate::tokenizer::TokenId;

fn prompt(number: u8, length: usize) -> Vec<TokenId> {
    family(number).take(length).collect()
}

fn ask(number: u8, length: usize, tokens: u32) -> Ask {
    Ask::new(prompt(number, length), tokens)
}

fn batch(number: u8, length: usize, tokens: u32) -> Ask {
    Ask { batch: true, ..ask(number, length, tokens) }
}

/// Its reader has room for one event, and takes none.
fn sleeper(number: u8, length: usize, tokens: u32) -> Ask {
    Ask { buffer: 1, reads: false, ..ask(number, length, tokens) }
}

/// The families of which the script does not end before so many tokens.
fn long_answers(world: &mut World, tokens: u32) -> impl Iterator<Item = u8> + use<> {
    let setup = world.setup;
    (0..=255).filter(move |number| {
        let expected = super::naive::expected(setup.script, setup.shape, &ask(*number, 8, tokens));
        expected.tokens.len() == tokens as usize
    })
}

#[test]
fn an_interactive_request_takes_the_place_of_a_batch_one_which_goes_on_later() {
    let mut world = World::new(Setup::new(2, true));
    let mut long = long_answers(&mut world, 30);
    let mut next = || long.next().unwrap();
    let first = world.submit(batch(next(), 8, 30));
    let second = world.submit(batch(next(), 8, 30));
    world.turns(5);
    let waits = world.submit(batch(next(), 8, 30));
    let interactive = world.submit(ask(next(), 8, 15));
    world.turn();
    assert_eq!(world.clients[interactive].tokens.len(), 1, "served at once");
    world.turns_until_end(interactive);
    let tokens = [first, second, waits].map(|client| world.clients[client].tokens.len());
    assert_eq!(tokens, [20, 5, 0], "the younger one was set back");
    world.turn();
    assert_eq!(world.clients[second].tokens.len(), 6, "before one that came later");
    assert_eq!(world.stats.snapshot().preemptions, 1);
    world.turns_until_end(second);
    assert_eq!(world.summary(second).usage.completion_tokens, 30);
    world.finish();
}

#[test]
fn a_cancelled_request_frees_its_sequence_in_the_next_turn() {
    let mut world = World::new(Setup::new(1, false));
    let mut long = long_answers(&mut world, 30);
    let first = world.submit(ask(long.next().unwrap(), 8, 30));
    let second = world.submit(ask(long.next().unwrap(), 8, 30));
    world.turns(3);
    assert_eq!(world.clients[second].tokens.len(), 0);
    world.cancel(first, false);
    world.turn();
    assert_eq!(world.summary(first).finish_reason, FinishReason::Cancelled);
    assert_eq!(world.clients[second].tokens.len(), 1);
    world.finish();
}

#[test]
fn time_runs_out_in_the_queue_too() {
    let mut world = World::new(Setup::new(1, false));
    let mut long = long_answers(&mut world, 30);
    let runs = world.submit(ask(long.next().unwrap(), 8, 30));
    let waits = world.submit(Ask { timeout_ms: Some(20), ..ask(long.next().unwrap(), 8, 30) });
    world.turn();
    assert!(world.clients[waits].end.is_none());
    world.schedule.decoder.jump(Duration::from_millis(20));
    world.turn();
    assert_eq!(world.summary(waits).finish_reason, FinishReason::Timeout);
    assert_eq!(world.summary(waits).usage.completion_tokens, 0);
    assert!(world.clients[runs].end.is_none());
    world.finish();
}

#[test]
fn it_sleeps_until_a_sleeping_readers_time_is_over() {
    let mut world = World::new(Setup { reader_timeout_ms: Some(1_000), ..Setup::new(1, false) });
    let number = long_answers(&mut world, 30).next().unwrap();
    let reader = world.submit(sleeper(number, 8, 30));
    assert_eq!(world.turn(), Next::Go);
    let paused = world.now();
    assert_eq!(world.turn(), Next::Sleep(Some(paused + Duration::from_secs(1))));
    world.schedule.decoder.jump(Duration::from_millis(999));
    world.turn();
    assert!(!world.schedule.is_idle());
    world.schedule.decoder.jump(Duration::from_millis(1));
    world.turn();
    assert!(world.schedule.is_idle());
    world.read(reader, 10);
    assert!(matches!(world.clients[reader].end, Some(Err(Error::Timeout { .. }))));
    world.finish();
}

#[test]
fn a_reader_who_takes_something_now_and_then_is_not_ended() {
    let setup = Setup { reader_timeout_ms: Some(1_000), ..Setup::new(1, false) };
    for buffer in [1, 2, 20] {
        let mut world = World::new(setup);
        let number = long_answers(&mut world, 30).next().unwrap();
        let reader = world.submit(Ask { buffer, reads: false, ..ask(number, 8, 30) });
        for _ in 0..40 {
            world.turns(25);
            world.schedule.decoder.jump(Duration::from_millis(900) - STEP * 26);
            world.turn();
            world.read(reader, 1);
        }
        assert_eq!(world.summary(reader).usage.completion_tokens, 30, "with a buffer of {buffer}");
        world.finish();
    }
}

#[test]
fn many_who_sleep_do_not_keep_others_waiting() {
    let mut world = World::new(Setup::new(2, true));
    let mut long = long_answers(&mut world, 30).collect::<Vec<_>>().into_iter().cycle();
    for _ in 0..100 {
        world.submit(sleeper(long.next().unwrap(), 8, 30));
    }
    world.turns(110);
    let newcomer = world.submit(ask(long.next().unwrap(), 8, 30));
    assert!(world.turns_until_end(newcomer) <= 31);
    world.finish();
}

#[test]
fn who_sleeps_takes_no_place_from_who_does_not() {
    let mut world = World::new(Setup::new(1, false));
    let mut long = long_answers(&mut world, 30);
    world.submit(sleeper(long.next().unwrap(), 8, 30));
    let first = world.submit(batch(long.next().unwrap(), 8, 30));
    let second = world.submit(batch(long.next().unwrap(), 8, 30));
    world.turns_until_end(first);
    world.turns_until_end(second);
    assert_eq!(world.stats.snapshot().preemptions, 1, "only the sleeping one was set back");
    world.finish();
}

#[test]
fn streams_around_one_who_sleeps_stay_in_one_pass() {
    for unified in [false, true] {
        let mut world = World::new(Setup::new(3, unified));
        let mut long = long_answers(&mut world, 30);
        let first = world.submit(ask(long.next().unwrap(), 8, 30));
        world.submit(sleeper(long.next().unwrap(), 8, 30));
        let last = world.submit(ask(long.next().unwrap(), 8, 30));
        world.turns(20);
        let slots: Vec<_> = world.schedule.decoder.rows.iter().map(|row| row.slot).collect();
        assert_eq!(slots, if unified { vec![0, 2] } else { vec![0, 1, 2] });
        world.turns_until_end(first);
        world.turns_until_end(last);
        // The one whose token was computed again and again now goes on as if nothing had been.
        world.finish();
    }
}

#[test]
fn streams_that_stay_scattered_are_brought_together() {
    let mut setup = Setup::new(5, false);
    setup.shape.gather_after = 4;
    let mut world = World::new(setup);
    let mut long = long_answers(&mut world, 60);
    let mut next = || ask(long.next().unwrap(), 8, 60);
    let first = world.submit(next());
    let asleep = world.submit(Ask { buffer: 1, reads: false, ..next() });
    let cancelled = world.submit(next());
    let last = world.submit(next());
    world.turns(5);
    world.cancel(cancelled, false);
    world.turns(30);
    let slots: Vec<_> = world.schedule.decoder.rows.iter().map(|row| row.slot).collect();
    assert!(matches!(slots[..], [a, b] if a + 1 == b), "{slots:?}: neighbours, and nothing is computed for a gap");
    let moved = world.stats.snapshot().cache_copies;
    world.turns(10);
    assert_eq!(world.stats.snapshot().cache_copies, moved, "that is done once");
    // The one whose place was taken goes on as if nothing had been.
    world.clients[asleep].ask.reads = true;
    world.read(asleep, usize::MAX);
    for client in [first, asleep, last] {
        world.turns_until_end(client);
    }
    world.finish();
}

#[test]
fn what_may_serve_again_is_given_up_for_neighbours_when_the_gap_has_cost_as_much() {
    for host in [0, 1 << 20] {
        let mut setup = Setup { host, ..Setup::new(3, false) };
        setup.shape.gather_after = 4;
        let mut world = World::new(setup);
        let mut long = long_answers(&mut world, 90);
        let mut next = || ask(long.next().unwrap(), 8, 90);
        let [first, cancelled, last] = [next(), next(), next()].map(|ask| world.submit(ask));
        world.turns(40);
        world.cancel(cancelled, false);
        let neighbours = |world: &World| {
            let slots: Vec<_> = world.schedule.decoder.rows.iter().map(|row| row.slot).collect();
            matches!(slots[..], [a, b] if a + 1 == b)
        };
        world.turns(9);
        // In host memory it is as good.
        assert_eq!(neighbours(&world), host > 0);
        world.turns(40);
        assert!(!neighbours(&world) || host > 0, "it holds 48 tokens, which cost more");
        for client in [first, last] {
            world.turns_until_end(client);
        }
        world.finish();
    }
}

#[test]
fn one_that_cannot_be_moved_is_left_where_it_is() {
    let mut setup = Setup::new(3, false);
    (setup.shape.length, setup.shape.gather_after) = (32, 0);
    let mut world = World::new(setup);
    let shifting = |number| Ask { shift: true, ..ask(number, 8, 120) };
    let mut long = long_answers(&mut world, 20);
    let mut next = || long.next().unwrap();
    let first = world.submit(shifting(next()));
    let cancelled = world.submit(ask(next(), 8, 20));
    let last = world.submit(shifting(next()));
    world.turns(15);
    world.cancel(cancelled, false);
    for client in [first, last] {
        world.turns_until_end(client);
    }
    world.finish();
}

#[test]
fn nothing_is_computed_again_beside_guesses() {
    let speculation = Speculation::PromptLookup { ngram: 1, tokens: 8 };
    let mut world = World::new(Setup { speculation, script: Script::Repeating, ..Setup::new(3, false) });
    let mut long = long_answers(&mut world, 60);
    let first = world.submit(ask(long.next().unwrap(), 8, 60));
    world.submit(sleeper(long.next().unwrap(), 8, 60));
    let last = world.submit(ask(long.next().unwrap(), 8, 60));
    world.turns(3);
    let (mut with, mut without) = (0, 0);
    while [first, last].iter().all(|client| world.clients[*client].end.is_none()) {
        world.turn();
        let of = |slot| world.schedule.decoder.rows.iter().filter(|row| row.slot == slot).count();
        if of(0) > 1 || of(2) > 1 {
            // They are not computed in one pass, whatever lies between them.
            assert_eq!(of(1), 0);
            with += 1;
        } else {
            assert_eq!(of(1), 1);
            without += 1;
        }
    }
    assert!(with > 0 && without > 0, "{with} steps with guesses, {without} without");
    world.turns_until_end(first);
    world.turns_until_end(last);
    world.finish();
}

#[test]
fn nobody_waits_for_the_prefix_of_one_who_sleeps() {
    let mut setup = Setup::new(2, false);
    setup.shape.length = 64;
    let mut world = World::new(setup);
    // The first token shifts it: it forgets what the other one has in common with it.
    world.submit(Ask { shift: true, ..sleeper(1, 64, 30) });
    let other = world.submit(ask(1, 64, 30));
    world.turns_until_end(other);
    world.finish();
}

#[test]
fn a_running_stream_gets_a_token_in_every_step_and_a_short_prompt_overtakes_long_ones() {
    for unified in [true, false] {
        let mut setup = Setup::new(5, unified);
        setup.shape.batch = 16;
        let mut world = World::new(setup);
        let mut long = long_answers(&mut world, 60);
        let stream = world.submit(ask(long.next().unwrap(), 8, 60));
        world.turn();
        let longer: Vec<_> = (100..103).map(|number| world.submit(ask(number, 120, 5))).collect();
        let short = world.submit(ask(long.next().unwrap(), 6, 5));
        let mut order = Vec::new();
        while order.len() < 4 {
            let before = world.clients[stream].tokens.len();
            world.turn();
            assert_eq!(world.clients[stream].tokens.len(), before + 1, "in every step");
            for client in longer.iter().chain([&short]) {
                if !order.contains(client) && !world.clients[*client].tokens.is_empty() {
                    order.push(*client);
                }
            }
        }
        assert_eq!(order[0], short);
        assert_eq!(order[1], longer[0], "half of each step is for the one that came first");
        world.finish();
    }
}

#[test]
fn groups_take_turns_and_one_that_cannot_be_had_harms_no_other() {
    let mut world = World::new(Setup::new(2, true));
    let mut long = long_answers(&mut world, 60);
    let first = world.submit(ask(long.next().unwrap(), 8, 60));
    let second = world.submit(Ask { adapters: 1, ..ask(long.next().unwrap(), 8, 60) });
    world.turns(60);
    let made = [first, second].map(|client| world.clients[client].tokens.len());
    assert!(made.iter().all(|tokens| *tokens >= 20), "{made:?}");
    world.turns_until(|world| world.schedule.is_idle());

    // Both places are lost at once, and those behind them go on.
    let lost = [2, 2].map(|adapters| world.submit(Ask { adapters, ..ask(3, 8, 5) }));
    let kept = world.submit(ask(4, 8, 5));
    world.setup.faults.adapt = 255;
    world.schedule.decoder.faults.adapt = 255;
    world.turn();
    world.schedule.decoder.faults.adapt = 0;
    assert!(lost.iter().all(|client| matches!(world.clients[*client].end, Some(Err(Error::Lora { .. })))));
    world.turns_until_end(kept);
    world.finish();
}

#[test]
fn an_aborted_batch_and_a_shutdown_end_each_request_once() {
    let mut world = World::new(Setup::new(2, false));
    let mut long = long_answers(&mut world, 60);
    let all: Vec<_> = (0..4).map(|_| world.submit(ask(long.next().unwrap(), 8, 60))).collect();
    world.turns(3);
    all.iter().for_each(|client| world.cut(*client));
    world.schedule.decoder.faults.aborted = 255;
    world.turn();
    assert_eq!(world.summary(all[0]).finish_reason, FinishReason::Cancelled);
    assert_eq!(world.summary(all[1]).finish_reason, FinishReason::Cancelled);
    assert!(world.clients[all[2]].end.is_none());
    world.schedule.end_all(|| Ok(FinishReason::Cancelled));
    assert!(world.schedule.is_idle());
    world.finish();
    assert!(all.iter().all(|client| world.summary(*client).finish_reason == FinishReason::Cancelled));
}
