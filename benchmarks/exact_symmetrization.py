"""Measure the cost of exact symmetrization (ECSE) on liquid water against its prediction.

    python -m benchmarks.exact_symmetrization [--model water-small] [--deep]

The cost is given as a multiple of a raw evaluation of the same structure; both are timed in
alternation on a CPU with OMP_NUM_THREADS threads. The models are

- a network with one message-passing layer, whose energies depend on the neighbours only, for boxes
  of two sizes: the cost must grow linearly with the number of atoms;
- the model itself, whose receptive field is larger: predicted by environment and pooled, and with
  ``--deep`` the cheaper of the two measured.

The network with one layer has the widths of the model and random weights, on which the time does
not depend.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from pathlib import Path

import torch
from ase import Atoms

import pet_driver
from benchmarks.timing import alternate
from pet_driver.building.structures import read_structures
from pet_driver.checkpoints import Source
from pet_driver.model.archive import Archive, save
from pet_driver.model.cost import predict_cost
from pet_driver.network import PET, Hypers

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="water-small", help="archive or shipped name")
    parser.add_argument("--box", default=ROOT / "inputs/structures/water-64.xyz", type=Path)
    parser.add_argument("--repeats", default=5, type=int)
    parser.add_argument("--deep", action="store_true", help="also measure the model (minutes)")
    options = parser.parse_args()
    box = read_structures(options.box)[0]
    model = pet_driver.load(options.model)
    print(f"{torch.get_num_threads()} thread(s), {model.metadata['dtype']}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one-layer.pt"
        save(one_layer(Archive.load(options.model).source()), path)
        shallow = pet_driver.load(path)
        for atoms in (box, box.repeat(2)):
            compare("one layer", shallow, atoms, "ecse", options.repeats)
    grids = ["ecse", "ecse-pooled"]
    costs = {grid: predict_cost(model, box, grid) for grid in grids}
    cheapest = min(grids, key=lambda grid: costs[grid].edges)
    for grid in grids:
        print(f"{options.model}: {costs[grid]}" + (", the cheaper" if grid == cheapest else ""))
    if options.deep:
        compare(options.model, model, box, cheapest, 1)


def one_layer(source: Source) -> Source:
    """Return a network of the same widths with one message-passing layer."""
    changes = {"num_gnn_layers": 1, "featurizer_type": "residual"}
    hypers = Hypers.from_dict(source.hypers.to_dict() | changes)
    torch.manual_seed(0)
    weights = PET(hypers, len(source.atomic_numbers)).state_dict()
    return Source(hypers, weights, source.atomic_numbers, 1.0, source.composition)


def compare(name: str, model: pet_driver.Model, atoms: Atoms, grid: str, repeats: int) -> None:
    """Print the predicted and the measured cost of one structure."""
    predicted = predict_cost(model, atoms, grid)
    symmetrized = functools.partial(model.evaluate, atoms, grid)
    raw = functools.partial(model.evaluate, atoms, "0")
    exact, once = alternate(symmetrized, raw, repeats, warm=repeats > 1)
    print(
        f"{name}, {predicted}; measured {1e3 * exact:.0f} ms, {exact / once:.1f} raw evaluations "
        f"of {1e3 * once:.0f} ms; {1e6 * exact / len(atoms):.0f} us per atom"
    )


if __name__ == "__main__":
    main()
