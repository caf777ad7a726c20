"""What products of matrices in TF32 or bfloat16 would do to energies and forces.

    python benchmarks/precision.py [--model water-small] [-o TABLE.md]

GPUs multiply matrices several times faster if the factors are rounded to the 10 bits of TF32 or the
7 bits of bfloat16; sums stay in float32. The rounding is done here by hand, on a CPU, on every
factor of every product of the network, forward and backward, so that the error is known before
there is a GPU. It is the difference from float64, beside that of plain float32: of the energy an
atom, root mean square and largest of force components, and the part of the broken symmetry, the
spread of the energy over the grid `2i` in the molecule. (A hundredth of a meV/atom is the
epsilon of the norms, which is that of the type, as in metatrain.) To run with TF32 on a GPU set
TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 of the environment: Python, i-PI and LAMMPS heed it alike.
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
FACTORS = {  # of these products: which arguments are multiplied
    ATEN.mm.default: (0, 1),
    ATEN.bmm.default: (0, 1),
    ATEN.addmm.default: (1, 2),
    ATEN.baddbmm.default: (1, 2),
}


class RoundedProducts(TorchDispatchMode):
    """Rounds the factors of all products of matrices to so many bits; counts the products."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.count = 0

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        # Structures are turned in float64, on GPUs as well.
        if function in FACTORS and args[0].dtype == torch.float32:
            self.count += 1
            rounded = list(args)
            for place in FACTORS[function]:
                rounded[place] = rounded_to(args[place], self.bits)
            args = tuple(rounded)
        return function(*args, **(kwargs or {}))


def rounded_to(values: Tensor, bits: int) -> Tensor:
    """float32 to the nearest number with so many bits of mantissa, ties to even."""
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
    parser.add_argument("-o", "--output", type=Path, help="Markdown; without it, printed alone")
    options = parser.parse_args()
    os.environ["PET_DRIVER_KERNELS"] = "off"  # the C++ has no products that could be rounded
    box = read_structures(options.box)[0]
    table = compare(options.model, {"one molecule": molecule("H2O"), options.box.stem: box})
    print(table)
    if options.output:
        options.output.write_text(table + "\n")


def compare(name: str, structures: dict[str, Atoms]) -> str:
    """A table of errors against float64."""
    lines = [
        f"Errors of {name} against float64.",
        "",
        "| structure | products in | energy, meV/atom | force RMS, largest, meV/A "
        "| spread over 2i, meV |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        double = Path(folder, "float64.pt")
        pet_driver.export(name, double, dtype="float64")
        exact, single = pet_driver.load(double), pet_driver.load(name)
    modes: dict[str, AbstractContextManager] = {"float32": nullcontext()}
    modes |= {kind: RoundedProducts(bits) for kind, bits in MANTISSA.items()}
    for title, atoms in structures.items():
        known = exact.evaluate(atoms, "0")
        spread = f"{1e3 * rotation_std_of(exact, atoms):.4f}" if len(atoms) == 3 else ""
        lines.append(f"| {title} | float64 | | | {spread} |")
        for kind, mode in modes.items():
            with mode:
                found = single.evaluate(atoms, "0")
                spread = f"{1e3 * rotation_std_of(single, atoms):.4f}" if len(atoms) == 3 else ""
            energy = 1e3 * abs(found.energy - known.energy) / len(atoms)
            error = 1e3 * np.abs(found.forces - known.forces)
            rms = np.sqrt((error**2).mean())
            lines.append(
                f"| {title} | {kind} | {energy:.2g} | {rms:.2g}, {error.max():.2g} | {spread} |"
            )
    for kind, mode in modes.items():
        if isinstance(mode, RoundedProducts) and not mode.count:
            raise SystemExit(f"no product was seen in {kind}: the table would say nothing")
    return "\n".join(lines)


def rotation_std_of(model: pet_driver.Model, atoms: Atoms) -> float:
    """Standard deviation of the energy over the grid 2i, eV."""
    return model.evaluate(atoms, "2i").rotation_std


if __name__ == "__main__":
    main()
