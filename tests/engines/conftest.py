"""Trajectories of i-PI that several tests compare with."""

from pathlib import Path

import pytest

from tests.engines.ipi_tools import (
    System,
    Trajectory,
    ffdirect,
    simulation,
    trajectories_of,
    write_input_of_systems,
)

BEADS = 3
# The grids of test_ipi.py: fixed rotations, local reference frames, and every kind of random draw.
IPI_GRIDS = ("0", "2", "ecse", "random", "2+random@12", "random2i-each@3", "lebedev3", "T_d")
COUNTER = 30  # first draw of the random grids

# Mark of the tests that use `in_process`: one worker runs them all, and i-PI only once for them.
uses_in_process = pytest.mark.xdist_group("ipi-in-process")


@pytest.fixture(scope="session")
def in_process(archive_f64: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Trajectories of five steps in the i-PI process.

    The keys are the grids (one bead), and BEADS for a path integral whose beads are one batch.
    """
    folder = tmp_path_factory.mktemp("in-process")
    systems = [System(ffdirect(archive_f64, batch=BEADS), BEADS)]
    systems += [System(ffdirect(archive_f64, g, more=f", counter: {COUNTER}")) for g in IPI_GRIDS]
    write_input_of_systems(folder, systems, steps=5)
    with simulation(folder) as process:
        found: list[Trajectory] = trajectories_of(process, folder)
    return dict(zip([BEADS, *IPI_GRIDS], found, strict=True))
