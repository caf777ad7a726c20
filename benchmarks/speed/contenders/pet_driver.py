"""This package, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.contenders import Answer, Evaluate, EvaluateBatch, Frame, versions_of


def versions() -> dict[str, str]:
    import pet_driver
    from pet_driver.backends.cpu import binding

    # loading the first model compiles the kernels; do it here, where nothing is timed
    instructions = binding.instruction_set(pet_driver.load("water-small").archive.module)
    ours = {"pet-driver": pet_driver.__version__, "kernels": instructions or "TorchScript"}
    return ours | versions_of("torch", "vesin")


def convert(checkpoint: Path, folder: Path, dtype: str = "float32") -> Path:
    import pet_driver

    path = folder / f"{checkpoint.stem}-{dtype}.pt"
    pet_driver.export(checkpoint, path, dtype=dtype)
    return path


def prepare(model: Path, device: str, grid: str = "0") -> Evaluate:
    evaluate_batch = prepare_batch(model, device, grid)
    return lambda frame: evaluate_batch([frame])[0]


def prepare_batch(model: Path, device: str, grid: str = "0") -> EvaluateBatch:
    """Load the model to evaluate several structures in one call."""
    import pet_driver
    from pet_driver.neighbors.structure import Structure

    loaded = pet_driver.load(model, device=device, grid=grid)

    def evaluate(frames: Sequence[Frame]) -> list[Answer]:
        structures = [
            Structure(frame.numbers, frame.positions, frame.cell, (frame.periodic,) * 3)
            for frame in frames
        ]
        results = loaded.compute(structures)
        return [Answer(r.energy, r.forces, r.virial) for r in results]

    return evaluate
