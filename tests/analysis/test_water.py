"""Universes with molecules as residues, from i-PI and LAMMPS."""

import MDAnalysis as mda
import numpy as np
import pytest

from pet_driver.analysis import AngularMomentum, water_universe
from pet_driver.analysis.base import water_indices
from pet_driver.analysis.units import AMU_A2_PS2_TO_EV
from pet_driver.analysis.water import find_molecules
from pet_driver.errors import PetDriverError
from tests.analysis.conftest import lattice_water

BOX = np.array([8.0, 8.0, 8.0, 90.0, 90.0, 90.0])


def test_molecules_of_ordered_and_of_shuffled_wrapped_atoms():
    x = lattice_water(2, 4.0)
    elements = np.tile(["O", "H", "H"], 8)
    np.testing.assert_array_equal(find_molecules(x, elements, BOX), np.repeat(np.arange(8), 3))
    order = np.random.default_rng(5).permutation(24)
    wrapped = x[order] % 8.0
    molecule = find_molecules(wrapped, elements[order], BOX)
    owner = np.repeat(np.arange(8), 3)[order]
    for k in range(8):  # the same molecules, numbered in the order of the oxygens
        assert len(set(owner[molecule == k])) == 1
    first = owner[elements[order] == "O"]
    np.testing.assert_array_equal(owner, first[molecule])


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda x, e: (x, np.where(e == "O", "N", e)), "not water"),
     (lambda x, e: (x[:-1], e[:-1]), "not water"),
     (lambda x, e: (np.where(np.arange(24)[:, None] == 4, x + 2.0, x), e), "have no O")],
)  # fmt: skip
def test_atoms_that_are_not_water(change, message):
    x, elements = change(lattice_water(2, 4.0), np.tile(["O", "H", "H"], 8))
    with pytest.raises(PetDriverError, match=message):
        find_molecules(x, elements, BOX)


def test_universe_from_ipi(ipi_run):
    u = water_universe(ipi_run / "run.pos_0.xyz")
    assert len(u.residues) == 1 and len(u.bonds) == 2
    np.testing.assert_allclose(u.atoms.masses, [15.9994, 1.00794, 1.00794])
    heavy = water_universe(ipi_run / "run.pos_0.xyz", masses={"O": 16.0, "H": 2.0})
    np.testing.assert_allclose(heavy.atoms.masses, [16.0, 2.0, 2.0])
    assert [i.tolist() for i in water_indices(u)] == [[0], [1], [2]]


def test_universe_from_lammps(lammps_run):
    folder, units = lammps_run
    u = water_universe(folder / "run.lammpstrj", lammps_units=units, timestep=1.0)
    assert len(u.residues) == 8 and len(u.bonds) == 16 and len(u.trajectory) == 5
    assert u.trajectory[-1].time == pytest.approx(0.02)
    ts = u.trajectory[0]
    oxygen, first, second = water_indices(u)
    for hydrogen in (first, second):
        lengths = [mda.lib.distances.calc_bonds(ts.positions[oxygen], ts.positions[hydrogen],
                                                box=ts.dimensions)]  # fmt: skip
        np.testing.assert_allclose(lengths, 0.97, atol=1e-4)
    # the temperature of the input file, if velocities are in A/ps and masses in amu
    kinetic = 0.5 * (u.atoms.masses[:, None] * u.atoms.velocities.astype(float) ** 2).sum()
    expected = 1.5 * 8.617333e-5 * 300 * 23
    assert kinetic * AMU_A2_PS2_TO_EV == pytest.approx(expected, rel=1e-4)
    result = AngularMomentum(u).run().results  # conserved, without forces
    change = np.ptp(result.angular_momentum, axis=0).max()
    assert change < 1e-3 * result.modulus.max()


def test_lammps_types_without_elements(lammps_run, tmp_path):
    folder, _ = lammps_run
    text = (folder / "run.lammpstrj").read_text()
    path = tmp_path / "run.dump"
    path.write_text(text.replace(" type element mass", " kind type m").replace(" O ", " 1 ")
                    .replace(" H ", " 2 "))  # fmt: skip
    u = water_universe(path, timestep=1.0)
    assert len(u.residues) == 8 and set(u.atoms.masses) == {15.9994, 1.00794}
    with pytest.raises(PetDriverError, match="no element for atom type 1"):
        water_universe(path, timestep=1.0, species={2: "O", 3: "H"})
    with pytest.raises(PetDriverError, match="no such file"):
        water_universe(tmp_path / "absent.dump", timestep=1.0)
    with pytest.warns(UserWarning, match="time step"):
        water_universe(path)


def test_repeated_frames_of_lammps_count_once(lammps_run, tmp_path):
    folder, _ = lammps_run
    data = (folder / "run.lammpstrj").read_bytes()
    starts = [k for k in range(len(data)) if data.startswith(b"ITEM: TIMESTEP", k)]
    path = tmp_path / "run.lammpstrj"
    # killed within frame 3, restarted from frame 2
    path.write_bytes(data[: starts[3] + 400] + b"\n" + data[starts[2] :])
    complete = water_universe(folder / "run.lammpstrj", timestep=1.0)
    with pytest.warns(UserWarning, match="incomplete"):
        u = water_universe(path, timestep=1.0)
    assert [ts.data["step"] for ts in u.trajectory] == [0, 5, 10, 15, 20]
    for k in (4, 1, 3):
        np.testing.assert_array_equal(u.trajectory[k].positions, complete.trajectory[k].positions)
    path.write_bytes(data[: starts[1] - 30])
    with pytest.raises(PetDriverError, match="no complete frame"):
        water_universe(path, timestep=1.0)
    path.write_bytes(b"")
    with pytest.raises(PetDriverError, match=str(path)):
        water_universe(path, timestep=1.0)
