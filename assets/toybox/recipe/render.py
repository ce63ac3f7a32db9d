"""Pictures of tracks: one CUDA-C source, compiled with NVRTC on a GPU and with g++ on a CPU (same picture to a grey level)."""

import ctypes
import os
import subprocess
import tempfile

import torch

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'render.cu')
_compiled = {}


def _gpu():
    if 'gpu' not in _compiled:
        torch.cuda.current_stream()  # NVRTC needs the context
        _compiled['gpu'] = torch.cuda._compile_kernel(open(SOURCE).read(), 'render_gpu', nvcc_options=['--use_fast_math'])
    return _compiled['gpu']


def _cpu():
    if 'cpu' not in _compiled:
        library = os.path.join(tempfile.mkdtemp(prefix='toybox-render-'), 'librender.so')
        subprocess.check_call(
            ['g++', '-x', 'c++', '-DCPU', '-O3', '-march=native', '-ffast-math', '-fopenmp', '-shared', '-fPIC', SOURCE, '-o', library]
        )
        _compiled['cpu'] = ctypes.CDLL(library).render_cpu
    return _compiled['cpu']


def render(clip, frame, size=256, frames=33, offset=None, full=256, samples=2):
    """clip [B, 64], frame [B, T, 48] float32 -> uint8 [B, frames, size, size, 3].

    full: side of the whole picture; size < full cuts a window. offset [B, 3] int32: first frame, top and left of the window
    (zero when omitted). samples: rays a pixel are samples x samples.
    """
    b, dev = clip.shape[0], clip.device
    if offset is None:
        offset = torch.zeros(b, 3, dtype=torch.int32, device=dev)
    out = torch.empty(b, frames, size, size, 3, dtype=torch.uint8, device=dev)
    arrays = [clip.contiguous().float(), frame.contiguous().float(), offset.contiguous().int(), out]
    numbers = [b, frames, size, size, frame.shape[1], full, samples]
    if dev.type == 'cuda':
        _gpu()(grid=((b * frames * size * size + 127) // 128, 1, 1), block=(128, 1, 1), args=arrays + numbers)
    else:
        _cpu()(*[ctypes.c_void_p(a.data_ptr()) for a in arrays], *numbers)
    return out
