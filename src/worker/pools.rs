//! The upstream pools of one worker: members, their idle connections, and who waits.
//!
//! Pools are found by name and members by their stable id, so both live through an apply with their
//! connections and addresses. What a new plan no longer names is *retired*: it serves the exchanges
//! that began with it and goes when the last of them does.
//!
//! Invariants: a connection stands in at most one idle list; `open` counts every connection of a
//! member, idle ones included; a retired member keeps no idle connection.

use super::conn::ConnKey;
use super::work::XKey;
use crate::balance::Rota;
use crate::base::slots::{Key, Slots};
use crate::config::plan::{Address, MemberId, MemberPlan, Plan, PoolIndex, PoolPlan};
use crate::policy::Terms;
use crate::shared::{Board, Page, Row, SharedWord, Tag};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Names a member.
pub type MemberKey = Key<Member>;
/// Names a pool.
pub type PoolKey = Key<Pool>;

/// One backend of one pool.
pub struct Member {
    /// Its stable id.
    pub id: MemberId,
    /// Its address as people write it.
    pub text: Arc<str>,
    /// Its pool's name.
    pub pool: Arc<str>,
    /// Where it is.
    pub address: Address,
    /// Failures in a row after which it rests; 0 = never.
    pub max_failures: u32,
    /// Idle connections, the one used last at the end.
    pub idle: Vec<ConnKey>,
    /// Most of them.
    pub idle_max: usize,
    /// Open connections, idle ones included.
    pub open: u32,
    /// Not part of the plan any more.
    pub retired: bool,
    /// Its health, shared by all workers.
    pub health: SharedWord,
    /// What this worker counts about it.
    pub row: Row,
    /// Addresses that its name has now; one for a fixed address.
    addresses: Vec<SocketAddr>,
    next: usize,
}

/// How to reach a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Dial this address.
    Dial(SocketAddr),
    /// Ask the master for a connection to its unix socket.
    Ask,
    /// Its name has no address yet, or no longer.
    Unknown,
}

impl Member {
    /// How to reach it now; several addresses take turns.
    pub fn reach(&mut self) -> Reach {
        if let Address::Unix(_) = self.address {
            return Reach::Ask;
        }
        let at = self.next.checked_rem(self.addresses.len()).unwrap_or(0);
        self.next = at + 1;
        self.addresses.get(at).map_or(Reach::Unknown, |address| Reach::Dial(*address))
    }

    /// Whether a connection can be tried at all.
    pub fn is_reachable(&self) -> bool {
        matches!(self.address, Address::Unix(_)) || !self.addresses.is_empty()
    }

    /// Takes the new addresses of its name.
    fn resolve(&mut self, host: &str, addresses: &[IpAddr]) -> bool {
        match &self.address {
            Address::Name { host: mine, port } if mine == host => {
                self.addresses = addresses.iter().map(|ip| SocketAddr::new(*ip, *port)).collect();
                true
            }
            _ => false,
        }
    }
}

/// A set of members that stand for each other.
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// In the order of the plan.
    pub members: Vec<MemberKey>,
    /// The order of turns.
    pub rota: Rota,
    /// Exchanges that wait for a member, the oldest first. Stale keys are skipped.
    pub waiting: VecDeque<XKey>,
    /// Terms of a connection that no exchange uses.
    pub terms: Arc<Terms>,
    /// Exchanges that may still pick from it.
    pub users: u32,
    /// Whose turn it is, shared by all workers.
    pub cursor: SharedWord,
    retired: bool,
}

impl Pool {
    /// Whether no plan names it and no exchange uses it.
    pub fn is_forgotten(&self) -> bool {
        self.retired && self.users == 0
    }
}

/// All pools and members.
#[derive(Default)]
pub struct Pools {
    pools: Slots<Pool>,
    members: Slots<Member>,
    by_id: HashMap<MemberId, MemberKey>,
    by_name: HashMap<Arc<str>, PoolKey>,
    by_index: Vec<PoolKey>,
    resolved: HashMap<String, Vec<IpAddr>>,
}

impl Pools {
    /// Takes the pools of a new plan. What it no longer names is retired; the idle connections to
    /// close are returned.
    pub fn apply(&mut self, plan: &Plan, board: &Board, page: &Page) -> Vec<ConnKey> {
        self.members.iter_mut().for_each(|(_, member)| member.retired = true);
        self.pools.iter_mut().for_each(|(_, pool)| pool.retired = true);
        self.by_index.clear();
        for pool in &plan.pools {
            let key = self.apply_pool(pool, board, page);
            self.by_index.push(key);
        }
        let mut close = Vec::new();
        for (_, member) in self.members.iter_mut().filter(|(_, member)| member.retired) {
            close.append(&mut member.idle);
        }
        self.sweep();
        close
    }

    fn apply_pool(&mut self, plan: &PoolPlan, board: &Board, page: &Page) -> PoolKey {
        let name: Arc<str> = match self.by_name.get_key_value(plan.name.as_str()) {
            Some((name, _)) => name.clone(),
            None => plan.name.as_str().into(),
        };
        let members: Vec<MemberKey> = plan
            .members
            .iter()
            .map(|member| self.apply_member(&name, member, board, page))
            .collect();
        let idle_max = plan.terms.limits.idle_connections as usize;
        for key in &members {
            if let Some(member) = self.members.get_mut(*key) {
                member.idle_max = idle_max;
            }
        }
        let weights: Vec<u32> = plan.members.iter().map(|m| u32::from(m.weight)).collect();
        let rota = Rota::weighted(&weights);
        if let Some(&key) = self.by_name.get(&name)
            && let Some(pool) = self.pools.get_mut(key)
        {
            (pool.members, pool.rota, pool.retired) = (members, rota, false);
            pool.terms = plan.terms.clone();
            return key;
        }
        let key = self.pools.insert(Pool {
            name: name.clone(),
            members,
            rota,
            waiting: VecDeque::new(),
            terms: plan.terms.clone(),
            users: 0,
            cursor: SharedWord::new(board, Tag::pool(&plan.name)),
            retired: false,
        });
        self.by_name.insert(name, key);
        key
    }

    fn apply_member(
        &mut self,
        pool: &Arc<str>,
        plan: &MemberPlan,
        board: &Board,
        page: &Page,
    ) -> MemberKey {
        if let Some(&key) = self.by_id.get(&plan.id)
            && let Some(member) = self.members.get_mut(key)
        {
            member.retired = false;
            member.max_failures = plan.max_failures;
            return key;
        }
        let addresses = match &plan.address {
            Address::Ip(address) => vec![*address],
            Address::Unix(_) => Vec::new(),
            Address::Name { host, port } => {
                let known = self.resolved.get(host).map(Vec::as_slice).unwrap_or_default();
                known.iter().map(|ip| SocketAddr::new(*ip, *port)).collect()
            }
        };
        let health = SharedWord::new(board, Tag::member(plan.id.0));
        let key = self.members.insert(Member {
            row: page.row_of(health.line()),
            health,
            id: plan.id,
            text: plan.text.as_str().into(),
            pool: pool.clone(),
            address: plan.address.clone(),
            max_failures: plan.max_failures,
            idle: Vec::new(),
            idle_max: 0,
            open: 0,
            retired: false,
            addresses,
            next: 0,
        });
        self.by_id.insert(plan.id, key);
        key
    }

    /// A name has these addresses now. Returns the pools in which someone may wait for that.
    pub fn resolve(&mut self, host: &str, addresses: Vec<IpAddr>) -> Vec<PoolKey> {
        let mut changed = Vec::new();
        for (key, member) in self.members.iter_mut() {
            if member.resolve(host, &addresses) {
                changed.push(key);
            }
        }
        self.resolved.insert(host.to_owned(), addresses);
        let waits = |pool: &Pool| {
            !pool.waiting.is_empty() && pool.members.iter().any(|key| changed.contains(key))
        };
        self.pools.iter().filter(|(_, pool)| waits(pool)).map(|(key, _)| key).collect()
    }

    /// The pool at `index` of the live plan.
    pub fn at(&self, index: PoolIndex) -> Option<PoolKey> {
        self.by_index.get(index.0 as usize).copied()
    }

    /// The pool of this name.
    pub fn named(&self, name: &str) -> Option<&Pool> {
        self.by_name.get(name).and_then(|key| self.pools.get(*key))
    }

    /// The pool behind a key.
    pub fn pool(&self, key: PoolKey) -> Option<&Pool> {
        self.pools.get(key)
    }

    /// The pool behind a key.
    pub fn pool_mut(&mut self, key: PoolKey) -> Option<&mut Pool> {
        self.pools.get_mut(key)
    }

    /// The member behind a key.
    pub fn member(&self, key: MemberKey) -> Option<&Member> {
        self.members.get(key)
    }

    /// The member behind a key.
    pub fn member_mut(&mut self, key: MemberKey) -> Option<&mut Member> {
        self.members.get_mut(key)
    }

    /// The idle connection of a member that was used last, taken out of its list.
    pub fn take_idle_of(&mut self, key: MemberKey) -> Option<ConnKey> {
        self.members.get_mut(key).and_then(|member| member.idle.pop())
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = (MemberKey, &Member)> {
        self.members.iter()
    }

    /// All pools.
    pub fn pools(&self) -> impl Iterator<Item = (PoolKey, &Pool)> {
        self.pools.iter()
    }

    /// All idle connections, taken out of their lists.
    pub fn take_idle(&mut self) -> Vec<ConnKey> {
        self.members.iter_mut().flat_map(|(_, member)| std::mem::take(&mut member.idle)).collect()
    }

    /// Removes retired pools that nobody uses and retired members without connections.
    pub fn sweep(&mut self) {
        let gone: Vec<PoolKey> = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.retired && pool.users == 0)
            .map(|(key, _)| key)
            .collect();
        for key in gone {
            if let Some(pool) = self.pools.remove(key) {
                self.by_name.remove(&pool.name);
            }
        }
        let used: Vec<MemberKey> =
            self.pools.iter().flat_map(|(_, pool)| pool.members.iter().copied()).collect();
        let gone: Vec<MemberKey> = self
            .members
            .iter()
            .filter(|(key, member)| member.retired && member.open == 0 && !used.contains(key))
            .map(|(key, _)| key)
            .collect();
        for key in gone {
            if let Some(member) = self.members.remove(key) {
                self.by_id.remove(&member.id);
            }
        }
    }
}
