"""Fast parser for fixed-width tables of numbers.

In the text trajectories of i-PI the numbers of a column end at the same character of every line.
The digits of a column are added up as integers for all lines at once and divided by a power of ten,
which rounds like ``float``: the same numbers as those of ``float``, ``np.loadtxt`` or pandas,
several times faster. Text with any other layout is left to a slower parser.
"""

from __future__ import annotations

import re

import numpy as np

_EXACT = 2.0**53  # integers up to here are exact in float64
_MAX_POWER = 22  # powers of ten up to here are exact in float64
_POWERS = 10.0 ** np.arange(_MAX_POWER + 1)
_NUMBER = re.compile(rb"-?\d+\.(\d+)(?:[eE]([+-])(\d+))?")
_NEWLINE, _SPACE, _MINUS, _POINT, _ZERO = b"\n -.0"
_EXPONENT_MARKS = b"eE"


def parse_columns(
    text: bytes, n_lines: int, n_words: int, first: int, count: int = 3
) -> np.ndarray | None:
    """Parse consecutive columns of a table.

    Args:
        text: the lines, each with its newline (the last one may lack it).
        n_lines: number of lines.
        n_words: number of columns in each line.
        first: index of the first column to parse; the columns before it may be words.
        count: number of columns to parse.

    Returns:
        Values [n_lines, count], or ``None`` if the text does not have this layout.
    """
    width = text.find(b"\n") + 1
    if len(text) == width * n_lines - 1:
        text += b"\n"
    if width == 0 or len(text) != width * n_lines:
        return None
    words = list(re.finditer(rb"\S+", text[:width]))
    # [width, n_lines]: a row for each character of the line, so that the loops below are long
    characters = np.ascontiguousarray(np.frombuffer(text, np.uint8).reshape(n_lines, width).T)
    if len(words) != n_words or (characters[-1] != _NEWLINE).any():
        return None
    if (characters[[word.end() - 1 for word in words]] <= _SPACE).any():  # a word is missing
        return None
    values = np.empty((n_lines, count))
    for k in range(count):
        start = words[first + k - 1].end() if first + k > 0 else 0
        column = _column(characters, start, words[first + k])
        if column is None:
            return None
        values[:, k] = column
    return values


def _column(characters: np.ndarray, start: int, word: re.Match) -> np.ndarray | None:
    """Return the numbers [N] between ``start`` and the end of ``word`` of the first line."""
    match = _NUMBER.fullmatch(word.group())
    if match is None:
        return None
    decimals = len(match[1])
    point = word.start() + match.start(1) - 1
    stop = point + 1 + decimals
    # a space or the newline must follow the number
    if (characters[point] != _POINT).any() or (characters[word.end()] > _SPACE).any():
        return None
    mantissa = _mantissa(characters[start:point], characters[point + 1 : stop])
    if mantissa is None:
        return None
    if match[3] is not None:
        return _scaled(mantissa, decimals, characters[stop : word.end()])
    return mantissa / _POWERS[decimals]


def _mantissa(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """Return the signed integers [N] of the digits before and after the decimal point."""
    before = before[(before != _SPACE).any(axis=1)]
    if len(before) == 0 or len(before) + len(after) > _MAX_POWER:
        return None
    digit = before - np.uint8(_ZERO)
    is_digit, minus = digit < 10, before == _MINUS
    if not (is_digit | minus | (before == _SPACE)).all() or not is_digit[-1].all():
        return None
    # spaces (0), at most one minus sign (1), then digits (2): the values must never decrease
    kind = 2 * is_digit.view(np.uint8) + minus.view(np.uint8)
    if (kind[1:] < kind[:-1]).any() or (minus[1:] & minus[:-1]).any():
        return None
    fraction = after - np.uint8(_ZERO)
    if fraction.max() > 9:
        return None
    powers = _POWERS[: len(before) + len(fraction)][::-1]
    total = powers[: len(before)] @ (digit * is_digit).astype(np.float64)
    total += powers[len(before) :] @ fraction.astype(np.float64)
    if total.max() >= _EXACT:
        return None
    return np.where(minus.any(axis=0), -total, total)


def _scaled(mantissa: np.ndarray, decimals: int, tail: np.ndarray) -> np.ndarray | None:
    """Return mantissas [N] times ten to the exponents given by the characters ``tail``."""
    digits = tail[2:] - np.uint8(_ZERO)
    negative = tail[1] == _MINUS
    if not np.isin(tail[0], list(_EXPONENT_MARKS)).all():
        return None
    if not (negative | (tail[1] == ord("+"))).all() or digits.max() > 9:
        return None
    exponent = 10 ** np.arange(len(digits))[::-1] @ digits.astype(int)
    power = np.where(negative, -exponent, exponent) - decimals
    if np.abs(power).max() > _MAX_POWER:
        return None
    ten = _POWERS[np.abs(power)]
    return np.where(power < 0, mantissa / ten, mantissa * ten)
