"""Write the card of a shipped model: what it was trained on, and its errors.

    python workflows/train/card.py water-small --data ../shared/data

Errors are over all frames of a file, most of which the model has seen in training.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.optimize import BFGS

import pet_driver
from pet_driver import models

SETS = {
    "liquid, revPBE0-D3": "water-revpbe0-d3-150.xyz",
    "molecule": "water-monomer-600.xyz",
    "ice Ih": "ice-ih-6.xyz",
}
GRIDS = ("0", "i", "2", "2i", "3")
FINEST = "3i"

HEAD = """# {name}

PET for water (H, O) at the revPBE0-D3 level. {parameters:,} parameters, cutoff {cutoff:g} A,
{layers} message-passing layers of width {width}, {dtype}. A rough model, trained in two CPU hours:
good enough to try everything with, and to see every effect of a broken symmetry larger than life.

Trained with metatrain on 130 frames of 64 molecules of liquid water (a part of the data of B. Cheng
et al., PNAS 116 (2019) 1110), 300 gas-phase molecules and 3 cells of ice (energies and forces of
the PET of arXiv 2406.17747, averaged over rotations; data CC BY 4.0).

This page is written by `python workflows/train/card.py {name} --data FOLDER`.
"""

TAIL = """
## Known limits

- Only molecules of water: broken, compressed or charged ones are outside the training data.
- The force error is several times that of the paper's model (16.6 meV/A), and the symmetry error
  too: use a grid, and do not publish numbers from it.
- No long-range electrostatics and no dispersion beyond the cutoff.
"""


@dataclass(frozen=True)
class Errors:
    """Of one set of frames; energies in meV an atom with the mean shift removed, forces meV/A."""

    frames: int
    energy: float
    force_mae: float
    force_rmse: float


def errors(model: pet_driver.Model, frames: list[Atoms]) -> Errors:
    found = model.evaluate(frames, "0")
    shift = np.array(
        [(r.energy - f.get_potential_energy()) / len(f) for r, f in zip(found, frames, strict=True)]
    )
    force = np.concatenate(
        [r.forces - f.get_forces() for r, f in zip(found, frames, strict=True)]
    ).ravel()
    return Errors(
        len(frames),
        1e3 * np.abs(shift - shift.mean()).mean(),
        1e3 * np.abs(force).mean(),
        1e3 * np.sqrt((force**2).mean()),
    )


def symmetry_errors(model: pet_driver.Model, frames: list[Atoms]) -> dict[str, tuple[float, float]]:
    """By grid: mean absolute error of energy (meV) and force (meV/A) against the finest grid."""
    exact = model.evaluate(frames, FINEST)
    result = {}
    for grid in GRIDS:
        pairs = list(zip(model.evaluate(frames, grid), exact, strict=True))
        energy = np.mean([abs(a.energy - b.energy) for a, b in pairs])
        force = np.mean(np.concatenate([np.abs(a.forces - b.forces).ravel() for a, b in pairs]))
        result[grid] = (1e3 * energy, 1e3 * force)
    return result


def geometry(model: pet_driver.Model) -> tuple[float, float]:
    """O-H length (A) and angle (degrees) of the relaxed molecule, averaged over the finest grid."""
    water = molecule("H2O")
    water.calc = pet_driver.PETCalculator(model, FINEST)
    BFGS(water, logfile=None).run(fmax=1e-3, steps=200)
    return water.get_distance(0, 1), water.get_angle(1, 0, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    model = pet_driver.load(arguments.model)
    frames = {name: ase.io.read(arguments.data / file, ":") for name, file in SETS.items()}
    hypers = model.metadata["hypers"]
    lines = [
        HEAD.format(
            name=arguments.model,
            parameters=model.metadata["parameters"],
            cutoff=model.cutoff,
            layers=hypers["num_gnn_layers"],
            width=hypers["d_pet"],
            dtype=model.metadata["dtype"],
        ),
        "## Errors of the raw network\n",
        "| set | frames | energy MAE (meV an atom) | force MAE (meV/A) | force RMSE (meV/A) |",
        "|---|---|---|---|---|",
    ]
    for name, structures in frames.items():
        e = errors(model, structures)
        lines.append(
            f"| {name} | {e.frames} | {e.energy:.2f} | {e.force_mae:.0f} | {e.force_rmse:.0f} |"
        )
    lines += [
        "\nEnergies after the mean shift of the set is removed.\n",
        f"## Symmetry error: mean absolute difference from the grid {FINEST}\n",
        "| set | " + " | ".join(GRIDS) + " |",
        "|---" * (len(GRIDS) + 1) + "|",
    ]
    samples = {
        "liquid, revPBE0-D3": frames["liquid, revPBE0-D3"][::50],
        "molecule": frames["molecule"][::20],
    }
    for name, structures in samples.items():
        found = symmetry_errors(model, structures)
        for index, quantity in enumerate(("energy (meV)", "force (meV/A)")):
            cells = " | ".join(f"{found[grid][index]:.3g}" for grid in GRIDS)
            lines.append(f"| {name}, {quantity} | {cells} |")
    length, angle = geometry(model)
    lines += [
        "\n## The molecule\n",
        f"Relaxed on the grid {FINEST}: O-H {length:.4f} A, angle {angle:.2f} degrees "
        "(reference: 0.9566 A, 106.15 degrees).",
        TAIL,
    ]
    path = models.FOLDER / f"{arguments.model}.md"
    path.write_text("\n".join(lines))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
