//! When cells are short.

use super::naive::Ask;
use super::scripted::family;
use super::world::{Setup, World};
use crate::error::Error;
use crate::generate::FinishReason;

/// All take their cells from a pool of so many.
fn pool(slots: usize, length: usize, cells: usize) -> Setup {
    let mut setup = Setup::new(slots, true);
    (setup.shape.length, setup.shape.cells) = (length, cells);
    setup
}

fn ask(number: u8, length: usize, tokens: u32) -> Ask {
    Ask { cache: false, ..Ask::new(family(number).take(length).collect(), tokens) }
}

#[test]
fn the_youngest_gives_way_and_all_are_served() {
    let mut world = World::new(pool(4, 60, 70));
    (0..6).for_each(|number| {
        world.submit(ask(number, 20, 30));
    });
    world.finish();
    assert!(world.stats.snapshot().preemptions > 0);
}

#[test]
fn who_sleeps_gives_way_whatever_its_class() {
    let mut world = World::new(pool(2, 40, 40));
    world.submit(Ask { buffer: 1, reads: false, ..ask(1, 25, 30) });
    world.turns(3);
    let other = world.submit(Ask { batch: true, ..ask(2, 10, 20) });
    world.turns_until_end(other);
    assert_eq!(world.stats.snapshot().preemptions, 1, "only the sleeping one was set back");
    world.finish();
}

#[test]
fn an_interactive_request_gets_the_cells_of_a_batch_one() {
    let mut world = World::new(pool(4, 40, 40));
    let batch = world.submit(Ask { batch: true, ..ask(1, 20, 20) });
    world.turns(3);
    let other = world.submit(ask(2, 30, 10));
    world.turns_until_end(other);
    assert!(world.clients[batch].end.is_none());
    world.finish();
}

#[test]
fn finished_sequences_go_before_a_running_one_ends() {
    let mut world = World::new(pool(2, 40, 80));
    let first = world.submit(ask(1, 30, 5));
    world.turns_until_end(first);
    let second = world.submit(ask(2, 30, 5));
    // llama.cpp says that there is no room, although there should be.
    world.schedule.decoder.faults.no_room = 255;
    world.turn();
    world.schedule.decoder.faults.no_room = 0;
    world.turns_until_end(second);
    assert_eq!(world.clients[second].tokens, world.clients[second].expected.tokens);
    world.finish();
}

#[test]
fn without_room_for_a_single_one_it_ends() {
    let mut world = World::new(pool(2, 40, 80));
    world.schedule.decoder.faults.no_room = 255;
    let first = world.submit(ask(1, 30, 5));
    world.turn();
    assert!(matches!(world.clients[first].end, Some(Err(Error::ContextFull { .. }))), "before its first token");
    world.schedule.decoder.faults.no_room = 0;
    let second = world.submit(ask(2, 30, 5));
    world.turns(2);
    world.schedule.decoder.faults.no_room = 255;
    // The first time what is idle goes.
    world.turns_until_end(second);
    assert_eq!(world.summary(second).finish_reason, FinishReason::Length);
    assert!(!world.clients[second].tokens.is_empty());
    world.schedule.decoder.faults.no_room = 0;
    world.finish();
}

#[test]
fn a_state_that_cannot_be_cut_is_not_shifted_whoever_has_it_too() {
    let mut setup = pool(2, 64, 128);
    (setup.shape.partial_removal, setup.shape.batch) = (false, 16);
    let mut world = World::new(setup);
    world.submit(Ask { buffer: 1, reads: false, ..ask(1, 40, 30) });
    world.turn();
    // What the first has so far is copied.
    let second = world.submit(Ask { shift: true, cache: true, ..ask(1, 40, 100) });
    world.turns_until_end(second);
    let summary = world.summary(second);
    assert!(summary.usage.cached_tokens > 0 && world.stats.snapshot().cache_copies == 1);
    assert_eq!((summary.finish_reason, summary.usage.completion_tokens), (FinishReason::Length, 64 - 40 + 1));
    world.finish();
}
