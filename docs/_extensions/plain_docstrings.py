"""Turn conventions of this project's docstrings into reStructuredText.

Docstrings are written to be read in an editor. Sphinx would misread three of their conventions:

- an indented block after a blank line shows code or a format: it becomes a literal block,
- tables are written as in Markdown: they become list tables,
- a vertical bar is the modulus of a number, not a substitution: it is escaped.

Sections such as `Args:` are left to Napoleon, which runs after this extension.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

BEFORE_NAPOLEON = 400  # its priority is 500
MARKUP = (".. ", "- ", "* ", "=")  # starts of lines that indented lines may continue


def setup(app: Any) -> dict[str, bool]:
    """Connect the extension to autodoc."""
    app.connect("autodoc-process-docstring", _process, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = convert(lines)


def _skip(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Skip the fields of a named tuple, which its docstring describes already."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def convert(lines: list[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText."""
    return _escape_bars(_convert_tables(_mark_literal_blocks(lines)))


def _mark_literal_blocks(lines: list[str]) -> list[str]:
    found: list[str] = []
    previous = ""  # last line that is not blank
    for number, line in enumerate(lines):
        begins = number > 0 and not lines[number - 1].strip() and line.startswith("    ")
        at_margin = previous != "" and not previous.startswith((" ", *MARKUP))
        if begins and at_margin and not previous.endswith("::"):
            found += ["::", ""]
        found.append(line)
        previous = line if line.strip() else previous
    return found


def _convert_tables(lines: list[str]) -> list[str]:
    found: list[str] = []
    for is_table, group in groupby(lines, key=lambda line: line.startswith("|")):
        rows = list(group)
        if is_table:
            found += ["", ".. list-table::", "   :header-rows: 1", ""]
            rows = [line for row in rows for line in _row(row)]
        found += rows
    return found


def _row(line: str) -> list[str]:
    """Return the lines of one row of a list table; none for the rule below the header."""
    if re.fullmatch(r"[-|: ]+", line):
        return []
    cells = line.strip("| ").split(" | ")
    marks = ["   * - ", *["     - "] * (len(cells) - 1)]
    return [mark + cell for mark, cell in zip(marks, cells, strict=True)]


def _escape_bars(lines: list[str]) -> list[str]:
    found: list[str] = []
    in_block = False
    for number, line in enumerate(lines):
        if line.strip():
            in_block = line.startswith(" ") and (
                in_block or lines[number - 2 : number] == ["::", ""]
            )
        found.append(line if in_block else _escape(line))
    return found


def _escape(line: str) -> str:
    """Escape bars outside of ``literals``."""
    parts = re.split(r"(``.*?``|`[^`]*`)", line)
    return "".join(p if k % 2 else p.replace("|", "\\|") for k, p in enumerate(parts))
