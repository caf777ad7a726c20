"""Tracing the network with its gradient, and compiling what comes out."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from pet_driver.backends.shared_rules import LARGEST_WIDTH, PACKAGE_FILE
from pet_driver.errors import PetDriverError
from pet_driver.network import PET

# Instruction sets as torch and as the compiler call them; without, torch compiles for this machine
# and no other.
MARCH = {"AVX2": "x86-64-v3", "AVX512": "x86-64-v4"}
# Atoms, edges of each and columns of the example: sizes that are the same would be taken as one. On
# a GPU the compiler chooses the blocks of its kernels by them.
_SIZES = {"cpu": (5, 3, 7), "cuda": (997, 29, 41)}
_LARGEST = 2**31 - 1


def conditions(device: torch.device) -> dict[str, str]:
    """What a network compiled here runs on and nowhere else.

    Returns:
        "device", the kind of it; "target", the instruction set or the kind of GPU; "torch".
    """
    if device.type == "cuda":
        target = "sm_{}{}".format(*torch.cuda.get_device_capability(device))
    else:
        target = torch.backends.cpu.get_cpu_capability()
    return {"device": device.type, "target": target, "torch": torch.__version__.split("+")[0]}


def compile_network(network: PET, device: torch.device) -> bytes:
    """Compile energies and gradients of a network for any number of atoms and edges above one.

    Args:
        network: with its weights, which become constants.
        device: to compile for: this machine's CPU, or a GPU of it.

    Returns:
        a package of AOTInductor. Its function takes the arguments of
        :meth:`pet_driver.network.DifferentiableNetwork.differentiate`, and indices [W] of the
        columns of its tables, whose number is all that counts: see
        :class:`pet_driver.network.transformer.Layout`.

    Raises:
        PetDriverError: the compiler fails.
    """
    network = network.to(device).eval().requires_grad_(False)
    arguments = _example(next(network.parameters()).dtype, device)
    atoms, edges = (torch.export.Dim(name, min=2, max=_LARGEST) for name in ("atoms", "edges"))
    columns = torch.export.Dim("columns", min=2, max=LARGEST_WIDTH)
    shapes = ({0: atoms}, *[{0: edges}] * 5, {0: atoms}, {0: columns})
    remedy = _find_toolkit() if device.type == "cuda" else ""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traced = _trace(network, arguments)
            exported = torch.export.export(traced, arguments, dynamic_shapes=shapes)
            path = torch._inductor.aoti_compile_and_package(
                exported,
                package_path=str(Path(folder) / PACKAGE_FILE),
                inductor_configs=_options(device),
            )
        except Exception as error:  # whatever the compiler's many layers may raise
            raise PetDriverError(f"torch cannot compile the network{remedy}: {error}") from error
        return Path(path).read_bytes()


def _find_toolkit() -> str:
    """Name CUDA's toolkit to the linker, which finds it by ``CUDA_HOME`` alone; or what is to be
    done."""
    from torch.utils.cpp_extension import CUDA_HOME  # late: slow, and only this asks

    if CUDA_HOME is None:
        return " (it finds no toolkit of CUDA; set CUDA_HOME to the folder of one)"
    os.environ.setdefault("CUDA_HOME", CUDA_HOME)
    return ""


def _options(device: torch.device) -> dict[str, Any]:
    # torch is told how many threads to use when it runs, not when it compiles.
    options: dict[str, Any] = {"cpp.dynamic_threads": True}
    march = MARCH.get(conditions(device)["target"])
    if march and hasattr(torch._inductor.config.cpp, "march"):
        options["cpp.march"] = march
    return options


def _trace(network: PET, arguments: tuple[Tensor, ...]) -> nn.Module:
    """The network and its gradient as one graph, without autograd."""
    from torch.fx.experimental.proxy_tensor import make_fx  # late: slow, and only this asks

    def differentiate(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *known, columns = inputs
        return network.differentiate_in_tables(*known, columns.shape[0])

    with torch.autograd.set_multithreading_enabled(False):  # other threads do not trace
        trace = make_fx(differentiate, tracing_mode="symbolic", _allow_non_fake_inputs=True)
        return trace(*arguments)


def _example(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Arguments of the right kinds, of sizes that all differ."""
    n_atoms, neighbors, width = _SIZES[device.type]
    centers = torch.arange(n_atoms).repeat_interleave(neighbors)
    n_edges = len(centers)
    tensors = (
        torch.zeros(n_atoms, dtype=torch.int64),
        torch.ones(n_edges, 3, dtype=dtype),
        torch.full((n_edges,), 0.5, dtype=dtype),
        centers,
        (centers + 1) % n_atoms,
        torch.arange(n_edges),
        torch.ones(n_atoms, dtype=torch.float64),
        torch.arange(width),
    )
    return tuple(tensor.to(device) for tensor in tensors)
