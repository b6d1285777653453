//! The supervisor under a fake clock.

use super::*;

const DRAIN: Duration = Duration::from_secs(30);

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// Runs one call and returns its actions.
fn act(
    supervisor: &mut Supervisor,
    call: impl FnOnce(&mut Supervisor, &mut Vec<Action>),
) -> Vec<Action> {
    let mut actions = Vec::new();
    call(supervisor, &mut actions);
    actions
}

fn spawned(actions: &[Action]) -> Vec<(u64, u16)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Spawn { generation, slot } => Some((generation.0, *slot)),
            _ => None,
        })
        .collect()
}

/// Two ready workers at time 0: generations 1 and 2 in slots 0 and 1.
fn two() -> Supervisor {
    let mut supervisor = Supervisor::new(2, DRAIN, at(0));
    let started = act(&mut supervisor, |s, a| s.fill(at(0), a));
    assert_eq!(spawned(&started), [(1, 0), (2, 1)]);
    assert_eq!(act(&mut supervisor, |s, a| s.on_ready(Generation(1), at(0), a)), []);
    let ready = act(&mut supervisor, |s, a| s.on_ready(Generation(2), at(0), a));
    assert_eq!(ready, [Action::AllReady]);
    supervisor
}

/// Ticks from one time to another in quarter seconds, the given workers beating.
fn run(supervisor: &mut Supervisor, from: u64, to: u64, beating: &[u64]) -> Vec<(u64, Action)> {
    let mut seen = Vec::new();
    for millis in (from..=to).step_by(250) {
        for generation in beating {
            supervisor.on_beat(Generation(*generation), millis + 1, at(millis));
        }
        let actions = act(supervisor, |s, a| s.tick(at(millis), a));
        seen.extend(actions.into_iter().map(|action| (millis, action)));
    }
    seen
}

#[test]
fn a_dead_worker_is_replaced_at_once() {
    let mut supervisor = two();
    assert_eq!(run(&mut supervisor, 0, 20_000, &[1, 2]), []);
    let actions = act(&mut supervisor, |s, a| s.on_exit(Generation(1), at(20_000), a));
    assert_eq!(actions, [Action::Spawn { generation: Generation(3), slot: 0 }]);
    assert!(!supervisor.is_complete());
    let ready = act(&mut supervisor, |s, a| s.on_ready(Generation(3), at(20_010), a));
    assert_eq!(ready, [Action::AllReady]);
    assert_eq!(supervisor.worker(Generation(3)).unwrap().restarts, 1);
}

#[test]
fn a_worker_that_keeps_dying_is_started_ever_later_and_recorded() {
    let mut supervisor = two();
    let mut now = 0;
    let mut generation = 1;
    let mut pauses = Vec::new();
    for _ in 0..13 {
        let mut actions =
            act(&mut supervisor, |s, a| s.on_exit(Generation(generation), at(now), a));
        let died_at = now;
        while spawned(&actions).is_empty() {
            supervisor.on_beat(Generation(2), now, at(now));
            now += 10;
            actions.extend(act(&mut supervisor, |s, a| s.tick(at(now), a)));
        }
        generation = spawned(&actions)[0].0;
        pauses.push(now - died_at);
        let recorded = actions.iter().any(|a| matches!(a, Action::KeepsDying { .. }));
        assert_eq!(recorded, pauses.len() > 2);
        act(&mut supervisor, |s, a| s.on_ready(Generation(generation), at(now), a));
    }
    assert_eq!(
        pauses,
        [0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000]
    );
    // One that lives for long enough wipes the slate clean.
    assert_eq!(run(&mut supervisor, now, now + 11_000, &[2, generation]), []);
    let actions =
        act(&mut supervisor, |s, a| s.on_exit(Generation(generation), at(now + 11_000), a));
    assert_eq!(spawned(&actions).len(), 1);
}

#[test]
fn a_hung_worker_is_killed_and_replaced_within_two_seconds() {
    let mut supervisor = two();
    assert_eq!(run(&mut supervisor, 0, 5_000, &[1, 2]), []);
    let seen = run(&mut supervisor, 5_250, 7_000, &[2]);
    let kill = Action::Kill { generation: Generation(1), reason: KillReason::Hung };
    assert_eq!(seen, [(6_750, kill)]);
    let actions = act(&mut supervisor, |s, a| s.on_exit(Generation(1), at(6_751), a));
    assert_eq!(spawned(&actions), [(3, 0)]);
}

#[test]
fn our_own_pause_is_not_held_against_the_workers() {
    let mut supervisor = two();
    assert_eq!(run(&mut supervisor, 0, 1_000, &[1, 2]), []);
    // The machine was suspended for a minute; the beats come with the next turns of the workers.
    assert_eq!(act(&mut supervisor, |s, a| s.tick(at(61_000), a)), []);
    assert_eq!(run(&mut supervisor, 61_250, 63_000, &[1, 2]), []);
}

#[test]
fn a_worker_that_never_becomes_ready_is_killed() {
    let mut supervisor = Supervisor::new(1, DRAIN, at(0));
    act(&mut supervisor, |s, a| s.fill(at(0), a));
    let seen = run(&mut supervisor, 0, 10_500, &[]);
    let kill = Action::Kill { generation: Generation(1), reason: KillReason::NeverReady };
    assert_eq!(seen, [(10_250, kill)]);
}

#[test]
fn a_soft_stop_waits_for_the_drain_and_then_kills() {
    let mut supervisor = two();
    let actions = act(&mut supervisor, |s, a| s.stop(false, at(1_000), a));
    assert_eq!(actions.len(), 2);
    assert!(actions.iter().all(|a| matches!(a, Action::Stop { hard: false, .. })));
    assert_eq!(act(&mut supervisor, |s, a| s.on_exit(Generation(1), at(1_100), a)), []);
    let seen = run(&mut supervisor, 1_250, 31_000, &[]);
    let reason = KillReason::DrainDeadline;
    assert_eq!(seen, [(31_000, Action::Kill { generation: Generation(2), reason })]);
    let last = act(&mut supervisor, |s, a| s.on_exit(Generation(2), at(31_001), a));
    assert_eq!(last, [Action::Finished]);
    assert_eq!(act(&mut supervisor, |s, a| s.tick(at(32_000), a)), []);
}

#[test]
fn a_worker_that_hangs_in_its_drain_is_not_waited_for() {
    let mut supervisor = two();
    assert_eq!(run(&mut supervisor, 0, 1_000, &[1, 2]), []);
    act(&mut supervisor, |s, a| s.stop(false, at(1_000), a));
    let seen = run(&mut supervisor, 1_250, 5_000, &[1]);
    let (when, action) = seen.first().expect("a kill");
    let reason = KillReason::Hung;
    assert_eq!(*action, Action::Kill { generation: Generation(2), reason });
    assert!(*when < 3_500, "{when}");
}

#[test]
fn a_hard_stop_kills_also_after_a_soft_one() {
    let mut supervisor = two();
    act(&mut supervisor, |s, a| s.stop(false, at(0), a));
    let actions = act(&mut supervisor, |s, a| s.stop(true, at(100), a));
    assert_eq!(actions.len(), 2);
    assert!(actions.iter().all(|a| matches!(a, Action::Kill { .. })));
    act(&mut supervisor, |s, a| s.on_exit(Generation(1), at(101), a));
    let last = act(&mut supervisor, |s, a| s.on_exit(Generation(2), at(101), a));
    assert_eq!(last, [Action::Finished]);
}

#[test]
fn stopping_without_workers_finishes_at_once() {
    let mut supervisor = Supervisor::new(1, DRAIN, at(0));
    assert_eq!(act(&mut supervisor, |s, a| s.stop(false, at(0), a)), [Action::Finished]);
}

#[test]
fn adopted_workers_fill_seats_and_others_drain() {
    let mut supervisor = Supervisor::new(2, DRAIN, at(0));
    assert_eq!(act(&mut supervisor, |s, a| s.adopt(Generation(7), 3, true, at(0), a)), []);
    // Another version: drains, and its seat goes to a new worker.
    let old = act(&mut supervisor, |s, a| s.adopt(Generation(8), 4, false, at(0), a));
    assert!(matches!(old[..], [Action::Stop { generation: Generation(8), hard: false, .. }]));
    let started = act(&mut supervisor, |s, a| s.fill(at(0), a));
    assert_eq!(spawned(&started), [(9, 0)]);
    let ready = act(&mut supervisor, |s, a| s.on_ready(Generation(9), at(10), a));
    assert_eq!(ready, [Action::AllReady]);
    // Its end changes nothing.
    assert_eq!(act(&mut supervisor, |s, a| s.on_exit(Generation(8), at(20), a)), []);
    // A third one finds no seat.
    let third = act(&mut supervisor, |s, a| s.adopt(Generation(5), 6, true, at(30), a));
    assert!(matches!(third[..], [Action::Stop { generation: Generation(5), .. }]));
}

#[test]
fn an_adopted_worker_with_a_taken_slot_drains() {
    let mut supervisor = Supervisor::new(2, DRAIN, at(0));
    act(&mut supervisor, |s, a| s.adopt(Generation(1), 0, true, at(0), a));
    let twin = act(&mut supervisor, |s, a| s.adopt(Generation(2), 0, true, at(0), a));
    assert!(matches!(twin[..], [Action::Stop { generation: Generation(2), .. }]));
}

#[test]
fn seats_can_be_added_and_taken_away() {
    let mut supervisor = two();
    let more = act(&mut supervisor, |s, a| s.resize(3, at(0), a));
    assert_eq!(spawned(&more), [(3, 2)]);
    act(&mut supervisor, |s, a| s.on_ready(Generation(3), at(1), a));
    let fewer = act(&mut supervisor, |s, a| s.resize(1, at(2), a));
    let stopped: Vec<u64> = fewer
        .iter()
        .filter_map(|action| match action {
            Action::Stop { generation, .. } => Some(generation.0),
            _ => None,
        })
        .collect();
    assert_eq!(stopped, [2, 3]);
    assert_eq!(act(&mut supervisor, |s, a| s.on_exit(Generation(2), at(3), a)), []);
}

#[test]
fn progress_ends_when_a_worker_cannot_be_ended() {
    let mut supervisor = two();
    run(&mut supervisor, 0, 1_500, &[2]);
    let seen = run(&mut supervisor, 1_750, 1_750, &[2]);
    assert_eq!(seen.len(), 1);
    assert!(supervisor.makes_progress(at(2_000)));
    assert!(!supervisor.makes_progress(at(7_000)));
    act(&mut supervisor, |s, a| s.on_exit(Generation(1), at(7_000), a));
    assert!(supervisor.makes_progress(at(7_000)));
}

#[test]
fn a_failed_start_is_tried_again_after_a_pause() {
    let mut supervisor = Supervisor::new(1, DRAIN, at(0));
    act(&mut supervisor, |s, a| s.fill(at(0), a));
    let failed = act(&mut supervisor, |s, a| s.on_spawn_failed(Generation(1), at(0), a));
    assert_eq!(spawned(&failed), []);
    assert_eq!(supervisor.next_deadline(), Some(at(100)));
    let again = act(&mut supervisor, |s, a| s.tick(at(100), a));
    assert_eq!(spawned(&again), [(2, 0)]);
}
