"""Where to compute, and with which numbers: decided once, with a reason that can be printed.

bf16 is chosen only where the hardware multiplies bf16 matrices faster than fp32 ones (docs/performance.md): on CPUs with AMX, AMD's with AVX-512 BF16, and CUDA
from Ampere on. Elsewhere it is emulated, or has instructions that are slower than those of fp32, as Intel's AVX-512 BF16 where a virtual machine hides AMX. The
choice is by capability, not by a timing, so that a machine makes the same one each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        return _for_this_cpu()
    return "fp32", f"bf16 is not tried on {device.type}"


def _cuda_has_bf16(device: torch.device) -> bool:
    import torch

    major, _ = torch.cuda.get_device_capability(device)  # before 8.0 (Ampere), bf16 is emulated
    return major >= 8


def _for_this_cpu() -> tuple[Precision, str]:
    if _cpu_has("_is_amx_tile_supported"):
        return "bf16", "this CPU has AMX"
    if not _cpu_has("_is_avx512_bf16_supported"):
        return "fp32", "this CPU has neither AMX nor AVX-512 BF16"
    if _cpu_name().startswith("AMD"):
        return "bf16", "this CPU has AVX-512 BF16"
    return "fp32", "without AMX, this CPU is faster in fp32 than in bf16"


def _cpu_has(check: str) -> bool:
    import torch

    supported: Callable[[], bool] | None = getattr(torch.cpu, check, None)  # private names: older and newer releases may lack them
    return supported is not None and bool(supported())


def _cpu_name() -> str:
    import torch

    capabilities: Callable[[], Mapping[str, object]] | None = getattr(torch.cpu, "get_capabilities", None)  # not in older releases
    return str(capabilities().get("cpu_name", "")) if capabilities is not None else ""
