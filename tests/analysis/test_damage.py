"""Damaged trajectories raise errors or give the correct results, never wrong ones."""

import functools
import warnings

import numpy as np
import pytest

from pet_driver.analysis import (
    AngularMomentum,
    DipoleCorrelation,
    HydrogenBonds,
    MeanSquareDisplacement,
    OrientationalFreeEnergy,
    RadialDistribution,
    RotationalAutocorrelation,
    water_universe,
)
from pet_driver.errors import PetDriverError
from tests.analysis.conftest import lattice_water, memory_water

BOX = 12.0


def read_all(path, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = water_universe(path, **keywords)
        return np.array([ts.positions.copy() for ts in u.trajectory])


MASSES = ("15.9994", "1.00794")


def damage(text: str, kind: str, first: int, stride: int) -> str:
    """Damage frame 2 of a text trajectory.

    Args:
        text: the trajectory.
        kind: the kind of damage.
        first: line of the first atom in a frame.
        stride: number of lines of a frame.
    """
    lines = text.splitlines(keepends=True)
    k = 2 * stride + first
    number = next(word for word in lines[k].split() if "." in word and word not in MASSES)
    if kind == "no number":
        lines[k] = lines[k].replace(number, number[:-1] + "x", 1)
    elif kind == "NaN":
        lines[k] = lines[k].replace(number, "nan".rjust(len(number)), 1)
    elif kind == "lost line":
        del lines[k + 1]
    elif kind == "extra line":
        lines.insert(k + 1, lines[k + 1])
    elif kind == "two numbers":
        lines[k] = lines[k].replace(number, number[:-4] + " " + number[-3:], 1)
    return "".join(lines)


KINDS = ["no number", "NaN", "lost line", "extra line", "two numbers"]


def test_missing_frames_leave_a_gap_in_time(ipi_run, tmp_path):
    """Also if the time step is unknown: times follow the steps."""
    lines = (ipi_run / "run.pos_0.xyz").read_text().splitlines(keepends=True)
    path = tmp_path / "cut.pos_0.xyz"
    path.write_text("".join(lines[: 4 * 5] + lines[7 * 5 :]))
    with pytest.warns(UserWarning, match="count frames as 1 ps"):
        u = water_universe(path)
    np.testing.assert_allclose([ts.time for ts in u.trajectory], [0, 1, 2, 3, 7, 8, 9, 10])
    with pytest.raises(PetDriverError, match="frame 4"):
        MeanSquareDisplacement(water_universe(path, dt=0.001)).run()


def test_pdb_coordinates_that_are_too_wide(ipi_run, tmp_path):
    path = tmp_path / "wide.ppos_0.pdb"
    text = (ipi_run / "run.ppos_0.pdb").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ATOM"))
    path.write_text(text.replace(line, line[:30] + "12345.678" + line[38:], 1))
    with pytest.raises(PetDriverError, match="run into each other"):
        read_all(path, timestep=0.5)


@pytest.mark.parametrize(
    "cell", ["10 0 0 3 -9 0 0 0 8", "10 0 0 0 9 0 0 0 -8", "0 10 0 9 0 0 0 0 8"]
)
def test_cell_with_other_orientation_is_refused(tmp_path, cell):
    path = tmp_path / "a.extxyz"
    atoms = "O 0 0 0\nH 0.96 0 0\nH 0 0.96 0\n"
    path.write_text(f'3\nLattice="{cell}" Properties=species:S:1:pos:R:3\n{atoms}')
    with pytest.raises(PetDriverError, match="standard_form"):
        read_all(path, dt=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_extxyz(ipi_run, tmp_path, kind):
    path = tmp_path / "bad.xpos_0.extxyz"
    path.write_text(damage((ipi_run / "run.xpos_0.extxyz").read_text(), kind, 2, 5))
    with pytest.raises(PetDriverError, match=r"frame 2"):
        read_all(path, timestep=0.5)


@pytest.mark.parametrize("kind", ["no number", "NaN", "lost line", "extra line"])
def test_damaged_pdb(ipi_run, tmp_path, kind):
    path = tmp_path / "bad.ppos_0.pdb"
    path.write_text(damage((ipi_run / "run.ppos_0.pdb").read_text(), kind, 2, 6))
    with pytest.raises(PetDriverError, match=r"frame 2"):
        read_all(path, timestep=0.5)


def test_damaged_bin(ipi_run, tmp_path):
    data = (ipi_run / "run.bpos_0.bin").read_bytes()
    path = tmp_path / "bad.bpos_0.bin"
    size = len(data) // 11
    for offset, new, message in (
        (2 * size + 80, np.array([np.nan]).tobytes(), "not finite"),
        (2 * size + 72, np.array([7]).tobytes(), "announces 7"),
    ):
        path.write_bytes(data[:offset] + new + data[offset + 8 :])
        with pytest.raises(PetDriverError, match=message):
            read_all(path, timestep=0.5)


@pytest.mark.parametrize("kind", ["no number", "NaN", "lost line"])
def test_damaged_dump(lammps_run, tmp_path, kind):
    folder, units = lammps_run
    text = (folder / "run.lammpstrj").read_text()
    path = tmp_path / "bad.lammpstrj"
    path.write_text(damage(text, kind, 9, 33))
    if kind == "lost line":  # an incomplete frame is left out, with a warning
        with pytest.warns(UserWarning, match="incomplete"):
            u = water_universe(path, timestep=1.0, lammps_units=units)
        assert [ts.data["step"] for ts in u.trajectory] == [0, 5, 15, 20]
        return
    with pytest.raises(PetDriverError, match="frame 2"):
        read_all(path, timestep=1.0, lammps_units=units)


def test_time_step_must_agree_with_the_property_file(ipi_run):
    with pytest.raises(PetDriverError, match=r"timestep=1 fs.* says 0.5 fs"):
        water_universe(ipi_run / "run.pos_0.xyz", timestep=1.0)
    u = water_universe(ipi_run / "run.pos_0.xyz", timestep=0.5)
    assert u.trajectory[10].time == pytest.approx(0.01)


@functools.cache
def random_walk(frames=30):
    """Unwrapped positions and velocities of molecules that move and rotate at random."""
    random = np.random.default_rng(8)
    x = lattice_water(4, 3.0).reshape(64, 3, 3)
    moved = []
    for _ in range(frames):
        axes = np.linalg.qr(np.eye(3) + 0.1 * random.normal(size=(64, 3, 3)))[0]
        axes *= np.sign(np.einsum("maa->ma", axes))[:, None, :]
        oxygen = x[:, :1] + random.normal(0, 0.3, (64, 1, 3))
        x = oxygen + np.einsum("mab,mkb->mka", axes, x - x[:, :1])
        moved.append(x.reshape(-1, 3))
    return np.array(moved), random.normal(size=(frames, 192, 3)).astype(np.float32)


OBSERVABLES = {
    "OO": (lambda u: RadialDistribution(u, "OO"), "count"),
    "OH": (lambda u: RadialDistribution(u, "OH"), "count"),
    "HH": (lambda u: RadialDistribution(u, "HH"), "count"),
    "OH within": (lambda u: RadialDistribution(u, "OH", intermolecular=False), "count"),
    "dipoles": (DipoleCorrelation, "longitudinal"),
    "orientation": (OrientationalFreeEnergy, "density"),
    "bonds": (HydrogenBonds, "counts"),
    "displacement": (MeanSquareDisplacement, "msd"),
    "rotation": (RotationalAutocorrelation, "c2"),
    "angular momentum": (AngularMomentum, "modulus"),
}


@pytest.mark.parametrize("name", OBSERVABLES)
def test_wrapped_and_unwrapped_atoms_give_the_same_results(name):
    """Wrapping each atom into the cell breaks molecules; the observables unwrap them."""
    create, key = OBSERVABLES[name]
    x, v = random_walk()
    unwrapped, wrapped = (
        create(memory_water(positions, BOX, velocities=v)).run().results[key]
        for positions in (x, x % BOX)
    )
    if key == "count":  # rounding may move a pair to another bin
        assert np.abs(unwrapped - wrapped).sum() <= 2e-3 * unwrapped.sum()
    elif key == "longitudinal":
        np.testing.assert_allclose(wrapped, unwrapped, atol=2e-3)
    elif key == "density":
        np.testing.assert_allclose(wrapped, unwrapped, atol=0.05)
    else:
        np.testing.assert_allclose(wrapped, unwrapped, rtol=2e-4, atol=1e-4)


def test_liquid_has_no_angular_momentum_as_a_whole():
    x, v = random_walk(2)
    u = memory_water(x % BOX, BOX, velocities=v)
    with pytest.raises(PetDriverError, match="by='residues'"):
        AngularMomentum(u, by="all").run()
    pair = u.select_atoms("index 0:5")
    assert AngularMomentum(pair, by="all").run().results.modulus.shape == (2, 1)


def test_displacements_of_half_the_cell_are_refused():
    x = random_walk(4)[0].copy()
    x[2:] += 5.9  # nearly half the cell between two frames
    with pytest.raises(PetDriverError, match="half the cell"):
        MeanSquareDisplacement(memory_water(x % BOX, BOX), remove_drift=False).run()
    unwrapped = MeanSquareDisplacement(memory_water(x, BOX), unwrap=False, remove_drift=False)
    assert unwrapped.run().results.msd[-1] > 30.0
