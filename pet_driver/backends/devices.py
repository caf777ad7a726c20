"""Devices that a model can run on."""

from __future__ import annotations

import torch

from pet_driver.errors import PetDriverError

KINDS = ("cpu", "cuda")


def check_device(name: str) -> torch.device:
    """Return the device of a name such as ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    ``"auto"`` is CUDA if it is available, and the CPU otherwise.

    Raises:
        PetDriverError: there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise PetDriverError(f"{name!r} is not a device; use cpu, cuda, cuda:N or auto") from None
    if device.type not in KINDS:
        raise PetDriverError(f"{name!r} is not supported; use cpu, cuda, cuda:N or auto")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise PetDriverError(
                f"device {name} was asked for, but torch finds no CUDA device here"
            )
        if (device.index or 0) >= count:
            last = "the only one is cuda:0" if count == 1 else f"they end at cuda:{count - 1}"
            raise PetDriverError(f"device {name} was asked for, but of the CUDA devices {last}")
    return device
