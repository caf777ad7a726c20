"""Emulate matrix products in TF32 and bfloat16, and measure their errors in energies and forces.

    python -m benchmarks.precision [--model water-small] [-o TABLE.md]

GPUs multiply matrices several times faster if the factors are rounded to the 10 mantissa bits of
TF32 or the 7 of bfloat16; sums stay in float32. Here the factors of all matrix products of the
network, forward and backward, are rounded on a CPU. The table gives the errors against float64,
for float32 too: of the energy per atom, and of the force components (root mean square, largest).
For the molecule it also gives the standard deviation of the energy over the rotations of the grid
`2i`, a measure of the broken symmetry. (An error of 0.01 meV/atom in float32 comes from the epsilon
of the layer norms, which depends on the data type, as in metatrain.)

To use TF32 on a GPU, set TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 in the environment; Python, i-PI and
LAMMPS follow it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import pet_driver
from pet_driver.building.structures import read_structures

ROOT = Path(__file__).parents[1]
MANTISSA = {"TF32": 10, "bfloat16": 7}  # bits
FLOAT32_MANTISSA = 23
ATEN = torch.ops.aten
FACTORS = {  # positions of the arguments that are multiplied
    ATEN.mm.default: (0, 1),
    ATEN.bmm.default: (0, 1),
    ATEN.addmm.default: (1, 2),
    ATEN.baddbmm.default: (1, 2),
}


class RoundedProducts(TorchDispatchMode):
    """Context in which the factors of all float32 matrix products are rounded to ``bits``.

    Attributes:
        bits: bits of the mantissa.
        count: number of products so far.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.count = 0

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        # Structures are rotated in float64, on GPUs too.
        if function in FACTORS and args[0].dtype == torch.float32:
            self.count += 1
            rounded = list(args)
            for place in FACTORS[function]:
                rounded[place] = rounded_to(args[place], self.bits)
            args = tuple(rounded)
        return function(*args, **(kwargs or {}))


def rounded_to(values: Tensor, bits: int) -> Tensor:
    """Round float32 to the nearest number with ``bits`` bits of mantissa, ties to even."""
    dropped = FLOAT32_MANTISSA - bits
    pattern = values.contiguous().view(torch.int32)
    odd = (pattern >> dropped) & 1
    pattern = pattern + (odd + ((1 << (dropped - 1)) - 1))
    return ((pattern >> dropped) << dropped).view(torch.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="water-small", help="archive or shipped name")
    parser.add_argument("--box", default=ROOT / "inputs/structures/water-64.xyz", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="Markdown file to write the table to")
    options = parser.parse_args()
    os.environ["PET_DRIVER_KERNELS"] = "off"  # TorchDispatchMode does not see the C++ kernels
    box = read_structures(options.box)[0]
    table = compare(options.model, {"one molecule": molecule("H2O"), options.box.stem: box})
    print(table)
    if options.output:
        options.output.write_text(table + "\n")


def compare(name: str, structures: dict[str, Atoms]) -> str:
    """Return a table of errors against float64."""
    lines = [
        f"Errors of {name} against float64.",
        "",
        "| structure | products in | energy, meV/atom | force RMS, largest, meV/A "
        "| standard deviation over 2i, meV |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        double = Path(folder, "float64.pt")
        pet_driver.export(name, double, dtype="float64")
        exact, single = pet_driver.load(double), pet_driver.load(name)
    modes: dict[str, AbstractContextManager] = {"float32": nullcontext()}
    modes |= {kind: RoundedProducts(bits) for kind, bits in MANTISSA.items()}
    for title, atoms in structures.items():
        reference = exact.evaluate(atoms, "0")
        lines.append(f"| {title} | float64 | | | {rotation_std_of(exact, atoms)} |")
        for kind, mode in modes.items():
            with mode:
                found = single.evaluate(atoms, "0")
                rotation_std = rotation_std_of(single, atoms)
            energy = 1e3 * abs(found.energy - reference.energy) / len(atoms)
            error = 1e3 * np.abs(found.forces - reference.forces)
            rms = np.sqrt((error**2).mean())
            lines.append(
                f"| {title} | {kind} | {energy:.2g} | {rms:.2g}, {error.max():.2g} "
                f"| {rotation_std} |"
            )
    for kind, mode in modes.items():
        if isinstance(mode, RoundedProducts) and not mode.count:
            raise SystemExit(f"no matrix product was rounded to {kind}: the table is not valid")
    return "\n".join(lines)


def rotation_std_of(model: pet_driver.Model, atoms: Atoms) -> str:
    """Return the standard deviation of a molecule's energy over the grid 2i (meV), as text."""
    if len(atoms) > 3:
        return ""
    return f"{1e3 * model.evaluate(atoms, '2i').rotation_std:.4f}"


if __name__ == "__main__":
    main()
