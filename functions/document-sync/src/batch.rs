//! One batch: at most one state per object, with S3 asked where the events leave it open.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::change::{Change, Kind};
use crate::documents::State;
use crate::sequencer::Sequencer;

/// The newest change of one object in a batch, and the messages that hold changes of it.
#[derive(Debug)]
struct Group {
    change: Change,
    /// A change without a place in the order: nothing in the batch is known to be the newest.
    unordered: bool,
    /// Positions in the batch.
    messages: Vec<usize>,
}

/// Something about one object, and the positions of the messages that it comes from.
pub(crate) type Sourced = (State, Vec<usize>);

/// What a batch comes to before S3 is asked.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// States that are certain, one per object.
    pub(crate) certain: Vec<Sourced>,
    /// States whose content only S3 knows.
    pub(crate) questions: Vec<Sourced>,
    /// Late changes.
    pub(crate) stale: usize,
    /// Repeated changes.
    pub(crate) duplicate: usize,
}

/// The changes of a batch by object.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// By the objects' digests.
    groups: BTreeMap<Uuid, Group>,
    changes: usize,
    /// Changes that came more than once.
    duplicate: usize,
    /// Whether the changes may be so old that the ledger has forgotten what came after them.
    old: bool,
}

impl Batch {
    /// A batch of changes that may be so old that the ledger has forgotten what came after them.
    pub(crate) fn of_old_changes() -> Self {
        Self {
            old: true,
            ..Self::default()
        }
    }

    /// Adds a change from the message at this position.
    pub(crate) fn add(&mut self, change: Change, message: usize) {
        self.changes += 1;
        let unordered = change.sequencer.is_none();
        match self.groups.entry(change.location.digest()) {
            Entry::Vacant(entry) => {
                entry.insert(Group {
                    change,
                    unordered,
                    messages: vec![message],
                });
            }
            Entry::Occupied(entry) => {
                let group = entry.into_mut();
                group.unordered |= unordered;
                group.messages.push(message);
                self.duplicate += usize::from(change.sequencer == group.change.sequencer);
                if change.sequencer > group.change.sequencer {
                    group.change = change;
                }
            }
        }
    }

    /// How many changes were added, several of one object included.
    pub(crate) fn changes(&self) -> usize {
        self.changes
    }

    /// The objects that cannot be judged without the ledger.
    pub(crate) fn doubtful(&self) -> Vec<Uuid> {
        self.groups
            .iter()
            .filter(|(_, group)| self.old || group.is_doubtful())
            .map(|(object, _)| *object)
            .collect()
    }

    /// One state for each object that is not stale. `known` is what the ledger has of the doubtful ones.
    pub(crate) fn judge(self, known: &HashMap<Uuid, Sequencer>) -> Judged {
        // What is superseded within the batch is as late as what comes after the batch.
        let mut judged = Judged {
            stale: self.changes - self.groups.len() - self.duplicate,
            duplicate: self.duplicate,
            ..Judged::default()
        };
        for (object, group) in self.groups {
            let known = known.get(&object).copied();
            let unordered = group.unordered || (self.old && known.is_none());
            match judge(group.change, unordered, known) {
                Verdict::Duplicate => judged.duplicate += 1,
                Verdict::Stale => judged.stale += 1,
                Verdict::Is(state) => judged.certain.push((state, group.messages)),
                Verdict::Ask(state) => judged.questions.push((state, group.messages)),
            }
        }
        judged
    }
}

impl Group {
    /// Whether the ledger is needed to judge it.
    fn is_doubtful(&self) -> bool {
        self.unordered || matches!(self.change.kind, Kind::Unknown | Kind::Expired)
    }
}

enum Verdict {
    Stale,
    Duplicate,
    Is(State),
    /// S3 has to tell what is there; the rest of the state is right.
    Ask(State),
}

/// Decides with the sequencer that the ledger has for the object.
///
/// S3's answer is at least as new as every event delivered, so entering it under the event's own sequencer never
/// hides a later event, and entering it just after what is known is right for an event without one.
fn judge(change: Change, unordered: bool, known: Option<Sequencer>) -> Verdict {
    let known = known.unwrap_or(Sequencer::ZERO);
    let newest = change.sequencer.unwrap_or(Sequencer::ZERO);
    let (location, time) = (change.location, change.time);
    let state = |sequencer, content| State {
        location,
        sequencer,
        time,
        content,
    };
    if unordered {
        return Verdict::Ask(state(newest.max(known.successor()), None));
    }
    match change.kind {
        Kind::Put(content) => Verdict::Is(state(newest, Some(content))),
        Kind::Removed => Verdict::Is(state(newest, None)),
        Kind::Expired | Kind::Unknown if newest == known => Verdict::Duplicate,
        Kind::Expired if newest > known => Verdict::Is(state(newest, None)),
        Kind::Expired => Verdict::Ask(state(known.successor(), None)),
        Kind::Unknown if newest > known => Verdict::Ask(state(newest, None)),
        Kind::Unknown => Verdict::Stale,
    }
}
