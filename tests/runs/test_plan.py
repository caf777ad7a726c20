"""What a run will cost: how often a step asks for what, input file by input file."""

from pathlib import Path

import pytest

from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings
from pet_driver.runs import plan as planning
from tests.runs.conftest import INPUTS

# Grid and structures in a batch -> how often a step, as the input files' comments have it.
EVALUATIONS = {
    "water-molecule-nve/ipi-2i.xml": {("2i", 1): 1},
    "water-molecule-delta/ipi.xml": {("0", 1): 1, ("2i", 1): 0.25},
    "grid-scan/ipi.xml": {("0", 1): 1, ("i", 1): 1, ("2", 1): 1, ("2i", 1): 1},
    "water-liquid-mts/ipi.xml": {("0", 1): 10, ("2i", 1): 1},
    "water-liquid-pimd/ipi-corrected.xml": {("0", 8): 4, ("0", 1): 1, ("2i", 1): 1},
    "water-liquid-pimd/ipi-32-beads.xml": {("0", 32): 1},
    "water-liquid-nvt/in.water": {("0", 1): 1},
}
COSTS = {"0": 1e-3, "i": 2e-3, "2": 18e-3, "2i": 36e-3}  # s, as the evaluations of a grid


@pytest.fixture
def evaluations_cost(monkeypatch) -> None:
    """A time that can be counted by hand, in place of the machine's."""
    monkeypatch.setattr(
        planning, "evaluation_time", lambda model, atoms, grid, beads: beads * COSTS[grid]
    )


@pytest.mark.parametrize("input_file", EVALUATIONS)
def test_a_step_is_the_sum_of_its_evaluations(input_file: str, evaluations_cost) -> None:
    found = planning.plan(INPUTS / input_file)
    assert {(grid, beads): n for grid, beads, n in found.evaluations} == EVALUATIONS[input_file]
    own = 5e-4 * found.beads if input_file.endswith(".xml") else 0.0
    expected = own + sum(n * b * COSTS[grid] for (grid, b), n in EVALUATIONS[input_file].items())
    assert found.step_time == pytest.approx(expected)
    assert found.hours == pytest.approx(expected * found.steps / 3600)


def test_what_is_simulated(evaluations_cost) -> None:
    """64 molecules by LAMMPS in steps of 0.5 fs, 1 ms each: 86.4 million of them a day, 43 ns."""
    found = planning.plan(INPUTS / "water-liquid-nvt" / "in.water", Settings(steps=300))
    assert (found.atoms, found.beads, found.steps, found.timestep) == (192, 1, 300, 0.5)
    assert found.ns_per_day == pytest.approx(43.2)
    larger = Settings(variables={"replicate": "2"})
    assert planning.plan(INPUTS / "water-large-lammps" / "in.water", larger).atoms == 8 * 192


def test_a_input_that_does_not_say_with_which_atoms_it_begins(tmp_path: Path) -> None:
    input_file = tmp_path / "in.box"
    input_file.write_text("variable steps index 10\npair_style pet water-small\nrun ${steps}\n")
    with pytest.raises(PetDriverError, match="no 'variable data index"):
        planning.plan(input_file)


def test_the_time_of_an_evaluation_grows_with_the_beads(water) -> None:
    from pet_driver import load

    model = load("water-small")
    one, many = (planning.evaluation_time(model, water, "0", beads) for beads in (1, 200))
    assert 0.0 < one < many
