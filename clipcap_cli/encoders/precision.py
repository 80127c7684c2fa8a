"""Where to compute, and with which numbers: decided once, with a reason that can be printed.

bf16 is chosen only where the hardware multiplies bf16 matrices itself (AMX or AVX-512 BF16 on CPUs, Ampere and later on CUDA); elsewhere it is emulated
and slower than fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast, get_args

from clipcap_cli.errors import InputError, MissingError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16"]


def choose_device(name: str = "auto") -> torch.device:
    """The device that `name` means; "auto" is CUDA where there is one, else the CPU.

    Args:
        name: "auto", "cpu", "cuda", "cuda:1", "mps".

    Raises:
        InputError: torch knows no such device.
        MissingError: torch knows it, but this machine has none (or no such number of it).
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"there is no device {name!r}", hint="Use auto, cpu, cuda, cuda:1 or mps.") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0, "mps": int(torch.backends.mps.is_available())}
    if device.type not in there:
        raise InputError(f"clipcap does not run on {name!r}", hint="Use auto, cpu, cuda, cuda:1 or mps.")
    if (device.index or 0) >= there[device.type]:
        raise MissingError(f"this machine, or this build of torch, has no {name!r}", hint="Use --device auto or --device cpu.")
    return device


def choose_precision(wanted: str, device: torch.device) -> tuple[Precision, str]:
    """The precision to compute in on `device`, and the reason in a few words ("this CPU has AMX").

    Args:
        wanted: "auto", "fp32" or "bf16".

    Raises:
        InputError: `wanted` is none of the three.
    """
    if wanted in get_args(Precision):
        return cast(Precision, wanted), "it was asked for"
    if wanted != "auto":
        raise InputError(f"there is no precision {wanted!r}", hint="Use auto, fp32 or bf16.")
    if device.type == "cuda":
        return ("bf16", "this GPU has bf16") if _cuda_has_bf16(device) else ("fp32", "this GPU has no bf16 of its own")
    if device.type == "cpu":
        for name, check in (("AMX", "_is_amx_tile_supported"), ("AVX-512 BF16", "_is_avx512_bf16_supported")):
            if _cpu_has(check):
                return "bf16", f"this CPU has {name}"
        return "fp32", "this CPU has neither AMX nor AVX-512 BF16"
    return "fp32", f"bf16 is not tried on {device.type}"


def _cuda_has_bf16(device: torch.device) -> bool:
    import torch

    major, _ = torch.cuda.get_device_capability(device)  # before 8.0 (Ampere), bf16 is emulated
    return major >= 8


def _cpu_has(check: str) -> bool:
    import torch

    supported: Callable[[], bool] | None = getattr(torch.cpu, check, None)  # private names: older and newer releases may lack them
    return supported is not None and bool(supported())
