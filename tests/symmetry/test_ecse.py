"""Exact symmetrization: invariant to rounding, smooth, and the same in every way it is run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

import pet_driver
from pet_driver.archive import Archive, save
from pet_driver.checkpoints import Source
from pet_driver.cost import predict_cost
from pet_driver.neighbors import Structure, find_edges
from pet_driver.network import PET, Hypers
from pet_driver.symmetry import SymmetrizedPotential
from tests.conftest import lattice_water

ENERGY = 1e-9  # eV
FORCE = 1e-8  # eV/A
BROKEN = 1e-4  # eV, the least that a raw network must be wrong by

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


def random_source(kind: str) -> Source:
    """A network with random weights, rough enough to break the symmetry by much."""
    hypers = Hypers(**(SMALL | KINDS[kind]))
    torch.manual_seed(3)
    network = PET(hypers, 2).to(torch.float64)
    weights = {
        name: 1.5 * torch.randn_like(tensor) / max(1, tensor.shape[-1]) ** 0.5
        for name, tensor in network.state_dict().items()
    }
    return Source(hypers, weights, [1, 8], 1.0, [-1.0, -2.0])


@pytest.fixture(scope="module")
def get_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pet_driver.Model]:
    """Exactly symmetrized models, written and read once each."""
    folder = tmp_path_factory.mktemp("ecse")
    models: dict[tuple[str, str | None], pet_driver.Model] = {}

    def get(kind: str, ecse: str | None = "by environment") -> pet_driver.Model:
        if (kind, ecse) not in models:
            path = folder / f"{kind}-{ecse}.pt"
            if kind == "shipped":
                pet_driver.export("water-small", path, dtype="float64", ecse=ecse)
            else:
                save(random_source(kind), path, dtype="float64", ecse=ecse)
            models[kind, ecse] = pet_driver.load(path)
        return models[kind, ecse]

    return get


def water_molecule() -> Atoms:
    atoms = molecule("H2O")
    atoms.positions += np.random.default_rng(1).normal(0, 0.03, (3, 3))
    return atoms


def collinear_cluster() -> Atoms:
    """A linear triple, a second one at an angle, and an atom out of everybody's reach."""
    line = [[0, 0, 0], [0.96, 0, 0], [-0.97, 0, 0], [2.0, 0.4, 0.1], [2.9, 0.85, 0.2], [9, 0, 0]]
    return Atoms("OHHOHH", positions=line)


def box(n_side: int = 2) -> Atoms:
    """8 molecules in a skewed, periodic cell."""
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


def turned(atoms: Atoms, seed: int) -> tuple[Atoms, np.ndarray, np.ndarray]:
    """A rotated and reordered copy, the rotation (x -> x R) and the new order."""
    rng = np.random.default_rng(seed)
    matrix = Rotation.random(random_state=rng).as_matrix()
    order = rng.permutation(len(atoms))
    copy = atoms.copy()
    copy.set_cell(np.array(atoms.cell) @ matrix)
    copy.positions = atoms.positions @ matrix
    return copy[order], matrix, order


def evaluate(potential: torch.nn.Module, atoms: Atoms, cutoff: float, **changes) -> tuple:
    """Call an archive's function: energies, by atom, gradients, by rotation."""
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
        "max_edges": 20_000,
    }
    return potential(**(arguments | changes))


def raw_energy(model: pet_driver.Model, atoms: Atoms) -> float:
    none = torch.zeros(0, 3, 3, dtype=torch.float64)
    module = model.archive.module
    return float(evaluate(module, atoms, model.cutoff, rotations=none, weights=none[:, 0, 0])[0])


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("kind", [*KINDS, "pooled", "shipped"])
def test_rotations_and_permutations_change_nothing(kind: str, name: str, get_model) -> None:
    if kind == "shipped" and name not in ("molecule", "linear"):
        pytest.skip("the other networks cover it")
    atoms = STRUCTURES[name]()
    model = get_model("two layers", "pooled") if kind == "pooled" else get_model(kind)
    here = model.evaluate(atoms)
    assert here.antisymmetric_virial < FORCE
    differences = []
    for seed in range(2):
        copy, matrix, order = turned(atoms, seed)
        there = model.evaluate(copy)
        assert abs(there.energy - here.energy) < ENERGY
        assert np.abs(there.energies - here.energies[order]).max() < ENERGY
        assert np.abs(there.forces - (here.forces @ matrix)[order]).max() < FORCE
        assert np.abs(there.virial - matrix.T @ here.virial @ matrix).max() < FORCE
        differences.append(raw_energy(model, copy) - raw_energy(model, atoms))
    if name != "one atom":
        assert np.abs(differences).max() > BROKEN, "the raw network must fail the same test"


@pytest.mark.parametrize("name", ["molecule", "OH", "linear", "cluster", "box"])
@pytest.mark.parametrize("kind", [*KINDS, "pooled"])
def test_forces_are_the_gradient(kind: str, name: str, get_model) -> None:
    if name == "box" and kind != "two layers":
        pytest.skip("the largest network covers it")
    atoms = STRUCTURES[name]()
    model = get_model("two layers", "pooled") if kind == "pooled" else get_model(kind)
    forces = model.evaluate(atoms).forces
    rng = np.random.default_rng(0)
    direction = rng.normal(size=forces.shape)
    direction /= np.linalg.norm(direction)
    slopes = []
    for step in (1e-3, 5e-4):
        moved = [atoms.copy(), atoms.copy()]
        moved[0].positions += step * direction
        moved[1].positions -= step * direction
        plus, minus = (r.energy for r in model.evaluate(moved))
        slopes.append((minus - plus) / (2 * step))
    extrapolated = (4 * slopes[1] - slopes[0]) / 3
    expected = (forces * direction).sum()
    assert abs(extrapolated - expected) < 1e-6 * np.linalg.norm(forces)


def inner_radius_path(points: int) -> list[Atoms]:
    """A hydrogen comes in from afar to become the nearest neighbour but one."""
    frames = []
    for distance in np.linspace(2.7, 0.9, points):
        atoms = Atoms("OHHOH", positions=np.zeros((5, 3)))
        atoms.positions[1] = [0.95, 0.1, 0]
        atoms.positions[2] = [-0.2, 1.6, 0.1]
        atoms.positions[3] = [-1.1, -1.2, 1.4]
        atoms.positions[4] = distance * np.array([-0.5, 0.3, -0.81])
        frames.append(atoms)
    return frames


def collinear_path(points: int) -> list[Atoms]:
    """A bent triple straightens and bends to the other side."""
    frames = []
    for angle in np.radians(np.linspace(140.0, 220.0, points)):
        arm = 1.1 * np.array([np.cos(angle), np.sin(angle), 0.0])
        frames.append(Atoms("HOH", positions=[[0.95, 0, 0], [0, 0, 0], arm]))
    return frames


def halves(model: pet_driver.Model, path: Callable) -> bool:
    """Whether forces change by half as much between points at half the distance."""
    return largest_step(model, path(1001)) < 0.6 * largest_step(model, path(501))


def largest_step(model: pet_driver.Model, path: list[Atoms]) -> float:
    forces = np.stack([r.forces for r in model.evaluate(path)])
    return np.abs(np.diff(forces, axis=0)).max()


@pytest.mark.parametrize("path", [inner_radius_path, collinear_path])
@pytest.mark.parametrize("ecse", ["by environment", "pooled"])
def test_forces_are_continuous(path: Callable, ecse: str, get_model) -> None:
    model = get_model("one layer", ecse)
    assert halves(model, path)


def test_a_jump_would_be_seen(get_model) -> None:
    model = pet_driver.load(get_model("one layer").path)
    model.archive.module.frames.negligible = 0.3
    assert not halves(model, inner_radius_path)


def test_an_axis_is_enough_for_linear_molecules(get_model) -> None:
    """A diatomic, a linear triple and an atom keep the energy of the network, on an axis."""
    model = get_model("two layers")
    atom, pair = Atoms("O"), Atoms("OH", positions=[[0, 0, 0], [0.97, 0, 0]])
    assert model.evaluate(atom).energy == pytest.approx(raw_energy(model, atom), abs=ENERGY)
    flipped = pair.copy()
    flipped.positions *= -1.0
    structures = [pair, flipped]
    by_atom = []
    for atoms in structures:
        none = torch.zeros(0, 3, 3, dtype=torch.float64)
        found = evaluate(
            model.archive.module, atoms, model.cutoff, rotations=none, weights=none[:, 0, 0]
        )
        by_atom.append(found[1].numpy())
    # Each atom sees its neighbour along +x: the first here, the second in the flipped pair.
    expected = by_atom[0][0] + by_atom[1][1]
    assert model.evaluate(pair).energy == pytest.approx(expected, abs=ENERGY)


def test_an_atom_that_leaves_is_alone_in_the_end(get_model) -> None:
    model = get_model("two layers")
    near, far = (Atoms("OH", positions=[[0, 0, 0], [0, 0, d]]) for d in (model.cutoff - 1e-4, 20.0))
    assert abs(model.evaluate(near).energy - model.evaluate(far).energy) < ENERGY
    assert np.abs(model.evaluate(near).forces).max() < FORCE


@pytest.mark.parametrize("ecse", ["by environment", "pooled"])
def test_a_batch_is_its_members(ecse: str, get_model) -> None:
    model = get_model("two layers", ecse)
    structures = [build() for build in STRUCTURES.values()]
    for together, alone in zip(
        model.evaluate(structures), [model.evaluate(s) for s in structures], strict=True
    ):
        assert abs(together.energy - alone.energy) < ENERGY
        assert np.abs(together.forces - alone.forces).max() < FORCE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooled", [False, True])
def test_scripted_is_eager(kind: str, pooled: bool, get_model) -> None:
    source = random_source(kind)
    eager = SymmetrizedPotential(
        source.build(torch.float64), [1, 8], 1.0, source.composition, pooled
    )
    model = get_model(kind, "pooled" if pooled else "by environment")
    for atoms in (collinear_cluster(), box()):
        one = evaluate(eager, atoms, model.cutoff)
        two = evaluate(model.archive.module, atoms, model.cutoff)
        for a, b in zip(one, two, strict=True):
            assert (a - b).abs().max() < ENERGY


@pytest.mark.parametrize("kind", ["one layer", "two layers"])
def test_a_memory_bound_changes_nothing(kind: str, get_model) -> None:
    module, cutoff = get_model(kind).archive.module, get_model(kind).cutoff
    wide = evaluate(module, box(), cutoff, max_edges=10**8)
    for narrow in (evaluate(module, box(), cutoff, max_edges=bound) for bound in (150, 700)):
        for a, b in zip(wide, narrow, strict=True):
            assert (a - b).abs().max() < ENERGY


def test_parts_add_up_to_the_whole(get_model) -> None:
    """Two processes that own some atoms each, the others being ghosts."""
    module, cutoff = get_model("two layers").archive.module, get_model("two layers").cutoff
    atoms = box()
    whole = evaluate(module, atoms, cutoff)
    mine = torch.arange(len(atoms)) % 3 > 0
    parts = [evaluate(module, atoms, cutoff, owned=owned) for owned in (mine, ~mine)]
    assert (parts[0][1][~mine] == 0).all()
    for index in range(4):
        assert (parts[0][index] + parts[1][index] - whole[index]).abs().max() < ENERGY


def test_pooled_frames_are_not_distributed(get_model) -> None:
    module, cutoff = get_model("two layers", "pooled").archive.module, 3.2
    owned = torch.tensor([True, True, False])
    with pytest.raises(Exception, match="export it without --pooled"):
        evaluate(module, water_molecule(), cutoff, owned=owned)


def test_inversion_comes_with_the_grid(get_model) -> None:
    """Frames are proper rotations; the grid i, composed with them, makes the mirror image equal."""
    model = get_model("one layer")
    atoms = box()
    mirrored = atoms.copy()
    mirrored.set_cell(-np.array(atoms.cell))
    mirrored.positions *= -1.0
    plain = [model.evaluate(a).energy for a in (atoms, mirrored)]
    both = [model.evaluate(a, "i") for a in (atoms, mirrored)]
    assert abs(plain[0] - plain[1]) > BROKEN
    assert abs(both[0].energy - both[1].energy) < ENERGY
    assert both[0].energy == pytest.approx(np.mean(plain), abs=ENERGY)
    assert np.abs(both[0].forces).max() > BROKEN
    assert both[0].raw_energy == pytest.approx(plain[0], abs=ENERGY)
    assert np.abs(both[0].forces + both[1].forces).max() < FORCE


def test_the_cost_is_known_before_and_linear(get_model) -> None:
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


def test_the_raw_network_comes_back_out(tmp_path: Path, get_model) -> None:
    model = get_model("shipped")
    pet_driver.export(model.path, tmp_path / "raw.pt", dtype="float64")
    raw = pet_driver.load(tmp_path / "raw.pt")
    assert raw.metadata["weights_sha256"] == model.metadata["weights_sha256"]
    assert raw.evaluate(water_molecule()).energy == pytest.approx(
        raw_energy(model, water_molecule()), abs=ENERGY
    )
    with pytest.raises(pet_driver.PetDriverError, match="not exactly symmetrized"):
        predict_cost(raw, water_molecule())
    assert Archive.load(model.path).metadata["ecse"]["frames"] == "by environment"
