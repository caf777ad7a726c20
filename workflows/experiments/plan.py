"""What a campaign will cost, as a table: every run of a configuration, timed on this machine.

python plan.py quick.yaml [--structures FOLDER] [-o plan.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from pet_driver.errors import PetDriverError
from pet_driver.runs.plan import Plan, plan
from pet_driver.runs.settings import Settings

INPUTS = Path(__file__).parents[2] / "inputs"


def row(name: str, run: dict, found: Plan) -> list[str]:
    """The cells of one run."""
    replicas = run.get("replicas", 1)
    speed = f"{found.ns_per_day:.3g}" if found.timestep else ""
    asked = " + ".join(f"{count:g} x {grid}" for grid, _, count in found.evaluations)
    return [
        name,
        f"{found.atoms}" + (f" x {found.beads} beads" if found.beads > 1 else ""),
        asked,
        f"{1e3 * found.step_time:.1f}",
        speed,
        f"{found.steps}",
        f"{replicas}",
        f"{replicas * found.hours:.2f}",
    ]


def table(config: dict, structures: Path) -> str:
    """The whole plan in Markdown."""
    header = [
        "run",
        "atoms",
        "evaluations a step",
        "ms a step",
        "ns a day",
        "steps",
        "replicas",
        "hours",
    ]
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
        found = plan(INPUTS / run["input_file"], settings)
        rows.append(row(name, run, found))
        total += run.get("replicas", 1) * found.hours
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    end = f"\n{total:.2f} hours in all on one device; relaxations end earlier than their steps."
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
