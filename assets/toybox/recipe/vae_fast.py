"""Whole-clip forward of diffusers' `AutoencoderKLWan` (Wan 2.1 layout): same parameters, same function, no feature cache.

diffusers walks a clip in chunks of four frames and caches the frames behind each causal convolution. Over a whole clip the same
function is: two zero frames in front of every causal convolution; temporal halving keeps frame 0 and strides over the rest; temporal
doubling keeps frame 0 and doubles the rest; a clip of one frame (an image) skips both. Tensors are [B, C, T, H, W].
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .norm_kernel import LAST, norm_silu_pad

LATENT = 16


def _frames(x):
    """[B, C, T, H, W] -> [B*T, C, H, W]"""
    b, c, t, h, w = x.shape
    return x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w)


def _clips(x, b):
    bt, c, h, w = x.shape
    return x.view(b, bt // b, c, h, w).permute(0, 2, 1, 3, 4)


def _conv(x, weight, bias):
    """A 3x3x3 convolution whose two causal frames already stand in front."""
    return F.conv3d(x, weight, bias, padding=(0, 1, 1))


def _residual(m, x):
    skip = x if isinstance(m.conv_shortcut, nn.Identity) else F.conv3d(x, m.conv_shortcut.weight, m.conv_shortcut.bias)
    y = _conv(norm_silu_pad(x, m.norm1.gamma, 2), m.conv1.weight, m.conv1.bias)
    y = _conv(norm_silu_pad(y, m.norm2.gamma, 2), m.conv2.weight, m.conv2.bias)
    return y + skip


def _attention(m, x):
    """One head over the pixels of each frame."""
    b, y = x.shape[0], _frames(x)
    n, c, h, w = y.shape
    y = (F.normalize(y.float(), dim=1) * c**0.5 * m.norm.gamma.float()).to(y.dtype)
    q, k, v = F.conv2d(y, m.to_qkv.weight, m.to_qkv.bias).permute(0, 2, 3, 1).reshape(n, 1, h * w, 3 * c).chunk(3, -1)
    y = F.scaled_dot_product_attention(q, k, v).reshape(n, h, w, c).permute(0, 3, 1, 2)
    return x + _clips(F.conv2d(y, m.proj.weight, m.proj.bias), b)


def _middle(m, x):
    return _residual(m.resnets[1], _attention(m.attentions[0], _residual(m.resnets[0], x)))


def _down(m, x):
    y = F.pad(_frames(x), (0, 1, 0, 1))
    y = _clips(F.conv2d(y, m.resample[1].weight, m.resample[1].bias, stride=2), x.shape[0])
    if m.mode == 'downsample3d' and y.shape[2] > 1:
        y = torch.cat([y[:, :, :1], F.conv3d(y, m.time_conv.weight, m.time_conv.bias, stride=(2, 1, 1))], 2)
    return y


# [phase, low-resolution tap, full-resolution tap]: which tap of a 3-wide kernel falls on which source pixel after doubling
_TAPS = torch.tensor([[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]])


def _double(conv, y):
    """Nearest doubling and a 3x3 convolution as ONE 3x3 convolution at the low resolution to 4x the channels."""
    global _TAPS
    _TAPS = _TAPS.to(y.device)
    out, into = conv.weight.shape[:2]
    weight = torch.einsum('pka,qlb,oiab->pqoikl', _TAPS, _TAPS, conv.weight.float()).reshape(4 * out, into, 3, 3)
    y = F.conv2d(y, weight.to(y.dtype), conv.bias.repeat(4).to(y.dtype), padding=1)
    n, _, h, w = y.shape
    y = y.permute(0, 2, 3, 1).reshape(n, h, w, 2, 2, out).permute(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, out)
    return y.permute(0, 3, 1, 2)


def _up(m, x):
    b, c, t, h, w = x.shape
    if m.mode == 'upsample3d' and t > 1:
        y = F.conv3d(F.pad(x[:, :, 1:], (0, 0, 0, 0, 2, 0)), m.time_conv.weight, m.time_conv.bias)
        y = torch.stack((y[:, :c], y[:, c:]), 3).reshape(b, c, 2 * (t - 1), h, w)
        x = torch.cat([x[:, :, :1], y], 2).contiguous(memory_format=LAST)
    return _clips(_double(m.resample[1], _frames(x)), b)


def _widen(t, n, dim):
    """Zero channels up to n: convolutions want a multiple of eight."""
    shape = list(t.shape)
    shape[dim] = n - shape[dim]
    return torch.cat([t, t.new_zeros(shape)], dim)


def compute_dtype(device):
    return torch.bfloat16 if torch.device(device).type == 'cuda' else torch.float32


def prepare(clips):
    """uint8 [B, T, H, W, 3] -> [B, 8, T+2, H, W] in [-1, 1], colour in the first three channels, two zero frames in front."""
    b, t, h, w, _ = clips.shape
    dtype = compute_dtype(clips.device)
    x = torch.zeros(b, t + 2, h, w, 8, device=clips.device, dtype=dtype)
    x[:, 2:, ..., :3] = clips.to(torch.float32).mul_(1 / 127.5).sub_(1.0).to(dtype)
    return x.permute(0, 4, 1, 2, 3)


def encode(vae, x):
    """x from `prepare` -> mean of the latent [B, 16, t, h, w], not normalised."""
    e = vae.encoder
    x = _conv(x, _widen(e.conv_in.weight, 8, 1), e.conv_in.bias)
    for layer in e.down_blocks:
        x = _down(layer, x) if hasattr(layer, 'resample') else _residual(layer, x)
    x = _middle(e.mid_block, x)
    x = _conv(norm_silu_pad(x, e.norm_out.gamma, 2), e.conv_out.weight, e.conv_out.bias)
    return F.conv3d(x, vae.quant_conv.weight, vae.quant_conv.bias)[:, :LATENT]


def decode(vae, z):
    """Latent (not normalised) -> [B, 3, T, H, W], about [-1, 1]."""
    d = vae.decoder
    x = F.conv3d(z, vae.post_quant_conv.weight, vae.post_quant_conv.bias)
    x = _conv(F.pad(x, (0, 0, 0, 0, 2, 0)), d.conv_in.weight, d.conv_in.bias).contiguous(memory_format=LAST)
    x = _middle(d.mid_block, x)
    for block in d.up_blocks:
        for m in block.resnets:
            x = _residual(m, x)
        if block.upsamplers is not None:
            x = _up(block.upsamplers[0], x)
    x = _conv(norm_silu_pad(x, d.norm_out.gamma, 2), _widen(d.conv_out.weight, 8, 0), _widen(d.conv_out.bias, 8, 0))
    return x[:, :3]


def _statistics(vae, device):
    return [torch.tensor(v, device=device).view(1, -1, 1, 1, 1) for v in (vae.config.latents_mean, vae.config.latents_std)]


@torch.no_grad()
def to_latents(vae, clips):
    """uint8 clips -> normalised latents, the form the transformer sees."""
    mean, std = _statistics(vae, clips.device)
    with torch.autocast(clips.device.type, torch.bfloat16, enabled=clips.is_cuda):
        z = encode(vae, prepare(clips))
    return (z.float() - mean) / std


@torch.no_grad()
def to_clips(vae, latents):
    """Normalised latents -> uint8 [B, T, H, W, 3]."""
    mean, std = _statistics(vae, latents.device)
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=latents.is_cuda):
        x = decode(vae, (latents.float() * std + mean).to(compute_dtype(latents.device)))
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()
