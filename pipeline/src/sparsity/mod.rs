//! Sparse self-attention: every method is an order, a level map and a schedule over one operator.
//!
//! A [`Policy`] looks at the queries and keys of one call and says how finely each query block sees each key block; the
//! [`registry`] names the policies and their presets. What is the same for all of them stands beside: token orders,
//! forced keeps, the floor, the density that is asked for, the schedule over steps and the cache of maps.

pub mod arrangement;
pub mod calibration;
pub mod observer;
pub mod policies;
pub mod policy;
pub mod registry;
pub mod schedule;

pub use arrangement::Arrangement;
pub use observer::{CallReport, Mode, Observer, SparseReport, Step};
pub use policy::{Knob, Needs, Policy, Prepared, View};
