"""Transformer goldens: every stage of one forward pass, for ragged grids, several times and three texts.

`transformer.safetensors` has, per case c: `c.latents` [1, 16, T, H, W] ("uncond" has those of "ragged", and only a velocity), `c.temb` [1, d], `c.six` [1, 6, d], `c.text` (text MLP,
first 16 of 512 rows, first case only), `c.patch` [1, S, d], `c.block.i` [1, S, d], `c.velocity` [1, 16, T, H, W], all F32; and
`sinusoid` [n, freq_dim] for `times`. `transformer.json` has per case the grid in patches, t, the prompt name (text.py) and the error
that diffusers' own BF16 run makes on the velocity and after the last block.
"""

from pathlib import Path

import torch

import seeded
import store

TIMES = [999, 875, 500, 60, 1]
CASES = {
    # name: (latent frames, latent rows, latent columns), t, prompt
    "ragged": ((3, 10, 14), 875, "one"),
    "uncond": ((3, 10, 14), 875, "empty"),
    "last": ((2, 4, 6), 60, "long"),
    "single": ((1, 2, 2), 999, "unicode"),
    "tall": ((4, 12, 2), 1, "entities"),
}


def _trace(model, latents, t, text) -> dict[str, torch.Tensor]:
    """One forward with forward hooks on the stages; returns them with the velocity."""
    seen: dict[str, torch.Tensor] = {}
    hooks = []

    def watch(module, key, pick):
        hooks.append(module.register_forward_hook(lambda _m, _i, out: seen.__setitem__(key, pick(out))))

    watch(model.condition_embedder, "temb", lambda out: out[0])
    watch(model.condition_embedder.time_proj, "six", lambda out: out.unflatten(-1, (6, -1)))
    watch(model.condition_embedder.text_embedder, "text", lambda out: out)
    watch(model.patch_embedding, "patch", lambda out: out.flatten(2).transpose(1, 2))
    for i, block in enumerate(model.blocks):
        watch(block, f"block.{i}", lambda out: out)
    dtype = model.dtype
    out = model(latents.to(dtype), torch.tensor([t]), text.to(dtype), return_dict=False)[0]
    for hook in hooks:
        hook.remove()
    return seen | {"velocity": out}


@torch.no_grad()
def make(pipeline, bf16, texts: dict[str, torch.Tensor], folder: Path) -> None:
    """Writes the transformer goldens of one folder; `texts` are zero-filled rows [1, 512, text_dim]."""
    model = pipeline.transformer
    named, facts = {}, {}
    for index, (name, (size, t, prompt)) in enumerate(CASES.items()):
        if folder.name != "tiny" and size == (3, 10, 14):
            size = (3, 6, 10)  # five times as wide a model: a smaller ragged grid, to keep the files small
        # "uncond" sees the latents of "ragged", as guidance does.
        key = "ragged" if name == "uncond" else name
        latents = seeded.randn(f"{folder.name}/latents/{key}", 1, 16, *size)
        stages = _trace(model, latents, t, texts[prompt])
        low = _trace(bf16.transformer, latents, t, texts[prompt])
        stages["text"] = stages["text"][:, :16]
        if index > 0:
            stages.pop("text")
        last = f"block.{len(model.blocks) - 1}"
        errors = {stage: seeded.error(low[stage], stages[stage]) for stage in ("temb", "six", last, "velocity")}
        if key != name:
            stages = {"velocity": stages["velocity"]}
        else:
            named[f"{name}.latents"] = latents
        named |= {f"{name}.{stage}": value for stage, value in stages.items()}
        facts[name] = dict(
            grid=[size[0], size[1] // 2, size[2] // 2], t=t, prompt=prompt, bf16_error=errors,
        )  # fmt: skip
    named["sinusoid"] = model.condition_embedder.timesteps_proj(torch.tensor(TIMES))
    _times(model, named)
    store.tensors(folder / "transformer.safetensors", named)
    store.scalars(folder / "transformer.json", dict(cases=facts, times=TIMES))


def _times(model, named: dict[str, torch.Tensor]) -> None:
    """Adds `times.temb` [n, d] and `times.six` [n, 6, d] for all of TIMES."""
    embedder = model.condition_embedder
    temb = embedder.time_embedder(named["sinusoid"])
    named["times.temb"] = temb
    named["times.six"] = embedder.time_proj(embedder.act_fn(temb)).unflatten(-1, (6, -1))
