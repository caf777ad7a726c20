"""Exact symmetrization: invariant to rounding, smooth, and independent of how it is run."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

import pet_driver
from pet_driver.checkpoints import Source
from pet_driver.model.archive import save
from pet_driver.model.cost import predict_cost
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.network import PET, Hypers
from pet_driver.probe.potentials import rotate
from pet_driver.symmetry import SymmetrizedPotential
from pet_driver.symmetry.grid_names import BY_ENVIRONMENT, POOLED
from tests.conftest import lattice_water

ENERGY = 1e-9  # eV
FORCE = 1e-8  # eV/A
BROKEN = 1e-4  # eV, the least symmetry error of a raw network with which a test is meaningful

SMALL = {"cutoff": 3.2, "d_pet": 8, "d_head": 8, "d_node": 16, "d_feedforward": 8, "num_heads": 2}
KINDS = {
    "one layer": {
        "featurizer_type": "residual",
        "num_gnn_layers": 1,
        "d_node": 8,
        "transformer_type": "PostLN",
        "normalization": "LayerNorm",
    },
    "two layers": {"num_attention_layers": 1},
    "adaptive": {"num_gnn_layers": 1, "num_attention_layers": 1, "num_neighbors_adaptive": 4.0},
}


def random_source(kind: str, **changes) -> Source:
    """Return a network with random weights that strongly break the symmetry."""
    hypers = Hypers(**(SMALL | KINDS[kind] | changes))
    torch.manual_seed(3)
    network = PET(hypers, 2).to(torch.float64)
    weights = {
        name: 1.5 * torch.randn_like(tensor) / max(1, tensor.shape[-1]) ** 0.5
        for name, tensor in network.state_dict().items()
    }
    return Source(hypers, weights, [1, 8], 1.0, [-1.0, -2.0])


@pytest.fixture(scope="module")
def get_model(
    tmp_path_factory: pytest.TempPathFactory, archive_f64: Path
) -> Callable[[str], pet_driver.Model]:
    """Return a function that loads each kind of model once."""
    folder = tmp_path_factory.mktemp("ecse")

    @functools.cache
    def get(kind: str) -> pet_driver.Model:
        path = archive_f64
        if kind != "shipped":
            path = folder / f"{kind}.pt"
            save(random_source(kind), path, dtype="float64")
        return pet_driver.load(path, grid="ecse")

    return get


def water_molecule() -> Atoms:
    atoms = molecule("H2O")
    atoms.positions += np.random.default_rng(1).normal(0, 0.03, (3, 3))
    return atoms


def collinear_cluster() -> Atoms:
    """Return a linear triple of atoms, a second one at an angle, and an isolated atom."""
    line = [[0, 0, 0], [0.96, 0, 0], [-0.97, 0, 0], [2.0, 0.4, 0.1], [2.9, 0.85, 0.2], [9, 0, 0]]
    return Atoms("OHHOHH", positions=line)


def box(n_side: int = 2) -> Atoms:
    """Return 8 molecules in a triclinic cell."""
    atoms = lattice_water(n_side)
    atoms.set_cell(np.array(atoms.cell) + [[0, 0, 0], [0.7, 0, 0], [0.3, -0.4, 0]])
    return atoms


STRUCTURES = {
    "molecule": water_molecule,
    "OH": lambda: molecule("OH"),
    "linear": lambda: Atoms("HOH", positions=[[-0.95, 0, 0], [0, 0, 0], [0.97, 0, 0]]),
    "one atom": lambda: Atoms("O", positions=[[0, 0, 0]]),
    "cluster": collinear_cluster,
    "box": box,
}


def transformed(atoms: Atoms, seed: int) -> tuple[Atoms, np.ndarray, np.ndarray]:
    """Return a rotated and reordered copy, the rotation (x -> x R) and the new order."""
    rng = np.random.default_rng(seed)
    matrix = Rotation.random(random_state=rng).as_matrix()
    order = rng.permutation(len(atoms))
    return rotate(atoms, matrix)[order], matrix, order


def evaluate(potential: torch.nn.Module, atoms: Atoms, cutoff: float, **changes) -> tuple:
    """Call ``SymmetrizedPotential.forward`` for one structure."""
    structure = Structure.from_ase(atoms)
    edges = find_edges(structure, cutoff)
    n_atoms = len(atoms)
    arguments = {
        "types": torch.as_tensor(structure.numbers),
        "edge_vectors": torch.as_tensor(edges.vectors),
        "centers": torch.as_tensor(edges.centers),
        "neighbors": torch.as_tensor(edges.neighbors),
        "reverse": torch.as_tensor(edges.reverse),
        "structures": torch.zeros(n_atoms, dtype=torch.int64),
        "owned": torch.ones(n_atoms, dtype=torch.bool),
        "n_structures": 1,
        "rotations": torch.eye(3, dtype=torch.float64)[None],
        "weights": torch.ones(1, dtype=torch.float64),
        "frames": BY_ENVIRONMENT,
        "max_edges": 20_000,
    }
    return potential(**(arguments | changes))


CASES = [(kind, "ecse") for kind in KINDS] + [("two layers", "ecse-pooled")]


@pytest.mark.parametrize(
    ("kind", "grid", "name"),
    [(*case, name) for case in CASES for name in STRUCTURES]
    + [("shipped", "ecse", name) for name in ("molecule", "linear")],
)
def test_energy_is_invariant_and_forces_covariant(
    kind: str, grid: str, name: str, get_model
) -> None:
    atoms = STRUCTURES[name]()
    model = get_model(kind)
    here = model.evaluate(atoms, grid)
    assert here.antisymmetric_virial < FORCE
    differences = []
    for seed in range(2):
        copy, matrix, order = transformed(atoms, seed)
        there = model.evaluate(copy, grid)
        assert abs(there.energy - here.energy) < ENERGY
        assert np.abs(there.energies - here.energies[order]).max() < ENERGY
        assert np.abs(there.forces - (here.forces @ matrix)[order]).max() < FORCE
        assert np.abs(there.virial - matrix.T @ here.virial @ matrix).max() < FORCE
        assert abs(there.raw_energy - model.evaluate(copy, "0").energy) < ENERGY
        differences.append(there.raw_energy - here.raw_energy)
    if name != "one atom":
        assert np.abs(differences).max() > BROKEN, "the raw network must fail the same test"


@pytest.mark.parametrize(
    ("kind", "grid", "name"),
    [(*case, name) for case in CASES for name in ("molecule", "OH", "linear", "cluster")]
    + [(*case, "box") for case in CASES if case[0] == "two layers"],  # the largest network
)
def test_forces_are_the_gradient(kind: str, grid: str, name: str, get_model) -> None:
    atoms = STRUCTURES[name]()
    model = get_model(kind)
    forces = model.evaluate(atoms, grid).forces
    rng = np.random.default_rng(0)
    direction = rng.normal(size=forces.shape)
    direction /= np.linalg.norm(direction)
    slopes = []
    for step in (1e-3, 5e-4):
        moved = [atoms.copy(), atoms.copy()]
        moved[0].positions += step * direction
        moved[1].positions -= step * direction
        plus, minus = (r.energy for r in model.evaluate(moved, grid))
        slopes.append((minus - plus) / (2 * step))
    extrapolated = (4 * slopes[1] - slopes[0]) / 3
    expected = (forces * direction).sum()
    assert abs(extrapolated - expected) < 1e-6 * np.linalg.norm(forces)


def inner_radius_path(along: float) -> Atoms:
    """Move a hydrogen from a distance to the place of the second nearest neighbour."""
    positions = np.array(
        [[0, 0, 0], [0.95, 0.1, 0], [-0.2, 1.6, 0.1], [-1.1, -1.2, 1.4], [-0.5, 0.3, -0.81]]
    )
    positions[4] *= 2.7 - 1.8 * along
    return Atoms("OHHOH", positions=positions)


def collinear_path(along: float) -> Atoms:
    """Bend a triple of atoms through the linear geometry."""
    angle = np.radians(140.0 + 80.0 * along)
    arm = 1.1 * np.array([np.cos(angle), np.sin(angle), 0.0])
    return Atoms("HOH", positions=[[0.95, 0, 0], [0, 0, 0], arm])


def force_steps(model: pet_driver.Model, path: Callable, points: np.ndarray) -> np.ndarray:
    """Return the largest change of any force between neighbouring points of a path."""
    forces = np.stack([r.forces for r in model.evaluate([path(along) for along in points])])
    return np.abs(np.diff(forces, axis=0)).max(axis=(1, 2))


def remaining_jump(model: pet_driver.Model, path: Callable) -> float:
    """Return which part of the largest of 1,000 steps of a path remains in one of its 16 parts.

    It is 1/16 for a linear change, and 1 for a jump.
    """
    points = np.linspace(0.0, 1.0, 1001)
    steps = force_steps(model, path, points)
    at = int(steps.argmax())
    return force_steps(model, path, np.linspace(points[at], points[at + 1], 17)).max() / steps[at]


@pytest.mark.parametrize("path", [inner_radius_path, collinear_path])
@pytest.mark.parametrize("grid", ["ecse", "ecse-pooled"])
def test_forces_are_continuous(path: Callable, grid: str, get_model) -> None:
    model = pet_driver.load(get_model("one layer").path, grid=grid)
    assert remaining_jump(model, path) < 0.25


def test_continuity_test_detects_a_jump(get_model) -> None:
    model = pet_driver.load(get_model("one layer").path, grid="ecse")
    model.archive.module.frames.negligible = 0.3
    assert remaining_jump(model, inner_radius_path) > 0.9


def test_diatomic_has_the_energy_of_the_network_along_x(get_model) -> None:
    """An atom has the energy of the network, too."""
    model = get_model("two layers")
    atom, pair = Atoms("O"), Atoms("OH", positions=[[0, 0, 0], [0.97, 0, 0]])
    assert abs(model.evaluate(atom).energy - model.evaluate(atom, "0").energy) < ENERGY
    flipped = pair.copy()
    flipped.positions *= -1.0
    there, back = (model.evaluate(atoms, "0").energies for atoms in (pair, flipped))
    # Each atom has its neighbour along +x: the first in this pair, the second in the flipped one.
    assert abs(model.evaluate(pair).energy - (there[0] + back[1])) < ENERGY


def test_frames_use_neighbours_up_to_the_cutoff(tmp_path: Path) -> None:
    """A network with a long cutoff, for atoms far from each other."""
    save(random_source("one layer", cutoff=7.5), tmp_path / "far.pt", dtype="float64")
    model = pet_driver.load(tmp_path / "far.pt", grid="ecse")
    pair = Atoms("OH", positions=[[0, 0, 0], [5.6, 0, 0]])
    assert np.abs(model.evaluate(pair).forces).max() > BROKEN
    square = Atoms("O4", positions=[[0, 0, 0], [5.6, 0, 0], [0, 5.6, 0.3], [5.6, 5.6, 0]])
    rotated = square.copy()
    rotated.rotate(41, (1, 2, 3))
    results = model.evaluate([square, rotated])
    assert abs(results[0].energy - results[1].energy) < ENERGY
    assert np.abs(results[0].forces).max() > BROKEN


def test_energy_is_continuous_at_the_cutoff(get_model) -> None:
    model = get_model("two layers")
    near, far = (Atoms("OH", positions=[[0, 0, 0], [0, 0, d]]) for d in (model.cutoff - 1e-4, 20.0))
    assert abs(model.evaluate(near).energy - model.evaluate(far).energy) < ENERGY
    assert np.abs(model.evaluate(near).forces).max() < FORCE


@pytest.mark.parametrize("grid", ["ecse", "ecse-pooled"])
def test_batch_equals_separate_evaluations(grid: str, get_model) -> None:
    model = get_model("two layers")
    structures = [build() for build in STRUCTURES.values()]
    separate = [model.evaluate(atoms, grid) for atoms in structures]
    for in_batch, alone in zip(model.evaluate(structures, grid), separate, strict=True):
        assert abs(in_batch.energy - alone.energy) < ENERGY
        assert np.abs(in_batch.forces - alone.forces).max() < FORCE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [BY_ENVIRONMENT, POOLED])
def test_torchscript_equals_python(kind: str, frames: int, get_model) -> None:
    source = random_source(kind)
    eager = SymmetrizedPotential(source.build(torch.float64), source.parameters(torch.float64))
    model = get_model(kind)
    for atoms in (collinear_cluster(), box()):
        one = evaluate(eager, atoms, model.cutoff, frames=frames)
        two = evaluate(model.archive.module, atoms, model.cutoff, frames=frames)
        for a, b in zip(one, two, strict=True):
            assert (a - b).abs().max() < ENERGY


@pytest.mark.parametrize("kind", ["one layer", "two layers"])
def test_results_do_not_depend_on_max_edges(kind: str, get_model) -> None:
    module, cutoff = get_model(kind).archive.module, get_model(kind).cutoff
    wide = evaluate(module, box(), cutoff, max_edges=10**8)
    for narrow in (evaluate(module, box(), cutoff, max_edges=bound) for bound in (150, 700)):
        for a, b in zip(wide, narrow, strict=True):
            assert (a - b).abs().max() < ENERGY


def test_results_of_owned_atoms_add_up(get_model) -> None:
    """Two processes own some atoms each; the others are ghosts."""
    module, cutoff = get_model("two layers").archive.module, get_model("two layers").cutoff
    atoms = box()
    whole = evaluate(module, atoms, cutoff)
    mine = torch.arange(len(atoms)) % 3 > 0
    parts = [evaluate(module, atoms, cutoff, owned=owned) for owned in (mine, ~mine)]
    assert (parts[0][1][~mine] == 0).all()
    for index in range(4):
        assert (parts[0][index] + parts[1][index] - whole[index]).abs().max() < ENERGY


def test_pooled_frames_need_all_atoms(get_model) -> None:
    module, cutoff = get_model("two layers").archive.module, get_model("two layers").cutoff
    owned = torch.tensor([True, True, False])
    with pytest.raises(Exception, match="use the grid ecse"):
        evaluate(module, water_molecule(), cutoff, owned=owned, frames=POOLED)


def test_ecsei_is_invariant_under_inversion(get_model) -> None:
    """Frames are proper rotations: ``ecse`` is not invariant under inversion."""
    model = get_model("one layer")
    atoms = box()
    mirrored = atoms.copy()
    mirrored.set_cell(-np.array(atoms.cell))
    mirrored.positions *= -1.0
    plain = [model.evaluate(a, "ecse").energy for a in (atoms, mirrored)]
    both = [model.evaluate(a, "ecsei") for a in (atoms, mirrored)]
    assert abs(plain[0] - plain[1]) > BROKEN
    assert abs(both[0].energy - both[1].energy) < ENERGY
    assert both[0].energy == pytest.approx(np.mean(plain), abs=ENERGY)
    assert np.abs(both[0].forces).max() > BROKEN
    assert np.abs(both[0].forces + both[1].forces).max() < FORCE
    assert both[0].rotation_std == pytest.approx(abs(plain[0] - plain[1]) / 2, abs=ENERGY)


def test_predicted_cost_is_linear_in_the_number_of_atoms(get_model) -> None:
    one, two = get_model("one layer"), get_model("two layers")
    small = box(3)
    large = small.repeat(2)
    cost = predict_cost(one, small)
    assert cost.raw_evaluations < 8
    assert 2 * cost.atoms <= cost.frames < 8 * cost.atoms
    assert predict_cost(one, large).raw_evaluations == pytest.approx(cost.raw_evaluations)
    assert predict_cost(one, large).frames == 8 * cost.frames
    assert predict_cost(two, small).frames == cost.frames
    assert predict_cost(two, small).raw_evaluations > cost.raw_evaluations
    assert predict_cost(one, small, "2i").raw_evaluations == 37
    assert predict_cost(one, small, "O_h").raw_evaluations == 48
    assert predict_cost(one, small, "ecsei").edges == 2 * cost.edges - cost.raw_edges
