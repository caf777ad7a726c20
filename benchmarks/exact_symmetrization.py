"""What exact symmetrization costs on bulk water, predicted and measured.

    python benchmarks/exact_symmetrization.py [--model water-small]

On one CPU, with the number of threads of OMP_NUM_THREADS, in units of a raw evaluation that runs in
turn with it:

- one layer of message passing (the residual network, whose energies depend on the neighbours
  alone), at two sizes of the box: the cost must grow linearly;
- the model itself, whose receptive field is larger: predicted by environment and pooled, and the
  cheaper one measured.

The networks of one layer have random weights and the sizes of the model: the cost does not depend
on the weights.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from pathlib import Path

import torch
from ase import Atoms
from timing import in_turn

import pet_driver
from pet_driver.building.structures import read_structures
from pet_driver.checkpoints import Source
from pet_driver.model.archive import Archive, save
from pet_driver.model.cost import predict_cost
from pet_driver.network import PET, Hypers

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="water-small", help="archive or shipped name")
    parser.add_argument("--box", default=ROOT / "inputs/structures/water-64.xyz", type=Path)
    parser.add_argument("--repeats", default=5, type=int)
    parser.add_argument("--deep", action="store_true", help="measure the model, too (minutes)")
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
    """A network of the same sizes with one layer, read out from the neighbours alone."""
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
    ours, other = in_turn(symmetrized, raw, repeats, warm=repeats > 1)
    print(
        f"{name}, {predicted}; measured {1e3 * ours:.0f} ms, {ours / other:.1f} raw evaluations "
        f"of {1e3 * other:.0f} ms; {1e6 * ours / len(atoms):.0f} us an atom"
    )


if __name__ == "__main__":
    main()
