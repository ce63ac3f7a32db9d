//! Which of the CPU paths runs.

use std::{cell::Cell, sync::OnceLock};

/// A CPU path, slowest first. Each level has everything that the ones before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain candle operations.
    Reference,
    /// Our loops without explicit instructions: the path of processors that are not x86-64.
    Portable,
    /// AVX2 and FMA: F32 products on 8 lanes; BF16 is widened on the way in.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: F32 products on 16 lanes; BF16 is widened on the way in.
    Avx512,
    /// As [`Level::Avx512`], and BF16 products in pairs (`vdpbf16ps`).
    Avx512Bf16,
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Self; 5] =
        [Self::Reference, Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The name that `TESSERA_KERNELS` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The highest level of this processor.
    pub fn of_this_machine() -> Self {
        static FOUND: OnceLock<Level> = OnceLock::new();
        *FOUND.get_or_init(detect)
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return Level::Portable;
    }
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    if !avx512 {
        return Level::Avx2;
    }
    if is_x86_feature_detected!("avx512bf16") { Level::Avx512Bf16 } else { Level::Avx512 }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

/// The level in force on the calling thread: the machine's, lowered by `TESSERA_KERNELS` and by [`with_level`].
/// A value of the variable that names no level is ignored.
pub fn level() -> Level {
    static LOWERED: OnceLock<Level> = OnceLock::new();
    let lowered = *LOWERED.get_or_init(|| {
        let found = Level::of_this_machine();
        let asked = std::env::var("TESSERA_KERNELS").ok().and_then(|name| Level::from_name(&name));
        asked.map_or(found, |asked| asked.min(found))
    });
    FORCED.get().map_or(lowered, |forced| forced.min(lowered))
}

/// Runs `work` with the calling thread's level lowered to at most `at_most`. For tests and benches.
pub fn with_level<T>(at_most: Level, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Level>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    let _restore = Restore(FORCED.replace(Some(at_most)));
    work()
}
