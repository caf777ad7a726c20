"""metatrain's network by rows: the same energies, forces and gradients of a loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ase import Atoms

from tests import metatrain_peer as peer
from tests.conftest import lattice_water
from tests.workflows.train.conftest import molecules

import metatensor.torch as mts  # isort: skip
from metatomic.torch import systems_to_torch  # isort: skip
from metatrain.utils.data.target_info import get_energy_target_info  # isort: skip
from metatrain.utils.evaluate_model import evaluate_model  # isort: skip
from metatrain.utils.neighbor_lists import (  # isort: skip
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)
from training import rows  # isort: skip

SMALL = {"d_pet": 8, "d_node": 16, "d_head": 8, "d_feedforward": 12, "num_heads": 2, "cutoff": 3.5}


def systems(model: Any, frames: list[Atoms]) -> list[Any]:
    lists = get_requested_neighbor_lists(model)
    found = systems_to_torch(frames, dtype=torch.float64)
    return [get_system_with_neighbor_lists(system, lists) for system in found]


def evaluated(
    evaluation: rows.Evaluation, model: Any, given: list[Any], name: str = "energy"
) -> tuple[Any, dict]:
    """Energies with forces, and the gradient of a loss of both by every weight."""
    model.zero_grad()
    target = {name: target_with_forces(name)}
    block = evaluation(model, given, target, is_training=True)[name].block()
    forces = block.gradient("positions").values
    wanted = torch.linspace(-1.0, 1.0, forces.numel(), dtype=forces.dtype).reshape(forces.shape)
    (block.values.square().mean() + (forces - wanted).square().mean()).backward()
    return block, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def target_with_forces(name: str = "energy") -> Any:
    return get_energy_target_info(
        name, {"quantity": "energy", "unit": "eV"}, add_position_gradients=True
    )


@pytest.mark.parametrize("featurizer", ["feedforward", "residual"])
def test_as_metatrain(featurizer: str) -> None:
    """Boxes, molecules and an atom by itself, in several parts on two threads."""
    model = peer.random_model([1, 8], featurizer_type=featurizer, **SMALL).train()
    given = systems(
        model, [lattice_water(2, seed=1), *molecules(3), Atoms("O"), lattice_water(4, seed=2)]
    )
    assert len(rows._parts(given)) == 2
    check(model, given, "energy", never_theirs(2))


def test_heads_of_another_functional() -> None:
    """In turn, as batches come: each through its own heads and the network that they share."""
    quantities = {"energy": "energy", "energy/other": "energy"}
    model = peer.random_model([1, 8], quantities, **SMALL).train()
    given = systems(model, [lattice_water(2, seed=1), *molecules(2)])
    evaluation = never_theirs(2)
    found = [check(model, given, name, evaluation) for name in (*quantities, "energy")]
    assert (found[0] - found[1]).abs().min() > 1e-3
    assert torch.equal(found[0], found[2])


def never_theirs(threads: int) -> rows.Evaluation:
    return rows.by_rows(lambda *_, **__: pytest.fail("not by rows"), threads)


def check(model: Any, given: list[Any], name: str, by_rows: rows.Evaluation) -> torch.Tensor:
    """Our energies, once all agrees with metatrain's."""
    theirs, slopes = evaluated(evaluate_model, model, given, name)
    ours, our_slopes = evaluated(by_rows, model, given, name)
    assert mts.equal_metadata_block(ours, theirs)
    torch.testing.assert_close(ours.values, theirs.values, rtol=1e-11, atol=1e-11)
    forces = [block.gradient("positions").values for block in (ours, theirs)]
    assert forces[1].abs().max() > 0.1
    torch.testing.assert_close(*forces, rtol=1e-9, atol=1e-11)
    assert our_slopes.keys() == slopes.keys() and len(slopes) > 30
    for name, slope in slopes.items():
        scale = float(slope.abs().max())
        torch.testing.assert_close(our_slopes[name], slope, rtol=0, atol=1e-11 * max(scale, 1.0))
    return ours.values.detach()


def test_without_gradients_by_weights() -> None:
    """As frames held out are evaluated: the same numbers, and no graph that is kept."""
    model = peer.random_model([1, 8], **SMALL).train()
    given = systems(model, molecules(2))
    target = {"energy": target_with_forces()}
    block = rows.by_rows(evaluate_model, 1)(model, given, target, is_training=False)["energy"]
    theirs = evaluate_model(model, given, target, is_training=False)["energy"]
    assert not block.block().values.requires_grad
    assert mts.allclose(block, mts.detach(theirs), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("adaptive, training", [(8.0, True), (None, False)])
def test_leaves_to_metatrain_what_it_has_not(adaptive: float | None, training: bool) -> None:
    """Adaptive cutoffs, and models out of training."""
    model = peer.random_model([1, 8], num_neighbors_adaptive=adaptive, **SMALL).train(training)
    asked: list[Any] = []
    evaluation = rows.by_rows(lambda model, *_, **__: asked.append(model) or {}, threads=1)
    target = {"energy": target_with_forces()}
    evaluation(model, systems(model, molecules(1)), target, is_training=True)
    assert asked == [model]
