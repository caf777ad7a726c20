"""Predicted costs: the evaluations per step of the example input files."""

from pathlib import Path

import pytest

from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings
from pet_driver.runs import plan as planning
from tests.runs.conftest import INPUTS

# (grid, structures in a batch) -> evaluations per step, as the comments of the input files say.
EVALUATIONS = {
    "water-molecule-nve/ipi-2i.xml": {("2i", 1): 1},
    "water-molecule-delta/ipi.xml": {("0", 1): 1, ("2i", 1): 0.25},
    "grid-scan/ipi.xml": {("0", 1): 1, ("i", 1): 1, ("2", 1): 1, ("2i", 1): 1},
    "water-liquid-mts/ipi.xml": {("0", 1): 10, ("2i", 1): 1},
    "water-liquid-pimd/ipi-corrected.xml": {("0", 8): 4, ("0", 1): 1, ("2i", 1): 1},
    "water-liquid-pimd/ipi-32-beads.xml": {("0", 32): 1},
    "water-liquid-nvt/in.water": {("0", 1): 1},
}
COSTS = {"0": 1e-3, "i": 2e-3, "2": 18e-3, "2i": 36e-3}  # s per structure


@pytest.fixture
def evaluations_cost(monkeypatch) -> None:
    """Replace measured times by fixed ones."""
    monkeypatch.setattr(
        planning, "evaluation_time", lambda model, atoms, grid, beads: beads * COSTS[grid]
    )


@pytest.mark.parametrize("input_file", EVALUATIONS)
def test_time_of_a_step_is_the_sum_of_its_evaluations(input_file: str, evaluations_cost) -> None:
    plan = planning.plan(INPUTS / input_file)
    assert {(grid, beads): n for grid, beads, n in plan.evaluations} == EVALUATIONS[input_file]
    overhead = 5e-4 * plan.beads if input_file.endswith(".xml") else 0.0
    expected = overhead + sum(
        n * b * COSTS[grid] for (grid, b), n in EVALUATIONS[input_file].items()
    )
    assert plan.step_time == pytest.approx(expected)
    assert plan.hours == pytest.approx(expected * plan.steps / 3600)


def test_plan_has_size_and_speed_of_the_simulation(evaluations_cost) -> None:
    """Steps of 0.5 fs that take 1 ms each: 86.4 million steps, or 43 ns, per day."""
    plan = planning.plan(INPUTS / "water-liquid-nvt" / "in.water", Settings(steps=300))
    assert (plan.atoms, plan.beads, plan.steps, plan.timestep) == (192, 1, 300, 0.5)
    assert plan.ns_per_day == pytest.approx(43.2)
    larger = Settings(variables={"replicate": "2"})
    assert planning.plan(INPUTS / "water-large-lammps" / "in.water", larger).atoms == 8 * 192


def test_lammps_input_without_variable_data_is_an_error(tmp_path: Path) -> None:
    input_file = tmp_path / "in.box"
    input_file.write_text("variable steps index 10\npair_style pet water-small\nrun ${steps}\n")
    with pytest.raises(PetDriverError, match="no 'variable data index"):
        planning.plan(input_file)


def test_evaluation_time_grows_with_number_of_beads(water) -> None:
    from pet_driver import load

    model = load("water-small")
    one, many = (planning.evaluation_time(model, water, "0", beads) for beads in (1, 200))
    assert 0.0 < one < many
