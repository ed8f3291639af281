"""The machine of a run: devices, threads, decoding processes, and a description of the hardware."""

from __future__ import annotations

import difflib
import os
import platform
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmark.errors import UserError
from benchmark.system.processor import arithmetic

#: Kinds of devices that torch may have; what is meant by other words.
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu", "hpu", "xla")
MEANT = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "metal": "mps", "tpu": "xla"}

Precision = Literal["fp32", "bf16"]  # of an encoder, and of a probe's matrix products


def workers_of(workers: int | None) -> int:
    """Return the number of decoding processes: the given number, else one a core, at most 8."""
    return workers if workers is not None else min(os.cpu_count() or 1, 8)


def refuse_unknown_device(device: str) -> None:
    """Refuse a word that names no kind of device, before torch is loaded.

    Raises:
        UserError: The message names what was probably meant.
    """
    kind, colon, number = device.lower().partition(":")
    if device.partition(":")[0] in DEVICES:
        return
    near = difflib.get_close_matches(kind, DEVICES, n=1, cutoff=0.6)
    meant = kind if kind in DEVICES else MEANT.get(kind) or (near[0] if near else "")
    hint = f"did you mean --device {meant}{colon}{number}? " if meant else ""
    raise UserError(f"there is no device {device!r}", f"{hint}Give auto, cpu, cuda, cuda:1, ... or mps")


def device_of(device: str, arrays: str = "torch") -> str:
    """Return torch's name of the device; an encoder of numpy arrays needs no torch to know that it is the CPU.

    Raises:
        UserError: A device that this machine does not have.
    """
    refuse_unknown_device(device)
    if arrays == "numpy":
        return "cpu"
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the device {device!r} cannot be used: {reason}", "Try --device cpu") from None
    return device


def kind_of(device: str) -> str:
    """Return what :func:`device_of` comes to, without its number; torch is asked only where there may be a GPU.

    Raises:
        UserError: A device that this machine does not have.
    """
    refuse_unknown_device(device)
    may_have_gpu = any(Path("/dev").glob("nvidia*")) or Path("/dev/kfd").exists()
    if device == "cpu" or (device == "auto" and not may_have_gpu):
        return "cpu"
    return device_of(device).partition(":")[0]


def threads_for(arrays: str) -> AbstractContextManager[object]:
    """Keep numpy's matrix products on one thread while decoding workers use the cores.

    Its threads spin while they wait: on busy cores an encoder of small products ran ten times slower with them. One
    thread also makes an embedding independent of the number of cores.
    """
    if arrays != "numpy":
        return nullcontext()
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep numpy's matrix products on one thread, so that their sums do not depend on how many there are."""
    limit: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limit


@cache
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # which looks for the libraries of this process: some milliseconds


def hardware(device: str) -> dict[str, Any]:
    """Return the machine in words, without its name: cpu, cores, memory in GiB, accelerator, device and arithmetic."""
    accelerator = None
    if device.startswith("cuda"):
        import torch

        accelerator = torch.cuda.get_device_name(device)
    return {
        "cpu": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gb": _memory_gb(),
        "accelerator": accelerator,
        "device": device,
        **arithmetic(),
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    if not hasattr(os, "sysconf"):
        return 0.0
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
