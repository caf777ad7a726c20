"""All figures of a report, in order, with the input file or command that is needed for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib

from pet_driver.errors import PetDriverError
from pet_driver.report import (
    conservation,
    dynamics,
    ice,
    liquid,
    molecule,
    orientation,
    symmetry,
)
from pet_driver.report.drawing import STYLE, Drawing
from pet_driver.report.symmetry import ProbeSummary
from pet_driver.runs.record import Run


@dataclass(frozen=True)
class Plan:
    """A figure of the report.

    Attributes:
        section: section of the page.
        draw: function that draws it from the runs, or from the probes.
        what: what it shows.
        remedy: which input file or command it needs.
        from_probes: whether ``draw`` takes the probes instead of the runs.
    """

    section: str
    draw: Callable[..., Drawing]
    what: str
    remedy: str
    from_probes: bool = False


@dataclass(frozen=True)
class Missing:
    """A figure that could not be drawn.

    Attributes:
        what: what it would show.
        reason: why it could not be drawn.
        remedy: which input file or command it needs.
    """

    what: str
    reason: str
    remedy: str


MOLECULE, LIQUID, MOTION = "One molecule", "Structure of the liquid", "Dynamics of the liquid"
PROBE, ICE, ENERGY = "Symmetry error", "Ice", "Conservation of energy"
LIQUID_INPUTS = "the input files of inputs/water-liquid-nvt or any other of a liquid"

PLANS = (
    Plan(
        MOLECULE,
        molecule.angular_momentum,
        "angular momentum of a molecule",
        "the input files of inputs/water-molecule-nve",
    ),
    Plan(
        MOLECULE,
        symmetry.torque,
        "torque on a molecule for different grids",
        "pet-driver probe MODEL inputs/grid-scan/frames.xyz -o FOLDER",
        from_probes=True,
    ),
    Plan(
        MOLECULE,
        molecule.potential_spectrum,
        "spectrum of the non-equivariant energy",
        "ipi-2i.xml of inputs/water-molecule-nve, or the input file of inputs/water-molecule-delta",
    ),
    Plan(
        MOLECULE,
        orientation.molecule_orientation,
        "orientational free energy of a molecule",
        "the input file of inputs/water-molecule-nvt, with and without averaging",
    ),
    Plan(
        LIQUID,
        orientation.liquid_orientation,
        "orientational free energy in the liquid",
        LIQUID_INPUTS,
    ),
    Plan(LIQUID, liquid.radial_distribution, "radial distribution of oxygen", LIQUID_INPUTS),
    Plan(LIQUID, liquid.hydrogen_distribution, "radial distributions of hydrogen", LIQUID_INPUTS),
    Plan(LIQUID, liquid.dipole_correlation, "correlations of dipoles", LIQUID_INPUTS),
    Plan(MOTION, dynamics.mean_square_displacement, "mean-square displacement", LIQUID_INPUTS),
    Plan(MOTION, dynamics.dipole_autocorrelation, "autocorrelation of dipoles", LIQUID_INPUTS),
    Plan(
        PROBE,
        symmetry.errors,
        "symmetry error for different grids",
        "pet-driver probe MODEL STRUCTURES -o FOLDER, for a molecule and for a liquid",
        from_probes=True,
    ),
    Plan(
        ICE,
        ice.relaxation,
        "relaxation of ice, raw and averaged",
        "the input files of inputs/ice-relaxation",
    ),
    Plan(
        ENERGY,
        conservation.conserved_quantity,
        "conserved quantity",
        "any input file except those of relaxations and replays",
    ),
)


def draw(plan: Plan, runs: Sequence[Run], probes: Sequence[ProbeSummary]) -> Drawing | Missing:
    """Draw a figure, or return why it cannot be drawn."""
    try:
        with matplotlib.rc_context(STYLE):
            return plan.draw(probes if plan.from_probes else runs)
    except PetDriverError as error:
        return Missing(plan.what, str(error), plan.remedy)
