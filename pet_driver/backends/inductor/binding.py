"""Compiled networks as a torch operator, and as the network of an archive."""

import warnings
import weakref
from collections.abc import Callable
from importlib import import_module
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

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
    module: torch.jit.ScriptModule,
    package: bytes,
    compiled_for: dict[str, Any],
    device: torch.device,
) -> bool:
    """Replace the network of an archive by a compiled one, if it was compiled for this machine.

    Args:
        module: module of the archive, on ``device``.
        package: see :func:`pet_driver.backends.inductor.compile_network`.
        compiled_for: "device", "target" and "torch" that it was compiled for, from the metadata.
        device: device that runs the module.

    Returns:
        True if the compiled network is used; False on another device and, with a warning, on
        another kind of processor, with another torch, or if the package cannot be loaded.
    """
    if compiled_for["device"] != device.type:
        return False
    for key, here in conditions(device).items():
        if compiled_for[key] != here:
            warnings.warn(
                f"the network was compiled for {key} {compiled_for[key]}, this is {here}: it runs "
                "uncompiled; export the archive again here with --format pt2",
                stacklevel=2,
            )
            return False
    handle = next(_handles)
    index = -1 if device.index is None else device.index
    try:
        import_module("torch._inductor.codecache")  # torch 2.10 needs it and does not import it
        with TemporaryDirectory() as folder:
            path = Path(folder) / PACKAGE_FILE
            path.write_bytes(package)
            _networks[handle] = torch._inductor.aoti_load_package(str(path), device_index=index)
    except Exception as error:  # torch raises many types: an older C library, another CUDA
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
    """Network in a compiled package; see :class:`pet_driver.network.DifferentiableNetwork`.

    Args:
        plain: the same network in TorchScript, used for fewer than two atoms or edges.
        handle: handle of the package.
    """

    plain: DifferentiableNetwork

    def __init__(self, plain: torch.jit.ScriptModule, handle: int) -> None:
        super().__init__()
        self.plain = cast(DifferentiableNetwork, plain)
        self.handle = handle

    def forward(self) -> None:
        """Do nothing: TorchScript needs a forward method."""

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
        """Implement :class:`pet_driver.network.DifferentiableNetwork`."""
        if species.shape[0] < 2 or centers.shape[0] < 2:
            return self.plain.differentiate(
                species, vectors, factors, centers, neighbors, reverse, seeds
            )
        return torch.ops.pet_driver.differentiate_compiled(
            self.handle, species, vectors, factors, centers, neighbors, reverse, seeds
        )


def _differentiate(handle: int, species: Tensor, *others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run a compiled network; see the signature of the operator below."""
    *graph, grad_outputs = others
    centers = graph[2]
    width = table_width(centers, species.shape[0])
    if width > LARGEST_WIDTH:
        raise PetDriverError(
            f"an atom has {width - 1} neighbours: a compiled network takes {LARGEST_WIDTH - 1}"
        )
    columns = torch.arange(width, device=centers.device)
    inputs = [tensor.contiguous() for tensor in (species, *graph, grad_outputs.to(torch.float64))]
    # CUDA events of the package are created on the current device of the thread.
    with torch.no_grad(), torch.cuda.device_of(species):
        energies, by_vector, by_factor = _networks[handle](*inputs, columns)
    return energies, by_vector, by_factor


torch.library.define("pet_driver::differentiate_compiled", NETWORK_SCHEMA)
for _device in ("CPU", "CUDA"):
    torch.library.impl("pet_driver::differentiate_compiled", _device, _differentiate)
