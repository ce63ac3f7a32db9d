"""Complete tiny checkpoint folders in diffusers' layout, written by `save_pretrained` itself.

| folder  | transformer                                | VAE                              | tokenizer      |
|---------|--------------------------------------------|----------------------------------|----------------|
| tiny    | 2 layers, 2 heads x 12 (diffusers' own test) | base 6, [1,1,1,1], 1 res block | hand-built     |
| tiny64  | 1 layer, 2 heads x 64, sharded with an index | base 4, [1,2,4,4], 2 res blocks | SentencePiece |
| tiny128 | 1 layer, 1 head x 128 (RoPE 44/42/42)        | base 4, [1,1,1,1], 1 res block  | hand-built     |

diffusers' own test VAE has base 3: its upsampled stages then have ONE channel, where the channel norm is the sign
function and the smallest rounding flips pixels (plain BF16 is wrong by 40 %). No golden can pin that, hence base 6.
All weights are F32 on disk and seeded (`seeded.py`).
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

import seeded
import token_pieces

SCHEDULER = dict(
    num_train_timesteps=1000,
    prediction_type="flow_prediction",
    use_flow_sigmas=True,
    flow_shift=3.0,
    solver_order=2,
    solver_type="bh2",
    predict_x0=True,
    lower_order_final=True,
    final_sigmas_type="zero",
)


@dataclass(frozen=True)
class Recipe:
    """What makes one folder: configs of its parts and how its weights are cut into files."""

    name: str
    transformer: dict
    vae: dict
    text: dict
    tokenizer: str
    shard: dict = field(default_factory=dict)  # component -> max_shard_size; absent = one file


def _dit(heads: int, head_dim: int, layers: int, **rest) -> dict:
    return dict(
        patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=head_dim, num_layers=layers,
        in_channels=16, out_channels=16, text_dim=32, cross_attn_norm=True, qk_norm="rms_norm_across_heads", **rest,
    )  # fmt: skip


def _vae(base: int, mult: list[int], res_blocks: int, **rest) -> dict:
    return dict(
        base_dim=base, z_dim=16, dim_mult=mult, num_res_blocks=res_blocks,
        temperal_downsample=[False, True, True], **rest,
    )  # fmt: skip


def _text(layers: int) -> dict:
    return dict(
        d_model=32, d_kv=8, num_heads=4, d_ff=37, num_layers=layers, feed_forward_proj="gated-gelu",
        relative_attention_num_buckets=32, relative_attention_max_distance=128, layer_norm_epsilon=1e-6,
        dropout_rate=0.0, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip


OWN_MEAN = [round(0.3 * ((i * 7) % 16 - 7.5) / 7.5, 4) for i in range(16)]
OWN_STD = [round(0.6 + 0.1 * ((i * 5) % 16), 4) for i in range(16)]

RECIPES = [
    Recipe(
        "tiny",
        _dit(2, 12, 2, ffn_dim=32, freq_dim=256, rope_max_seq_len=32),
        _vae(6, [1, 1, 1, 1], 1),
        _text(2),
        "hand_built",
    ),
    Recipe(
        "tiny64",
        _dit(2, 64, 1, ffn_dim=40, freq_dim=64, rope_max_seq_len=1024),
        _vae(4, [1, 2, 4, 4], 2, latents_mean=OWN_MEAN, latents_std=OWN_STD),
        _text(3),
        "sentencepiece_like",
        {"transformer": "400KB", "text_encoder": "40KB"},
    ),
    Recipe(
        "tiny128",
        _dit(1, 128, 1, ffn_dim=32, freq_dim=32, rope_max_seq_len=1024),
        _vae(4, [1, 1, 1, 1], 1),
        _text(2),
        "hand_built",
    ),
]


def build(recipe: Recipe, goldens: Path) -> WanPipeline:
    """Writes `goldens/<name>/checkpoint` and returns the pipeline read back from it, in F32."""
    target = goldens / recipe.name / "checkpoint"
    shutil.rmtree(target, ignore_errors=True)
    tokenizer = getattr(token_pieces, recipe.tokenizer)()
    text_config = UMT5Config(vocab_size=len(tokenizer), **recipe.text)
    parts = dict(
        transformer=WanTransformer3DModel(**recipe.transformer),
        vae=AutoencoderKLWan(**recipe.vae),
        text_encoder=UMT5EncoderModel(text_config),
    )
    for part, model in parts.items():
        seeded.fill(f"{recipe.name}/{part}", model)
    pipeline = WanPipeline(tokenizer=tokenizer, scheduler=UniPCMultistepScheduler(**SCHEDULER), **parts)
    pipeline.save_pretrained(target)
    for part, size in recipe.shard.items():
        shutil.rmtree(target / part)
        parts[part].save_pretrained(target / part, max_shard_size=size)
    for file in target.rglob("*.safetensors"):
        file.chmod(0o644)
    return load(target)


def load(checkpoint: Path, **rest) -> WanPipeline:
    """The folder as any diffusers user would read it."""
    pipeline = WanPipeline.from_pretrained(checkpoint, **rest)
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.transformer, pipeline.vae, pipeline.text_encoder):
        part.eval().requires_grad_(False)
    return pipeline
