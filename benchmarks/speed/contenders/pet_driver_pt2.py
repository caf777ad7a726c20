"""This package with its network compiled by torch, which is meant for GPUs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.speed.contenders import Evaluate, EvaluateBatch, pet_driver

versions = pet_driver.versions
convert = pet_driver.convert


def prepare(model: Path, device: str, grid: str = "0") -> Evaluate:
    return pet_driver.prepare(compiled(model, device), device, grid)


def prepare_batch(model: Path, device: str, grid: str = "0") -> EvaluateBatch:
    return pet_driver.prepare_batch(compiled(model, device), device, grid)


def compiled(model: Path, device: str) -> Path:
    """The same archive with its network compiled for ``device``, once."""
    from pet_driver import export

    path = model.with_name(f"{model.stem}-{device}.pt2")
    if not path.is_file() or path.stat().st_mtime < model.stat().st_mtime:
        export(model, path, compile_for=device)
    return path
