"""The command ``pet-driver probe``."""

import json
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write
from typer.testing import CliRunner

from pet_driver.cli import app
from tests.cli.test_cli import pet_driver


def test_probe_of_the_shipped_model(tmp_path: Path, one_water: Atoms, water: Atoms) -> None:
    write(tmp_path / "in.extxyz", [one_water, water, one_water])
    out = tmp_path / "made" / "probe"
    arguments = ("--frames", "2", "--tolerance-energy", "0.01", "--tolerance-force", "0.1")
    arguments += ("--resolution", "6")  # the shipped model breaks degrees beyond the default's
    done = pet_driver("probe", "water-small", tmp_path / "in.extxyz", *arguments, "-o", out)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "symmetry-probe.json").read_text())
    assert found["atoms"] == [3, 3]
    assert [row["grid"] for row in found["grids"]] == ["0", "i", "2", "2i", "3"]
    assert [row["evaluations"] for row in found["grids"]] == [1, 2, 18, 36, 75]
    errors = [row["energy_mae_mev"] for row in found["grids"]]
    assert errors[0] > 0.02 and errors[4] < 0.01 * errors[0]
    fine = [
        row
        for row in found["grids"]
        if row["energy_mae_mev_per_atom"] <= 0.01 and row["force_mae_mev_per_ang"] <= 0.1
    ]
    assert 0 < len(fine) < 5
    best, cost = fine[0]["grid"], fine[0]["evaluations"]
    assert found["recommendation"]["grid"] == best
    expected = f"cheapest grid within 0.01 meV/atom and 0.1 meV/A: {best}, {cost} evaluations"
    assert expected in done.stdout
    assert found["group_orders"][0] == 4
    powers = {(p["l"], p["parity"]): p["power_mev2"] for p in found["components"]["powers"]}
    assert sum(powers.values()) == pytest.approx(found["components"]["variance_mev2"], rel=0.01)
    assert {degree for degree, _ in powers} >= {1, 2, 3}
    for suffix in ("png", "svg", "pdf"):
        assert (out / f"symmetry-probe.{suffix}").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.xyz",), "no structure file at absent.xyz"),
        (("water.xyz", "--grids", "0,9"), "unknown grid '9'"),
        (("water.xyz", "--reference", "2"), "finer than every grid"),
        (("water.xyz", "--frames", "5"), "5 frames were asked for, the file holds 1"),
        (("water.xyz", "-o", "water.xyz"), "is a file"),
        (("water.xyz", "--tolerance-energy", "-1"), "must be positive"),
        (("helium.xyz",), "does not know the element He"),
    ],
)
def test_errors_are_one_clear_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch, one_water: Atoms
) -> None:
    monkeypatch.chdir(tmp_path)
    write("water.xyz", one_water)
    write("helium.xyz", Atoms("He"))
    failed = CliRunner().invoke(app, ["probe", "water-small", *arguments])
    assert failed.exit_code == 1
    assert message in failed.stderr
    assert failed.stderr.startswith("pet-driver: error: ")
    assert len(failed.stderr.strip().splitlines()) == 1
    assert not Path("symmetry-probe.json").exists()
