"""metatomic: its exported TorchScript model, evaluated as in its own drivers and calculators.

vesin computes the neighbour list; one backward pass gives the gradients by positions and strain.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.contenders import Answer, Evaluate, EvaluateBatch, Frame, versions_of


def versions() -> dict[str, str]:
    return versions_of("metatomic-torch", "metatrain", "torch", "vesin")


def convert(checkpoint: Path, folder: Path) -> Path:
    import metatomic.torch  # noqa: F401  registers the classes that a checkpoint holds
    from metatrain.utils.io import load_model

    path = folder / f"{checkpoint.stem}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_model(str(checkpoint)).export().save(str(path))
    return path


def prepare(model: Path, device: str) -> Evaluate:
    evaluate_batch = prepare_batch(model, device)
    return lambda frame: evaluate_batch([frame])[0]


def prepare_batch(model: Path, device: str) -> EvaluateBatch:
    """Load the model to evaluate several structures in one call."""
    import metatomic.torch as mta
    import torch
    import vesin.metatomic

    loaded = mta.load_atomistic_model(str(model)).to(device)
    neighbors = vesin.metatomic.neighbor_lists_for_model("A", loaded)
    outputs = {"energy": mta.ModelOutput(unit="eV", per_atom=False)}
    options = mta.ModelEvaluationOptions(length_unit="angstrom", outputs=outputs)

    def system_of(frame: Frame) -> tuple[mta.System, torch.Tensor]:
        positions = torch.tensor(frame.positions, dtype=torch.float32, device=device)
        cell = torch.tensor(frame.cell * frame.periodic, dtype=torch.float32, device=device)
        strain = torch.eye(3, dtype=torch.float32, device=device, requires_grad=True)
        positions.requires_grad_(True)
        system = mta.System(
            torch.tensor(frame.numbers, dtype=torch.int32, device=device),
            positions @ strain,
            cell @ strain,
            torch.tensor([frame.periodic] * 3, device=device),
        )
        for neighbor_list in neighbors:
            neighbor_list.add_neighbor_list(system)
        return system, positions, strain

    def evaluate(frames: Sequence[Frame]) -> list[Answer]:
        systems, positions, strains = zip(*map(system_of, frames), strict=True)
        output = loaded(list(systems), options, check_consistency=False)
        energies = output["energy"].block().values
        gradients = torch.autograd.grad(energies.sum(), [*positions, *strains])
        gradients = [-gradient.cpu().double().numpy() for gradient in gradients]
        forces, virials = gradients[: len(frames)], gradients[len(frames) :]
        values = energies.detach().cpu().double().reshape(-1).tolist()
        return [
            Answer(energy, force, 0.5 * (virial + virial.T))
            for energy, force, virial in zip(values, forces, virials, strict=True)
        ]

    return evaluate
