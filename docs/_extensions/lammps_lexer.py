"""Highlight input of LAMMPS, for which Pygments has no lexer."""

from __future__ import annotations

from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups
from pygments.token import Comment, Keyword, Number, Text, Whitespace


class LAMMPSLexer(RegexLexer):
    """Comments, the command at the start of a line, and numbers."""

    name = "LAMMPS"
    aliases: ClassVar[list[str]] = ["lammps"]
    tokens: ClassVar[dict[str, list[tuple[Any, ...]]]] = {
        "root": [
            (r"#.*", Comment),
            (r"^(\s*)([a-z_]+)", bygroups(Whitespace, Keyword)),
            (r"\s+", Whitespace),
            (r"[-+]?\d[\d.eE+-]*(?=\s|$)", Number),
            (r"[^\s#]+", Text),
        ]
    }


def setup(app: Any) -> dict[str, bool]:
    """Register the lexer with Sphinx."""
    app.add_lexer("lammps", LAMMPSLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
