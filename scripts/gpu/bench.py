"""Checks the kernels, then times them. Usage: bench.py [parts|checks|dense|sparse|flex|small ...], of the cubins in TESSERA_CUBINS."""

import glob
import math
import os
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import pyramid as p
from driver import Module


def error(a, b):
    a, b = a.double(), b.double()
    if not bool(torch.isfinite(a).all()):
        return math.inf
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


def operands(heads, queries, keys, width, dtype=torch.bfloat16, seed=0):
    g = torch.Generator(device="cuda").manual_seed(seed)
    draw = lambda n: torch.randn(heads, n, width, generator=g, device="cuda").to(dtype)
    return draw(queries), draw(keys), draw(keys)


def check(module, config, shape, levels=None, bias="count", seed=0, sharp=1.0):
    heads, queries, keys = shape
    q, k, v = operands(heads, queries, keys, config.width, config.dtype, seed)
    q = q * sharp
    run = p.Attention(module, config, q, k, v, levels, bias)
    results = []
    for poison in (math.nan, 3e4):
        run.out.fill_(poison)
        run.lse.fill_(poison)
        out, lse = run()
        torch.cuda.synchronize()
        results.append((out.clone(), lse.clone()))
    same = all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in zip(*results))
    out, lse = results[0]
    exact, exact_lse = p.reference(q, k, v, levels, bias)
    plain, _ = p.reference(q, k, v, levels, bias, plain=config.dtype)
    seen = ~exact_lse.isinf()
    ours, theirs = error(out, exact), error(plain, exact)
    empty = bool((out[~seen] == 0).all()) and bool((lse[~seen] == -math.inf).all())
    lse_error = float((lse[seen].double() - exact_lse[seen]).abs().max()) if seen.any() else 0.0
    good = ours <= 2 * theirs + 0.004 / math.sqrt(out.numel()) and lse_error < 2e-3 and same and empty
    return good, f"{config.name} {shape} error {ours:.2e} plain {theirs:.2e} lse {lse_error:.1e} same {same} empty {empty}"


def checks(module, configs=None):
    bad, worst, count = [], 0.0, 0
    for config in configs or p.EVERY:
        for seed, shape in enumerate([(2, 128, 128), (1, 1, 1), (3, 130, 70), (2, 500, 1000), (1, 2304, 2311), (5, 257, 4099)]):
            heads, queries, keys = shape
            rows, columns = -(-queries // 128), -(-keys // 64)
            cases = [(None, "count", 1.0), (None, "count", 6.0)]
            if not config.dense:
                g = torch.Generator(device="cuda").manual_seed(seed)
                draw = lambda high: torch.randint(0, high, (heads * rows, columns), generator=g, device="cuda").to(torch.uint8)
                every = draw(8)
                some = every.clone()
                some[::2] = 0
                deep = draw(4) + 4
                floor = torch.where(draw(10) == 0, 1, 7).to(torch.uint8)
                last = torch.zeros_like(every)
                last[:, -1] = torch.arange(heads * rows, device="cuda") % 8
                psa = torch.where(draw(4) == 0, draw(5), torch.zeros_like(every))
                cases = [(torch.ones_like(every), "count", 1.0), (every, "count", 1.0), (every, "level", 6.0),
                         (some, "none", 1.0), (deep, "count", 1.0), (floor, "count", 6.0), (last, "count", 1.0),
                         (psa, "count", 1.0)]
            for levels, bias, sharp in cases:
                count += 1
                good, text = check(module, config, shape, levels, bias, seed, sharp)
                if not good:
                    bad.append(text)
    print(f"checks: {count} run, {len(bad)} bad", flush=True)
    for text in bad[:40]:
        print("  BAD", text)
    return not bad


def parts(module):
    """The device's lists and pyramid against plain ones."""
    good = True
    for heads, keys, width, dtype in [(2, 1000, 128, torch.bfloat16), (3, 77, 64, torch.float16), (1, 4099, 128, torch.float16), (2, 8192, 64, torch.bfloat16)]:
        _, k, v = operands(heads, 1, keys, width, dtype)
        pyramid = p.Pyramid(module, k, v, set(range(2, 8)))
        pyramid()
        for level in range(2, 8):
            for ours, x in ((pyramid.k[level - 1], k), (pyramid.v[level - 1], v)):
                plain = p.pool(x, 1 << (level - 1))
                rows = plain.shape[1]
                good &= error(ours[:, :rows], plain) < 1e-3 and bool((ours[:, rows:] == 0).all())
        rows, columns = 3 * heads, -(-keys // 64)
        for high in (8, 3, 30):
            levels = torch.randint(0, high, (rows, columns), device="cuda")
            levels = torch.where(levels > 7, 0, levels).to(torch.uint8)
            lists = p.Lists(module, levels, heads)
            lists()
            items, counts, units = p.lists(levels)
            total = counts.long().sum(1)
            used = torch.arange(columns, device="cuda")[None] < total[:, None]
            good &= bool((lists.items == items)[used].all()) and torch.equal(lists.counts, counts)
            good &= torch.equal(lists.units.long(), units) and torch.equal(lists.order, p.order_of(units, heads))
    print(f"parts: {'good' if good else 'BAD'}", flush=True)


def median_ms(call, repeats=15, warm=3):
    for _ in range(warm):
        call()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    times.sort()
    return times[len(times) // 2]


SHAPES = {128: (12, 32760), 64: (48, 45106)}


def peers(q, k, v):
    """torch's own attentions on the same operands."""
    for name, backend in (("cuDNN", SDPBackend.CUDNN_ATTENTION), ("FlashAttention-2", SDPBackend.FLASH_ATTENTION)):
        with sdpa_kernel([backend]):
            call = lambda: torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None])
            yield name, median_ms(call), call()[0]


def dense(module, widths=(128, 64)):
    for width in widths:
        heads, tokens = SHAPES[width]
        work = 4 * heads * tokens**2 * width
        q, k, v = operands(heads, tokens, tokens, width)
        print(f"dense, {heads} × {tokens} × {width}")
        times = {}
        for name, times[name], expected in peers(q, k, v):
            print(f"  {name}: {times[name]:.3f} ms {work / times[name] / 1e9:.0f} TFLOP/s", flush=True)
        for config in [c for c in p.EVERY if c.width == width and c.dtype == torch.bfloat16 and c.dense]:
            run = p.Attention(module, config, q, k, v)
            ms = median_ms(run)
            peer = times["FlashAttention-2" if config.portable else "cuDNN"]
            print(f"  {config.name}: {ms:.3f} ms {work / ms / 1e9:.0f} TFLOP/s {peer / ms:.3f} × peer, difference {error(run.out, expected):.1e}", flush=True)


MIXES = [
    ("dense map", {1: 1.0}, 0),
    ("binary .5", {1: 0.5}, 0),
    ("binary .25", {1: 0.25}, 0),
    ("binary .15", {1: 0.15}, 0),
    ("binary .10", {1: 0.10}, 0),
    ("binary .05", {1: 0.05}, 0),
    ("pyramid .25", {1: 0.13, 2: 0.13, 3: 0.13, 4: 0.17}, 0),
    ("pyramid .15", {1: 0.07, 2: 0.07, 3: 0.08, 4: 0.20}, 0),
    ("pyramid .10", {1: 0.045, 2: 0.045, 3: 0.06, 4: 0.12}, 0),
    ("pyramid .15 floor 7", {1: 0.07, 2: 0.06, 3: 0.06, 4: 0.16}, 7),
    ("binary .10 floor 7", {1: 0.10}, 7),
]


def sparse(module, widths=(128, 64)):
    for width in widths:
        heads, tokens = SHAPES[width]
        rows, columns = -(-tokens // 128), -(-tokens // 64)
        work = 4 * heads * tokens**2 * width
        q, k, v = operands(heads, tokens, tokens, width)
        every = p.Pyramid(module, k, v, {2, 3, 4, 7})
        levels = p.random_levels(heads, rows, columns, MIXES[7][1], MIXES[7][2])
        made = p.Lists(module, levels, heads)
        print(f"d={width}: pyramid of levels 2, 3, 4, 7 {median_ms(every):.3f} ms, lists {median_ms(made):.3f} ms")
        for config in [c for c in p.EVERY if c.width == width and c.dtype == torch.bfloat16 and not c.dense]:
            print(f"{config.name}")
            for name, shares, floor in MIXES:
                levels = p.random_levels(heads, rows, columns, shares, floor)
                density = p.exact_density(levels, tokens, tokens)
                run = p.Attention(module, config, q, k, v, levels)
                ms = median_ms(run)
                print(f"  {name}: density {density:.3f} {ms:.3f} ms {density * work / ms / 1e9:.0f} effective TFLOP/s", flush=True)
                del run


def flex(module):
    """FlexAttention on binary maps of 64-key blocks, against ours on the same maps."""
    from torch.nn.attention.flex_attention import BlockMask, flex_attention

    compiled = torch.compile(flex_attention)
    heads, tokens = SHAPES[128]
    rows, columns = -(-tokens // 128), -(-tokens // 64)
    work = 4 * heads * tokens**2 * 128
    q, k, v = operands(heads, tokens, tokens, 128)
    for share in (0.25, 0.1):
        levels = p.random_levels(heads, rows, columns, {1: share})
        items, counts, _ = p.lists(levels)
        full = counts[:, 1].int().view(1, heads, rows)
        indices = items.int().view(1, heads, rows, columns)
        mask = BlockMask.from_kv_blocks(torch.zeros_like(full), torch.zeros_like(indices), full, indices, BLOCK_SIZE=(128, 64), seq_lengths=(tokens, tokens))
        peer = median_ms(lambda: compiled(q[None], k[None], v[None], block_mask=mask))
        out = compiled(q[None], k[None], v[None], block_mask=mask)[0]
        run = p.Attention(module, p.Config(128, False), q, k, v, levels)
        ms = median_ms(run)
        density = p.exact_density(levels, tokens, tokens)
        print(f"binary {share}: FlexAttention {peer:.3f} ms {density * work / peer / 1e9:.0f}, ours {ms:.3f} ms {density * work / ms / 1e9:.0f} effective TFLOP/s, {peer / ms:.2f} ×, difference {error(run.out, out):.1e}", flush=True)


def small(module):
    """A few launches of every kernel, for compute-sanitizer."""
    good = True
    for config in p.EVERY:
        heads, queries, keys = 2, 200, 413
        levels = None
        if not config.dense:
            g = torch.Generator(device="cuda").manual_seed(7)
            levels = torch.randint(0, 8, (heads * 2, 7), generator=g, device="cuda").to(torch.uint8)
        fine, text = check(module, config, (heads, queries, keys), levels)
        good &= fine
    print("small:", "good" if good else "BAD", flush=True)


if __name__ == "__main__":
    module = Module(sorted(glob.glob(os.environ["TESSERA_CUBINS"] + "/*.cubin")))
    what = sys.argv[1:] or ["parts", "checks", "dense", "sparse"]
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    for part in what:
        if part == "checks":
            checks(module)
        else:
            globals()[part](module)
