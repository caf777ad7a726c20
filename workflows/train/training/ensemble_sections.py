"""The sections of an ensemble's card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from pet_driver.model.ensemble import Ensemble
from training.calibration import calibration, draw, largest_std
from training.errors import errors

# Title by section; None: without a title of its own.
SECTIONS = {
    "introduction": None,
    "accuracy": "Errors on frames held out",
    "spread": "Spread and error",
    "beyond": "Beyond the data",
}
DEFORMED_FRAMES = 3  # of each set
TOO_SMALL = 3.0  # error over spread


@dataclass
class Subject:
    """What a card of an ensemble is about.

    Attributes:
        name: as the card calls it.
        path: of the card.
        model: loaded.
        frames: by set: those that were held out from all members.
        draws: whether the figure is written beside the card.
    """

    name: str
    path: Path
    model: Ensemble
    frames: dict[str, list[Atoms]]
    draws: bool = True


def introduction(subject: Subject) -> str:
    """What it is."""
    members = [f"`{Path(member.path).stem}`" for member in subject.model.members]
    return (
        f"# {subject.name}\n\n"
        f"{len(members)} models, {', '.join(members[:-1])} and {members[-1]}, as one: their mean, "
        "and how far they are apart. None has seen the frames held out. What each was trained on "
        "is in its own record and card."
    )


def accuracy(subject: Subject) -> str:
    """Of the members and of their mean."""
    names = [Path(member.path).stem for member in subject.model.members]
    lines = [
        "| set | model | energy MAE, RMSE (meV/atom) | force MAE, RMSE (meV/A) |",
        "|---|---|---|---|",
    ]
    for name, frames in subject.frames.items():
        models = [*zip(names, subject.model.members, strict=True), ("mean", subject.model)]
        for title, model in models:
            found = errors(model, frames)
            # Of a single frame the mean error is all there is.
            energy = f"{found.energy_mae:.3g}, {found.energy_rmse:.3g}" if len(frames) > 1 else ""
            force = f"{found.force_mae:.3g}, {found.force_rmse:.3g}"
            lines.append(f"| {name} | {title} | {energy} | {force} |")
    lines.append("\nRaw networks; energies after the mean error of the set is removed.")
    return "\n".join(lines)


def spread(subject: Subject) -> str:
    """Whether the spread tells the error."""
    found = {name: calibration(subject.model, frames) for name, frames in subject.frames.items()}
    lines = [
        "| set | atoms | force error | force standard deviation | error to spread | rank correlation "
        "| energy error | energy spread |",
        "|---" * 8 + "|",
    ]
    for name, one in found.items():
        frames = len(subject.frames[name])
        energies = f"{one.energy_error:.3g} | {one.energy_std:.3g}" if frames > 1 else " | "
        lines.append(
            f"| {name} | {len(one.errors)} | {one.force_error:.3g} | {one.force_std:.3g} | "
            f"{one.force_error / one.force_std:.2g} | {one.rank_correlation:.2f} | {energies} |"
        )
    name, one = next(iter(found.items()))
    ratio = one.force_error / one.force_std
    if ratio > TOO_SMALL:
        lines.append(
            f"\nOn {name} the spread is {ratio:.2g} times smaller than the error: it is no error "
            "bar, for the members share what is wrong with them. It tells which atoms have left "
            "the data, see below."
        )
    picture = subject.path.with_name(f"{subject.path.stem}-spread.svg")
    if subject.draws:
        draw(found, picture)
    lines.append(
        "\nRoot mean squares over atoms, of the error of the mean force (a vector, meV/A) and of "
        "`force_std`, and over frames, in meV/atom. The rank correlation (Spearman) is that "
        "of error and spread of single atoms.\n\n"
        f"![Error against spread]({picture.name})\n\n"
        "Atoms in groups of similar spread; on the grey line the one is as large as the other."
    )
    return "\n".join(lines)


def beyond(subject: Subject) -> str:
    """What the spread is where no reference is."""
    found = {
        name: largest_std(subject.model, frames[:DEFORMED_FRAMES])
        for name, frames in subject.frames.items()
    }
    kinds = list(next(iter(found.values())))
    lines = ["| set | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name, one in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{one[kind]:.3g}" for kind in kinds) + " |")
    lines.append(
        "\nThe largest force standard deviation of an atom in meV/A, which `warn` and `stop` are compared with "
        f"(these are in eV/A); median over {DEFORMED_FRAMES} frames. Shaken: every coordinate by a "
        "random number of that standard deviation. Squeezed: all lengths times that."
    )
    return "\n".join(lines)
