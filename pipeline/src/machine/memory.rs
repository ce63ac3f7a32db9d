//! Main memory that a run may still take.
//!
//! The least of three: what the system says is available, what the control group (container, service) leaves, and what
//! `TESSERA_MEMORY_LIMIT` allows. A control group counts cached file pages as used; they are given back under pressure, and
//! reading a checkpoint makes gigabytes of them, so they count as free here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Caps the memory that plans count on: bytes, or a number with K, M, G or T (powers of 1024).
pub const LIMIT_VARIABLE: &str = "TESSERA_MEMORY_LIMIT";

/// Bytes of main memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// In the machine, or allowed to the container.
    pub total: u64,
    /// Free, or freed when asked for.
    pub available: u64,
    /// The value of `TESSERA_MEMORY_LIMIT`.
    pub limit: Option<u64>,
}

impl Memory {
    /// Looks at this machine now.
    pub fn detect() -> Self {
        // A system that does not say is taken to have enough: refusing everything would be worse than trying.
        let mut memory = Self { total: u64::MAX, available: u64::MAX, limit: None };
        if let Ok(mut system) = sysinfo::System::new() {
            system.refresh_memory();
            memory.total = system.total_memory();
            memory.available = system.available_memory();
        }
        for (limit, free) in control_groups(Path::new("/sys/fs/cgroup"), &own_group()) {
            memory.total = memory.total.min(limit);
            memory.available = memory.available.min(free);
        }
        memory.limit = std::env::var(LIMIT_VARIABLE).ok().and_then(|text| parse_bytes(&text));
        if let Some(limit) = memory.limit {
            memory.available = memory.available.min(limit);
        }
        memory
    }
}

/// What to say when `TESSERA_MEMORY_LIMIT` is set to something that is no size.
pub(super) fn misread_limit() -> Option<String> {
    let text = std::env::var_os(LIMIT_VARIABLE)?.to_string_lossy().into_owned();
    let is_wrong = parse_bytes(&text).is_none() && !text.is_empty();
    is_wrong.then(|| {
        format!(
            "{LIMIT_VARIABLE} is \"{text}\", which is no size such as 512M or 2G; it is ignored."
        )
    })
}

/// Reads "512M", "2G" or plain bytes.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim().to_lowercase();
    let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}

/// This process's group in the unified hierarchy, as `/proc/self/cgroup` names it.
fn own_group() -> PathBuf {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    group.trim_start_matches('/').into()
}

/// (limit, what is left of it) of the group and of each above it that has a limit.
fn control_groups(root: &Path, group: &Path) -> Vec<(u64, u64)> {
    let unified = group.ancestors().map(|above| root.join(above)).filter_map(|folder| {
        let limit = number(&folder.join("memory.max"))?;
        let used = number(&folder.join("memory.current"))?;
        Some(left(limit, used, &folder.join("memory.stat"), &["active_file", "inactive_file"]))
    });
    let old = root.join("memory");
    let legacy = number(&old.join("memory.limit_in_bytes"))
        .zip(number(&old.join("memory.usage_in_bytes")))
        .map(|(limit, used)| {
            left(
                limit,
                used,
                &old.join("memory.stat"),
                &["total_active_file", "total_inactive_file"],
            )
        });
    unified.chain(legacy).collect()
}

fn left(limit: u64, used: u64, stat: &Path, cached: &[&str]) -> (u64, u64) {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    let cache: u64 = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(key, _)| cached.contains(key))
        .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .sum();
    (limit, limit.saturating_sub(used.saturating_sub(cache)))
}

/// The number in a file; `None` for "max" and for files that are not there.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse_bytes("1000"), Some(1000));
        assert_eq!(parse_bytes("512M"), Some(512 << 20));
        assert_eq!(parse_bytes(" 2 GiB"), Some(2 << 30));
        assert_eq!(parse_bytes("3gb"), Some(3 << 30));
        assert_eq!(parse_bytes("lots"), None);
        assert_eq!(parse_bytes("5 apples"), None);
    }

    #[test]
    fn the_tightest_group_counts_and_its_file_cache_is_free() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let put = |path: PathBuf, text: &str| {
            crate::files::write_atomically(&path, |file| {
                std::io::Write::write_all(file, text.as_bytes())
            })
            .unwrap();
        };
        put(root.path().join("a/memory.max"), "1000\n");
        put(root.path().join("a/memory.current"), "900\n");
        put(root.path().join("a/memory.stat"), "anon 100\nactive_file 300\ninactive_file 400\n");
        put(inner.join("memory.max"), "max\n");
        put(inner.join("memory.current"), "5\n");
        assert_eq!(control_groups(root.path(), Path::new("a/b")), [(1000, 800)]);
    }
}
