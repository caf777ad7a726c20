"""Write the sections of a model card as Markdown, from a model, its record and its data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ase import Atoms

from pet_driver.model.evaluator import Model
from training import paper
from training.errors import Errors, errors
from training.molecule import MODES, ReferenceSurface, equilibrium
from training.record import Record, device_name
from training.symmetry import GRIDS, draw, symmetry_errors

AVERAGED = "2i"
SPEED_REPEATS = 3
ENOUGH_MOLECULES = 100  # smallest number for a reference surface


@dataclass
class Subject:
    """The model that a card describes.

    Attributes:
        name: title of the card.
        path: of the archive.
        model: the loaded model.
        record: of its training.
        frames: by set, all frames of the data file.
        quick: use fewer frames for the symmetry error of large structures.
        draws: whether figures are written to the folder of the card.
        measured: by set, errors that have been computed already.
    """

    name: str
    path: Path
    model: Model
    record: Record
    frames: dict[str, list[Atoms]]
    quick: bool = False
    draws: bool = True
    measured: dict[str, Errors] = field(default_factory=dict)

    def held_out(self, name: str) -> list[Atoms]:
        """Return the held-out frames of a set, or all frames if the split is not recorded."""
        indices = self.record.split[name]["held_out"]
        return [self.frames[name][index] for index in indices] if indices else self.frames[name]

    def knows_split(self, name: str) -> bool:
        """Return whether the held-out frames of a set are recorded."""
        return bool(self.record.split[name]["held_out"])


def introduction(subject: Subject) -> str:
    """Describe the network."""
    metadata = subject.model.metadata
    hypers = metadata["hypers"]
    lines = [
        f"# {subject.name}\n",
        f"PET for {', '.join(subject.model.symbols)}: {metadata['parameters']:,} parameters, "
        f"cutoff {subject.model.cutoff:g} A, width {hypers['d_pet']}, layers of message passing "
        f"and of attention in each {hypers['num_gnn_layers']} x {hypers['num_attention_layers']}, "
        f"{'ZBL repulsion, ' if 'zbl_radii' in metadata else ''}"
        f"{metadata['dtype']}, {subject.path.stat().st_size / 1e6:.1f} MB.",
        subject.record.settings.get("about", ""),
    ]
    return "\n".join(line for line in lines if line)


def data(subject: Subject) -> str:
    """Tabulate the training data and the split."""
    record = subject.record
    lines = ["| set | file | trained on | held out |", "|---|---|---|---|"]
    for name, entry in record.split.items():
        trained = entry["train"] if isinstance(entry["train"], int) else len(entry["train"])
        held = len(entry["held_out"]) or "not on record"
        shifted = ", energies shifted" if record.settings["data"].get(name, {}).get("shift") else ""
        lines.append(f"| {name}{shifted} | {entry['file']} | {trained} | {held} |")
    known = any(entry["held_out"] for entry in record.split.values())
    older = [name for name, stage in record.stages.items() if "train_frames" not in stage]
    if known:
        lines.append(
            f"\nThe split has the seed {record.settings['seed']}; the indices are in "
            f"`{subject.path.stem}.json`. "
            + (
                f"Which frames stages {', '.join(older)} held out is not on record: some of those "
                "held out later were among their training frames."
                if older
                else "No weight depends on a frame held out: they choose no epoch either."
                if record.start_on_record
                else "Which frames the weights that it began with had seen is not on record."
            )
        )
    if energies := record.settings.get("atomic_energies"):
        listed = ", ".join(f"{symbol} {energy:g} eV" for symbol, energy in energies.items())
        frames = record.settings.get("isolated_atoms", 0)
        lines.append(
            f"\nIsolated atoms: {listed}, which fix the baselines"
            + (f" and are themselves {frames} frames an epoch each." if frames else ".")
        )
    if sources := record.settings.get("sources"):
        lines.append(f"\n{sources.strip()}")
    return "\n".join(lines)


def _huber(stage: Mapping[str, Any]) -> str:
    """Return a note on the force error from which the loss is linear, if any."""
    delta = stage.get("huber_delta", 0.0)
    return f" (linear from {1e3 * delta:g} meV/A on)" if delta else ""


def _begun_with(record: Record) -> str:
    """Return a sentence on the initial weights, if these were not random."""
    if not record.start:
        return ""
    name = Path(record.settings["start"]).stem
    return f" Begun with the weights of {name} ({record.start[:16]})."


def training(subject: Subject) -> str:
    """Tabulate the stages and the errors during training."""
    record = subject.record
    lines = [
        "| stage | epochs | optimizer, rate | weights: energy, forces | frames, atoms | time |",
        "|---|---|---|---|---|---|",
    ]
    for name, stage in record.settings["stages"].items():
        found: dict[str, Any] = record.stages.get(name, {})
        size = f"{found['train_frames']}, {found['train_atoms']}" if "train_frames" in found else ""
        hours = f"{found['seconds'] / 3600:.2f} h, {found['device']}" if "seconds" in found else ""
        lines.append(
            f"| {name} | {stage['epochs']} | "
            f"{stage.get('optimizer', 'adam')}, {stage['learning_rate']:g} | "
            f"{stage['energy_weight']:g}, {stage['forces_weight']:g}{_huber(stage)} | "
            f"{size} | {hours} |"
        )
    lines.append(
        f"\nBy metatrain {record.versions.get('metatrain', '')}"
        + (f", seed {record.seed}" if record.seed is not None else "")
        + ", every frame under a random rotation, proper or improper, each time."
        + _begun_with(record)
    )
    if rows := _history_rows(record):
        lines += [
            "\nOn all frames held out, in meV/atom and meV/A:\n",
            "| stage | epoch | energy RMSE | force RMSE | force MAE |",
            "|---|---|---|---|---|",
            *rows,
        ]
    return "\n".join(lines)


def _history_rows(record: Record) -> list[str]:
    """Return about five table rows of each stage."""
    rows = []
    for name, stage in record.stages.items():
        history = stage.get("history", [])
        step = max(1, len(history) // 4)
        some = [*history[:-1:step], *history[-1:]]
        for row in some:
            keys = ("held_out_energy_rmse", "held_out_force_rmse", "held_out_force_mae")
            cells = " | ".join(f"{row.get(key, float('nan')):.4g}" for key in keys)
            rows.append(f"| {name} | {int(row['epoch']) + 1} | {cells} |")
    return rows


def accuracy(subject: Subject) -> str:
    """Tabulate the errors on held-out frames."""
    lines = [
        "| set | grid | frames | energy MAE, RMSE (meV/atom) | force MAE, RMSE (meV/A) |",
        "|---|---|---|---|---|",
    ]
    for name in subject.frames:
        frames = subject.held_out(name)
        for grid in ("0", AVERAGED) if _are_molecules(frames) else ("0",):
            found = errors(subject.model, frames, grid)
            if grid == "0":
                subject.measured[name] = found
            # After the mean error is removed, nothing is left of a single frame.
            energy = f"{found.energy_mae:.3g}, {found.energy_rmse:.3g}" if len(frames) > 1 else ""
            lines.append(
                f"| {name} | {grid} | {found.frames} | {energy} | "
                f"{found.force_mae:.3g}, {found.force_rmse:.3g} |"
            )
    cells = [f"{value:.3g}" for value in paper.TEST_ERRORS]
    lines.append(
        f"| the paper's model, liquid | 0 | {paper.TEST_FRAMES} | {cells[0]}, {cells[1]} | "
        f"{cells[2]}, {cells[3]} |"
    )
    lines.append("\nEnergies after the mean error of the set is removed.")
    if unknown := [name for name in subject.frames if not subject.knows_split(name)]:
        lines.append(
            f"Of {', '.join(unknown)} it is not on record which frames were held out: these are "
            "errors over all frames, most of which the model was trained on."
        )
    return "\n".join(lines)


def learning_curve(subject: Subject) -> str:
    """Tabulate errors of trainings on fewer frames; empty if there are none."""
    curve = subject.record.curve
    if not curve:
        return ""
    first = subject.record.first
    lines = [
        f"| frames of {first} | energy MAE, RMSE (meV/atom) | force MAE, RMSE (meV/A) |",
        "|---|---|---|",
    ]
    for number in sorted(curve, key=int):
        one = curve[number][first]
        lines.append(
            f"| {number} | {one['energy_mae']:.3g}, {one['energy_rmse']:.3g} | "
            f"{one['force_mae']:.3g}, {one['force_rmse']:.3g} |"
        )
    lines.append(f"\nOn the {first} frames held out, raw; the other sets in full.")
    return "\n".join(lines)


def symmetry(subject: Subject) -> str:
    """Tabulate and draw deviations from a fine grid, with those of the paper's model."""
    found = {}
    for name in subject.frames:
        frames = subject.held_out(name)
        found[name] = symmetry_errors(subject.model, _sample(frames, subject.quick))
    lines = ["| set | " + " | ".join(GRIDS) + " |", "|---" * (len(GRIDS) + 1) + "|"]
    for name, one in found.items():
        size = f"{one.atoms[0]}" if len(set(one.atoms)) == 1 else f"{one.atoms[0]}-{one.atoms[1]}"
        title = f"{name}, {one.frames} x {size} atoms, against {one.reference}"
        lines.append(_row(f"{title}: energy (meV)", one.energy))
        lines.append(_row("force (meV/A)", one.force))
        for what, values in (("energy", paper.ENERGY), ("force", paper.FORCE)):
            if name in values:
                lines.append(_row(f"the paper's model, {name}: {what}", values[name]))
    picture = subject.path.with_name(f"{subject.path.stem}-symmetry.svg")
    if subject.draws:
        draw(found, picture)
    lines.append(
        "\nMean absolute differences: of the energy of a structure, of force components."
        f"\n\n![Symmetry error against evaluations]({picture.name})"
    )
    return "\n".join(lines)


def _row(title: str, values: dict[str, float]) -> str:
    """Return a table row of values by grid."""
    cells = [f"{values[grid]:.3g}" if grid in values else "" for grid in GRIDS]
    return f"| {title} | " + " | ".join(cells) + " |"


def _sample(frames: Sequence[Atoms], quick: bool) -> list[Atoms]:
    """Return a sample of frames: with up to 150 rotations each, all would take too long."""
    largest = max(map(len, frames))
    number = 100 if largest < 10 else 1 if quick or largest > 250 else 20
    step = max(1, len(frames) // number)
    return list(frames[::step][:number])


def _are_molecules(frames: Sequence[Atoms]) -> bool:
    """Return whether all frames have three atoms."""
    return all(len(atoms) == 3 for atoms in frames)


def _are_water(frames: Sequence[Atoms]) -> bool:
    """Return whether all frames are single water molecules."""
    return all(sorted(atoms.numbers) == [1, 1, 8] for atoms in frames)


def molecule(subject: Subject) -> str:
    """Tabulate geometry and frequencies of a molecule, with those of the reference surface."""
    if set(subject.model.atomic_numbers) != {1, 8}:
        return ""
    ours = equilibrium(subject.model, AVERAGED)
    rows = [("this model", ours)]
    molecules = next((f for f in subject.frames.values() if _are_water(f)), [])
    if len(molecules) >= ENOUGH_MOLECULES:
        rows.append(("reference surface", ReferenceSurface(molecules).equilibrium()))
    lines = [
        "| | r_OH (A) | angle (degrees) | " + " | ".join(f"{m} (cm^-1)" for m in MODES) + " |",
        "|---" * (3 + len(MODES)) + "|",
    ]
    for name, one in rows:
        cells = " | ".join(f"{value:.0f}" for value in one.frequencies)
        lines.append(f"| {name} | {one.length:.4f} | {one.angle:.2f} | {cells} |")
    if len(rows) == 2:
        off = " | ".join(
            f"{100 * (a / b - 1):+.1f} %"
            for a, b in zip(ours.frequencies, rows[1][1].frequencies, strict=True)
        )
        lines.append(
            f"| difference | {ours.length - rows[1][1].length:+.4f} | "
            f"{ours.angle - rows[1][1].angle:+.2f} | {off} |"
        )
    lines.append(
        f"\nRelaxed and harmonic, averaged over the grid {AVERAGED}. The reference is a polynomial "
        "of fifth order in bonds and angle through the energies of the molecules in the data; the "
        f"paper's model has its minimum at {paper.LENGTH} A, {paper.ANGLE} degrees."
    )
    return "\n".join(lines)


def speed(subject: Subject) -> str:
    """Measure the time of an evaluation of a frame of the first set on this machine."""
    name, frames = next(iter(subject.frames.items()))
    atoms = frames[0]
    lines = [f"| {name}, {len(atoms)} atoms | evaluations | ms |", "|---|---|---|"]
    for grid in ("0", AVERAGED):
        times = []
        for _ in range(SPEED_REPEATS + 1):
            begin = time.perf_counter()
            subject.model.evaluate(atoms, grid)
            times.append(time.perf_counter() - begin)
        rotations = int((subject.model.rotations(grid)[1] != 0).sum())
        lines.append(f"| grid {grid} | {rotations} | {1e3 * median(times[1:]):.0f} |")
    device = device_name(str(subject.model.device))
    threads = f", threads: {torch.get_num_threads()}" if device == "CPU" else ""
    lines.append(
        f"\nEnergy, forces and virial, neighbour list included, on this machine: {device}{threads}."
    )
    return "\n".join(lines)


def limits(subject: Subject) -> str:
    """List the known limits of the model."""
    lines = [
        "- No long-range electrostatics and no dispersion beyond the cutoff "
        f"({subject.model.cutoff:g} A, {subject.model.interaction_range:g} A through messages)."
    ]
    first = next(iter(subject.frames))
    found = subject.measured.get(first) or errors(subject.model, subject.held_out(first))
    lines.append(
        f"- The force error on {first} is {found.force_mae:.0f} meV/A, "
        f"{found.force_mae / paper.TEST_ERRORS[2]:.1f} times that of the paper's model."
    )
    covered = ", ".join(subject.frames)
    lines.append(f"- The training data are {covered}, without ions or surfaces.")
    lines += [f"- {line}" for line in subject.record.settings.get("limits", ())]
    return "\n".join(lines)
