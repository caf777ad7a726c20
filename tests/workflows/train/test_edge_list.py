"""Edge-list evaluation in training: energies, forces and gradients agree with metatrain."""

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
from training import edge_list  # isort: skip

SMALL = {"d_pet": 8, "d_node": 16, "d_head": 8, "d_feedforward": 12, "num_heads": 2, "cutoff": 3.5}


def systems(model: Any, frames: list[Atoms]) -> list[Any]:
    lists = get_requested_neighbor_lists(model)
    found = systems_to_torch(frames, dtype=torch.float64)
    return [get_system_with_neighbor_lists(system, lists) for system in found]


def evaluated(
    evaluation: edge_list.Evaluation, model: Any, given: list[Any], name: str = "energy"
) -> tuple[Any, dict]:
    """Return energies with forces, and the gradient of a loss with respect to every weight."""
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
def test_agrees_with_metatrain(featurizer: str) -> None:
    """For boxes, molecules and an isolated atom, in several parts on two threads."""
    model = peer.random_model([1, 8], featurizer_type=featurizer, **SMALL).train()
    given = systems(
        model, [lattice_water(2, seed=1), *molecules(3), Atoms("O"), lattice_water(4, seed=2)]
    )
    assert len(edge_list._parts(given)) == 2
    check(model, given, "energy", edge_list_only(2))


def test_heads_of_another_functional() -> None:
    """Targets in turn, each with its own heads and the shared network."""
    quantities = {"energy": "energy", "energy/other": "energy"}
    model = peer.random_model([1, 8], quantities, **SMALL).train()
    given = systems(model, [lattice_water(2, seed=1), *molecules(2)])
    evaluation = edge_list_only(2)
    found = [check(model, given, name, evaluation) for name in (*quantities, "energy")]
    assert (found[0] - found[1]).abs().min() > 1e-3
    assert torch.equal(found[0], found[2])


def edge_list_only(threads: int) -> edge_list.Evaluation:
    return edge_list.evaluate_by_edge_list(
        lambda *_, **__: pytest.fail("metatrain's evaluation was called"), threads
    )


def check(
    model: Any, given: list[Any], name: str, evaluation: edge_list.Evaluation
) -> torch.Tensor:
    """Assert that all results agree with metatrain's; return the energies."""
    theirs, slopes = evaluated(evaluate_model, model, given, name)
    ours, our_slopes = evaluated(evaluation, model, given, name)
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
    """Evaluation of held-out frames: the same numbers, detached from the autograd graph."""
    model = peer.random_model([1, 8], **SMALL).train()
    given = systems(model, molecules(2))
    target = {"energy": target_with_forces()}
    block = edge_list.evaluate_by_edge_list(evaluate_model, 1)(
        model, given, target, is_training=False
    )["energy"]
    theirs = evaluate_model(model, given, target, is_training=False)["energy"]
    assert not block.block().values.requires_grad
    assert mts.allclose(block, mts.detach(theirs), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("adaptive, training", [(8.0, True), (None, False)])
def test_unsupported_models_are_left_to_metatrain(adaptive: float | None, training: bool) -> None:
    """For adaptive cutoffs, and models in evaluation mode."""
    model = peer.random_model([1, 8], num_neighbors_adaptive=adaptive, **SMALL).train(training)
    asked: list[Any] = []
    evaluation = edge_list.evaluate_by_edge_list(
        lambda model, *_, **__: asked.append(model) or {}, threads=1
    )
    target = {"energy": target_with_forces()}
    evaluation(model, systems(model, molecules(1)), target, is_training=True)
    assert asked == [model]
