//! Prompts cleaned as diffusers' Wan pipeline cleans them (wan.md §3.3): ftfy, HTML entities, white space.
//!
//! Of ftfy all that changes well-decoded text is here: entities, ligatures, full-width forms, curly quotes, line breaks,
//! terminal escapes, control characters, NFC. What is not is the repair of text decoded in the wrong encoding ("cafÃ©"):
//! it guesses, and a prompt typed into our own window or command line was never decoded wrongly.

use unicode_normalization::UnicodeNormalization;

use super::html;

/// Latin letters that are two in one (ftfy's list).
const LIGATURES: [(char, &str); 22] = [
    ('Ĳ', "IJ"),
    ('ĳ', "ij"),
    ('ŉ', "ʼn"),
    ('Ǳ', "DZ"),
    ('ǲ', "Dz"),
    ('ǳ', "dz"),
    ('Ǆ', "DŽ"),
    ('ǅ', "Dž"),
    ('ǆ', "dž"),
    ('Ǉ', "LJ"),
    ('ǈ', "Lj"),
    ('ǉ', "lj"),
    ('Ǌ', "NJ"),
    ('ǋ', "Nj"),
    ('ǌ', "nj"),
    ('ﬀ', "ff"),
    ('ﬁ', "fi"),
    ('ﬂ', "fl"),
    ('ﬃ', "ffi"),
    ('ﬄ', "ffl"),
    ('ﬅ', "ſt"),
    ('ﬆ', "st"),
];

/// The prompt as the tokenizer is to see it: one line, single spaces, none at the ends.
pub fn clean(prompt: &str) -> String {
    let mut fixed = String::with_capacity(prompt.len());
    let mut entities = true;
    for line in prompt.split_inclusive('\n') {
        // Text with a tag in it is HTML, whose entities ftfy leaves alone from there on.
        entities &= !line.contains('<');
        fixed.push_str(&fix(line, entities));
    }
    let plain = html::unescape(&html::unescape(&fixed));
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line, fixed until nothing changes: an entity may hide another, or a curly quote.
fn fix(line: &str, entities: bool) -> String {
    let mut text = line.to_owned();
    loop {
        let fixed = fix_once(&text, entities);
        if fixed == text {
            return text;
        }
        text = fixed;
    }
}

fn fix_once(text: &str, entities: bool) -> String {
    let text = if entities { html::unescape_strict(text) } else { text.to_owned() };
    let mut folded = String::with_capacity(text.len());
    for character in text.chars().map(html::from_windows) {
        fold(character, &mut folded);
    }
    let folded =
        folded.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
    let mut plain = without_escapes(&folded);
    plain.retain(|character| !is_control(character));
    plain.nfc().collect()
}

/// Ligatures, full-width and half-width forms, curly quotes.
fn fold(character: char, out: &mut String) {
    match character {
        '\u{3000}' => out.push(' '),
        '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(character).nfkc()),
        '\u{02bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        _ => match LIGATURES.iter().find(|(ligature, _)| *ligature == character) {
            // The one ligature with a quote in it.
            Some((_, letters)) => out.push_str(&letters.replace('\u{02bc}', "'")),
            None => out.push(character),
        },
    }
}

/// Without "ESC [ numbers letter", the colours of a terminal.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let end = body.find(|c: char| !c.is_numeric() && c != ';').unwrap_or(body.len());
        if body[end..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            rest = &body[end + 1..];
        } else {
            out.push_str(&rest[at..at + 2]);
            rest = body;
        }
    }
    out.push_str(rest);
    out
}

/// Control characters that are neither white space nor part of how a script is drawn.
fn is_control(character: char) -> bool {
    matches!(character,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}'
        | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Prompt and what diffusers' `prompt_clean` with ftfy 6.3.1 made of it.
    const GOLDENS: &str = include_str!("prompt_goldens.json");

    #[test]
    fn prompts_come_out_as_from_ftfy() {
        let pairs: Vec<(String, String)> = serde_json::from_str(GOLDENS).unwrap();
        for (prompt, expected) in pairs {
            assert_eq!(clean(&prompt), expected, "from {prompt:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_becomes_one_line(prompt in "\\PC*|[&#x;a-z0-9<\u{1b}\\[\\n\\r ]{0,40}") {
            let cleaned = clean(&prompt);
            prop_assert!(!cleaned.contains(['\n', '\r', '\t']) && !cleaned.contains("  "));
            prop_assert_eq!(cleaned.trim(), &cleaned);
        }
    }
}
