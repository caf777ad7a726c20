"""pet-jax, with its ASE calculator as in molecular dynamics.

Its neighbour list has a skin and is rebuilt only when atoms have moved farther than that.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np

from benchmarks.speed.contenders import Answer, Evaluate, Frame, versions_of


def versions() -> dict[str, str]:
    return versions_of("pet-jax", "jax", "jaxlib")


def convert(checkpoint: Path, folder: Path) -> Path:
    from petjax import convert_checkpoint

    with contextlib.redirect_stdout(io.StringIO()):
        convert_checkpoint(checkpoint, folder / checkpoint.stem)
    return folder / checkpoint.stem


def prepare(model: Path, device: str) -> Evaluate:
    import jax
    from ase import Atoms
    from petjax import UPETCalculator

    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda")
    calculator = UPETCalculator.from_checkpoint(model)

    def evaluate(frame: Frame) -> Answer:
        atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.periodic)
        calculator.calculate(atoms)
        results = calculator.results
        xx, yy, zz, yz, xz, xy = -results["stress"] * atoms.get_volume()
        virial = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return Answer(results["energy"], results["forces"], virial)

    return evaluate
