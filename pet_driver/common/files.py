"""Write files atomically."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically: a reader sees the old content or the new one, never a part.

    Args:
        path: file to write; its folder must exist.
        content: the whole new content.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
