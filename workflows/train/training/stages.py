"""Run one stage of a training in a process of metatrain; an interrupted stage resumes."""

from __future__ import annotations

import csv
import os
import re
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from pet_driver.errors import PetDriverError
from pet_driver.runs.supervise import SCREEN, Commands, Outcome, supervise

LAST = "last.ckpt"
OPTIONS = "options.yaml"
TIMES = "seconds.txt"
KEEP = 2  # checkpoints; the newest may be incomplete after a kill
# Allocator settings of the GNU C library: keep large buffers, which every step needs again.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}
# Columns of metatrain's table: (beginning of the header, name here); energies per atom; meV and A.
COLUMNS = (
    ("Epoch", "epoch"),
    ("learning rate", "learning_rate"),
    ("training loss", "training_loss"),
    ("training energy RMSE", "training_energy_rmse"),
    ("training forces RMSE", "training_force_rmse"),
    ("validation loss", "held_out_loss"),
    ("validation energy RMSE", "held_out_energy_rmse"),
    ("validation energy MAE", "held_out_energy_mae"),
    ("validation forces RMSE", "held_out_force_rmse"),
    ("validation forces MAE", "held_out_force_mae"),
)


class Stopped(Exception):
    """Raised after Ctrl-C, SIGTERM or the time limit; the same command resumes."""


def run_stage(
    folder: Path,
    options: dict[str, Any],
    optimizer: str,
    start: Path | None,
    deadline: float | None,
    advance: Callable[[int, int], None],
) -> Path:
    """Run or resume a stage; a finished stage is left unchanged.

    Args:
        folder: folder of the stage, with ``train.xyz`` and ``held-out.xyz``.
        options: options of metatrain.
        optimizer: name, one of `settings.OPTIMIZERS`.
        start: archive with the initial weights.
        deadline: time limit in s from now; ``None``: no limit.
        advance: called twice a second with the finished and the total number of epochs.

    Returns:
        The checkpoint with the weights of the last epoch. The best epoch is not chosen, so that the
        held-out frames have no influence; at the end the learning rate is zero anyway.

    Raises:
        Stopped: the stage was interrupted.
        PetDriverError: metatrain failed; the message has its last lines.
    """
    last = folder / LAST
    total = options["architecture"]["training"]["num_epochs"]
    if last.is_file():
        advance(total, total)
        return last
    (folder / OPTIONS).write_text(yaml.safe_dump(options, sort_keys=False))

    def watch() -> int:
        """Report and return the number of finished epochs."""
        prune(folder)
        rows = history(folder)
        done = int(rows[-1]["epoch"]) + 1 if rows else 0
        advance(done, total)
        return done

    begin = time.monotonic()
    try:
        command = _command(folder, optimizer, start)
        outcome = supervise(Commands(command), folder, watch, deadline, _environment())
    finally:
        with open(folder / TIMES, "a") as handle:
            handle.write(f"{time.monotonic() - begin:.1f}\n")
    if outcome is Outcome.STOPPED:
        raise Stopped
    if outcome is Outcome.FAILED or not (folder / "model.ckpt").is_file():
        tail = "\n".join((folder / SCREEN).read_text(errors="replace").splitlines()[-15:])
        raise PetDriverError(f"metatrain failed in {folder}:\n{tail}")
    keep_last(folder / "model.ckpt", last)
    watch()
    return last


def _command(folder: Path, optimizer: str, start: Path | None) -> list[str]:
    """Return the command of metatrain, which resumes from the newest checkpoint if there is one."""
    command = [sys.executable, "-m", "training.launch"]
    command += [] if start is None else ["--start", str(start.resolve())]
    command += [optimizer, "train", OPTIONS, "-o", "model.pt"]
    if (checkpoint := newest_checkpoint(folder)) is not None:
        command += ["--restart", str(checkpoint.relative_to(folder))]
    return command


def _environment() -> dict[str, str]:
    """Return the environment variables of metatrain's process."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **KEEP_FREED_MEMORY,
        **os.environ,
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def keep_last(checkpoint: Path, out: Path) -> None:
    """Copy a checkpoint with its last weights in the place of the best ones."""
    content = read_checkpoint(checkpoint)
    content["best_model_state_dict"] = dict(content["model_state_dict"])
    content["best_epoch"] = content["epoch"]
    partial = out.with_suffix(".part")
    torch.save(content, partial)
    os.replace(partial, out)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the dictionary of a metatrain checkpoint, to the CPU."""
    import metatomic.torch  # noqa: F401  registers the classes that a checkpoint holds

    return torch.load(path, weights_only=False, map_location="cpu")


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of all run segments, or None."""
    found = sorted(_checkpoints(folder), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path for path in found if zipfile.is_zipfile(path)), None)


def prune(folder: Path) -> None:
    """Remove all but the newest checkpoints, which would fill the disk in a long training."""
    found = sorted(_checkpoints(folder), key=lambda path: path.stat().st_mtime)
    for path in found[:-KEEP]:
        path.unlink()


def _checkpoints(folder: Path) -> list[Path]:
    """Return the paths of all numbered checkpoints."""
    found = folder.glob("outputs/*/*/model_*.ckpt")
    return [path for path in found if re.fullmatch(r"model_\d+", path.stem)]


def history(folder: Path) -> list[dict[str, float]]:
    """Read metatrain's log of all run segments; of a repeated epoch the last row counts."""
    rows: dict[int, dict[str, float]] = {}
    tables = sorted(folder.glob("outputs/*/*/train.csv"), key=lambda p: p.stat().st_mtime)
    for path in tables:
        with open(path, newline="") as handle:
            header, *lines = list(csv.reader(handle)) or [[]]
        names = [_name(title) for title in header]
        for line in lines[1:]:  # the first row has the units
            row = {n: float(v) for n, v in zip(names, line, strict=False) if n and _is_number(v)}
            if "epoch" in row:
                rows[int(row["epoch"])] = row
    return [rows[epoch] for epoch in sorted(rows)]


def wall_time(folder: Path) -> float:
    """Return the total time (s) of the run segments of a stage, without those that were killed."""
    path = folder / TIMES
    return sum(map(float, path.read_text().split())) if path.is_file() else 0.0


def _name(title: str) -> str | None:
    """Return our name of a column of metatrain's table, or None."""
    words = title.strip()
    return next((name for part, name in COLUMNS if words.startswith(part)), None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
