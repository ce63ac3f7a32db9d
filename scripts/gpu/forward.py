"""Times diffusers on the first GPU, at full size and with random weights: forwards of the transformer, decodings of the VAE.

    forward.py 1.3b 14b vae:bf16 vae:f32

Prints the lines of `pipeline/examples/gpu_forward.rs`. Attention is torch's by cuDNN; "compiled" is diffusers' own
`compile_repeated_blocks`, which compiles a block and uses it for all. Needs PyTorch and diffusers.
"""

import statistics
import sys

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch.nn.attention import SDPBackend, sdpa_kernel

SHAPES = {"1.3b": (dict(num_attention_heads=12, ffn_dim=8960, num_layers=30), (21, 60, 104)), "14b": ({}, (21, 90, 160))}


def timed(call, warm, rounds):
    for _ in range(warm):
        call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(rounds):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        call()
        after.record()
        torch.cuda.synchronize()
        times.append(before.elapsed_time(after))
    return f"{statistics.median(times):.1f} ms, peak {torch.cuda.max_memory_allocated() / 1e9:.2f} GB"


def drawn(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02)
    return model.eval()


@torch.no_grad()
def forwards(name):
    config, (frames, rows, columns) = SHAPES[name]
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model = drawn(WanTransformer3DModel(**config))
        torch.set_default_dtype(torch.float32)
    latents = torch.randn(1, 16, frames, rows, columns, device="cuda", dtype=torch.bfloat16)
    words = torch.randn(1, 512, 4096, device="cuda", dtype=torch.bfloat16)
    step = torch.tensor([500.0], device="cuda")
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION], set_priority=True):
        call = lambda: model(hidden_states=latents, timestep=step, encoder_hidden_states=words, return_dict=False)
        rounds = 5 if name == "1.3b" else 2
        print(f"{name} diffusers eager: {timed(call, 1, rounds)}", flush=True)
        model.compile_repeated_blocks(fullgraph=True)
        print(f"{name} diffusers compiled: {timed(call, 2, rounds)}", flush=True)


@torch.no_grad()
def decode(name):
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[name]
    with torch.device("cuda"):
        vae = drawn(AutoencoderKLWan()).to(dtype)
    latents = torch.randn(1, 16, 21, 60, 104, device="cuda", dtype=dtype)
    print(f"vae diffusers {name}: {timed(lambda: vae.decode(latents), 1, 3)}", flush=True)


if __name__ == "__main__":
    for what in sys.argv[1:]:
        decode(what.removeprefix("vae:")) if what.startswith("vae:") else forwards(what)
        torch.cuda.empty_cache()
