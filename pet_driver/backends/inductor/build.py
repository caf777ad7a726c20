"""Compile a network and its gradient with AOTInductor."""

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

# Instruction sets by the names of torch and of the compiler. Without one torch compiles for the
# processor of this machine only.
MARCH = {"AVX2": "x86-64-v3", "AVX512": "x86-64-v4"}
# Atoms, edges of each, and columns of the example. The tracer would take equal sizes as the same
# dimension. On a GPU the compiler chooses the blocks of its kernels by them.
_SIZES = {"cpu": (5, 3, 7), "cuda": (997, 29, 41)}
_LARGEST = 2**31 - 1


def conditions(device: torch.device) -> dict[str, str]:
    """Return the conditions under which a network compiled on this machine can run.

    Returns:
        "device", its type; "target", the instruction set or the GPU architecture; "torch", the
        version.
    """
    if device.type == "cuda":
        target = "sm_{}{}".format(*torch.cuda.get_device_capability(device))
    else:
        target = torch.backends.cpu.get_cpu_capability()
    return {"device": device.type, "target": target, "torch": torch.__version__.split("+")[0]}


def compile_network(network: PET, device: torch.device) -> bytes:
    """Compile a network and its gradient for any number of atoms and edges above one.

    Args:
        network: the network; its weights become constants.
        device: the CPU of this machine, or one of its GPUs.

    Returns:
        a package of AOTInductor. Its function takes the arguments of
        :meth:`pet_driver.network.DifferentiableNetwork.differentiate`, and a tensor [W] whose
        length is the width of the padded edge rows: see
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
        except Exception as error:  # the layers of the compiler raise many types
            raise PetDriverError(f"torch cannot compile the network{remedy}: {error}") from error
        return Path(path).read_bytes()


def _find_toolkit() -> str:
    """Set ``CUDA_HOME``, by which the linker finds the CUDA toolkit; return a remedy if unset."""
    from torch.utils.cpp_extension import CUDA_HOME  # here because it is slow to import

    if CUDA_HOME is None:
        return " (it finds no toolkit of CUDA; set CUDA_HOME to the folder of one)"
    os.environ.setdefault("CUDA_HOME", CUDA_HOME)
    return ""


def _options(device: torch.device) -> dict[str, Any]:
    """Return options of the compiler."""
    # The number of threads is set when the network runs, not when it is compiled.
    options: dict[str, Any] = {"cpp.dynamic_threads": True}
    march = MARCH.get(conditions(device)["target"])
    if march and hasattr(torch._inductor.config.cpp, "march"):
        options["cpp.march"] = march
    return options


def _trace(network: PET, arguments: tuple[Tensor, ...]) -> nn.Module:
    """Return the network and its gradient as one graph, without autograd."""
    from torch.fx.experimental.proxy_tensor import make_fx  # here because it is slow to import

    def differentiate(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network with the width of the last input."""
        species, vectors, factors, centers, neighbors, reverse, grad_outputs, columns = inputs
        edges = (vectors, factors, centers, neighbors, reverse)
        return network.differentiate_padded(species, *edges, grad_outputs, columns.shape[0])

    with torch.autograd.set_multithreading_enabled(False):  # only this thread is traced
        trace = make_fx(differentiate, tracing_mode="symbolic", _allow_non_fake_inputs=True)
        return trace(*arguments)


def _example(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Return arguments of the right types, with sizes that all differ."""
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
