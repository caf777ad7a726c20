"""This package with its network compiled by torch (AOTInductor), for GPUs."""

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
    """Compile the network for ``device``, which takes minutes, or return the file from before."""
    from pet_driver import export
    from pet_driver.backends.devices import check_device
    from pet_driver.backends.inductor import conditions
    from pet_driver.model.archive import read_metadata

    path = model.with_name(f"{model.stem}-{device}.pt2")
    wanted = (read_metadata(model)["weights_sha256"], conditions(check_device(device)))
    if path.is_file():
        found = read_metadata(path)
        if (found["weights_sha256"], found["compiled"]) == wanted:
            return path
    export(model, path, compile_for=device)
    return path
