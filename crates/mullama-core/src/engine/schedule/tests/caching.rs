//! What is not computed twice, and what is computed ahead.

use super::naive::{Ask, expected};
use super::scripted::{Script, family};
use super::world::{Setup, World};
use crate::engine::params::Speculation;
use crate::tokenizer::TokenId;

/// The beginning of a text, and something of its own.
fn prompt(number: u8, shared: usize, own: &[i32]) -> Vec<TokenId> {
    family(number).take(shared).chain(own.iter().copied().map(TokenId)).collect()
}

#[test]
fn a_prefix_is_computed_once_for_all_who_come_together() {
    for unified in [true, false] {
        let mut world = World::new(Setup::new(16, unified));
        let own = |number: i32| [3 + number % 4, 7 + number / 4, 3, 3];
        let clients: Vec<_> = (0..16).map(|number| world.submit(Ask::new(prompt(1, 96, &own(number)), 1))).collect();
        world.turns_until(|world| world.schedule.is_idle());
        let computed = world.schedule.decoder.counts.tokens;
        assert!(computed <= 96 + 16 * 4, "{computed} tokens computed");
        assert!(clients.iter().skip(1).all(|client| world.summary(*client).usage.cached_tokens >= 96));
        if unified {
            assert!(world.schedule.slots.cells_used() <= 96 + 16 * 4, "and held once");
        }
        world.finish();
    }
}

#[test]
fn a_conversation_goes_on_where_it_was() {
    for partial_removal in [true, false] {
        let mut setup = Setup::new(2, false);
        setup.shape.partial_removal = partial_removal;
        let mut world = World::new(setup);
        let first = world.submit(Ask::new(prompt(1, 40, &[]), 20));
        world.turns_until_end(first);
        let before = world.clients[first].expected.contexts[0].clone();
        let next = [before.as_slice(), &[TokenId(3), TokenId(4)]].concat();
        let second = world.submit(Ask::new(next, 20));
        world.turns_until_end(second);
        assert_eq!(world.summary(second).usage.cached_tokens as usize, before.len());
        world.finish();
    }
}

#[test]
fn others_with_another_salt_or_without_the_cache_take_nothing() {
    let mut world = World::new(Setup::new(4, true));
    let ask = Ask::new(prompt(1, 64, &[]), 2);
    let first = world.submit(ask.clone());
    world.turns_until_end(first);
    let salted = world.submit(Ask { salt: 1, ..ask.clone() });
    let adapted = world.submit(Ask { adapters: 1, ..ask.clone() });
    let without = world.submit(Ask { cache: false, ..ask.clone() });
    let same = world.submit(ask);
    world.turns_until(|world| world.schedule.is_idle());
    for client in [salted, adapted, without] {
        assert_eq!(world.summary(client).usage.cached_tokens, 0);
    }
    assert_eq!(world.summary(same).usage.cached_tokens, 63, "one token is always computed");
    world.finish();
}

#[test]
fn a_prefix_that_left_the_context_comes_back_from_host_memory() {
    for (unified, partial_removal) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut setup = Setup { host: 1 << 20, ..Setup::new(1, unified) };
        setup.shape.partial_removal = partial_removal;
        let mut world = World::new(setup);
        let first = world.submit(Ask::new(prompt(1, 64, &[]), 8));
        world.turns_until_end(first);
        let context = world.clients[first].expected.contexts[0].clone();
        let other = world.submit(Ask::new(prompt(2, 64, &[]), 8));
        world.turns_until_end(other);
        let stats = world.stats.snapshot();
        assert_eq!((stats.host_saves, stats.host_restores), (1, 0));
        let again = world.submit(Ask::new([context.as_slice(), &[TokenId(3)]].concat(), 8));
        world.turns_until_end(again);
        assert_eq!(world.stats.snapshot().host_restores, 1);
        assert_eq!(world.summary(again).usage.cached_tokens as usize, context.len());
        world.finish();
    }
}

#[test]
fn a_moved_sequence_which_nobody_can_use_takes_no_host_memory() {
    let mut setup = Setup { host: 1 << 20, ..Setup::new(1, false) };
    setup.shape.length = 64;
    let mut world = World::new(setup);
    let moved = world.submit(Ask { shift: true, ..Ask::new(prompt(1, 60, &[]), 40) });
    world.turns_until_end(moved);
    assert!(world.stats.snapshot().context_shifts > 0);
    let other = world.submit(Ask::new(prompt(2, 32, &[]), 1));
    world.turns_until_end(other);
    assert_eq!(world.stats.snapshot().host_bytes_used, 0);
    world.finish();
}

#[test]
fn where_states_cannot_be_cut_a_common_beginning_is_kept_the_second_time() {
    for unified in [true, false] {
        let mut setup = Setup { host: 1 << 20, ..Setup::new(2, unified) };
        setup.shape.partial_removal = false;
        let mut world = World::new(setup);
        let asks = [[3, 4], [5, 6], [7, 8], [9, 10]].map(|own| Ask::new(prompt(1, 64, &own), 4));
        let cached = asks.map(|ask| {
            let client = world.submit(ask);
            world.turns_until_end(client);
            world.summary(client).usage.cached_tokens
        });
        assert_eq!(cached, [0, 0, 64, 64]);
        world.finish();
    }
}

/// An engine that guesses, and one that does not, for the same request.
fn guessing(script: Script, ask: &Ask) -> (World, World) {
    let speculation = Speculation::PromptLookup { ngram: 1, tokens: 8 };
    [speculation, Speculation::Off]
        .map(|speculation| {
            let mut world = World::new(Setup { script, speculation, ..Setup::new(1, false) });
            let client = world.submit(ask.clone());
            world.turns_until_end(client);
            world
        })
        .into()
}

#[test]
fn guesses_that_come_true_save_steps() {
    let (world, plain) = guessing(Script::Monotonous, &Ask::new(prompt(1, 8, &[]), 100));
    let stats = world.stats.snapshot();
    assert!(stats.accepted_draft_tokens > 40, "{} accepted", stats.accepted_draft_tokens);
    assert_eq!(world.clients[0].tokens, plain.clients[0].tokens);
    let decodes = [&world, &plain].map(|world| world.schedule.decoder.counts.decodes);
    assert!(decodes[0] * 3 < decodes[1] * 2, "{decodes:?}");
}

#[test]
fn wrong_guesses_leave_no_trace() {
    // One of thirteen letters is what it was after the same letter before, now and then.
    let setup = Setup::new(1, false);
    let asks = (0..=255).map(|number| Ask::new(prompt(number, 30, &[]), 90));
    let ask = asks.into_iter().find(|ask| expected(Script::Whole, setup.shape, ask).tokens.len() == 90).unwrap();
    let (mut world, plain) = guessing(Script::Whole, &ask);
    let stats = world.stats.snapshot();
    let wrong = stats.drafted_tokens - stats.accepted_draft_tokens;
    assert!(wrong > 20, "{wrong} were wrong");
    assert_eq!(world.clients[0].tokens, plain.clients[0].tokens);
    assert_eq!(world.schedule.slots.tokens(0), plain.schedule.slots.tokens(0));
    world.finish();
}
