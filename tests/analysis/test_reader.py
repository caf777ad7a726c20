"""The reader agrees with ASE's and i-PI's readers on files of real i-PI runs."""

import bz2
import gzip
import lzma
import pickle
import warnings

import ase.io
import MDAnalysis as mda
import numpy as np
import pytest
from ipi.utils.io import read_file
from ipi.utils.units import unit_to_user

from pet_driver.analysis import (
    ExtrasFile,
    LAMMPSLog,
    PropertyFile,
    TrajectoryFile,
    water_universe,
)
from pet_driver.analysis.units import EV_TO_KJ_MOL
from pet_driver.errors import PetDriverError

BOX = [10.0, 11.0, 12.0, 85.0, 95.0, 100.0]


def all_of(universe, name="positions"):
    return np.array([getattr(ts, name).copy() for ts in universe.trajectory])


def ipi_reads(path, mode, dimension, unit):
    """Return all frames of a file as i-PI reads them."""
    frames = []
    with open(path) as handle:
        while True:
            try:
                atoms = read_file(mode, handle)["atoms"]
            except EOFError:
                return np.array(frames)
            frames.append(unit_to_user(dimension, unit, np.array(atoms.q).reshape(-1, 3)))


def test_xyz_equals_ipi(ipi_run):
    u = mda.Universe(
        str(ipi_run / "run.pos_0.xyz"),
        format="IPI",
        velocities=ipi_run / "run.vel_0.xyz",
        forces=ipi_run / "run.newton_0.xyz",
    )
    assert len(u.trajectory) == 11
    x = ipi_reads(ipi_run / "run.pos_0.xyz", "xyz", "length", "angstrom")
    v = ipi_reads(ipi_run / "run.vel_0.xyz", "xyz", "velocity", "m/s") * 0.01
    f = ipi_reads(ipi_run / "run.newton_0.xyz", "xyz", "force", "ev/ang") * EV_TO_KJ_MOL
    np.testing.assert_allclose(all_of(u), x, rtol=2e-7)
    np.testing.assert_allclose(all_of(u, "velocities"), v, rtol=3e-7)
    np.testing.assert_allclose(all_of(u, "forces"), f, rtol=3e-7)
    assert np.abs(v).max() > 1 and np.abs(f).max() > 10
    np.testing.assert_allclose(u.dimensions, BOX, rtol=1e-7)


def test_positions_have_all_digits_of_the_file(ipi_run):
    u = mda.Universe(str(ipi_run / "run.pos_0.xyz"), format="IPI")
    lines = (ipi_run / "run.pos_0.xyz").read_text().splitlines()
    digits = np.array([line.split()[1:] for k, line in enumerate(lines) if k % 5 > 1], np.float32)
    assert (all_of(u).reshape(-1, 3) == digits).all()


def test_extxyz_equals_ase(ipi_run):
    u = mda.Universe(
        str(ipi_run / "run.xpos_0.extxyz"),
        velocities=ipi_run / "run.xvel_0.extxyz",
        forces=ipi_run / "run.xforce_0.extxyz",
    )
    x = np.array([a.positions for a in ase.io.read(ipi_run / "run.xpos_0.extxyz", ":")])
    v = [a.arrays["velocities"] for a in ase.io.read(ipi_run / "run.xvel_0.extxyz", ":")]
    f = [a.get_forces() for a in ase.io.read(ipi_run / "run.xforce_0.extxyz", ":")]
    assert (all_of(u) == x.astype(np.float32)).all()
    np.testing.assert_allclose(all_of(u, "velocities"), np.array(v) * ase.units.fs * 1e3, rtol=3e-7)
    np.testing.assert_allclose(all_of(u, "forces"), np.array(f) * EV_TO_KJ_MOL, rtol=1e-6)
    cell = ase.io.read(ipi_run / "run.xpos_0.extxyz", "0").cell.cellpar()
    np.testing.assert_allclose(u.dimensions, cell, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("ppos_0.pdb", 6e-4), ("bpos_0.bin", 1e-6), ("atomic_0.xyz", 1e-5), ("pos_0.xyz", 6e-6)],
)
def test_formats_agree(ipi_run, name, tolerance):
    reference = mda.Universe(str(ipi_run / "run.xpos_0.extxyz"), format="IPI")
    other = mda.Universe(str(ipi_run / f"run.{name}"), format="IPI")
    np.testing.assert_allclose(all_of(other), all_of(reference), atol=tolerance)
    np.testing.assert_allclose(other.dimensions, BOX, atol=2e-5)
    assert list(other.atoms.names) == ["O", "H", "H"]
    assert [ts.time for ts in other.trajectory] == pytest.approx(np.arange(11) * 1e-3)


@pytest.mark.parametrize("form", ["xyz", "pdb"])
def test_text_formats_equal_ipi(ipi_run, form):
    name = {"xyz": "run.atomic_0.xyz", "pdb": "run.ppos_0.pdb"}[form]
    u = mda.Universe(str(ipi_run / name), format="IPI")
    expected = ipi_reads(ipi_run / name, form, "length", "angstrom")
    np.testing.assert_allclose(all_of(u), expected, rtol=3e-7)


@pytest.mark.parametrize(
    ("name", "kind", "reference"),
    [("newton_0.xyz", "forces", "xforce_0"), ("fatomic_0.xyz", "forces", "xforce_0"),
     ("vatomic_0.xyz", "velocities", "xvel_0"), ("bvel_0.bin", "velocities", "xvel_0")],
)  # fmt: skip
def test_units_of_velocities_and_forces(ipi_run, name, kind, reference):
    path = str(ipi_run / "run.pos_0.xyz")
    u = mda.Universe(path, format="IPI", **{kind: ipi_run / f"run.{name}"})
    r = mda.Universe(path, format="IPI", **{kind: ipi_run / f"run.{reference}.extxyz"})
    np.testing.assert_allclose(all_of(u, kind), all_of(r, kind), rtol=1e-5, atol=1e-4)


def test_velocities_are_the_derivative_of_positions(ipi_run):
    u = mda.Universe(
        str(ipi_run / "run.bpos_0.bin"), format="IPI", velocities=ipi_run / "run.bvel_0.bin"
    )
    x, v = all_of(u).astype(float), all_of(u, "velocities")
    slope = (x[2:] - x[:-2]) / (2 * u.trajectory.dt)
    np.testing.assert_allclose(slope, v[1:-1], atol=2.0)
    assert np.abs(v).max() > 50


def test_repeated_frames_of_a_restart_count_once(ipi_run, restarted_run):
    name = "run.bpos_0.bin"
    unbroken = mda.Universe(str(ipi_run / name), format="IPI")
    assert len(TrajectoryFile(restarted_run / name, duplicates="keep")) > 11
    restarted = mda.Universe(
        str(restarted_run / name), format="IPI", velocities=restarted_run / "run.vel_0.xyz"
    )
    assert len(restarted.trajectory) == 11
    assert [ts.data["step"] for ts in restarted.trajectory] == list(range(0, 21, 2))
    np.testing.assert_allclose(all_of(restarted), all_of(unbroken), atol=1e-6)


@pytest.mark.parametrize("name", ["pos_0.xyz", "xpos_0.extxyz", "ppos_0.pdb", "bpos_0.bin"])
def test_random_access(restarted_run, name):
    u = mda.Universe(str(restarted_run / f"run.{name}"), format="IPI")
    frames = all_of(u)
    for k in np.random.default_rng(0).integers(-11, 11, 1000 if name == "pos_0.xyz" else 50):
        assert (u.trajectory[int(k)].positions == frames[k]).all()
        assert u.trajectory.frame == k % 11


def test_centroid_and_beads(ipi_run):
    u = mda.Universe(
        str(ipi_run / "run.pos_1.xyz"),
        format="IPI",
        centroid=True,
        velocities=ipi_run / "run.vel_0.xyz",
    )
    centroid = mda.Universe(str(ipi_run / "run.centroid.xyz"), format="IPI")
    np.testing.assert_allclose(all_of(u), all_of(centroid), atol=6e-6)
    beads = [all_of(mda.Universe(str(ipi_run / f"run.pos_{k}.xyz"), format="IPI")) for k in (0, 1)]
    u.trajectory[4]
    np.testing.assert_allclose(
        u.trajectory.ts.data["beads"], [b[4] for b in beads], rtol=1e-7, atol=1e-9
    )
    assert np.abs(beads[0][4] - beads[1][4]).max() > 0.01
    v = [TrajectoryFile(ipi_run / f"run.vel_{k}.xyz")[4][0] for k in (0, 1)]
    np.testing.assert_allclose(u.atoms.velocities, np.mean(v, axis=0), rtol=1e-6)
    explicit = mda.Universe(
        str(ipi_run / "run.pos_0.xyz"),
        format="IPI",
        centroid=[ipi_run / "run.pos_0.xyz", ipi_run / "run.pos_1.xyz"],
    )
    np.testing.assert_array_equal(all_of(explicit), all_of(u))


def test_pickle_and_copy(ipi_run):
    u = water_universe(ipi_run / "run.pos_0.xyz", velocities=ipi_run / "run.vel_0.xyz")
    u.trajectory[7]
    velocities = u.atoms.velocities.copy()
    for other in (pickle.loads(pickle.dumps(u)), u.copy()):
        assert other.trajectory.frame == 7 and other.trajectory.time == pytest.approx(0.007)
        np.testing.assert_array_equal(other.atoms.velocities, velocities)
        np.testing.assert_array_equal(all_of(other)[7], u.atoms.positions)


def test_time_step_from_keyword_or_property_file(ipi_run, tmp_path):
    text = (ipi_run / "run.pos_0.xyz").read_text()
    alone = tmp_path / "alone.pos_0.xyz"
    alone.write_text(text)
    with pytest.warns(UserWarning, match="timestep="):
        mda.Universe(str(alone), format="IPI")
    u = mda.Universe(str(alone), format="IPI", timestep=0.25)
    assert u.trajectory[10].time == pytest.approx(0.005) and u.trajectory.dt == 5e-4
    u = mda.Universe(str(ipi_run / "run.pos_0.xyz"), format="IPI")
    assert u.trajectory[10].time == pytest.approx(0.01) and u.trajectory.timestep == 0.5


@pytest.mark.parametrize("name", ["pos_0.xyz", "xpos_0.extxyz", "ppos_0.pdb", "bpos_0.bin"])
@pytest.mark.parametrize("cut", [10, 100, 130])
def test_truncated_last_frame(ipi_run, tmp_path, name, cut):
    data = (ipi_run / f"run.{name}").read_bytes()
    path = tmp_path / name
    path.write_bytes(data[:-cut])
    with pytest.warns(UserWarning, match="incomplete"):
        file = TrajectoryFile(path)
    assert len(file) == 10
    np.testing.assert_array_equal(file[9][0], TrajectoryFile(ipi_run / f"run.{name}")[9][0])


@pytest.mark.parametrize("name", ["pos_0.xyz", "xpos_0.extxyz", "ppos_0.pdb"])
@pytest.mark.parametrize("cut", [3, 60, 140])
def test_incomplete_frame_before_a_restart(ipi_run, tmp_path, name, cut):
    """The restarted run appends its frames to an incomplete frame."""
    data = (ipi_run / f"run.{name}").read_bytes()
    complete = TrajectoryFile(ipi_run / f"run.{name}")
    path = tmp_path / name
    path.write_bytes(data[: complete.stops[7] - cut] + data[complete.starts[5] :])
    with pytest.warns(UserWarning, match="incomplete"):
        file = TrajectoryFile(path)
    assert list(file.steps) == list(range(0, 21, 2))
    for k in range(11):
        np.testing.assert_array_equal(file[k][0], complete[k][0])


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("kept", ["number of atoms", "part of the comment"])
def test_incomplete_header_of_a_frame(ipi_run, tmp_path, kept, restarted):
    """The file ends within the header, or a restarted run appends the same frame."""
    data = (ipi_run / "run.pos_0.xyz").read_bytes()
    complete = TrajectoryFile(ipi_run / "run.pos_0.xyz")
    comment = data.index(b"\n", complete.starts[7]) + 1
    path = tmp_path / "run.pos_0.xyz"
    incomplete = data[: comment if kept == "number of atoms" else comment + 25]
    path.write_bytes(incomplete + (data[complete.starts[7] :] if restarted else b""))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*incomplete")
        file = TrajectoryFile(path)
    assert list(file.steps) == list(range(0, 21 if restarted else 14, 2))
    for k in range(len(file)):
        np.testing.assert_array_equal(file[k][0], complete[k][0])


def damaged(text: str, kind: str) -> str:
    lines = text.splitlines(keepends=True)
    if kind == "no number":
        lines[12] = lines[12].replace(lines[12].split()[2], "0.1x")
    elif kind == "NaN":
        lines[12] = lines[12].replace(lines[12].split()[2], "nan")
    elif kind == "other count":
        lines[10] = "4\n"
    elif kind == "lost line":
        del lines[13]
    elif kind == "extra line":
        lines.insert(13, lines[13])
    elif kind == "unit":
        lines = [line.replace("{angstrom}", "{furlong}") for line in lines]
    elif kind == "changed unit":
        lines[11] = lines[11].replace("positions{angstrom}", "positions{atomic_unit}")
    return "".join(lines)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("no number", "frame 2 .*step 4"), ("NaN", "not finite"), ("other count", "announces '4'"),
     ("lost line", "frame 2 .*incomplete"), ("extra line", "more lines than its 3 atoms"),
     ("unit", "furlong"), ("changed unit", "change within the file")],
)  # fmt: skip
def test_damaged_xyz(ipi_run, tmp_path, kind, message):
    path = tmp_path / "bad.pos_0.xyz"
    path.write_text(damaged((ipi_run / "run.pos_0.xyz").read_text(), kind))
    with pytest.raises(PetDriverError, match=message), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_of(water_universe(path, timestep=0.5))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"hello\nworld\n", "not a number of atoms"),
     (b"1\nplain\nO 0 0 0\n", "Universe|format XYZ"),
     (b"3\n# CELL(abcABC): 1", "no complete frame")],
)  # fmt: skip
def test_not_a_trajectory(tmp_path, content, message):
    path = tmp_path / "bad.xyz"
    path.write_bytes(content)
    with pytest.raises(PetDriverError, match=message), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TrajectoryFile(path)
    with pytest.raises(PetDriverError, match="no such file"):
        TrajectoryFile(tmp_path / "absent.xyz")


def test_velocities_and_forces_must_match_the_positions(ipi_run, tmp_path):
    with pytest.raises(PetDriverError, match="contains velocities, not positions"):
        mda.Universe(str(ipi_run / "run.vel_0.xyz"), format="IPI")
    with pytest.raises(PetDriverError, match="contains forces, not velocities"):
        water_universe(ipi_run / "run.pos_0.xyz", velocities=ipi_run / "run.force_0.xyz")
    lines = (ipi_run / "run.vel_0.xyz").read_text().splitlines(keepends=True)
    sparse = tmp_path / "vel.xyz"
    sparse.write_text("".join(line for k, line in enumerate(lines) if (k // 5) % 2 == 0))
    with pytest.raises(PetDriverError, match="lacks step 2"):
        water_universe(ipi_run / "run.pos_0.xyz", velocities=sparse)
    sparse.write_text("".join(lines[:-5]))
    with pytest.warns(UserWarning, match="last 1 frames are left out"):
        assert len(water_universe(ipi_run / "run.pos_0.xyz", velocities=sparse).trajectory) == 10


def test_extxyz_written_by_ase(tmp_path):
    atoms = ase.Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [0, 0.96, 0]], cell=[5, 6, 7], pbc=True)
    moved = atoms.copy()
    moved.positions += 0.1
    ase.io.write(tmp_path / "a.extxyz", [atoms, moved])
    u = mda.Universe(str(tmp_path / "a.extxyz"), dt=0.002)
    np.testing.assert_allclose(all_of(u), [atoms.positions, moved.positions], atol=1e-6)
    np.testing.assert_allclose(u.dimensions, [5, 6, 7, 90, 90, 90])
    assert u.trajectory[1].time == pytest.approx(0.002)
    with pytest.raises(PetDriverError, match="no steps"):
        mda.Universe(str(tmp_path / "a.extxyz"), timestep=1.0)


def lammps_extxyz(steps, timestep: float, time: bool = True) -> str:
    """Return frames as ``dump extxyz`` of LAMMPS writes them."""
    return "".join(
        f'3\nTimestep={step}{f" Time={step * timestep:.6f}" if time else ""} pbc="T T T" '
        'Lattice="9 0 0 0 9 0 0 0 9" Potential_energy=-2.2 Properties=species:S:1:pos:R:3\n'
        f"O {0.01 * step} 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"
        for step in steps
    )


@pytest.mark.parametrize(
    ("timestep", "fs"), [(0.0005, 0.5), (0.5, 0.5), (0.00025, 0.25), (0.002, 2.0), (2.0, 2.0)]
)
def test_extxyz_written_by_restarted_lammps(tmp_path, timestep, fs):
    """Units metal or real; the run is restarted at step 10."""
    path = tmp_path / "run.extxyz"
    path.write_text(
        lammps_extxyz(range(0, 20, 5), timestep) + lammps_extxyz(range(10, 35, 5), timestep)
    )
    u = water_universe(path)
    assert [ts.data["step"] for ts in u.trajectory] == list(range(0, 35, 5))
    np.testing.assert_allclose([ts.time for ts in u.trajectory], np.arange(0, 35, 5) * fs * 1e-3)
    np.testing.assert_allclose(all_of(u)[:, 0, 0], 0.01 * np.arange(0, 35, 5), rtol=1e-6)
    assert u.trajectory.dt == pytest.approx(5e-3 * fs)
    u = water_universe(path, timestep=fs)
    np.testing.assert_allclose([ts.time for ts in u.trajectory], np.arange(0, 35, 5) * fs * 1e-3)
    with pytest.raises(PetDriverError, match="comments say"):
        water_universe(path, timestep=3 * fs)


def test_extxyz_of_lammps_without_times(tmp_path):
    path = tmp_path / "run.extxyz"
    path.write_text(lammps_extxyz(range(0, 20, 5), 0.5, time=False))
    with pytest.warns(UserWarning, match="timestep="):
        water_universe(path)
    u = water_universe(path, timestep=0.5)
    np.testing.assert_allclose([ts.time for ts in u.trajectory], np.arange(0, 20, 5) * 5e-4)


@pytest.mark.parametrize(
    "read", [TrajectoryFile, water_universe, PropertyFile, LAMMPSLog, ExtrasFile]
)
def test_paths_that_cannot_be_read_say_what_to_do(tmp_path, read):
    with pytest.raises(PetDriverError, match=r"path of one file, not list.*with cat"):
        read([tmp_path / "a.xyz", tmp_path / "b.xyz"])
    with pytest.raises(PetDriverError, match="is a folder; give the path of a file"):
        read(tmp_path)
    with pytest.raises(PetDriverError, match="no such file"):
        read(tmp_path / "absent")
    for module, command in ((gzip, "gunzip"), (bz2, "bunzip2"), (lzma, "unxz")):
        with module.open(tmp_path / "run.pos_0.xyz.z", "wt") as handle:
            handle.write("3\n")
        with pytest.raises(PetDriverError, match=f"is compressed; .* {command} -k"):
            read(tmp_path / "run.pos_0.xyz.z")


def test_dump_is_recognized_by_its_first_line(lammps_run, tmp_path):
    folder, units = lammps_run
    path = tmp_path / "dump.water"
    path.write_bytes((folder / "run.lammpstrj").read_bytes())
    u = water_universe(path, timestep=1.0, lammps_units=units)
    assert [ts.data["step"] for ts in u.trajectory] == [0, 5, 10, 15, 20]
    with pytest.raises(PetDriverError, match="is a dump of LAMMPS; read it with water_universe"):
        TrajectoryFile(path)
