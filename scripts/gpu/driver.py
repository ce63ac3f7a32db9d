"""The CUDA driver through ctypes: modules, launches and tensor maps, beside PyTorch's own context."""

import ctypes

import torch

_driver = ctypes.CDLL("libcuda.so.1")


def _check(code, what):
    if code:
        text = ctypes.c_char_p()
        _driver.cuGetErrorString(code, ctypes.byref(text))
        raise RuntimeError(f"{what}: {(text.value or b'unknown').decode()} ({code})")


class Module:
    """Cubins or fatbinaries, by path."""

    def __init__(self, paths):
        torch.zeros(1, device="cuda")  # makes PyTorch's context current
        self.images = [open(path, "rb").read() for path in paths]
        self.handles = []
        for path, image in zip(paths, self.images):
            handle = ctypes.c_void_p()
            _check(_driver.cuModuleLoadData(ctypes.byref(handle), image), f"load {path}")
            self.handles.append(handle)

    def kernel(self, name, shared_bytes=0):
        function = ctypes.c_void_p()
        # Asked of the one image that names it: a miss would be an error to compute-sanitizer.
        handle = next((h for h, image in zip(self.handles, self.images) if b".text." + name.encode() + b"\0" in image), None)
        if handle is None:
            raise KeyError(name)
        _check(_driver.cuModuleGetFunction(ctypes.byref(function), handle, name.encode()), name)
        if shared_bytes > 48 * 1024:
            _check(_driver.cuFuncSetAttribute(function, 8, shared_bytes), f"{name}: {shared_bytes} bytes shared")
        return Kernel(function, name, shared_bytes)


class Kernel:
    def __init__(self, function, name, shared_bytes):
        self.function, self.name, self.shared_bytes = function, name, shared_bytes

    def __call__(self, grid, threads, *arguments):
        """Arguments are ctypes values, structures included; runs on PyTorch's current stream."""
        grid = (*grid, 1, 1)[:3] if isinstance(grid, tuple) else (grid, 1, 1)
        pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(a) for a in arguments])
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        _check(
            _driver.cuLaunchKernel(
                self.function, *grid, threads, 1, 1, self.shared_bytes, stream, pointers, None
            ),
            f"launch {self.name}",
        )


def pointer(tensor):
    return ctypes.c_void_p(0 if tensor is None else tensor.data_ptr())


def _encode(into, x, dims, strides, box):
    rank = len(dims)
    assert x.is_contiguous() and x.data_ptr() % 16 == 0
    words = lambda kind, values: (kind * len(values))(*values)
    dtype = {torch.bfloat16: 9, torch.float16: 6}[x.dtype]
    _check(
        _driver.cuTensorMapEncodeTiled(
            ctypes.c_void_p(into), dtype, rank, pointer(x), words(ctypes.c_uint64, dims),
            words(ctypes.c_uint64, strides), words(ctypes.c_uint32, box), words(ctypes.c_uint32, [1] * rank), 0, 3, 3, 0,
        ),
        f"tensor map {dims} in boxes {box}",
    )


def tail_boxes(into, x, box_rows):
    """Describes x [heads, rows, D] of 16-bit floats in boxes of `box_rows` rows by 64 elements, swizzled over 128 bytes.
    `into` is the address of 128 bytes, at a multiple of 64."""
    heads, rows, width = x.shape
    _encode(into, x, [width, rows, heads], [width * 2, rows * width * 2], [64, box_rows, 1])


def boxes(into, x, box_rows):
    """As `tail_boxes`, but in boxes of whole rows laid out as [unit of 8][half][8][64]; what fills no unit is left out."""
    heads, rows, width = x.shape
    _encode(
        into, x, [64, 8, width // 64, max(rows // 8, 1), heads],
        [width * 2, 128, 8 * width * 2, rows * width * 2], [64, 8, width // 64, box_rows // 8, 1],
    )
