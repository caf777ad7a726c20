"""pet-kokkos, with its Python calculator."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.contenders import Answer, Evaluate, EvaluateBatch, Frame, versions_of

HYPERS = (
    "d_pet",
    "d_head",
    "d_node",
    "d_feedforward",
    "num_heads",
    "num_attention_layers",
    "num_gnn_layers",
    "normalization",
    "activation",
    "transformer_type",
    "featurizer_type",
    "attention_temperature",
    "cutoff",
    "cutoff_width",
    "cutoff_function",
    "num_neighbors_adaptive",
    "adaptive_cutoff_method",
    "cutoff_width_adaptive",
)
LEFT_OUT = ("additive_models.", "scaler.", "species_to_species_index")  # weights not in its file
VOIGT = [[0, 3, 4], [3, 1, 5], [4, 5, 2]]  # pet-kokkos orders xx yy zz xy xz yz


def environment() -> dict[str, str]:
    """Choose the kernels of OpenBLAS by the instruction set of the processor.

    The OpenBLAS in its wheel treats processors that are newer than itself as the oldest type that
    it knows, and is then up to twice as slow.
    """
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    kernels = {" avx512f ": "SkylakeX", " avx2 ": "Haswell"}
    found = [kernel for flag, kernel in kernels.items() if flag in flags]
    return {"OPENBLAS_CORETYPE": found[0]} if found else {}


def versions() -> dict[str, str]:
    return versions_of("pet-kokkos")


def convert(checkpoint: Path, folder: Path) -> Path:
    """Write the two files of pet-kokkos, ``<name>.json`` and ``<name>.safetensors``."""
    import metatomic.torch  # noqa: F401  registers the classes that a checkpoint holds
    import torch
    from metatrain.utils.io import load_model
    from safetensors.torch import save_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = load_model(str(checkpoint))
    prefix = folder / checkpoint.stem
    Path(f"{prefix}.json").write_text(json.dumps(_metadata(model), indent=1))
    weights = {name.removeprefix("backend."): w for name, w in model.state_dict().items()}
    kept = {
        name: weight.to(torch.float32).contiguous()
        for name, weight in weights.items()
        if weight.is_floating_point() and not name.startswith(LEFT_OUT)
    }
    save_file(kept, f"{prefix}.safetensors")
    return prefix


def _metadata(model: Any) -> dict[str, Any]:
    hypers = {name: model.hypers[name] for name in HYPERS}
    hypers["head_dim"] = hypers["d_pet"] // hypers["num_heads"]
    hypers["num_readout_layers"] = 1
    hypers |= {"system_conditioning": False, "zbl": False, "long_range_enabled": False}
    composition = model.additive_models[0].model.weights["energy"].block().values
    scale = model.scaler.model.scales["energy"].block().values
    return {
        "format_version": 1,
        "architecture": "pet",
        "target": "energy",
        "hypers": hypers,
        "length_unit": "angstrom",
        "energy_unit": "eV",
        "energy_scale": float(scale.reshape(-1)[0]),
        "n_species": len(model.atomic_types),
        "atomic_types": list(model.atomic_types),
        "species_to_index": model.backend.species_to_species_index.tolist(),
        "composition_energies": composition.reshape(-1).tolist(),
    }


def prepare(model: Path, device: str) -> Evaluate:
    evaluate_batch = prepare_batch(model, device)
    return lambda frame: evaluate_batch([frame])[0]


def prepare_batch(model: Path, device: str) -> EvaluateBatch:
    """Load the model to evaluate several structures in one call."""
    import pet_kokkos

    backend = pet_kokkos.backend()
    if (device != "cpu") != (backend in ("Cuda", "HIP")):
        raise ImportError(f"this pet-kokkos was built for {backend}, not for {device}")
    calculator = pet_kokkos.Calculator(str(model))

    def evaluate(frames: Sequence[Frame]) -> list[Answer]:
        items = [(f.numbers, f.positions, f.cell, f.periodic) for f in frames]
        results = (
            [calculator.compute(*items[0])] if len(items) == 1 else calculator.compute_batch(items)
        )
        return [
            Answer(r["energy"], np.array(r["forces"]), -np.array(r["virial"])[VOIGT])
            for r in results
        ]

    return evaluate
