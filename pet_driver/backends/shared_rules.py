"""Constants that Python shares with the C++ code of the LAMMPS plugin.

Python imports them from here. The build of the plugin writes them into a C++ header with
:func:`cpp_header`. This module does not import torch, because the ``lmp`` launcher imports it.
"""

from __future__ import annotations

# The exported model.
FORMAT_VERSION = 2
METADATA_FILE = "metadata.json"  # entry of the file
PACKAGE_FILE = "network.pt2"  # entry of the file with the compiled network, if there is one
# Entries of the metadata that forces depend on. Models that agree in all of them are the same
# model, which an ensemble may contain only once.
IDENTITY_ENTRIES = ("weights_sha256", "scale", "zbl_radii")

# Arguments and results of the operators that evaluate a network, in the kernels or compiled.
NETWORK_SCHEMA = (
    "(int network, Tensor species, Tensor vectors, Tensor factors, Tensor centers, "
    "Tensor neighbors, Tensor reverse, Tensor grad_outputs) -> (Tensor, Tensor, Tensor)"
)
# Bound on the width of the padded edge tables of a compiled network. With this bound the compiler
# knows that a table may have more than 2^31 entries, and uses 64-bit indices.
LARGEST_WIDTH = 4096

# Edges times rotations in one pass of the network, by default: enough to keep two CPU cores or a
# GPU busy, and little enough for the memory of either. Without the kernels, TorchScript on a CPU
# holds at most 25 kB per edge of water-small until the gradient is computed.
MAX_EDGES_CPU = 20_000
MAX_EDGES_CUDA = 300_000

# Texts in errors that mean too little memory: from torch for GPUs and for CPUs, from the kernels,
# and from cuBLAS, which needs memory for its handle. The error of a compiled network has no such
# text; its reason is on the screen above it.
OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
)

# Allocator settings of the GNU C library (see mallopt(3) and malloc.h).
# Environment variables with these beginnings are settings of the user, which take precedence.
ALLOCATOR_VARIABLES = ("MALLOC_", "GLIBC_TUNABLES")
# Smaller buffers come from the heap, which keeps freed memory. Old versions accept 32 MB at most.
MALLOPT_MMAP_THRESHOLD = -3
LARGEST_MMAP_THRESHOLDS = (2**31 - 1, 32 << 20)
# Further settings, each a parameter and its value: M_TRIM_THRESHOLD, so that the heap never
# shrinks; M_ARENA_MAX, because the heaps of other threads cannot hold large buffers.
MALLOPT_SETTINGS = ((-1, -1), (-8, 1))


def cpp_header() -> str:
    """Return the constants of this module as a C++ header."""
    lines = [
        "// Generated from pet_driver/backends/shared_rules.py, which explains the constants.",
        "#pragma once",
        "namespace pet {",
        *(_declaration(name, value) for name, value in globals().items() if name.isupper()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _declaration(name: str, value: int | str | tuple) -> str:
    first, dimensions = value, ""
    while isinstance(first, tuple):
        dimensions += f"[{len(first)}]"
        first = first[0]
    kind = "const char *" if isinstance(first, str) else "int "
    return f"inline constexpr {kind}{name}{dimensions} = {_literal(value)};"


def _literal(value: int | str | tuple) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(_literal(item) for item in value) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)
