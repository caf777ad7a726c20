"""Train a model on frames, export it and write its model card; an interrupted training resumes.

    python workflows/train/train.py workflows/train/water-small.yaml --data FOLDER -o results/train

See README.md in this folder.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import ase.io
import torch
import typer
from card import write_card
from training.errors import errors
from training.frames import Split, baselines, elements, split_all, training_frames, write_split
from training.options import options
from training.record import Record, device_name, new_record, thinned
from training.settings import Settings, read_settings
from training.stages import Stopped, history, run_stage, wall_time
from training.start import Start, weights_to_start_with
from training.targets import TARGET, file_name, targets

import pet_driver
from pet_driver.errors import PetDriverError
from pet_driver.runs.execute import locked
from pet_driver.runs.progress import progress
from pet_driver.runs.settings import parse_duration

IDENTITY = "training.json"
STOPPED = 75  # exit code of a training that is to be resumed


def train(
    configuration: Annotated[Path, typer.Argument(help="such as water-small.yaml")],
    data: Annotated[Path, typer.Option(help="folder with the data files that it names")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="folder in which each model gets a folder")
    ],
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto (cuda if available)")] = "auto",
    frames: Annotated[
        int | None, typer.Option(help="frames of the first set, for a learning curve")
    ] = None,
    member: Annotated[
        int | None, typer.Option(help="train only this member of an ensemble")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="stop after this time, such as 23:30:00")
    ] = None,
    split_only: Annotated[bool, typer.Option(help="write the split and stop")] = False,
) -> None:
    """Train every member of a configuration, export it and write its card."""
    try:
        settings = read_settings(configuration, frames)
        device = _device(device)
        end = None if time_limit is None else time.monotonic() + parse_duration(time_limit)
        splits = split_all(settings, data)
        _check_stages(settings, splits, configuration)
        start = weights_to_start_with(settings, elements(splits), splits)
        for seed in _seeds(settings, member, configuration):
            name = settings.name if settings.members == 1 else f"{settings.name}-{seed}"
            folder = output / name
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                record = prepare(settings, name, seed, splits, start, folder)
                if not split_only:
                    _train_one(settings, record, splits, start.archive, folder, device, end)
                    write_card(folder / f"{name}.pt", data, device, quick=device == "cpu")
            print(f"{name}: {'split in' if split_only else 'done, see'} {folder}", flush=True)
    except Stopped:
        print(f"{configuration}: stopped; run the same command again to resume", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    except PetDriverError as error:
        print(f"pet-driver: error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def prepare(
    settings: Settings, name: str, seed: int, splits: dict[str, Split], start: Start, folder: Path
) -> Record:
    """Write the split and the identity of a training, or check them against an earlier start.

    Raises:
        PetDriverError: the folder holds another training.
    """
    record = new_record(settings, name, seed, {k: v.as_dict() for k, v in splits.items()})
    record.start, record.start_on_record = start.checksum, start.on_record
    record.seen_before = start.seen
    identity = {"settings": record.settings, "seed": seed, "start": record.start}
    # JSON turns tuples into lists; an earlier identity was read from JSON.
    identity = json.loads(json.dumps({**identity, "split": record.split}))
    identity["settings"].pop("start")  # its path does not matter; its checksum is compared
    path = folder / IDENTITY
    if path.is_file():
        before = {"start": "", **json.loads(path.read_text())}
        before["settings"].pop("start", None)
        if changed := _differences(before, identity):
            raise PetDriverError(
                f"{folder} holds another training (changed: {', '.join(changed)}); name another "
                "folder with -o, or remove this one"
            )
    else:
        path.write_text(json.dumps(identity, indent=1) + "\n")
        write_split(splits, settings.seed, folder / "split")
    return record


def _train_one(
    settings: Settings,
    record: Record,
    splits: dict[str, Split],
    start: Path | None,
    folder: Path,
    device: str,
    end: float | None,
) -> None:
    """Run all stages of one member, export the archive and write the record."""
    archive = folder / f"{record.name}.pt"
    if archive.is_file() and archive.with_suffix(".json").is_file():
        return
    atomic = baselines(settings, splits)
    record.baselines = {str(z): energy for z, energy in atomic.items()}
    last, known = None, {TARGET}
    for number, (name, stage) in enumerate(settings.stages.items(), 1):
        place = folder / f"{number}-{name}"
        learned = targets(settings, stage)
        shown = f"{record.name}, {name}"
        counts = _write_frames(settings, splits, learned, place)
        chosen = options(
            settings, stage, record.seed, atomic, elements(splits), device, last, known
        )
        known = set(learned)
        with progress(shown) as advance:
            begun = start if last is None else None
            last = run_stage(place, chosen, stage.optimizer, begun, _left(end), advance)
        record.stages[name] = {
            **counts,
            "device": device_name(device),
            "seconds": wall_time(place),
            "history": thinned(history(place)),
        }
    pet_driver.export(last, archive, target=TARGET)
    model = pet_driver.load(archive, device)
    for name in settings.own:
        if splits[name].held_out:
            record.errors[name] = errors(model, splits[name].select("held_out")).as_dict()
    record.write(archive.with_suffix(".json"))


def _write_frames(
    settings: Settings, splits: dict[str, Split], learned: dict[str, tuple[str, ...]], place: Path
) -> dict[str, int]:
    """Write the frames of a stage; return the numbers of frames and atoms of an epoch."""
    place.mkdir(exist_ok=True)
    counts: Counter[str] = Counter()
    for target, sets in learned.items():
        for part in ("train", "held_out"):
            found = training_frames(settings, splits, sets, part)
            ase.io.write(place / file_name(part, target), found, format="extxyz")
            counts.update({f"{part}_frames": len(found), f"{part}_atoms": sum(map(len, found))})
    return dict(counts)


def _seeds(settings: Settings, member: int | None, configuration: Path) -> range:
    """Return the seeds of the members to train.

    Raises:
        PetDriverError: there is no such member.
    """
    if member is None:
        return range(1, settings.members + 1)
    if not 1 <= member <= settings.members:
        raise PetDriverError(
            f"--member {member}: {configuration} has members: {settings.members}; name one from 1 "
            f"to {settings.members}"
        )
    return range(member, member + 1)


def _check_stages(settings: Settings, splits: dict[str, Split], configuration: Path) -> None:
    """Check that every stage has training and held-out frames, and batches that hold them.

    Raises:
        PetDriverError: naming the stage and what to change.
    """
    for name, stage in settings.stages.items():
        where = f"{configuration}: stages: {name}"
        for sets in targets(settings, stage).values():
            for part in ("train", "held_out"):
                if not any(getattr(splits[one], part) for one in sets):
                    raise PetDriverError(
                        f"{where}: it needs frames of {' or '.join(sets)} under '{part}' to "
                        f"{'learn from' if part == 'train' else 'watch'}; give some, or leave out "
                        "the set"
                    )
        for one in settings.of_stage(stage):
            largest = max(map(len, splits[one].frames))
            if largest > stage.batch_atoms:  # metatrain silently skips frames larger than a batch
                raise PetDriverError(
                    f"{where}: batch_atoms is {stage.batch_atoms}, and a frame of {one} has "
                    f"{largest} atoms; make it {largest} at least"
                )


def _differences(before: dict[str, Any], now: dict[str, Any], where: str = "") -> list[str]:
    """Return the names of the entries that differ."""
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{where}{key}: ")
        elif old != new:
            found.append(f"{where}{key}")
    return found


def _left(end: float | None) -> float | None:
    """Return the seconds until the time limit.

    Raises:
        Stopped: it has passed.
    """
    if end is None:
        return None
    if (left := end - time.monotonic()) <= 0:
        raise Stopped
    return left


def _device(device: str) -> str:
    """Return ``cpu`` or ``cuda``; raise PetDriverError if it is unknown or not available."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise PetDriverError(f"device {device!r} is not known; use cpu, cuda or auto")
    if device == "cuda" and not torch.cuda.is_available():
        raise PetDriverError("device cuda was asked for, but torch finds no CUDA device here")
    return device


if __name__ == "__main__":
    typer.run(train)
