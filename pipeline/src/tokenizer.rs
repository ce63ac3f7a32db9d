//! The tokenizer of a folder, read once: a window plans at each keystroke, and reading a published one takes half a second.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tessera_models::folder::ModelFolder;
use tessera_models::text::{TOKENIZER_FILE, Tokenizer};

use crate::Result;

/// What a tokenizer was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    file: PathBuf,
    bytes: u64,
    changed: SystemTime,
    /// Rows of the text encoder, against which its ids were checked.
    vocabulary: usize,
}

/// The tokenizer that was asked for last.
static LAST: Mutex<Option<(Origin, Arc<Tokenizer>)>> = Mutex::new(None);

/// The tokenizer of a folder; the one in memory when it is this folder's and its file is as it was.
pub(crate) fn of(folder: &ModelFolder) -> Result<Arc<Tokenizer>> {
    let Some(origin) = origin(folder) else { return Ok(Arc::new(Tokenizer::load(folder)?)) };
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, tokenizer)) = last.as_ref().filter(|(known, _)| *known == origin) {
        return Ok(Arc::clone(tokenizer));
    }
    let tokenizer = Arc::new(Tokenizer::load(folder)?);
    *last = Some((origin, Arc::clone(&tokenizer)));
    Ok(tokenizer)
}

/// `None` where the system does not tell when files change.
fn origin(folder: &ModelFolder) -> Option<Origin> {
    let file = folder.path().join(TOKENIZER_FILE);
    let facts = std::fs::metadata(&file).ok()?;
    let (bytes, changed) = (facts.len(), facts.modified().ok()?);
    Some(Origin { file, bytes, changed, vocabulary: folder.text_config().vocab_size })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bundled;

    /// The only test that asks for a folder of its own: others may take the place in between, never the folder.
    #[test]
    fn a_tokenizer_is_read_again_when_its_file_changes() {
        let bundled = bundled::model().unwrap();
        let copy = tempfile::tempdir().unwrap();
        for name in ["", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
            std::fs::create_dir_all(copy.path().join(name)).unwrap();
            for entry in std::fs::read_dir(bundled.join(name)).unwrap() {
                let from = entry.unwrap().path();
                if from.is_file() {
                    let to = copy.path().join(name).join(from.file_name().unwrap());
                    std::fs::copy(&from, to).unwrap();
                }
            }
        }
        let folder = ModelFolder::open(copy.path()).unwrap();
        let before = origin(&folder).unwrap();
        let first = of(&folder).unwrap();
        let file = std::fs::File::options().write(true).open(&before.file).unwrap();
        file.set_modified(before.changed + Duration::from_secs(9)).unwrap();
        assert_ne!(origin(&folder).unwrap(), before);
        assert!(!Arc::ptr_eq(&first, &of(&folder).unwrap()), "the file is another one");
        // A file that was spoilt is noticed, whatever is in memory.
        file.set_len(10).unwrap();
        assert!(of(&folder).is_err());
    }

    #[test]
    fn an_unchanged_tokenizer_is_the_same_one() {
        let folder = ModelFolder::open(&bundled::model().unwrap()).unwrap();
        // Another test may ask for its folder in between, but not each time.
        let is_kept = (0..20).any(|_| {
            let first = of(&folder).unwrap();
            Arc::ptr_eq(&first, &of(&folder).unwrap())
        });
        assert!(is_kept);
    }
}
