"""Run the code blocks of a page: Python, shell commands, input of LAMMPS and i-PI, YAML.

Sybil finds the blocks and runs those of Python. What it lacks are evaluators for the other
languages. The word after the language says how a block is to be treated;
docs/developer/contributing.md lists the possibilities.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from pet_driver.engines.ipi import shim_path
from tests.docs.commands import check_script

ROOT = Path(__file__).parents[2]
LEXER = RawFencedCodeBlockLexer(
    re.compile(r"(?P<language>[a-z]+) *(?P<option>.*)$\n", re.MULTILINE)
)
TIMEOUT = 300  # s, for one block

LAMMPS = """units metal
atom_style atomic
boundary p p p
read_data water.data
{block}
fix integrate all nve
thermo 1
run 2
"""
IPI = """<simulation verbosity="low">
  <output prefix="{name}">
    <properties filename="out" stride="1"> [step, potential] </properties>
  </output>
  <total_steps> 2 </total_steps>
  {block}
  <system>
    <initialize nbeads="8">
      <file mode="ase"> init.xyz </file><velocities mode="thermal" units="kelvin"> 300 </velocities>
    </initialize>
    <forces><force forcefield="pet"/></forces>
    <ensemble><temperature units="kelvin"> 300 </temperature></ensemble>
    <motion mode="dynamics">
      <dynamics mode="nve"><timestep units="femtosecond"> 0.5 </timestep></dynamics>
    </motion>
  </system>
</simulation>
"""
# `pet-driver`, with fewer steps where a block asks for it.
PROGRAM = """#!/bin/bash
if [ "$1" = run ] && [ -n "$STEPS" ]; then set -- "$@" --steps "$STEPS"; fi
exec {python} -m pet_driver "$@"
"""


def parse(document: Document) -> Iterator[Region]:
    """Yield the fenced code blocks of a document; directives of MyST are not among them."""
    for region in LEXER(document):
        language, option = region.lexemes["language"], region.lexemes["option"]
        assert language in EVALUATORS, f"{document.path}: no way to test a block of {language!r}"
        region.parsed = region.lexemes["source"]
        region.evaluator = _evaluator(language, option)
        yield region


def _evaluator(language: str, option: str) -> Callable[[Example], None]:
    def evaluate(example: Example) -> None:
        EVALUATORS[language](example, option)

    return evaluate


def evaluate_python(example: Example, option: str) -> None:
    """Run Python; the blocks of a page share one namespace."""
    assert not option, option
    PythonEvaluator()(example)


def evaluate_console(example: Example, option: str) -> None:
    """Run shell commands in the present folder, or only check them."""
    if option == "check":
        check_script(example.parsed, Path.cwd())
        return
    steps = re.fullmatch(r"(?:steps=(\d+))?", option)
    assert steps, f"{option!r} is not an option of a console block"
    run(["bash", "-euo", "pipefail", "-c", example.parsed], STEPS=steps[1] or "")


def evaluate_lammps(example: Example, option: str) -> None:
    """Run LAMMPS: the block as it is if it reads atoms, else within a small input file."""
    assert not option, option
    complete = "read_data" in example.parsed
    text = example.parsed if complete else LAMMPS.format(block=example.parsed)
    Path("in.block").write_text(text)
    printed = run(["pet-driver", "lammps", "run", "-in", "in.block", "-log", "none"])
    assert "Loop time" in printed, printed


def evaluate_xml(example: Example, option: str) -> None:
    """Parse XML; run i-PI with a force field if the block asks for it."""
    ElementTree.fromstring(f"<input>{example.parsed}</input>")
    if not option:
        return
    assert option == "run", f"{option!r} is not an option of an XML block"
    block = example.parsed.replace("SHIM", str(shim_path()))
    name = f"block-{example.line}"
    Path("block.xml").write_text(IPI.format(name=name, block=block))
    run(["i-pi", "block.xml"])
    steps = [line.split()[0] for line in Path(f"{name}.out").read_text().splitlines()]
    assert [float(step) for step in steps if step != "#"] == [0, 1, 2]


def evaluate_yaml(example: Example, option: str) -> None:
    """Parse YAML."""
    assert not option, option
    assert yaml.safe_load(example.parsed)


def evaluate_text(example: Example, option: str) -> None:
    """Leave output and usage alone."""
    assert not option, option


EVALUATORS: dict[str, Callable[[Example, str], None]] = {
    "python": evaluate_python,
    "console": evaluate_console,
    "lammps": evaluate_lammps,
    "xml": evaluate_xml,
    "yaml": evaluate_yaml,
    "text": evaluate_text,
}


def run(command: list[str], **variables: str) -> str:
    """Run a command with the programs of this environment, and return its output."""
    programs = Path(".bin")
    programs.mkdir(exist_ok=True)
    program = programs / "pet-driver"
    program.write_text(PROGRAM.format(python=shlex.quote(sys.executable)))
    program.chmod(0o755)
    folders = [str(programs.resolve()), str(Path(sys.executable).parent), os.environ["PATH"]]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PATH": ":".join(folders),
        "PYTHONPATH": ":".join(paths),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout
