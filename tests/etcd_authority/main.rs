//! Authority `etcd` against real etcd servers: who is granted the term, what is committed, and what becomes of both when
//! servers die, lie or forget.

mod access;
mod bad_keys;
mod ears;
mod node;
mod outages;
mod protocol;
