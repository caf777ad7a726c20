"""Frames and baselines: errors name the file, the value and the remedy."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from training.frames import Split, baselines, read_frames, split_all, training_frames
from training.settings import DataSet

from pet_driver.errors import PetDriverError
from tests.workflows.train.conftest import settings


def water(energy: float = -31.0, **changes) -> Atoms:
    """Return a molecule with an arbitrary energy and arbitrary forces."""
    atoms = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], **changes)
    forces = np.arange(9.0).reshape(3, 3)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def test_wrong_data(made_data: Path, tmp_path: Path) -> None:
    with pytest.raises(PetDriverError, match=r"there is no file .*none.xyz; name the folder"):
        read_frames(tmp_path / "none.xyz")
    (tmp_path / "noise.xyz").write_text("not a structure\n")
    with pytest.raises(PetDriverError, match=r"ASE cannot read .*noise.xyz"):
        read_frames(tmp_path / "noise.xyz")
    ase.io.write(tmp_path / "bare.xyz", Atoms("H"), format="extxyz")
    with pytest.raises(PetDriverError, match=r"frame 0 of .*bare.xyz has no energy or no forces"):
        read_frames(tmp_path / "bare.xyz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pbc": True}, "periodic along axis 0 but its cell vector is zero"),
        ({"positions": [[0, 0, 0], [np.nan, 0, 0], [0, 1, 0]]}, "position of atom 1 is"),
    ],
)
def test_impossible_structures_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    broken = water()
    for name, value in change.items():
        setattr(broken, name, value)
    ase.io.write(tmp_path / "broken.xyz", [water(), broken], format="extxyz")
    with pytest.raises(PetDriverError, match=rf"frame 1 of .*broken.xyz: .*{message}"):
        read_frames(tmp_path / "broken.xyz")


def test_forces_on_atoms_held_fixed_are_learned(tmp_path: Path) -> None:
    """ASE returns zero for these forces, from its own files and from extended XYZ."""
    atoms = water()
    atoms.set_constraint(FixAtoms([2]))
    ase.io.write(tmp_path / "fixed.traj", atoms)
    lines = ["3", 'Properties=species:S:1:pos:R:3:forces:R:3:move_mask:L:1 energy=-31 pbc="F F F"']
    rows = zip(
        "OHH", atoms.positions.tolist(), np.arange(9).reshape(3, 3).tolist(), "TTF", strict=True
    )
    lines += [" ".join(map(str, [name, *at, *force, free])) for name, at, force, free in rows]
    (tmp_path / "fixed.xyz").write_text("\n".join(lines) + "\n")
    for name in ("fixed.traj", "fixed.xyz"):
        assert ase.io.read(tmp_path / name).constraints
        (found,) = read_frames(tmp_path / name)
        np.testing.assert_allclose(found.get_forces()[2], [6.0, 7.0, 8.0])


def test_too_few_frames(made_data: Path) -> None:
    many = settings(data={"liquid": DataSet("water-revpbe0-d3-150.xyz", 40, 2)})
    with pytest.raises(PetDriverError, match="holds 8 frames, and the set liquid asks for 42"):
        split_all(many, made_data)
    with pytest.raises(PetDriverError, match="5 frames of liquid were asked for, and 4 are there"):
        split_all(settings(frames=5), made_data)


def test_one_stoichiometry_needs_atomic_energies(made_data: Path) -> None:
    splits = split_all(settings(), made_data)
    with pytest.raises(PetDriverError, match="give 'atomic_energies'"):
        baselines(settings(), splits)
    with pytest.raises(PetDriverError, match="no energy for atomic number 8"):
        baselines(settings(atomic_energies={"H": -13.6}), splits)


def test_mean_energy_after_baselines_is_zero(made_data: Path) -> None:
    energies = {"H": -13.6, "O": -431.55, "Na": -1290.1}  # the data have no Na
    chosen = settings(atomic_energies=energies, isolated_atoms=1)
    splits = split_all(chosen, made_data)
    found = baselines(chosen, splits)
    frames = training_frames(chosen, splits, ["liquid"], "train")
    left = [(f.get_potential_energy() - sum(found[z] for z in f.numbers)) / len(f) for f in frames]
    assert sum(left[:4]) == pytest.approx(0.0, abs=1e-6)
    # A molecule is bound by about 10 eV: an isolated atom lies above by a third of that.
    assert len(left) == 6 and all(3.0 < one < 4.0 for one in left[4:])


def test_a_shifted_set_has_the_mean_of_the_first(made_data: Path) -> None:
    sets = {
        "liquid": DataSet("water-revpbe0-d3-150.xyz", 4, 2),
        "other": DataSet("water-monomer-600.xyz", 8, 2, repeat=2, shift=True),
    }
    chosen = settings(data=sets)
    splits = split_all(chosen, made_data)
    means = []
    for name in sets:
        frames = training_frames(chosen, splits, [name], "train")
        means.append(sum(f.get_potential_energy() / len(f) for f in frames) / len(frames))
    assert means[0] == pytest.approx(means[1])
    assert len(frames) == 16
    assert not frames[0].cell.any()


def test_energies_of_atoms_on_another_scale(made_data: Path) -> None:
    """Such as atoms with pseudopotentials and frames with all electrons."""
    chosen = settings(atomic_energies={"H": -13.6, "O": -2041.0})
    with pytest.raises(PetDriverError, match=r"liquid lie 533\.\d eV/atom .* not on one scale"):
        baselines(chosen, split_all(chosen, made_data))


def test_energies_of_elements_are_fitted_to_all_stages() -> None:
    """The frames of the first stage may have a single stoichiometry."""
    energies = {1: -14.0, 8: -432.0}
    hydroxyl = Atoms("OH", [[0, 0, 0], [0.97, 0, 0]])
    frames = [water(2 * energies[1] + energies[8]), hydroxyl]
    hydroxyl.calc = SinglePointCalculator(hydroxyl, energy=sum(energies.values()))
    splits = {
        name: Split("a.xyz", "", [frame], [0], [])
        for name, frame in zip(("liquid", "fragments"), frames, strict=True)
    }
    chosen = settings(data={name: DataSet("a.xyz", 1, 0) for name in splits})
    found = baselines(chosen, splits)
    assert found == pytest.approx(energies)
