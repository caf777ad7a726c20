"""Fixtures of the physical validation: the model under test, and runs of input files.

python -m pytest -m physical --model=my-model.pt --model-device cuda
python -m pytest -m physical --length 0.01 -s          # short runs; -s shows the measured values
python -m pytest -m physical --runs runs/physical      # keeps its runs, and resumes them
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import pet_driver
from pet_driver.runs import Run, Settings, execute

INPUTS = Path(__file__).parents[2] / "inputs"
GRID = "2i"  # rotations of averages, if a bound is for the averaged surface

Execute = Callable[..., Run]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder as physical, without a time limit."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.physical)
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def model(request: pytest.FixtureRequest) -> pet_driver.Model:
    """The model under test."""
    options = request.config.option
    return pet_driver.load(options.model, options.model_device)


@pytest.fixture(scope="session")
def steps(request: pytest.FixtureRequest) -> Callable[[float], int]:
    """Function that returns the number of 0.5 fs steps for a time in ps, at least 400.

    It is multiplied by --length.
    """
    return lambda ps: max(400, round(ps * 2000 * request.config.option.length / 20) * 20)


@pytest.fixture(scope="session")
def run_input(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Execute:
    """Function that runs an input file, with changed settings, and returns the finished run.

    With --runs, a run that was stopped or had fewer steps is resumed.
    """

    def run(input_file: str, **changes: object) -> Run:
        options = request.config.option
        settings = Settings(model=options.model, device=options.model_device, **changes)
        if options.runs is None:
            folder = tmp_path_factory.mktemp("runs") / "run"
        else:
            words = [input_file.replace("/", "-"), *map("-".join, settings.variables.items())]
            folder = Path(options.runs) / "-".join(words)
        found = execute(INPUTS / input_file, folder, settings)
        assert found.state == "finished", f"{input_file} was stopped at step {found.steps}"
        return found

    return run


def check(what: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Print a measured value and its bounds, and assert that it is within them."""
    text = f"{what}: {value:.6g} {unit}, expected within [{low:.6g}, {high:.6g}]"
    print(text)
    assert low <= value <= high, text
