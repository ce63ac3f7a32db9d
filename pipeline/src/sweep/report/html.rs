//! The page around the report: its head and its styles.

/// A whole page.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{STYLE}</style>\n<main>\n{body}</main>\n</html>\n",
        escaped(title)
    )
}

/// A text in which nothing is markup.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

const STYLE: &str = "
:root { color-scheme: light dark; --back: #fbfbf9; --front: #1d1f23; --dim: #666b75; --line: #d9dbdf; --band: #8883; --point: #1769aa; --edge: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --back: #16181c; --front: #e7e8ea; --dim: #9aa0aa; --line: #33373e; --band: #fff2; --point: #6cb4f0; --edge: #fb923c; } }
body { margin: 0; background: var(--back); color: var(--front); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 19px; margin: 36px 0 8px; } h3 { font-size: 15px; margin: 20px 0 6px; }
p { max-width: 75ch; } .note { color: var(--dim); font-size: 13px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.facts th { text-align: left; font-weight: 500; color: var(--dim); padding: 2px 16px 2px 0; vertical-align: top; } .facts td { padding: 2px 0; }
.wide { overflow-x: auto; }
.arms { font-size: 12px; white-space: nowrap; } .arms th, .arms td { padding: 4px 7px; border-bottom: 1px solid var(--line); text-align: right; }
.arms th:nth-child(2) { text-align: left; font-weight: 600; } .arms tr:first-child th { color: var(--dim); font-weight: 500; } .arms .dense { color: var(--dim); }
small { color: var(--dim); font-size: 10px; }
pre { background: var(--band); padding: 12px; overflow-x: auto; font-size: 12px; } summary { cursor: pointer; color: var(--dim); margin: 8px 0; }
.plots { display: flex; flex-wrap: wrap; gap: 24px; } .plots svg { width: 560px; max-width: 100%; height: auto; }
svg text { fill: var(--dim); font: 11px system-ui, sans-serif; } svg .label { fill: var(--front); font-weight: 600; }
.grid { stroke: var(--line); } .whisker { stroke: var(--point); opacity: .45; } .front { stroke: var(--edge); fill: none; stroke-width: 1.5; } .band { fill: var(--band); }
.point { fill: var(--back); stroke: var(--point); stroke-width: 1.5; } .point.best { fill: var(--edge); stroke: var(--edge); } .one { stroke: var(--dim); stroke-dasharray: 3 3; }
.strip { display: flex; flex-wrap: wrap; gap: 10px; } figure { margin: 0; } figure img { display: block; image-rendering: auto; border: 1px solid var(--line); }
figcaption { font-size: 11px; color: var(--dim); max-width: 140px; }
";

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(super::escaped("<b a=\"1\">'&"), "&lt;b a=&quot;1&quot;&gt;&#39;&amp;");
        let page = super::page("<x>", "<p>");
        assert!(page.contains("<title>&lt;x&gt;</title>") && !page.contains("http"));
    }
}
