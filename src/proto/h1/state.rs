//! The order in which the parts of a request and its response may come: two small tables.
//!
//! What it is: role-blind. There is an asker and an answerer; which of them we are is the
//! connection's business. Each side's own moves are in [`next`]; what the state of one side does
//! to the other is in [`States::settle`].
//!
//! What it is not: aware of bytes, framing or fields.
//!
//! Invariant: a connection is back at rest (`Idle`, `Idle`) only after both messages ended and
//! both sides want to go on.

/// One end of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    /// Sends requests.
    Asker,
    /// Sends responses.
    Answerer,
}

/// How far one side has got with its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not begun.
    Idle,
    /// The head is out; content may follow.
    Body,
    /// Complete; waits for the other side.
    Done,
    /// The request is complete and offers to switch protocols (asker only).
    Offering,
    /// Complete, and nothing may follow.
    Over,
    /// The connection belongs to another protocol.
    Switched,
    /// Broken: nothing of this side can be understood any more.
    Broken,
}

/// What one side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A `1xx` other than `101`.
    Interim,
    /// The head of the message.
    Head,
    /// The end of the message.
    End,
    /// The answer that switches protocols.
    Switch,
}

/// A step that may not be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

/// What `side` becomes by `step`.
const fn next(side: Side, phase: Phase, step: Step) -> Option<Phase> {
    Some(match (side, phase, step) {
        (_, Phase::Idle, Step::Head) => Phase::Body,
        (_, Phase::Body, Step::End) => Phase::Done,
        (Side::Answerer, Phase::Idle, Step::Interim) => Phase::Idle,
        (Side::Answerer, Phase::Idle, Step::Switch) => Phase::Switched,
        _ => return None,
    })
}

/// Both sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States {
    asker: Phase,
    answerer: Phase,
    keep: bool,
    offer: bool,
}

impl States {
    /// At rest.
    pub const fn new() -> States {
        States { asker: Phase::Idle, answerer: Phase::Idle, keep: true, offer: false }
    }

    /// How far `side` has got.
    pub const fn of(&self, side: Side) -> Phase {
        match side {
            Side::Asker => self.asker,
            Side::Answerer => self.answerer,
        }
    }

    /// Whether the connection may carry another exchange after this one.
    pub const fn keeps(&self) -> bool {
        self.keep
    }

    /// Whether no exchange is going on and another may begin.
    pub const fn at_rest(&self) -> bool {
        self.keep && matches!((self.asker, self.answerer), (Phase::Idle, Phase::Idle))
    }

    /// This exchange is the connection's last.
    pub fn keep_no_longer(&mut self) {
        self.keep = false;
        self.settle();
    }

    /// The request (whose head is just out) offers to switch protocols.
    pub fn offer_switch(&mut self) {
        self.offer = true;
    }

    /// `side` can't be understood any more.
    pub fn broke(&mut self, side: Side) {
        self.keep = false;
        self.offer = false;
        match side {
            Side::Asker => self.asker = Phase::Broken,
            Side::Answerer => self.answerer = Phase::Broken,
        }
        self.settle();
    }

    /// `side` takes `step`.
    ///
    /// # Errors
    /// [`OutOfOrder`] when it may not; then nothing changed.
    pub fn step(&mut self, side: Side, step: Step) -> Result<(), OutOfOrder> {
        if step == Step::Switch && self.asker != Phase::Offering {
            return Err(OutOfOrder);
        }
        let phase = next(side, self.of(side), step).ok_or(OutOfOrder)?;
        match side {
            Side::Asker => self.asker = phase,
            Side::Answerer => self.answerer = phase,
        }
        self.settle();
        Ok(())
    }

    /// What the state of one side does to the other.
    fn settle(&mut self) {
        // An offer stands from the end of the request until it is answered.
        match (self.asker, self.answerer) {
            (Phase::Done, Phase::Idle) if self.offer => self.asker = Phase::Offering,
            (Phase::Offering, Phase::Switched) => self.asker = Phase::Switched,
            (Phase::Offering, Phase::Body | Phase::Done | Phase::Broken) => {
                self.asker = Phase::Done;
                self.offer = false;
            }
            // An answer before the question: a refusal, after which no question is heard.
            (Phase::Idle, Phase::Body | Phase::Done) => {
                self.asker = Phase::Over;
                self.keep = false;
            }
            _ => {}
        }
        match (self.asker, self.answerer) {
            (Phase::Done, Phase::Done) if self.keep => *self = States::new(),
            (Phase::Done | Phase::Over, Phase::Done) => {
                (self.asker, self.answerer) = (Phase::Over, Phase::Over);
            }
            (Phase::Broken, Phase::Done) => self.answerer = Phase::Over,
            (Phase::Idle, Phase::Idle) if !self.keep => {
                (self.asker, self.answerer) = (Phase::Over, Phase::Over);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Side::{Answerer, Asker};

    fn walk(steps: &[(Side, Step)]) -> Result<States, OutOfOrder> {
        let mut states = States::new();
        for (side, step) in steps {
            states.step(*side, *step)?;
        }
        Ok(states)
    }

    #[test]
    fn an_exchange_ends_at_rest_in_either_order() {
        let ask = [(Asker, Step::Head), (Asker, Step::End)];
        let answer = [(Answerer, Step::Interim), (Answerer, Step::Head), (Answerer, Step::End)];
        assert!(walk(&[&ask[..], &answer[..]].concat()).is_ok_and(|s| s.at_rest()));
        let early = [ask[0], answer[1], answer[2]];
        let states = walk(&early).expect("an early answer is in order");
        assert_eq!((states.of(Asker), states.of(Answerer)), (Phase::Body, Phase::Done));
        assert!(walk(&[&early[..], &ask[1..]].concat()).is_ok_and(|s| s.at_rest()));
    }

    #[test]
    fn nothing_comes_twice_or_out_of_order() {
        for steps in [
            &[(Asker, Step::End)][..],
            &[(Asker, Step::Head), (Asker, Step::Head)],
            &[(Asker, Step::Interim)],
            &[(Asker, Step::Switch)],
            &[(Answerer, Step::End)],
            &[(Asker, Step::Head), (Answerer, Step::Head), (Answerer, Step::Interim)],
            &[(Asker, Step::Head), (Asker, Step::End), (Answerer, Step::Switch)],
        ] {
            assert_eq!(walk(steps), Err(OutOfOrder), "{steps:?}");
        }
    }

    #[test]
    fn a_switch_needs_a_complete_offer() {
        let mut states = States::new();
        states.step(Asker, Step::Head).expect("in order");
        states.offer_switch();
        assert_eq!(states.step(Answerer, Step::Switch), Err(OutOfOrder), "not complete");
        states.step(Asker, Step::End).expect("in order");
        assert_eq!(states.of(Asker), Phase::Offering);
        let mut refused = states;
        states.step(Answerer, Step::Switch).expect("in order");
        assert_eq!((states.of(Asker), states.of(Answerer)), (Phase::Switched, Phase::Switched));
        refused.step(Answerer, Step::Head).expect("in order");
        assert_eq!(refused.of(Asker), Phase::Done);
        refused.step(Answerer, Step::End).expect("in order");
        assert!(refused.at_rest());
    }

    #[test]
    fn the_last_exchange_ends_over() {
        let mut states = walk(&[(Asker, Step::Head)]).expect("in order");
        states.keep_no_longer();
        for (side, step) in [(Asker, Step::End), (Answerer, Step::Head), (Answerer, Step::End)] {
            states.step(side, step).expect("in order");
        }
        assert_eq!((states.of(Asker), states.of(Answerer)), (Phase::Over, Phase::Over));
    }

    #[test]
    fn a_refusal_may_come_unasked_and_closes() {
        let states = walk(&[(Answerer, Step::Head), (Answerer, Step::End)]).expect("in order");
        assert_eq!((states.of(Asker), states.of(Answerer)), (Phase::Over, Phase::Over));
        let mut broken = walk(&[(Asker, Step::Head)]).expect("in order");
        broken.broke(Asker);
        broken.step(Answerer, Step::Head).expect("an error may be answered");
        broken.step(Answerer, Step::End).expect("in order");
        assert_eq!(broken.of(Answerer), Phase::Over);
        assert!(!broken.at_rest());
    }
}
