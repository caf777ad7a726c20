"""Register the CPU kernels as a torch operator, and use them as the network of an archive."""

from __future__ import annotations

import ctypes
import warnings
import weakref
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_void_p
from functools import cache

import torch
from torch import Tensor, nn

from pet_driver.backends.cpu import MODE, build, mode
from pet_driver.backends.cpu.build import prebuilt
from pet_driver.backends.shared_rules import NETWORK_SCHEMA
from pet_driver.errors import PetDriverError

MESSAGE_LENGTH = 500


def attach(module: torch.jit.ScriptModule) -> bool:
    """Replace the network of an archive's ``module`` by the CPU kernels.

    Returns:
        whether the kernels now evaluate the network. They do not if they are switched off or, with
        a warning, if they cannot be compiled or run.

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
            f"(set {MODE}=off to run without the kernels and without this warning)",
            stacklevel=2,
        )
        return False
    return True


def instruction_set(module: torch.jit.ScriptModule) -> str | None:
    """Return the instruction set of the kernels in ``module``, or None without kernels."""
    if module.network.original_name != KernelNetwork.__name__:
        return None
    name: bytes = load_library().pet_instruction_set(module.network.handle)
    return name.decode()


class KernelNetwork(nn.Module):
    """Network that the kernels evaluate; see :class:`pet_driver.network.DifferentiableNetwork`."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self.handle = handle

    def forward(self) -> None:
        """Do nothing: torch demands this method, callers use :meth:`differentiate`."""

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


def create(owner: object, network: nn.Module, instruction_set: str = "") -> int:
    """Copy the weights of a network into the kernels.

    Args:
        owner: the handle is valid as long as this object lives.
        network: a :class:`pet_driver.network.PET`, scripted or not.
        instruction_set: for example ``"avx2"``; by default the fastest of this processor.

    Returns:
        a handle for the operator ``pet_driver::differentiate``.

    Raises:
        PetDriverError: the kernels cannot be compiled or run, or do not support the network.
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
        instruction_set.encode(),
        count,
        (c_char_p * count)(*(name.encode() for name in weights)),
        (c_void_p * count)(*(tensor.data_ptr() for tensor in weights.values())),
        (c_int64 * count)(*(tensor.shape[0] for tensor in weights.values())),
        (c_int64 * count)(*(tensor[0].numel() for tensor in weights.values())),
        message,
        MESSAGE_LENGTH,
    )
    if handle is None:
        raise PetDriverError(f"the kernels cannot run the network: {message.value.decode()}")
    weakref.finalize(owner, kernels.pet_destroy, handle)
    return handle


@cache
def load_library() -> ctypes.CDLL:
    """Load the kernels, and compile them first if necessary.

    Raises:
        PetDriverError: they cannot be compiled or loaded.
    """
    kernels = _open(use_prebuilt=True)
    kernels.pet_create.restype = c_void_p
    kernels.pet_create.argtypes = [
        *(c_int, c_int, c_double, c_int, c_char_p, c_int, POINTER(c_char_p), POINTER(c_void_p)),
        *(POINTER(c_int64), POINTER(c_int64), c_char_p, c_int64),
    ]
    kernels.pet_instruction_set.restype = c_char_p
    kernels.pet_instruction_set.argtypes = [c_void_p]
    kernels.pet_destroy.argtypes = [c_void_p]
    kernels.pet_run.argtypes = [c_void_p, c_int64, c_int64, *[c_void_p] * 8, c_int]
    kernels.pet_run.argtypes += [*[c_void_p] * 3, c_char_p, c_int64]
    kernels.pet_near.argtypes = [c_int64, *[c_void_p] * 5, c_double, c_int, *[c_void_p] * 5]
    kernels.pet_forces.argtypes = [*[c_int64] * 3, *[c_void_p] * 6, c_int, *[c_void_p] * 2]
    return kernels


def _open(use_prebuilt: bool) -> ctypes.CDLL:
    """Load the shared library; compile it if the one from the wheel cannot be loaded.

    Raises:
        PetDriverError: it cannot be compiled, or what was compiled cannot be loaded.
    """
    path = build(use_prebuilt=use_prebuilt)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        if path == prebuilt():
            warnings.warn(
                f"the compiled kernels of the wheel cannot be loaded ({error}); kernels compiled "
                "on this machine are used instead",
                stacklevel=2,
            )
            return _open(use_prebuilt=False)
        raise PetDriverError(
            f"the kernels cannot be loaded: {error}; delete {path} to compile them again, or "
            "set PET_DRIVER_CACHE to a folder that only this machine uses"
        ) from None


def _differentiate(handle: int, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Call the kernels; ``NETWORK_SCHEMA`` names the arguments."""
    *graph, grad_outputs = inputs
    tensors = [t.contiguous() for t in (*graph, grad_outputs.to(torch.float64))]
    species, vectors, factors, centers = tensors[:4]
    energies = torch.empty(species.shape[0], dtype=torch.float64)
    by_vector, by_factor = torch.empty_like(vectors), torch.empty_like(factors)
    message = ctypes.create_string_buffer(MESSAGE_LENGTH)
    failed = load_library().pet_run(
        handle,
        species.shape[0],
        centers.shape[0],
        *(tensor.data_ptr() for tensor in tensors),
        None,  # no exchange with other processes
        torch.get_num_threads(),
        *(tensor.data_ptr() for tensor in (energies, by_vector, by_factor)),
        message,
        MESSAGE_LENGTH,
    )
    if failed:
        raise RuntimeError(message.value.decode())
    return energies, by_vector, by_factor


torch.library.define("pet_driver::differentiate", NETWORK_SCHEMA)
torch.library.impl("pet_driver::differentiate", "CPU", _differentiate)
