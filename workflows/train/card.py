"""Write the model card: training data, errors on held-out frames, symmetry errors, limits.

    python workflows/train/card.py water-small --data FOLDER
    python workflows/train/card.py results/train/water-large/water-large.pt --data FOLDER
    python workflows/train/card.py water-small-ensemble --data FOLDER

The record of the training (NAME.json) must be in the folder of the archive, and the data files
that it names in FOLDER.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType

from training import ensemble_sections, sections
from training.frames import checksum, find_file, read_frames
from training.record import Record, read_record
from training.sections import Subject

import pet_driver
from pet_driver.errors import PetDriverError
from pet_driver.model import shipped

# Title by section; None: the section has no title.
SECTIONS = {
    "introduction": None,
    "data": "Data and split",
    "training": "Training",
    "accuracy": "Errors on held-out frames",
    "learning-curve": "Learning curve",
    "symmetry": "Symmetry error against the grid",
    "molecule": "The molecule",
    "speed": "Speed",
    "limits": "Known limits",
}

CHOICES = list(dict.fromkeys([*SECTIONS, *ensemble_sections.SECTIONS]))


def write_card(
    name_or_path: str | Path,
    data: Path,
    device: str = "cpu",
    only: str | None = None,
    quick: bool = False,
) -> str:
    """Measure, write ``NAME.md`` into the folder of the archive, and return the text.

    Args:
        name_or_path: a shipped model or the path of an archive, or an ensemble of them; the
            record must be in the same folder.
        data: folder of the data files that the record names.
        device: ``cpu`` or ``cuda``, for the evaluations.
        only: a single section, which is returned and not written.
        quick: measure the symmetry error of large structures on one frame instead of twenty.

    Raises:
        PetDriverError: there is no record, or the data are missing or not those of the training.
    """
    if len(shipped.resolve_all(name_or_path)) > 1:
        return _write_ensemble_card(str(name_or_path), data, device, only)
    path = shipped.resolve(name_or_path)
    record = read_record(path.with_suffix(".json"))
    _gather_curve(record, path, write=only is None)
    shown = str(name_or_path) if shipped.is_shipped(str(name_or_path)) else path
    subject = Subject(
        name=path.stem,
        path=path,
        model=pet_driver.load(path, device),
        record=record,
        frames=_frames(record, data),
        quick=quick,
        draws=only is None,
    )
    command = f"python workflows/train/card.py {shown} --data FOLDER{' --quick' if quick else ''}"
    return _write(sections, SECTIONS, subject, only, command)


def _write_ensemble_card(names: str, data: Path, device: str, only: str | None) -> str:
    """Write the card of an ensemble; that of archives given by path is ``ensemble.md``."""
    paths = shipped.resolve_all(names)
    records = [read_record(path.with_suffix(".json")) for path in paths]
    is_shipped = shipped.is_shipped(names)
    if any(one.split != records[0].split for one in records):
        raise PetDriverError(
            f"members of {names} were trained on different splits: what one was trained on is held "
            "out for another, and no error would mean anything; train them by one configuration"
        )
    own, split = _frames(records[0], data), records[0].split
    subject = ensemble_sections.Subject(
        name=names if is_shipped else "ensemble",
        path=(shipped.FOLDER / f"{names}.md") if is_shipped else paths[0].with_name("ensemble.md"),
        model=pet_driver.load(names, device),
        frames={
            name: [frames[index] for index in split[name]["held_out"]]
            for name, frames in own.items()
            if split[name]["held_out"]
        },
        draws=only is None,
    )
    command = f"python workflows/train/card.py {names} --data FOLDER"
    return _write(ensemble_sections, ensemble_sections.SECTIONS, subject, only, command)


def _write(
    module: ModuleType,
    titles: dict[str, str | None],
    subject: Subject | ensemble_sections.Subject,
    only: str | None,
    command: str,
) -> str:
    """Return one section, or write all sections to a file."""
    if only is not None and only not in titles:
        raise PetDriverError(f"{subject.name} has no section {only}; it has {', '.join(titles)}")
    parts = []
    for name, title in titles.items() if only is None else [(only, titles[only])]:
        text = getattr(module, name.replace("-", "_"))(subject)
        if text and title is not None:
            text = f"## {title}\n\n{text}\n\n`{command} --only {name}`"
        parts.append(text)
    if only is not None:
        return parts[0]
    parts.insert(1, f"This page is written by `{command}`; one section with `--only`.")
    text = "\n\n".join(part for part in parts if part) + "\n"
    subject.path.with_suffix(".md").write_text(text)
    return text


def _frames(record: Record, folder: Path) -> dict:
    """Read the frames of all sets whose energies are on the scale of the model (not shifted)."""
    found = {}
    for name, entry in record.split.items():
        if record.settings["data"].get(name, {}).get("shift"):
            continue
        path = find_file(folder, entry["file"])
        frames = read_frames(path)
        if checksum(path) != entry["sha256"]:
            raise PetDriverError(
                f"{path} is not the file that {record.name} was trained on (SHA-256 "
                f"{checksum(path)[:16]}, then {entry['sha256'][:16]}); name its folder with --data"
            )
        found[name] = frames
    return found


def _gather_curve(record: Record, path: Path, write: bool) -> None:
    """Add the errors of trainings on fewer frames, found in sibling folders, to the record."""
    found = dict(record.curve)
    for other in sorted(path.parent.parent.glob(f"{record.name}-*/{record.name}-*.json")):
        if other.stem.removeprefix(f"{record.name}-").isdigit() and other.stem == other.parent.name:
            one = read_record(other)
            if not one.settings.get("frames") or record.first not in one.errors:
                continue
            if one.is_comparable(record):
                found[str(one.frames)] = one.errors
            else:
                print(
                    f"{other}: not in the learning curve: it differs from the training of "
                    f"{record.name} in more than the number of frames",
                    file=sys.stderr,
                )
    if found and record.first in record.errors:
        found[str(record.frames)] = record.errors
    if found != record.curve:
        record.curve = found
        if write:
            record.write(path.with_suffix(".json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a shipped model or ensemble, or archives: a.pt, a.pt+b.pt")
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", choices=CHOICES, help="print one section, write nothing")
    parser.add_argument("--quick", action="store_true", help="one large frame for the symmetry")
    options = parser.parse_args()
    text = write_card(options.model, options.data, options.device, options.only, options.quick)
    print(text)


if __name__ == "__main__":
    try:
        main()
    except PetDriverError as error:
        sys.exit(f"pet-driver: error: {error}")
