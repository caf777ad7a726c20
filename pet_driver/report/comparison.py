"""Which runs stand side by side, what they are called there, and their colours.

Runs are compared where they differ in the grid alone: the system and its size, the motion, the
number of beads and the network are the same. Engines and time steps may differ; labels say so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pet_driver.errors import PetDriverError
from pet_driver.report.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    NothingToDraw,
)
from pet_driver.runs.record import Run
from pet_driver.symmetry.grid_names import NO_FRAMES, parse_grid_name

RAW, AVERAGED, RANDOM, EXACT = "raw", "averaged", "random", "exact"
# By treatment the colours, of one run after the other, and the line: curves that lie on each other,
# as they should, are seen both.
COLOURS = {
    RAW: (VERMILION, ORANGE),
    AVERAGED: (BLUE, SKY),
    RANDOM: (PURPLE, GREY),
    EXACT: (GREEN, BLACK),
}
LINES = {RAW: "-", AVERAGED: "--", RANDOM: ":", EXACT: "-."}


@dataclass(frozen=True)
class Shown:
    """A run in a figure, and what was found in it."""

    run: Run
    label: str
    style: dict[str, Any]
    found: Any


@dataclass(frozen=True)
class Group:
    """Runs that differ in the grid alone."""

    title: str
    shown: list[Shown]

    @property
    def n_beads(self) -> int:
        return self.shown[0].run.n_beads


def treatment(run: Run) -> str:
    """What is done about the orientation: one of RAW, AVERAGED, RANDOM, EXACT."""
    parsed = parse_grid_name(run.grid)
    if parsed.frames != NO_FRAMES:
        return EXACT
    if parsed.random:
        return RANDOM
    return RAW if run.grid == "0" else AVERAGED


def grid_label(run: Run) -> str:
    """The grid in words."""
    kind = treatment(run)
    if kind == RAW:
        return "raw"
    if kind == EXACT:
        return f"exactly symmetrized ({run.grid})"
    if kind == RANDOM:
        return f"random rotations ({run.grid})"
    return f"averaged over {run.grid}"


def compare(
    runs: Iterable[Run], analyse: Callable[[Run], Any], needs_partner: bool = True
) -> tuple[list[Group], list[str]]:
    """Analyse runs, and put side by side what may be compared.

    Returns:
        The groups, and notes: runs that could not be analysed, what was left out of them, and
        with ``needs_partner`` groups in which there is nothing to compare with.

    Raises:
        NothingToDraw: no run could be analysed; the message says why.
    """
    members: dict[tuple, list[tuple[Run, Any]]] = {}
    notes: list[str] = []
    for run in runs:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                members.setdefault(_key(run), []).append((run, analyse(run)))
            except PetDriverError as error:
                notes.append(f"{run.name}: {error}")
        # Of all that is warned of, what concerns this run's files belongs here.
        notes += [str(w.message) for w in caught if str(run.folder) in str(w.message)]
    groups = [_group(found) for found in members.values() if found]
    if not groups:
        raise NothingToDraw("; ".join(notes))
    if needs_partner:
        notes += [
            f"{group.title}: there is only the run {group.shown[0].label}; one with another grid "
            "would stand beside it"
            for group in groups
            if len(group.shown) == 1
        ]
    return groups, list(dict.fromkeys(notes))


def _key(run: Run) -> tuple:
    return run.system, run.n_atoms, run.motion, run.n_beads, network(run)


def network(run: Run) -> str:
    """The checksum that the run's provenance has of its network, "" without one."""
    return next((v for key, v in run.provenance.items() if key.startswith("weights")), "")


def _group(members: list[tuple[Run, Any]]) -> Group:
    order = list(COLOURS)
    members = sorted(members, key=lambda m: (order.index(treatment(m[0])), m[0].grid, m[0].name))
    runs = [run for run, _ in members]
    shown = [
        Shown(run, label, style, found)
        for (run, found), label, style in zip(members, labels(runs), _styles(runs), strict=True)
    ]
    return Group(describe(runs[0]), shown)


def describe(run: Run) -> str:
    """The system and the motion: what the runs of a group have in common."""
    if run.system == "molecule":
        system = "one molecule"
    else:
        whole = run.n_atoms % 3 == 0
        system = f"{run.n_atoms // 3} molecules" if whole else f"{run.n_atoms} atoms"
    if run.motion in ("relaxation", "replay"):
        return f"{system}, {run.motion}"
    nuclei = "classical" if run.n_beads == 1 else f"{run.n_beads} beads"
    return f"{system}, {run.motion.upper()}, {nuclei}"


def labels(runs: Sequence[Run]) -> list[str]:
    """A label for each run: the grid, and whatever else tells it from the others."""
    differing_engines = len({run.engine.split()[0] for run in runs}) > 1
    differing_steps = len({run.timestep for run in runs}) > 1
    found = []
    for run in runs:
        parts = [grid_label(run)]
        if differing_engines:
            parts.append(run.engine.split()[0])
        if differing_steps:
            parts.append(f"steps of {run.timestep:g} fs")
        found.append(", ".join(parts))
    found = [
        f"{label}, {run.name}" if found.count(label) > 1 else label
        for label, run in zip(found, runs, strict=True)
    ]
    return [label + mark(run) for label, run in zip(found, runs, strict=True)]


def mark(run: Run) -> str:
    """What is added to the name of a run that has not come to its end."""
    return "" if run.state == "finished" else f" ({run.state})"


def _styles(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Colour and line by treatment; runs of the same treatment differ in colour."""
    seen: dict[str, int] = {}
    styles = []
    for run in runs:
        kind = treatment(run)
        number = seen.get(kind, 0)
        seen[kind] = number + 1
        colours = COLOURS[kind]
        styles.append({"color": colours[number % len(colours)], "ls": LINES[kind]})
    return styles
