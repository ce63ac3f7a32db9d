//! The name of a clip for which nobody gave one.
//!
//! `tessera-<first words of the prompt>-<seed>.<extension>` in the current folder, or in the folder that
//! `--out` names. A name that is taken, on the disk or by an earlier clip of the same batch, gets the
//! next free number: a render is never lost to a repeated command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The longest slug, in characters: the whole name stays readable in a file manager.
const SLUG_CHARS: usize = 40;

/// Hands out names, each once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    given: BTreeSet<PathBuf>,
}

impl Names {
    /// A free path in `folder` for this prompt and seed.
    pub(crate) fn next(&mut self, folder: &Path, prompt: &str, seed: u64, extension: Option<&str>) -> PathBuf {
        let stem = format!("tessera-{}-{seed}", slug(prompt));
        let mut path = folder.join(with_extension(&stem, extension));
        let mut number = 2_u32;
        while self.given.contains(&path) || path.exists() {
            path = folder.join(with_extension(&format!("{stem}-{number}"), extension));
            number += 1;
        }
        self.given.insert(path.clone());
        path
    }
}

/// The first words of a prompt as a piece of a file name: letters and digits of any script, lower case,
/// everything else one hyphen; whole words up to [`SLUG_CHARS`]. `clip` when nothing is left.
pub(crate) fn slug(prompt: &str) -> String {
    let mut slug = String::new();
    let words = prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.map(str::to_lowercase) {
        let length = slug.chars().count();
        if length > 0 && length + 1 + word.chars().count() > SLUG_CHARS {
            break;
        }
        if length > 0 {
            slug.push('-');
        }
        slug.extend(word.chars().take(SLUG_CHARS));
    }
    if slug.is_empty() { String::from("clip") } else { slug }
}

/// A dot is part of no slug and no seed, so plain joining is exact; a folder of images has no extension.
fn with_extension(stem: &str, extension: Option<&str>) -> String {
    extension.map_or_else(|| stem.to_owned(), |extension| format!("{stem}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_and_safe() {
        assert_eq!(slug("A red ball, bouncing!"), "a-red-ball-bouncing");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug(" \n"), "clip");
        assert_eq!(slug("一只猫 走路"), "一只猫-走路");
        assert_eq!(slug(&"word ".repeat(100)).chars().count(), 39);
        assert_eq!(slug(&"x".repeat(100)).chars().count(), SLUG_CHARS);
    }

    #[test]
    fn a_taken_name_gets_the_next_number() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut names = Names::default();
        let mut next = || names.next(folder.path(), "a cat", 7, Some("mp4"));
        let first = next();
        assert_eq!(first, folder.path().join("tessera-a-cat-7.mp4"));
        assert_eq!(next(), folder.path().join("tessera-a-cat-7-2.mp4"));
        std::fs::File::create(folder.path().join("tessera-a-cat-7-3.mp4")).expect("a file");
        assert_eq!(next(), folder.path().join("tessera-a-cat-7-4.mp4"));
    }
}
