//! What crosses crates: parity with diffusers, end-to-end clips, UI snapshots, GPU suite, the rule that these sentences hold.
