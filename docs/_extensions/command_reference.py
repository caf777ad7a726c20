"""Write the reference of the command line from the program itself.

The page `reference/command-line.md` holds a marker, which is replaced by one section for each
command when Sphinx reads the page. sphinx-click cannot serve: current versions of Typer carry their
own copy of click, whose commands it does not recognize.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

PAGE = "reference/command-line"
MARKER = "<!-- commands -->"


def setup(app: Any) -> dict[str, bool]:
    """Connect the extension to Sphinx."""
    app.connect("source-read", _insert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _insert(app: Any, page: str, source: list[str]) -> None:
    if page == PAGE:
        source[0] = source[0].replace(MARKER, command_reference())


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the object of each command, in the order of the program."""
    for child in getattr(command, "commands", {}).values():
        if hasattr(child, "commands"):
            yield from commands(child, f"{name} {child.name}")
        else:
            yield f"{name} {child.name}", child


def command_reference() -> str:
    """Return the reference of all commands of `pet-driver` as Markdown."""
    from pet_driver.cli import app

    program = typer.main.get_command(app)
    return "\n".join(_section(name, command) for name, command in commands(program, "pet-driver"))


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", _escape(command.help or ""), "", "```text", usage, "```", ""]
    lines += ["| argument or option | meaning |", "|---|---|"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            lines.append(f"| `{_cell(record[0])}` | {_escape(_cell(record[1]))} |")
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escape(text: str) -> str:
    """Protect `<ffsocket>` and the like, which Markdown would take for HTML."""
    return re.sub(r"([<\[*_])", r"\\\1", text)
