"""Prompt-cleaning goldens: (raw, cleaned) by diffusers' own `prompt_clean` with ftfy installed.

`prompts.json` is a list of {raw, cleaned, kind}. Kind "required" is what a port must do; "mojibake" (repair of text that was
decoded with the wrong character set) is ftfy's speciality and optional.
"""

from pathlib import Path

from diffusers.pipelines.wan.pipeline_wan import prompt_clean

import store

REQUIRED = [
    "",
    " ",
    "\n\t \r\n",
    "a red ball",
    "  a  red\tball \n on\r\n\r\nthe floor  ",
    "line one\rline two\u2028line three\u2029four\u0085five",
    "\u201ccurly\u201d and \u2018single\u2019 quotes, it\u2019s \u201elow\u201f \u201ahere\u201b",
    "\u00abguillemets\u00bb stay \u2039here\u203a, 5\u2032 and 6\u2033 too",
    "dashes \u2013 \u2014 \u2015 and dots\u2026 stay",
    "&amp; &lt;b&gt; &quot;x&quot; &#39;y&#39; &#x27;z&#x27; &nbsp;&copy;",
    "&amp;amp; &amp;lt;i&amp;gt; &amp;quot;",
    "&amp;amp;amp; thrice",
    "a &lt; b with < kept",
    "unknown &entity; and &bare & AT&T; &amp",
    "&Eacute;&EACUTE; &hellip; &mdash; &rarr;",
    "nul\x00 bell\x07 esc\x1b del\x7f c1\x80 \x9f back\x08",
    "\x1b[31mred\x1b[0m colour \x1b[1;32mbold\x1b[m",
    "zero\u200bwidth joiner\u200dx \ufeffbom soft\u00adhyphen word\u2060joiner",
    "bidi \u202aembed\u202c \u200emark \u2066isolate\u2069",
    "interlinear \ufff9a\ufffab\ufffb deprecated \u206a\u206f object \ufffc replacement \ufffd",
    "e\u0301 A\u030a n\u0303 o\u0308 decomposed \u1100\u1161\u11a8",
    "\u212b \u2126 singletons \u1e9b\u0323",
    "ＡＢＣ ａｂｃ １２３！？（full）～",
    "ｶﾞｷﾞ half width \uffe6 \uffe0",
    "\u3000ideographic\u3000space\u3000",
    "\ufb00 \ufb01 \ufb02 \ufb03 \ufb04 \ufb05 \ufb06 ligatures \u01c4 \u01f3 \u0133",
    "nbsp\u00a0thin\u2009en\u2002em\u2003figure\u2007narrow\u202fogham\u1680math\u205fend",
    "v\x0bt f\x0cf fs\x1c gs\x1d rs\x1e us\x1f",
    "emoji 🙂 👩\u200d👩\u200d👧 🏳️\u200d🌈 👍🏽 flags 🇨🇳 keycap 1️⃣",
    "一只猫在雪地里奔跑，镜头跟随。",
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量",
    "日本語の文章。「引用」『二重』…",
    "Привет, мир! Ελληνικά \u0627\u0644\u0639\u0631\u0628\u064a\u0629 עברית हिन्दी ไทย",
    "½ ² ³ ™ ℃ № Ⅷ ① 株",
    "surrogate-free astral 𝒜𝔅 𠮷",
    "<a href=\"x\">tag &amp; stays</a>",
    "&#8220;numeric quotes&#8221; &#128512; &#x1F600; &#0; &#x80; &#xD800; &#1114112;",
    "tabs\t\ttabs and trailing\u00a0\u00a0",
    "a\u0300\u0301\u0302 stacked",
    "\u02bcmodifier apostrophe\u02bc and \u02bbokina",
    "A\u200c\u200dB",
]
MOJIBAKE = [
    "sÃ³ vocÃª pode",
    "âœ” No problems",
    "The Mona Lisa doesnâ€™t have eyebrows.",
    "l\u2019humanitÃ©",
    "rÃ©sumÃ© cafÃ© naÃ¯ve",
    "\u00e2\u0080\u009cquoted\u00e2\u0080\u009d",
]


def make(goldens: Path) -> None:
    """Writes `prompts.json`."""
    pairs = [dict(raw=raw, cleaned=prompt_clean(raw), kind="required") for raw in REQUIRED]
    pairs += [dict(raw=raw, cleaned=prompt_clean(raw), kind="mojibake") for raw in MOJIBAKE]
    store.scalars(goldens / "prompts.json", pairs)
