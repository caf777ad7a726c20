"""The kernels as an operator of torch, and as a network that stands in for an archive's own."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
import weakref
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from pet_driver.backends.cpu import MODE, build, library, mode
from pet_driver.backends.cpu.build import prebuilt
from pet_driver.errors import PetDriverError

MESSAGE_LENGTH = 500


def attach(module: torch.jit.ScriptModule) -> bool:
    """Let the kernels stand in for the network of an archive's ``module`` on the CPU.

    Returns:
        True if the kernels now compute the network; False if they are switched off or, with a
        warning, if they cannot be compiled or run.

    Raises:
        PetDriverError: they cannot be compiled or run, and ``$PET_DRIVER_KERNELS`` is ``on``.
    """
    chosen = mode()
    if chosen == "off":
        return False
    try:
        module.network = torch.jit.script(KernelNetwork(create(module, module.network)))
    except PetDriverError as error:
        if chosen == "on":
            raise
        warnings.warn(
            f"the network runs in TorchScript, several times slower than it could: {error} "
            f"(set {MODE}=off to do without and without this warning)",
            stacklevel=2,
        )
        return False
    return True


def level(module: torch.jit.ScriptModule) -> str | None:
    """The instruction set that an archive's network uses, or None for TorchScript."""
    if module.network.original_name != KernelNetwork.__name__:
        return None
    return load_library().pet_level(module.network.handle).decode()


class KernelNetwork(nn.Module):
    """A network in the kernels; see :class:`pet_driver.network.DifferentiableNetwork`."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self.handle = handle

    def forward(self) -> None:
        """There is nothing to call but :meth:`differentiate`."""

    @torch.jit.export
    def differentiate(
        self,
        species: Tensor,
        vectors: Tensor,
        factors: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        reverse: Tensor,
        seeds: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ops.pet_driver.differentiate(
            self.handle, species, vectors, factors, centers, neighbors, reverse, seeds
        )


def create(owner: object, network: nn.Module, level: str = "") -> int:
    """Hand the weights of a :class:`pet_driver.network.PET`, scripted or not, to the kernels.

    Args:
        owner: the handle is valid as long as this object lives.
        network: the network.
        level: an instruction set, such as ``"avx2"``; the best by default.

    Returns:
        a handle.

    Raises:
        PetDriverError: the kernels cannot be compiled or run, or do not know such a network.
    """
    kernels = load_library()
    weights = {
        name: tensor.detach().to(torch.float64).contiguous()
        for name, tensor in network.state_dict().items()
    }
    count = len(weights)
    single = next(network.parameters()).dtype == torch.float32
    message = ctypes.create_string_buffer(MESSAGE_LENGTH)
    handle = kernels.pet_create(
        single,
        network.num_heads,
        network.temperature,
        network.pre_norm,
        level.encode(),
        count,
        (c_char_p * count)(*(name.encode() for name in weights)),
        (c_void_p * count)(*(tensor.data_ptr() for tensor in weights.values())),
        (c_int64 * count)(*(tensor.shape[0] for tensor in weights.values())),
        (c_int64 * count)(*(tensor[0].numel() for tensor in weights.values())),
        message,
        MESSAGE_LENGTH,
    )
    if handle is None:
        raise PetDriverError(f"the kernels refuse the network: {message.value.decode()}")
    weakref.finalize(owner, kernels.pet_destroy, handle)
    return handle


@cache
def load_library() -> ctypes.CDLL:
    """The kernels, compiled if they are not yet; see :func:`pet_driver.backends.cpu.build`."""
    if not os.path.isfile(library()):
        print("pet-driver compiles its kernels, once: about half a minute", file=sys.stderr)
    path = _loadable_library()
    try:
        kernels = ctypes.CDLL(str(path))
    except OSError as error:
        raise PetDriverError(
            f"the kernels cannot be loaded: {error}; delete {path} to have them compiled anew, or "
            "set PET_DRIVER_CACHE to a folder of this machine's own"
        ) from None
    kernels.pet_create.restype = c_void_p
    kernels.pet_create.argtypes = [
        *(c_int, c_int, c_double, c_int, c_char_p, c_int, POINTER(c_char_p), POINTER(c_void_p)),
        *(POINTER(c_int64), POINTER(c_int64), c_char_p, c_int64),
    ]
    kernels.pet_level.restype = c_char_p
    kernels.pet_level.argtypes = [c_void_p]
    kernels.pet_destroy.argtypes = [c_void_p]
    kernels.pet_run.argtypes = [
        *(c_void_p, c_int64, c_int64, *[c_void_p] * 8, c_int, *[c_void_p] * 3),
        *(c_char_p, c_int64),
    ]
    kernels.pet_near.argtypes = [c_int64, *[c_void_p] * 5, c_double, c_int, *[c_void_p] * 5]
    kernels.pet_forces.argtypes = [*[c_int64] * 3, *[c_void_p] * 5, c_int, *[c_void_p] * 2]
    return kernels


def _loadable_library() -> Path:
    """Return the library of the wheel if it can be loaded, else one compiled on this machine."""
    path = prebuilt()
    if path is None:
        return build()
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        warnings.warn(
            f"the compiled kernels of the wheel cannot be loaded ({error}); kernels compiled on "
            "this machine are used instead",
            stacklevel=2,
        )
        return build(use_prebuilt=False)
    return path


def _differentiate(
    handle: int,
    species: Tensor,
    vectors: Tensor,
    factors: Tensor,
    centers: Tensor,
    neighbors: Tensor,
    reverse: Tensor,
    grad_outputs: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [t.contiguous() for t in (species, vectors, factors, centers, neighbors, reverse)]
    inputs.append(grad_outputs.to(torch.float64).contiguous())
    energies = torch.empty(species.shape[0], dtype=torch.float64)
    by_vector, by_factor = torch.empty_like(inputs[1]), torch.empty_like(inputs[2])
    message = ctypes.create_string_buffer(MESSAGE_LENGTH)
    failed = load_library().pet_run(
        handle,
        species.shape[0],
        centers.shape[0],
        *(tensor.data_ptr() for tensor in inputs),
        None,  # no exchange with other processes
        torch.get_num_threads(),
        *(tensor.data_ptr() for tensor in (energies, by_vector, by_factor)),
        message,
        MESSAGE_LENGTH,
    )
    if failed:
        raise RuntimeError(message.value.decode())
    return energies, by_vector, by_factor


torch.library.define(
    "pet_driver::differentiate",
    "(int network, Tensor species, Tensor vectors, Tensor factors, Tensor centers, "
    "Tensor neighbors, Tensor reverse, Tensor grad_outputs) -> (Tensor, Tensor, Tensor)",
)
torch.library.impl("pet_driver::differentiate", "CPU", _differentiate)
