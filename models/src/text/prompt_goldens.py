"""Writes prompt_goldens.json: prompts and what diffusers 0.42 with ftfy 6.3.1 cleans them to.

Run: python prompt_goldens.py prompt_goldens.json
"""
import json,sys
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
P=["", "  a  red\tball\r\n bounces ", "A “red&amp;amp;green” cube’s ‘edge’", "ﬂuﬃeﬆ ﬁne Ĳ ŉ ǆ", "ＬＯＵＤ　ＮＯＩＳＥＳ ｶﾞ ﾊﾝ", "\x1b[36;44mI'm blue\x1b[0m and \x1b[ not", "a\x00b\x07c\x0bd\x0ce\x1ff\x7fg\ufeffh\u206ai\ufffcj", "line\u2028para\u2029next\x85end", "cafe\u0301 na\u00efve A\u030a", "P&eacute;rez P&EACUTE;REZ &nTILDE; BUNDESSTRA&SZLIG;E", "this&not that &copy 2020 &notin; &notit; &ampamp;", "&#8220;hi&#8221; &#x201c;x&#X201D; &#65 &#x41; &#;", "<b>bold</b> &#8220;quoted&#8221; &amp;lt;", "one &#8220;a&#8221;\ntwo <i> &#8220;b&#8221;\nthree &#8220;c&#8221;", "&#128; &#0; &#1; &#xFFFF; &#xD800; &#99999999999; &#31; &#159;", "&amp;amp;amp;amp;lt;", "&hellip; &nbsp; &shy; &Jscr; &acE; &NotEqualTilde;", "你好，世界！“引号”（括号）", "emoji 👩‍👩‍👧 🙂 flag 🏴\U000e0067\U000e0062", "tab\tnbsp\u00a0em\u2003zw\u200bjoin\u200dend", "½ Ⅷ ² ™ №", "a & b &c; &; & ; &a", "x" , "&quot;q&quot; &apos;a&apos; &lt;tag&gt;", "\x80euro\x93q\x94 \x81", "tilde~ ～ ￠ ￦ ｡", "&lt;b&gt; then &#8217;", "O\u02bcNeill", "&COPY &REG; &TRADE; &THORN; &aacute &AACUTE; &EACUTE"]
json.dump([[p,prompt_clean(p)] for p in P], open(sys.argv[1],'w'), ensure_ascii=True, indent=1)
