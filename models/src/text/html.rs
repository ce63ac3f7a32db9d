//! HTML entities decoded as Python's `html.unescape` does, since that is what prompts went through when models were made.
//!
//! Two forms: the strict one takes only references that end in a semicolon and a few all-caps spellings (ftfy's rule); the
//! lenient one is HTML's own, where 106 old names need no semicolon and the longest known beginning counts.

use std::borrow::Cow;

use html_escape::NAMED_ENTITIES;

/// Names that HTML takes without a semicolon.
const BARE: &str = "AElig AMP Aacute Acirc Agrave Aring Atilde Auml COPY Ccedil ETH Eacute Ecirc Egrave Euml GT Iacute \
    Icirc Igrave Iuml LT Ntilde Oacute Ocirc Ograve Oslash Otilde Ouml QUOT REG THORN Uacute Ucirc Ugrave Uuml Yacute \
    aacute acirc acute aelig agrave amp aring atilde auml brvbar ccedil cedil cent copy curren deg divide eacute ecirc \
    egrave eth euml frac12 frac14 frac34 gt iacute icirc iexcl igrave iquest iuml laquo lt macr micro middot nbsp not \
    ntilde oacute ocirc ograve ordf ordm oslash otilde ouml para plusmn pound quot raquo reg sect shy sup1 sup2 sup3 \
    szlig thorn times uacute ucirc ugrave uml uuml yacute yen yuml";

/// Names that stand for two characters, by their second one: the table of the html-escape crate has the first alone.
const SECOND: [(char, &str); 8] = [
    ('\u{6a}', "fjlig"),
    ('\u{331}', "race"),
    ('\u{333}', "acE"),
    (
        '\u{338}',
        "NotEqualTilde NotGreaterFullEqual NotGreaterGreater NotGreaterSlantEqual NotHumpDownHump \
         NotHumpEqual NotLeftTriangleBar NotLessLess NotLessSlantEqual NotNestedGreaterGreater \
         NotNestedLessLess NotPrecedesEqual NotRightTriangleBar NotSquareSubset NotSquareSuperset \
         NotSucceedsEqual NotSucceedsTilde nGg nGtv nLl nLtv napE napid nbump nbumpe ncongdot nedot nesim \
         ngE ngeqq ngeqslant nges nlE nleqq nleqslant nles notinE notindot npart npre npreceq nrarrc \
         nrarrw nsce nsubE nsubseteqq nsucceq nsupE nsupseteqq",
    ),
    ('\u{200a}', "ThickSpace"),
    (
        '\u{20d2}',
        "NotSubset NotSuperset nGt nLt nang nsubset nsupset nvap nvge nvgt nvle nvlt nvltrie nvrtrie \
         nvsim vnsub vnsup",
    ),
    ('\u{20e5}', "bne bnequiv nparsl"),
    (
        '\u{fe00}',
        "caps cups gesl gvertneqq gvnE lates lesg lvertneqq lvnE smtes sqcaps sqcups varsubsetneq \
         varsubsetneqq varsupsetneq varsupsetneqq vsubnE vsubne vsupnE vsupne",
    ),
];

/// The characters that Windows-1252 has in place of the control codes 0x80 to 0x9F; the gaps keep their code.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// What a control code from 0x80 to 0x9F stands for in text that came from Windows; other characters stay.
pub(super) fn from_windows(character: char) -> char {
    match (character as usize).checked_sub(0x80) {
        Some(index) if index < WINDOWS_1252.len() => WINDOWS_1252[index],
        _ => character,
    }
}

/// What a reference means, and the bytes after its `&` that it took.
type Meant = (Cow<'static, str>, usize);

fn named(name: &str) -> Option<Cow<'static, str>> {
    let found = NAMED_ENTITIES.binary_search_by(|(known, _)| (*known).cmp(name.as_bytes()));
    let first = NAMED_ENTITIES[found.ok()?].1;
    let second = SECOND.iter().find(|(_, names)| names.split(' ').any(|known| known == name));
    Some(match second {
        Some((second, _)) => format!("{first}{second}").into(),
        None => first.into(),
    })
}

/// Decodes all references once, by HTML's lenient rule.
pub(super) fn unescape(text: &str) -> String {
    decode(text, lenient)
}

/// Decodes references that end in a semicolon, once.
pub(super) fn unescape_strict(text: &str) -> String {
    decode(text, strict)
}

/// Replaces what `reference` reads after each `&`: it answers with the text meant and the bytes that it took.
fn decode(text: &str, reference: fn(&str) -> Option<Meant>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some((meant, taken)) = reference(rest) {
            out.push_str(&meant);
            rest = &rest[taken..];
        } else {
            out.push('&');
        }
    }
    out.push_str(rest);
    out
}

fn lenient(rest: &str) -> Option<Meant> {
    if rest.starts_with('#') {
        return numeric(rest);
    }
    // The reference's own bound: 32 characters that cannot end a name.
    let end = rest
        .char_indices()
        .take(32)
        .take_while(|(_, c)| !matches!(c, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';'))
        .last()
        .map(|(at, c)| at + c.len_utf8())?;
    let name = &rest[..end];
    if rest[end..].starts_with(';')
        && let Some(meant) = named(name)
    {
        return Some((meant, end + 1));
    }
    let longest = BARE.split_ascii_whitespace().filter(|bare| name.starts_with(bare));
    let bare = longest.max_by_key(|bare| bare.len())?;
    named(bare).map(|meant| (meant, bare.len()))
}

fn strict(rest: &str) -> Option<Meant> {
    let end = rest.find(';')?;
    let name = &rest[..end];
    if name.starts_with('#') {
        return numeric(rest).filter(|(_, taken)| *taken == end + 1);
    }
    if !(1..=24).contains(&end) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    if let Some(meant) = named(name) {
        return Some((meant, end + 1));
    }
    // "&EACUTE;" is in no table and means É.
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let meant = named(&name.to_ascii_lowercase())?;
    Some((meant.to_uppercase().into(), end + 1))
}

/// "#8220;", "#x201C", … : the semicolon may be missing.
fn numeric(rest: &str) -> Option<Meant> {
    let (radix, start) =
        if rest.starts_with("#x") || rest.starts_with("#X") { (16, 2) } else { (10, 1) };
    let digits = rest[start..].find(|c: char| !c.is_digit(radix)).unwrap_or(rest.len() - start);
    if digits == 0 {
        return None;
    }
    let end = start + digits;
    let taken = end + usize::from(rest[end..].starts_with(';'));
    // More digits than any character has: out of range, like every surrogate.
    let code = u32::from_str_radix(&rest[start..end], radix).unwrap_or(u32::MAX);
    let meant = match char::from_u32(code) {
        None | Some('\0') => "\u{fffd}".to_owned(),
        Some(character) if dropped(code) => {
            let replaced = from_windows(character);
            if replaced == character && !(0x80..=0x9f).contains(&code) {
                String::new()
            } else {
                replaced.to_string()
            }
        }
        Some(character) => character.to_string(),
    };
    Some((meant.into(), taken))
}

/// Control codes and noncharacters, which a reference may not name.
fn dropped(code: u32) -> bool {
    matches!(code, 0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f..=0x9f | 0xfdd0..=0xfdef)
        || code & 0xfffe == 0xfffe
}
