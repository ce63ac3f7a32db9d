//! What crosses crates: parity with diffusers, end-to-end clips, UI snapshots, GPU suite, the rule that these sentences hold.
//!
//! Here are the parts that the parity tests share: [`goldens`] reads what `scripts/goldens` made, [`compare`] measures how far a
//! tensor is from its golden, [`checkpoint`] makes changed copies of a tiny checkpoint, and [`stages`] runs one stage of a model.

pub mod checkpoint;
pub mod compare;
pub mod goldens;
pub mod stages;
