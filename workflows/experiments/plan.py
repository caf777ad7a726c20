"""Predict the cost of all runs of a configuration, timed on this machine, as a table.

python plan.py quick.yaml [--structures FOLDER] [-o plan.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from pet_driver.errors import PetDriverError
from pet_driver.runs.plan import Plan, plan
from pet_driver.runs.settings import Settings

INPUTS = Path(__file__).parents[2] / "inputs"
HEADER = ["run", "atoms", "evaluations per step", "ms per step", "ns per day", "steps"]
HEADER += ["replicas", "hours"]


def row(name: str, run: dict[str, Any], predicted: Plan) -> list[str]:
    """Return the cells of one run."""
    replicas = run.get("replicas", 1)
    evaluations = " + ".join(f"{count:g} x {grid}" for grid, _, count in predicted.evaluations)
    return [
        name,
        f"{predicted.atoms}" + (f" x {predicted.beads} beads" if predicted.beads > 1 else ""),
        evaluations,
        f"{1e3 * predicted.step_time:.1f}",
        f"{predicted.ns_per_day:.3g}" if predicted.timestep else "",
        f"{predicted.steps}",
        f"{replicas}",
        f"{replicas * predicted.hours:.2f}",
    ]


def table(config: dict[str, Any], structures: Path) -> str:
    """Return the table of all runs in Markdown.

    Args:
        config: the configuration.
        structures: folder of the structures that the configuration builds.
    """
    rows, total = [], 0.0
    for name, run in config["runs"].items():
        settings = Settings(
            model=config["model"],
            device=run.get("device", config["device"]),
            steps=run.get("steps"),
            grid=str(run["grid"]) if "grid" in run else None,
            structure=structures / run["structure"] if "structure" in run else None,
            variables={k: str(v) for k, v in run.get("variables", {}).items()},
        )
        predicted = plan(INPUTS / run["input_file"], settings)
        rows.append(row(name, run, predicted))
        total += run.get("replicas", 1) * predicted.hours
    lines = ["| " + " | ".join(cells) + " |" for cells in (HEADER, ["---"] * len(HEADER), *rows)]
    end = f"\n{total:.2f} hours in total on one device; relaxations may need fewer steps."
    return "\n".join(lines) + f"\n{end}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--structures", type=Path, default=Path("structures"))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    text = table(yaml.safe_load(arguments.configuration.read_text()), arguments.structures)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text)


if __name__ == "__main__":
    try:
        main()
    except PetDriverError as error:
        sys.exit(f"pet-driver: error: {error}")
