//! tokenizer.json, read by the `tokenizers` crate: T5's sentencepiece pieces with `</s>` at the end (wan.md §3.2).

use std::ops::Range;
use std::path::Path;

use super::{MAX_TOKENS, TOKENIZER_ADVICE, TOKENIZER_FILE};
use crate::folder::ModelFolder;
use crate::{Error, Result};

/// The id of `</s>`, which ends every prompt.
const END: u32 = 1;

/// A prompt cut into tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Ids of the real tokens, the last of which is `</s>`: 1 to 512 of them.
    pub ids: Vec<u32>,
    /// Whether the prompt was longer than that.
    pub truncated: bool,
    /// How many tokens were dropped from its end.
    pub dropped: usize,
    /// Bytes of the text that became tokens which were not dropped.
    pub seen_bytes: usize,
}

/// A word of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As it stands there, with what punctuation touches it.
    pub text: String,
    /// Its tokens.
    pub tokens: Range<usize>,
}

/// The tokenizer of a checkpoint.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads the tokenizer of `folder`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when it is missing or damaged, has ids that the text encoder has no row for, or does not end
    /// a prompt with `</s>`.
    pub fn load(folder: &ModelFolder) -> Result<Self> {
        Self::read(&folder.path().join(TOKENIZER_FILE), folder.text_config().vocab_size)
    }

    fn read(file: &Path, vocabulary: usize) -> Result<Self> {
        let wrong = |reason: String| Error::Tokenizer { file: file.to_path_buf(), reason };
        let bytes =
            std::fs::read(file).map_err(|error| wrong(format!("{error} ({TOKENIZER_ADVICE})")))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| wrong(format!("expected a tokenizer, got: {error}")))?;
        // Cutting and filling are ours: the file's own settings would hide how much was dropped.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| wrong(error.to_string()))?;
        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= vocabulary {
            return Err(wrong(format!(
                "expected token ids below {vocabulary} (vocab_size in text_encoder/config.json), got {largest} \
                 (the tokenizer is of another model)"
            )));
        }
        let this = Self { inner };
        let empty = this.pieces("", file)?;
        if empty != [END] {
            return Err(wrong(format!(
                "expected an empty prompt to become the one token {END} (</s>), got {empty:?}"
            )));
        }
        Ok(this)
    }

    /// Cuts a prompt, cleaned by [`super::clean`], into at most 512 tokens; the last one is always `</s>`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the tokenizer's own rules fail on the text.
    pub fn encode(&self, cleaned: &str) -> Result<Tokens> {
        let mut ids = self.pieces(cleaned, Path::new(TOKENIZER_FILE))?;
        let dropped = ids.len().saturating_sub(MAX_TOKENS);
        let mut seen_bytes = cleaned.len();
        if dropped > 0 {
            ids.truncate(MAX_TOKENS - 1);
            ids.push(END);
            seen_bytes = self.end_of(cleaned, MAX_TOKENS - 2)?;
        }
        Ok(Tokens { ids, truncated: dropped > 0, dropped, seen_bytes })
    }

    /// Where in a text its token with this index ends, in bytes.
    fn end_of(&self, text: &str, token: usize) -> Result<usize> {
        let wrong = |reason: String| Error::Tokenizer { file: TOKENIZER_FILE.into(), reason };
        let encoding = self.inner.encode(text, true).map_err(|error| wrong(error.to_string()))?;
        let end = encoding.get_offsets().get(token).map_or(text.len(), |(_, end)| *end);
        Ok(text.floor_char_boundary(end))
    }

    /// The words of a cleaned prompt, parted by spaces, with the tokens that [`Self::encode`] makes of each; the end token is
    /// of none, and words beyond 512 tokens are left out.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn words(&self, cleaned: &str) -> Result<Vec<Word>> {
        let wrong = |error: tokenizers::Error| Error::Tokenizer {
            file: Path::new(TOKENIZER_FILE).to_path_buf(),
            reason: error.to_string(),
        };
        let encoding = self.inner.encode(cleaned, false).map_err(wrong)?;
        let starts = cleaned.split_whitespace().map(|word| {
            let start = word.as_ptr().addr() - cleaned.as_ptr().addr();
            (start, start + word.len())
        });
        let mut words: Vec<Word> = Vec::new();
        let mut next = 0;
        let offsets = &encoding.get_offsets()[..encoding.len().min(MAX_TOKENS - 1)];
        for (start, end) in starts {
            let from = next;
            // A piece may take the space before its word, and belongs to the word in which it ends.
            while offsets.get(next).is_some_and(|(_, to)| *to <= end) {
                next += 1;
            }
            if from < next {
                words.push(Word { text: cleaned[start..end].to_owned(), tokens: from..next });
            }
        }
        Ok(words)
    }

    fn pieces(&self, text: &str, file: &Path) -> Result<Vec<u32>> {
        match self.inner.encode_fast(text, true) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => {
                Err(Error::Tokenizer { file: file.to_path_buf(), reason: error.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{ModelFolder, tests::toybox};

    fn tokenizer() -> Tokenizer {
        Tokenizer::load(&ModelFolder::open(&toybox()).unwrap()).unwrap()
    }

    #[test]
    fn an_empty_prompt_is_the_end_token() {
        let tokens = tokenizer().encode("").unwrap();
        assert_eq!(tokens, Tokens { ids: vec![1], truncated: false, dropped: 0, seen_bytes: 0 });
    }

    #[test]
    fn a_long_prompt_keeps_its_end_token_and_says_what_was_dropped() {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode(&"the red ball ".repeat(400)).unwrap();
        assert_eq!((tokens.ids.len(), tokens.ids[511]), (512, 1));
        let whole = tokenizer.inner.encode("the red ball ".repeat(400), true).unwrap();
        assert!(tokens.truncated);
        assert_eq!(tokens.dropped, whole.get_ids().len() - 512);
        assert_eq!(tokens.ids[..511], whole.get_ids()[..511]);
        let seen = &"the red ball ".repeat(400)[..tokens.seen_bytes];
        let again = tokenizer.encode(seen).unwrap();
        assert_eq!(
            (again.ids, again.seen_bytes),
            (tokens.ids, seen.len()),
            "what is seen is all of it"
        );
    }

    #[test]
    fn words_share_the_tokens_of_a_prompt_among_them() {
        let tokenizer = tokenizer();
        for prompt in ["a shiny red ball, bouncing", "été 🌊🐳 über  alles", "", "   "] {
            let cleaned = crate::text::clean(prompt);
            let words = tokenizer.words(&cleaned).unwrap();
            let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            assert_eq!(texts, cleaned.split_whitespace().collect::<Vec<_>>());
            let mut next = 0;
            for word in &words {
                assert!(word.tokens.start == next && !word.tokens.is_empty(), "{words:?}");
                next = word.tokens.end;
            }
            assert_eq!(next + 1, tokenizer.encode(&cleaned).unwrap().ids.len(), "{prompt}");
        }
        let many = tokenizer.words(&"ball ".repeat(900)).unwrap();
        assert!(many.last().unwrap().tokens.end < MAX_TOKENS);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "half a file is what this test wants")]
    fn ids_beyond_the_table_and_missing_files_are_refused() {
        let file = toybox().join(TOKENIZER_FILE);
        let largest = tokenizer().inner.get_vocab_size(true) - 1;
        let error = Tokenizer::read(&file, 200).unwrap_err().to_string();
        assert!(
            error.contains("below 200") && error.contains(&format!("got {largest}")),
            "{error}"
        );
        let error = Tokenizer::read(Path::new("/nowhere/tokenizer.json"), 200).unwrap_err();
        assert!(error.to_string().contains("spiece.model"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let damaged = folder.path().join("tokenizer.json");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&damaged, &text[..text.len() / 2]).unwrap();
        assert!(matches!(Tokenizer::read(&damaged, 200), Err(Error::Tokenizer { .. })));
    }
}
