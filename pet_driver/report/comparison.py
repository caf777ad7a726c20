"""Which runs stand side by side, what they are called there, and their colours.

Runs are compared where they differ in the grid alone: the system and its size, the motion, the
temperature, the number of beads, the network and what was changed in the input file are the same. Engines
and time steps may differ; labels say so.
"""

from __future__ import annotations

import re
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
# By treatment the colours, of one label after the other, and the line: curves that lie on each
# other, as they should, are seen both. With more labels than colours lines are thinner.
COLOURS = {
    RAW: (VERMILION, ORANGE),
    AVERAGED: (BLUE, SKY),
    RANDOM: (PURPLE, GREY),
    EXACT: (GREEN, BLACK),
}
LINES = {RAW: "-", AVERAGED: "--", RANDOM: ":", EXACT: "-."}
WIDTH, THINNER = 1.2, 0.6  # points, and the factor for each further round of colours


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
        notes += [
            str(w.message)
            for w in caught
            if str(run.folder) in str(w.message) and not issubclass(w.category, ResourceWarning)
        ]
    analysed = [found for found in members.values() if found]
    if not analysed:
        raise NothingToDraw("; ".join(notes))
    groups = _groups(analysed)
    if needs_partner:
        notes += [
            f"{group.title}: there is only the run {group.shown[0].label}; one with another grid "
            "would stand beside it"
            for group in groups
            if len(group.shown) == 1
        ]
    return groups, list(dict.fromkeys(notes))


def _key(run: Run) -> tuple:
    what = run.system, run.n_atoms, run.motion, run.n_beads
    return *what, run.temperature, network(run), conditions(run)


def network(run: Run) -> str:
    """The checksum that the run's provenance has of its network, "" without one."""
    return next((v for key, v in run.provenance.items() if key.startswith("weights")), "")


def conditions(run: Run) -> str:
    """What was changed in the input file, but for what is compared or said elsewhere.

    Relaxations of several structures stand side by side: their figure tells which belong together.
    """
    elsewhere = {"grid", "seed", "temperature"} | ({"structure"} if run.ends_itself else set())
    changed = re.findall(r"(\w+)=(.*?)(?= \w+=|$)", run.provenance.get("settings", ""))
    return " ".join(f"{key}={value}" for key, value in changed if key not in elsewhere)


def _groups(members: list[list[tuple[Run, Any]]]) -> list[Group]:
    order = list(COLOURS)
    for found in members:
        found.sort(key=lambda m: (order.index(treatment(m[0])), m[0].grid, m[0].name))
    labelled = [labels([run for run, _ in found]) for found in members]
    styles = _styles(
        (label, run)
        for names, found in zip(labelled, members, strict=True)
        for label, (run, _) in zip(names, found, strict=True)
    )
    groups = []
    titles = _titles([found[0][0] for found in members])
    for title, found, names in zip(titles, members, labelled, strict=True):
        pairs = zip(found, names, strict=True)
        shown = [Shown(run, label, styles[label], one) for (run, one), label in pairs]
        groups.append(Group(title, shown))
    return groups


def _titles(runs: Sequence[Run]) -> list[str]:
    """Of groups, by one run of each: what they have in common, and what tells two of them apart."""
    titles = [describe(run) for run in runs]
    for more in (_temperature, conditions, _archive, network, lambda run: run.name):
        for title in {one for one in titles if titles.count(one) > 1}:
            same = [k for k, one in enumerate(titles) if one == title]
            if len({more(runs[k]) for k in same}) > 1:
                for k in same:
                    titles[k] = f"{title}, {more(runs[k])}" if more(runs[k]) else title
    return titles


def _temperature(run: Run) -> str:
    return "" if run.temperature is None else f"{run.temperature:g} K"


def _archive(run: Run) -> str:
    return run.provenance.get("archive", "")


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


def _styles(labelled: Iterable[tuple[str, Run]]) -> dict[str, dict[str, Any]]:
    """By label, for all panels of a figure: colour and line by treatment."""
    seen: dict[str, int] = {}
    styles: dict[str, dict[str, Any]] = {}
    for label, run in labelled:
        if label in styles:
            continue
        kind = treatment(run)
        number = seen.get(kind, 0)
        seen[kind] = number + 1
        turn, place = divmod(number, len(COLOURS[kind]))
        styles[label] = {
            "color": COLOURS[kind][place],
            "ls": LINES[kind],
            "lw": WIDTH * THINNER**turn,
        }
    return styles
