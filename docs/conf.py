"""Configuration of the Sphinx site; `make docs` builds it into build/docs."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_extensions")]

from pet_driver import __version__  # noqa: E402

project = "pet-driver"
author = "the pet-driver authors"
copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "api_reference",
    "command_reference",
    "lammps_lexer",
    "plain_docstrings",
]
exclude_patterns = ["_extensions"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

smartquotes = False  # it would turn --option into a dash

html_theme = "furo"
html_title = f"pet-driver {release}"
