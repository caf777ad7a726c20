"""Write the sections of the model card of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from pet_driver.model.ensemble import Ensemble
from training.calibration import calibration, draw, largest_std
from training.errors import errors

# Title by section; None: the section has no title.
SECTIONS = {
    "introduction": None,
    "accuracy": "Errors on held-out frames",
    "spread": "Standard deviation and error",
    "beyond": "Beyond the data",
}
DEFORMED_FRAMES = 3  # of each set
TOO_SMALL = 3.0  # error over standard deviation


@dataclass
class Subject:
    """The ensemble that a card describes.

    Attributes:
        name: title of the card.
        path: of the card.
        model: the loaded ensemble.
        frames: by set, the frames held out from all members.
        draws: whether the figure is written to the folder of the card.
    """

    name: str
    path: Path
    model: Ensemble
    frames: dict[str, list[Atoms]]
    draws: bool = True


def introduction(subject: Subject) -> str:
    """Describe the members."""
    members = [f"`{Path(member.path).stem}`" for member in subject.model.members]
    return (
        f"# {subject.name}\n\n"
        f"An ensemble of {len(members)} models, {', '.join(members[:-1])} and {members[-1]}: "
        "results are their mean, with the standard deviation over the models. No model was trained "
        "on the held-out frames. The training data of each are in its own record and card."
    )


def accuracy(subject: Subject) -> str:
    """Tabulate the errors of the members and of their mean."""
    names = [Path(member.path).stem for member in subject.model.members]
    lines = [
        "| set | model | energy MAE, RMSE (meV/atom) | force MAE, RMSE (meV/A) |",
        "|---|---|---|---|",
    ]
    for name, frames in subject.frames.items():
        models = [*zip(names, subject.model.members, strict=True), ("mean", subject.model)]
        for title, model in models:
            found = errors(model, frames)
            # After the mean error is removed, nothing is left of a single frame.
            energy = f"{found.energy_mae:.3g}, {found.energy_rmse:.3g}" if len(frames) > 1 else ""
            force = f"{found.force_mae:.3g}, {found.force_rmse:.3g}"
            lines.append(f"| {name} | {title} | {energy} | {force} |")
    lines.append("\nRaw networks; energies after the mean error of the set is removed.")
    return "\n".join(lines)


def spread(subject: Subject) -> str:
    """Compare standard deviations with errors, as table and figure."""
    found = {name: calibration(subject.model, frames) for name, frames in subject.frames.items()}
    lines = [
        "| set | atoms | force error | force standard deviation | error / standard deviation "
        "| rank correlation | energy error | energy standard deviation |",
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
            f"\nOn {name} the standard deviation is {ratio:.2g} times smaller than the error: "
            "it is no error bar, because the members share their systematic errors. It shows which "
            "atoms are outside the training data, see below."
        )
    picture = subject.path.with_name(f"{subject.path.stem}-spread.svg")
    if subject.draws:
        draw(found, picture)
    lines.append(
        "\nRoot mean squares over atoms, of the error of the mean force (a vector, meV/A) and of "
        "`force_std`, and over frames, in meV/atom. The rank correlation (Spearman) is that "
        "of error and standard deviation of single atoms.\n\n"
        f"![Error against standard deviation]({picture.name})\n\n"
        "Each point is for atoms of similar standard deviation; on the grey line both are equal."
    )
    return "\n".join(lines)


def beyond(subject: Subject) -> str:
    """Tabulate standard deviations of deformed structures, for which there is no reference."""
    found = {
        name: largest_std(subject.model, frames[:DEFORMED_FRAMES])
        for name, frames in subject.frames.items()
    }
    kinds = list(next(iter(found.values())))
    lines = ["| set | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name, one in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{one[kind]:.3g}" for kind in kinds) + " |")
    lines.append(
        "\nThe largest force standard deviation of an atom in meV/A, which `warn` and `stop` are "
        f"compared with (these are in eV/A); median over {DEFORMED_FRAMES} frames. Shaken: random "
        "displacements of that standard deviation. Squeezed: all lengths times that factor."
    )
    return "\n".join(lines)
