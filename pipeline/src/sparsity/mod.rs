//! Sparse self-attention: every method is an order, a level map and a schedule over one operator.
//!
//! A [`Policy`] looks at the queries and keys of one call and says how finely each query block sees each key block; the
//! [`registry`] names the policies and their presets. What is the same for all of them stands beside: token orders,
//! forced keeps, the floor, the density that is asked for, the schedule over steps and the cache of maps.

pub mod arrangement;
pub mod attention;
pub mod cache;
pub mod calibration;
pub mod cuts;
pub mod finish;
pub(crate) mod geometry;
pub mod heads;
pub mod layers;
pub mod layout;
pub mod levels;
pub mod maps;
pub mod observer;
pub mod options;
pub(crate) mod patterns;
pub mod policies;
pub mod policy;
pub mod probe;
pub mod registry;
pub(crate) mod sampled;
pub mod schedule;
pub mod seed;
pub mod tally;

pub use arrangement::Arrangement;
pub use attention::SparseAttention;
pub use cuts::{Cuts, Ends};
pub use observer::{CallReport, Mode, Observer, SparseReport, Step};
pub use options::Options;
pub use policy::{Cells, Knob, Needs, Outline, Policy, Prepared, View};
