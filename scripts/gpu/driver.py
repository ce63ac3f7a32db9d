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
    """A cubin or fatbinary."""

    def __init__(self, path):
        torch.cuda.init()
        torch.zeros(1, device="cuda")  # makes PyTorch's context current
        self.image = open(path, "rb").read()
        self.handle = ctypes.c_void_p()
        _check(_driver.cuModuleLoadData(ctypes.byref(self.handle), self.image), f"load {path}")

    def kernel(self, name, shared_bytes=0):
        function = ctypes.c_void_p()
        _check(_driver.cuModuleGetFunction(ctypes.byref(function), self.handle, name.encode()), name)
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


class Map(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * 128)]
    _align_ = 64


def pointer(tensor):
    return ctypes.c_void_p(0 if tensor is None else tensor.data_ptr())


def encode(into, x, box_rows):
    """Describes x [heads, rows, D] of 16-bit floats in boxes of 64 elements by `box_rows` rows, swizzled over 128 bytes.
    `into` is the address of 128 bytes, at a multiple of 64."""
    heads, rows, width = x.shape
    assert x.is_contiguous() and x.data_ptr() % 16 == 0
    dims = (ctypes.c_uint64 * 3)(width, rows, heads)
    strides = (ctypes.c_uint64 * 2)(width * 2, rows * width * 2)
    box = (ctypes.c_uint32 * 3)(64, box_rows, 1)
    ones = (ctypes.c_uint32 * 3)(1, 1, 1)
    dtype = {torch.bfloat16: 9, torch.float16: 6}[x.dtype]
    _check(
        _driver.cuTensorMapEncodeTiled(
            ctypes.c_void_p(into), dtype, 3, pointer(x), dims, strides, box, ones, 0, 3, 3, 0
        ),
        "tensor map",
    )
