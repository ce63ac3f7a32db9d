"""The VAE's norm, SiLU and causal padding as one pass over memory (Triton on a GPU, plain torch elsewhere).

`norm_silu_pad(x, gamma, pad)` is `silu(x / |x| * sqrt(C) * gamma)` over channels, behind `pad` zero frames.
x is [B, C, T, H, W]; on the GPU channels lie last in memory.
"""

import torch
import torch.nn.functional as F

LAST = torch.channels_last_3d
try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

if triton:

    @triton.jit
    def _forward(x, g, o, N, TS, PS, C: tl.constexpr, CP: tl.constexpr, BN: tl.constexpr, scale: tl.constexpr):
        # a program takes BN pixels; TS pixels a clip, PS pixels of padding in front of each clip of the output
        r = (tl.program_id(0) * BN + tl.arange(0, BN)).to(tl.int64)
        c = tl.arange(0, CP)
        m = (r[:, None] < N) & (c[None, :] < C)
        v = tl.load(x + r[:, None] * C + c[None, :], mask=m, other=0.0).to(tl.float32)
        gm = tl.load(g + c, mask=c < C, other=0.0).to(tl.float32)
        inv = 1.0 / tl.sqrt(tl.maximum(tl.sum(v * v, 1), 1e-24))
        y = v * inv[:, None] * scale * gm[None, :]
        y = y * tl.sigmoid(y)
        ro = r + (r // TS + 1) * PS
        tl.store(o + ro[:, None] * C + c[None, :], y.to(o.dtype.element_ty), mask=m)

    @triton.jit
    def _backward(x, g, do, dx, dg, N, TS, PS, NP, C: tl.constexpr, CP: tl.constexpr, BN: tl.constexpr, scale: tl.constexpr):
        # NP programs stride over the pixels; each leaves its share of the gradient of gamma in a row of dg
        pid = tl.program_id(0)
        c = tl.arange(0, CP)
        gm = tl.load(g + c, mask=c < C, other=0.0).to(tl.float32)
        acc = tl.zeros((CP,), tl.float32)
        for i in range(pid, tl.cdiv(N, BN), NP):
            r = (i * BN + tl.arange(0, BN)).to(tl.int64)
            m = (r[:, None] < N) & (c[None, :] < C)
            v = tl.load(x + r[:, None] * C + c[None, :], mask=m, other=0.0).to(tl.float32)
            ro = r + (r // TS + 1) * PS
            d = tl.load(do + ro[:, None] * C + c[None, :], mask=m, other=0.0).to(tl.float32)
            inv = 1.0 / tl.sqrt(tl.maximum(tl.sum(v * v, 1), 1e-24))
            n = v * inv[:, None]
            y = n * scale * gm[None, :]
            s = tl.sigmoid(y)
            dy = d * s * (1.0 + y * (1.0 - s))
            acc += tl.sum(dy * n * scale, 0)
            dn = dy * scale * gm[None, :]
            q = inv[:, None] * (dn - n * tl.sum(dn * n, 1)[:, None])
            tl.store(dx + r[:, None] * C + c[None, :], q.to(dx.dtype.element_ty), mask=m)
        tl.store(dg + pid * CP + c, acc)


def _power_of_two(c):
    return 1 << (c - 1).bit_length()


class _NormSiluPad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, pad):
        b, c, t, h, w = x.shape
        x = x.contiguous(memory_format=LAST)
        g = gamma.detach().reshape(-1).contiguous()
        out = torch.empty(b, t + pad, h, w, c, device=x.device, dtype=x.dtype)
        if pad:
            out[:, :pad].zero_()
        n, cp = b * t * h * w, _power_of_two(c)
        block = max(16, 4096 // cp)
        _forward[(triton.cdiv(n, block),)](x, g, out, n, t * h * w, pad * h * w, c, cp, block, float(c**0.5), num_warps=4)
        ctx.save_for_backward(x, g)
        ctx.pad, ctx.gamma_shape = pad, gamma.shape
        return out.permute(0, 4, 1, 2, 3)

    @staticmethod
    def backward(ctx, grad):
        x, g = ctx.saved_tensors
        b, c, t, h, w = x.shape
        grad = grad.contiguous(memory_format=LAST)
        dx = torch.empty_like(x, memory_format=LAST)
        n, cp = b * t * h * w, _power_of_two(c)
        block = max(16, 2048 // cp)
        programs = min(132 * 8, triton.cdiv(n, block))
        dg = torch.empty(programs, cp, device=x.device, dtype=torch.float32)
        _backward[(programs,)](x, g, grad, dx, dg, n, t * h * w, ctx.pad * h * w, programs, c, cp, block, float(c**0.5), num_warps=4)
        return dx, dg.sum(0)[:c].reshape(ctx.gamma_shape).to(g.dtype), None


def norm_silu_pad(x, gamma, pad):
    if triton and x.is_cuda:
        return _NormSiluPad.apply(x, gamma, pad)
    y = F.normalize(x.float(), dim=1) * (x.shape[1] ** 0.5) * gamma.reshape(1, -1, 1, 1, 1).float()
    y = F.silu(y).to(x.dtype)
    return F.pad(y, (0, 0, 0, 0, pad, 0)) if pad else y
