"""Text goldens: prompt -> token ids -> rows of the text encoder, as WanPipeline makes them.

`text.safetensors` has, per prompt name p, `p.ids` [n] I64 (real tokens with the closing </s>) and `p.rows` [n, d] F32 (after the
final norm; of a long prompt every `stride`-th row). Everything after row n is zero up to 512, which is checked here and
not stored. `text.json` has the prompts, the count n, whether 512 cut it short, and the error of plain BF16.
"""

from pathlib import Path

import torch

import seeded
import store

PROMPTS = {
    "empty": "",
    "one": "a red ball bounces on the blue floor.",
    "entities": "  A \u201cred&amp;amp;green\u201d cube\tspins\r\n on   the floor&#33; ",
    "unicode": "一只红色的球 ﬁne ＡＢＣ über Ça — 🙂 \u00a0naïve e\u0301 Ⅷ ½ ｶﾞ",
    "unknown": "☃ zażółć gęślą jaźń ✈ κόσμος",
    "long": "a small yellow cone slides to the left, ".replace(",", " ,") * 90,
}
LIMIT = 512


@torch.no_grad()
def make(pipeline, bf16, folder: Path) -> dict[str, torch.Tensor]:
    """Writes the text goldens of one folder; returns the zero-filled rows [1, 512, d] per prompt name."""
    named, facts, padded = {}, {}, {}
    for name, prompt in PROMPTS.items():
        rows, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=LIMIT)
        low, _ = bf16.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=LIMIT)
        cleaned = _clean(prompt)
        full = pipeline.tokenizer(cleaned, add_special_tokens=True).input_ids
        cut = pipeline.tokenizer(
            cleaned, padding="max_length", max_length=LIMIT, truncation=True, return_attention_mask=True
        )
        stride = 8 if name == "long" else 1
        n = sum(cut.attention_mask)
        assert cut.attention_mask == [1] * n + [0] * (LIMIT - n)
        assert cut.input_ids[n - 1] == 1 and set(cut.input_ids[n:]) <= {0}
        assert rows[0, n:].abs().sum() == 0 and rows.shape[1] == LIMIT
        named[f"{name}.ids"] = torch.tensor(cut.input_ids[:n])
        named[f"{name}.rows"] = rows[0, :n:stride]
        padded[name] = rows
        facts[name] = dict(
            prompt=prompt, cleaned=cleaned, real=n, stride=stride, uncut=len(full), truncated=len(full) > LIMIT,
            bf16_error=seeded.error(low[0, :n], rows[0, :n]),
        )  # fmt: skip
    store.tensors(folder / "text.safetensors", named)
    store.scalars(folder / "text.json", facts)
    return padded


def _clean(prompt: str) -> str:
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    return prompt_clean(prompt)
