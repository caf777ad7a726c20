"""The compiled network as an operator of torch, and as one that stands in for an archive's own."""

import warnings
import weakref
from collections.abc import Callable
from importlib import import_module
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from pet_driver.backends.inductor.build import conditions
from pet_driver.backends.shared_rules import LARGEST_WIDTH, NETWORK_SCHEMA, PACKAGE_FILE
from pet_driver.errors import PetDriverError
from pet_driver.network import DifferentiableNetwork
from pet_driver.network.transformer import table_width

_networks: dict[int, Callable[..., tuple[Tensor, Tensor, Tensor]]] = {}
_handles = count()


def attach(
    module: torch.jit.ScriptModule, package: bytes, made_for: dict[str, Any], device: torch.device
) -> bool:
    """Let a compiled network stand in for that of an archive's ``module``.

    Args:
        module: of the archive, on ``device``.
        package: see :func:`pet_driver.backends.inductor.compile_network`.
        made_for: the archive's own words on it: "device", "target" and "torch".
        device: where it is to run.

    Returns:
        True if the compiled network now runs; False on another device and, with a warning, on
        another kind of processor, with another torch, or if the package cannot be loaded.
    """
    if made_for["device"] != device.type:
        return False
    for key, here in conditions(device).items():
        if made_for[key] != here:
            warnings.warn(
                f"the network was compiled for {key} {made_for[key]}, this is {here}: it runs "
                "uncompiled; export the archive again here with --format pt2",
                stacklevel=2,
            )
            return False
    handle = next(_handles)
    index = -1 if device.index is None else device.index
    try:
        import_module("torch._inductor.codecache")  # torch 2.10 forgets that loading needs it
        with TemporaryDirectory() as folder:
            path = Path(folder) / PACKAGE_FILE
            path.write_bytes(package)
            _networks[handle] = torch._inductor.aoti_load_package(str(path), device_index=index)
    except Exception as error:  # an older C library or driver, another CUDA: any type of torch's
        warnings.warn(
            f"the compiled network cannot be loaded here ({error}): it runs uncompiled; export the "
            "archive again here with --format pt2",
            stacklevel=2,
        )
        return False
    module.network = torch.jit.script(CompiledNetwork(module.network, handle))
    weakref.finalize(module, _networks.pop, handle)
    return True


class CompiledNetwork(nn.Module):
    """A network in a compiled package; see :class:`pet_driver.network.DifferentiableNetwork`.

    Args:
        plain: the same in TorchScript, for what was not compiled: structures without sizes.
        handle: of the package.
    """

    plain: DifferentiableNetwork

    def __init__(self, plain: torch.jit.ScriptModule, handle: int) -> None:
        super().__init__()
        self.plain = plain
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
        if species.shape[0] < 2 or centers.shape[0] < 2:
            return self.plain.differentiate(
                species, vectors, factors, centers, neighbors, reverse, seeds
            )
        return torch.ops.pet_driver.differentiate_compiled(
            self.handle, species, vectors, factors, centers, neighbors, reverse, seeds
        )


def _differentiate(handle: int, species: Tensor, *others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    *graph, grad_outputs = others
    centers = graph[2]
    width = table_width(centers, species.shape[0])
    if width > LARGEST_WIDTH:
        raise PetDriverError(
            f"an atom has {width - 1} neighbours: a compiled network takes {LARGEST_WIDTH - 1}"
        )
    columns = torch.arange(width, device=centers.device)
    inputs = [tensor.contiguous() for tensor in (species, *graph, grad_outputs.to(torch.float64))]
    # its events are made on the thread's own device
    with torch.no_grad(), torch.cuda.device_of(species):
        energies, by_vector, by_factor = _networks[handle](*inputs, columns)
    return energies, by_vector, by_factor


torch.library.define("pet_driver::differentiate_compiled", NETWORK_SCHEMA)
for _device in ("CPU", "CUDA"):
    torch.library.impl("pet_driver::differentiate_compiled", _device, _differentiate)
