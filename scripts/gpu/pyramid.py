"""Pyramid attention for tests and benches: level maps, lists, the F64 reference, and the kernels' launches."""

import ctypes
import math
from dataclasses import dataclass

import torch

from driver import boxes, pointer, tail_boxes

QUERY_BLOCK, KEY_BLOCK, LEVELS = 128, 64, 7
CLASSES = [7, 1, 2, 3, 4, 5, 6]  # levels, in the order of their items
SIZES = [64, 64, 32, 16, 8, 8, 8]  # pooled keys of an item


class Args(ctypes.Structure):
    _fields_ = [
        ("out", ctypes.c_void_p),
        ("lse", ctypes.c_void_p),
        ("items", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("bias", ctypes.c_void_p * LEVELS),
        ("counter", ctypes.c_void_p),
        ("masked", ctypes.c_int),
        ("heads", ctypes.c_int),
        ("queries", ctypes.c_int),
        ("keys", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("columns", ctypes.c_int),
        ("scale", ctypes.c_float),
    ]


@dataclass
class Config:
    """A kernel of hopper.cu or portable.cu."""

    width: int
    dense: bool
    dtype: torch.dtype = torch.bfloat16
    portable: bool = False

    @property
    def name(self):
        kind = "dense" if self.dense else "pyramid"
        return f"{'portable_' if self.portable else ''}{kind}_{short(self.dtype)}_d{self.width}"

    @property
    def tile(self):
        """Keys of a tile, as plan.rs says."""
        return {128: 176, 64: 192}[self.width] if self.dense else 128

    @property
    def shared_bytes(self):
        if self.portable:
            return (QUERY_BLOCK + 2 * 64) * self.width * 2
        stages = {(128, False): 3, (64, False): 4, (128, True): 2, (64, True): 3}[self.width, self.dense]
        tiles = (QUERY_BLOCK + 2 * stages * self.tile) * self.width * 2
        small = (stages + 1) * (self.tile * 4 + 16) + 8 + 8 * (6 + 4 * stages)
        return -(-(tiles + small) // 1024) * 1024


EVERY = [
    Config(width, dense, dtype, portable)
    for portable in (False, True)
    for dtype in (torch.bfloat16, torch.float16)
    for dense in (True, False)
    for width in (128, 64)
]


def pool(x, run):
    """Means of runs of `run` keys of x [heads, keys, D], F32 sums of the originals rounded once."""
    if run == 1:
        return x
    heads, keys, width = x.shape
    groups = -(-keys // run)
    padded = torch.nn.functional.pad(x.float(), (0, 0, 0, groups * run - keys))
    counts = group_sizes(keys, run, x.device)
    return (padded.view(heads, groups, run, width).sum(2) / counts[:, None]).to(x.dtype)


def group_sizes(keys, run, device):
    groups = -(-keys // run)
    sizes = torch.full((groups,), float(run), device=device)
    sizes[-1] = keys - (groups - 1) * run
    return sizes


def lists(levels):
    """Items and counts of every row of levels [rows, columns] U8, and each row's units."""
    rows, columns = levels.shape
    device = levels.device
    items = torch.zeros(rows, columns, dtype=torch.int32, device=device)
    counts = torch.zeros(rows, 8, dtype=torch.int32, device=device)
    units = torch.zeros(rows, dtype=torch.int64, device=device)
    base = torch.zeros(rows, 1, dtype=torch.int64, device=device)
    for index, (level, size) in enumerate(zip(CLASSES, SIZES)):
        here = levels == level
        together = {5: 2, 6: 4, 7: 64}.get(level, 1)
        if together > 1:
            here = torch.nn.functional.pad(here, (0, -columns % together))
            here = here.view(rows, -1, together).any(2)
        place = base + here.cumsum(1) - 1
        row, column = here.nonzero(as_tuple=True)
        items[row, place[row, column]] = column.int()
        count = here.sum(1, keepdim=True)
        counts[:, index] = count[:, 0].int()
        units += count[:, 0] * (size // 8)
        base += count
    return items.to(torch.int16).contiguous(), counts.to(torch.int16).contiguous(), units


def order_of(units, heads):
    per_head = units.view(heads, -1)
    ranked = torch.sort(per_head, dim=1, descending=True, stable=True).indices
    first = torch.arange(heads, device=units.device)[:, None] * per_head.shape[1]
    return (ranked + first).flatten().int().contiguous()


def exact_density(levels, queries, keys):
    """Query rows × pooled keys that exist, over queries × keys, of levels [heads · rows, columns]."""
    device = levels.device
    columns = levels.shape[1]
    real = torch.full((columns,), KEY_BLOCK, device=device)
    real[-1] = keys - (columns - 1) * KEY_BLOCK
    kept = torch.zeros(levels.shape, device=device, dtype=torch.float64)
    for level in range(1, LEVELS + 1):
        run = 1 << (level - 1)
        kept += (levels == level) * ((real + run - 1) // run)
    rows = -(-queries // QUERY_BLOCK)
    sizes = torch.full((rows,), QUERY_BLOCK, device=device, dtype=torch.float64)
    sizes[-1] = queries - (rows - 1) * QUERY_BLOCK
    return float((kept.view(-1, rows, columns).sum(2) * sizes).sum()) / (levels.shape[0] // rows * queries * keys)


class PoolArgs(ctypes.Structure):
    _fields_ = [
        ("source", ctypes.c_void_p * 2),
        ("to", ctypes.c_void_p * LEVELS * 2),
        ("valid", ctypes.c_void_p),
        ("keys", ctypes.c_int),
        ("padded", ctypes.c_int * LEVELS),
    ]


class Operands(ctypes.Structure):
    """What the portable kernel takes besides Args."""

    _fields_ = [
        ("q", ctypes.c_void_p),
        ("k", ctypes.c_void_p * LEVELS),
        ("v", ctypes.c_void_p * LEVELS),
        ("padded", ctypes.c_int * LEVELS),
    ]


class BiasArgs(ctypes.Structure):
    _fields_ = [
        ("bias", ctypes.c_void_p * LEVELS),
        ("valid", ctypes.c_void_p),
        ("keys", ctypes.c_int),
        ("mode", ctypes.c_int),
    ]


def short(dtype):
    return {torch.bfloat16: "bf16", torch.float16: "f16"}[dtype]


class Pyramid:
    """K, V [heads, keys, D] and the levels above them that are wanted, pooled on the device; poisoned before."""

    def __init__(self, module, k, v, wanted, bias="count"):
        heads, keys, width = k.shape
        self.kernel = module.kernel(f"pool_{short(k.dtype)}_d{width}")
        self.bias_kernel = module.kernel("pool_biases")
        self.args, self.bias_args = PoolArgs(), BiasArgs()
        self.k, self.v, self.bias = [k], [v], []
        self.args.keys = self.bias_args.keys = keys
        self.args.source[0], self.args.source[1] = k.data_ptr(), v.data_ptr()
        self.bias_args.mode = ["count", "level", "none"].index(bias)
        for level in range(1, LEVELS + 1):
            groups = -(-keys // (1 << (level - 1)))
            padded = -(-groups // 8) * 8
            self.args.padded[level - 1] = padded
            self.bias.append(torch.full((-(-groups // 64) * 64,), math.nan, device=k.device))
            self.bias_args.bias[level - 1] = self.bias[-1].data_ptr()
            if level == 1:
                continue
            new = lambda: torch.full((heads, padded, width), math.nan, dtype=k.dtype, device=k.device)
            here = (new(), new()) if level in wanted else (None, None)
            self.k.append(here[0])
            self.v.append(here[1])
            for tensor in range(2):
                self.args.to[tensor][level - 1] = 0 if here[tensor] is None else here[tensor].data_ptr()
        blocks = -(-keys // KEY_BLOCK)
        self.grid = (-(-blocks // 8) * 8, heads, 2)
        self.threads = width
        self.bias_grid = (-(-self.bias[0].numel() // 256), LEVELS)

    def __call__(self):
        self.kernel(self.grid, self.threads, self.args)
        self.bias_kernel(self.bias_grid, 256, self.bias_args)


class Lists:
    """The lists of levels [heads · rows, columns] U8 and the order of the rows, made on the device."""

    def __init__(self, module, levels, heads):
        self.kernel, self.order_kernel = module.kernel("lists"), module.kernel("longest_first")
        self.levels, self.heads = levels, heads
        rows, columns = levels.shape
        new = lambda *shape, dtype: torch.full(shape, -1, dtype=dtype, device=levels.device)
        self.items = new(rows, columns, dtype=torch.int16)
        self.counts = new(rows, 8, dtype=torch.int16)
        self.units = new(rows, dtype=torch.int32)
        self.order = new(rows, dtype=torch.int32)

    def __call__(self):
        rows, columns = self.levels.shape
        self.kernel(-(-rows // 8), 256, *map(pointer, (self.levels, self.items, self.counts, self.units)),
                    ctypes.c_int(rows), ctypes.c_int(columns))
        self.order_kernel(self.heads, 256, pointer(self.units), pointer(self.order), ctypes.c_int(rows // self.heads))


class Attention:
    """One call's operands, prepared once: q [heads, queries, D], k and v [heads, keys, D], levels or None for dense."""

    def __init__(self, module, config, q, k, v, levels=None, bias="count"):
        self.config, self.q = config, q
        heads, queries, width = q.shape
        keys = k.shape[1]
        self.kernel = module.kernel(config.name, config.shared_bytes)
        rows, columns = -(-queries // QUERY_BLOCK), -(-keys // KEY_BLOCK)
        self.out = torch.empty_like(q)
        self.lse = torch.empty(heads, queries, device=q.device)
        self.counter = torch.zeros(1, dtype=torch.int32, device=q.device)
        args = self.args = Args()
        used = set() if levels is None else set(levels.unique().tolist())
        self.pyramid = Pyramid(module, k, v, used - {0, 1}, bias)
        self.pyramid()
        self.keep = [k, v, levels]
        for level in range(1, LEVELS + 1):
            args.bias[level - 1] = self.pyramid.bias[level - 1].data_ptr()
        self.first = self.operands() if config.portable else self.maps(k, v, levels)
        if levels is not None:
            self.lists = Lists(module, levels, heads)
            self.lists()
            args.items, args.counts = self.lists.items.data_ptr(), self.lists.counts.data_ptr()
            args.order, args.levels = self.lists.order.data_ptr(), levels.data_ptr()
        args.out, args.lse, args.counter = self.out.data_ptr(), self.lse.data_ptr(), self.counter.data_ptr()
        args.masked, args.heads, args.queries, args.keys = 0, heads, queries, keys
        args.rows, args.columns = rows, columns
        args.scale = math.log2(math.e) / math.sqrt(width)
        self.grid = heads * rows
        if not config.portable:
            self.grid = min(torch.cuda.get_device_properties(0).multi_processor_count, self.grid)

    def operands(self):
        operands = Operands()
        operands.q = self.q.data_ptr()
        for index in range(LEVELS):
            for to, levels in ((operands.k, self.pyramid.k), (operands.v, self.pyramid.v)):
                to[index] = 0 if levels[index] is None else levels[index].data_ptr()
            operands.padded[index] = self.pyramid.args.padded[index]
        return operands

    def maps(self, k, v, levels):
        buffer = ctypes.create_string_buffer(17 * 128 + 64)
        self.keep.append(buffer)
        at = -(-ctypes.addressof(buffer) // 64) * 64
        tail_boxes(at, self.q, QUERY_BLOCK)
        tail_boxes(at + 128, k, 8)
        tail_boxes(at + 256, v, 8)
        for index, (level, size) in enumerate(zip(CLASSES, SIZES)):
            box = self.config.tile if levels is None and level == 1 else size
            for offset, pooled in ((3, self.pyramid.k), (3 + LEVELS, self.pyramid.v)):
                x = pooled[level - 1]
                boxes(at + (offset + index) * 128, pooled[0] if x is None else x, box)
        return (ctypes.c_ubyte * (17 * 128)).from_address(at)

    def __call__(self):
        self.kernel(self.grid, 128 if self.config.portable else 384, self.first, self.args)
        return self.out, self.lse


def reference(q, k, v, levels, bias="count", plain=None):
    """Output and LSE in F64, or every step rounded to `plain`."""
    wide = plain or torch.float64
    heads, queries, width = q.shape
    keys = k.shape[1]
    rows, columns = -(-queries // QUERY_BLOCK), -(-keys // KEY_BLOCK)
    if levels is None:
        levels = torch.ones(heads * rows, columns, dtype=torch.uint8, device=q.device)
    levels = levels.view(heads, rows, columns)
    row = torch.arange(queries, device=q.device) // QUERY_BLOCK
    ks, vs, biases = [], [], []
    for level in sorted(set(levels.unique().tolist()) - {0}):
        run = 1 << (level - 1)
        sizes = group_sizes(keys, run, q.device).double()
        beta = {"count": sizes.log(), "level": torch.full_like(sizes, (level - 1) * math.log(2)), "none": sizes * 0}
        column = torch.arange(sizes.numel(), device=q.device) * run // KEY_BLOCK
        here = (levels == level)[:, row][:, :, column]
        biases.append(torch.where(here, beta[bias], -math.inf))
        ks.append(pool(k, run))
        vs.append(pool(v, run))
    if not ks:
        return torch.zeros_like(q, dtype=wide), torch.full((heads, queries), -math.inf, device=q.device)
    ks, vs, biases = torch.cat(ks, 1).to(wide), torch.cat(vs, 1).to(wide), torch.cat(biases, 2).to(wide)
    scores = q.to(wide) @ ks.transpose(1, 2) * (1 / math.sqrt(width)) + biases
    lse = torch.logsumexp(scores, 2)
    weights = torch.exp(scores - torch.where(lse.isinf(), torch.zeros_like(lse), lse)[:, :, None]).to(wide)
    return weights @ vs, lse


def random_levels(heads, rows, columns, shares, floor=0, seed=0, device="cuda"):
    """Random blocks of each row: `shares` {level: share of blocks}, the others at the floor."""
    generator = torch.Generator(device=device).manual_seed(seed)
    ranks = torch.rand(heads * rows, columns, generator=generator, device=device).argsort(1).argsort(1)
    levels = torch.full((heads * rows, columns), floor, dtype=torch.uint8, device=device)
    start = 0.0
    for level, share in shares.items():
        levels[(ranks >= round(start * columns)) & (ranks < round((start + share) * columns))] = level
        start += share
    return levels
