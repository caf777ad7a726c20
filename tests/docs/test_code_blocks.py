"""The code blocks of README and docs work as printed."""

from __future__ import annotations

import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from sybil import Document

from pet_driver import building
from pet_driver.model import shipped
from tests.docs.blocks import parse

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "workflows/train/README.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
CLONE = (
    *("inputs", "workflows", "benchmarks", "pet_driver", "lammps_plugin", "tests"),
    *("Makefile", "pyproject.toml", "constraints.txt"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a clone, with the files that the pages name."""
    for name in CLONE:
        (tmp_path / name).symlink_to(ROOT / name)
    water = building.water_molecule(20.0)
    for name in ("water.xyz", "init.xyz", "structures.xyz", "water.data"):
        building.write_structure(tmp_path / name, water)
    shutil.copy(shipped.resolve("water-small"), tmp_path / "my-model.pt")
    for name, member in zip("abc", shipped.resolve_all("water-small-ensemble"), strict=True):
        shutil.copy(member, tmp_path / f"{name}.pt")
    write_trajectory(tmp_path / "simulation.pos_0.extxyz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_trajectory(path: Path) -> None:
    """Write four frames of a small liquid, as i-PI does."""
    atoms = building.liquid(8, seed=1)
    rng = np.random.default_rng(1)
    for step in range(4):
        atoms.positions += rng.normal(0.0, 0.01, atoms.positions.shape)
        atoms.info = {"ipi_comment": f"Step: {step}  Bead: 0 positions{{ase}}  cell{{ase}}"}
        ase.io.write(path, atoms, format="extxyz", append=True, columns=["symbols", "positions"])


@pytest.mark.timeout(1200)  # on a machine with other work
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_work_as_printed(page: Path, folder: Path) -> None:
    document = Document.parse(str(page), parse)
    for example in document.examples():
        example.evaluate()
