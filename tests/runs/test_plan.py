"""What a plan counts, deck by deck; that it is right in time is seen in the workflow."""

from pathlib import Path

import pytest

from pet_driver.runs import Settings
from pet_driver.runs.execute import read_leg
from pet_driver.runs.plan import _ipi_evaluations
from tests.runs.conftest import INPUTS

# Grid and structures in a batch -> how often a step, as the decks' comments have it.
EVALUATIONS = {
    "water-molecule-nve/ipi-2i.xml": {("2i", 1): 1},
    "water-molecule-delta/ipi.xml": {("0", 1): 1, ("2i", 1): 0.25},
    "grid-scan/ipi.xml": {("0", 1): 1, ("i", 1): 1, ("2", 1): 1, ("2i", 1): 1},
    "water-liquid-mts/ipi.xml": {("0", 1): 10, ("2i", 1): 1},
    "water-liquid-pimd/ipi-corrected.xml": {("0", 8): 4, ("0", 1): 1, ("2i", 1): 1},
    "water-liquid-pimd/ipi-32-beads.xml": {("0", 32): 1},
}


@pytest.mark.parametrize("deck", EVALUATIONS)
def test_evaluations_a_step(deck: str) -> None:
    leg = read_leg(INPUTS / deck, Path("run"), Settings())
    assert _ipi_evaluations(leg) == EVALUATIONS[deck]
