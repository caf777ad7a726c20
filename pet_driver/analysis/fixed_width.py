"""Numbers of fixed-width text, many lines at a time.

Trajectories are tables whose numbers end in the same columns in every line. Their digits are added
up as integers and divided once by a power of ten, which rounds as ``float`` does: the same numbers,
several times sooner. What does not look like that is left to be read word by word.
"""

from __future__ import annotations

import re

import numpy as np

_EXACT = 2.0**53  # integers up to here are floats
_MAX_POWER = 22  # powers of ten up to here are floats
_POWERS = 10.0 ** np.arange(_MAX_POWER + 1)
_NUMBER = re.compile(rb"-?\d+\.(\d+)(?:[eE]([+-])(\d+))?")


def table(text: bytes, n_lines: int, n_words: int, first: int, count: int = 3) -> np.ndarray | None:
    """Columns of a table of numbers as they stand in the text.

    Args:
        text: the lines, each with its end (the last one's may be missing).
        n_lines: how many there must be.
        n_words: how many columns each line has.
        first: the first column that is wanted; columns before it may be words.
        count: columns in succession.

    Returns:
        values [n_lines, count], or ``None`` where lines or numbers are not all of one shape.
    """
    width = text.find(b"\n") + 1
    if len(text) == width * n_lines - 1:
        text += b"\n"
    if width == 0 or len(text) != width * n_lines:
        return None
    words = list(re.finditer(rb"\S+", text[:width]))
    # [width, n_lines]: a place in the line is a row, so that the loops below are long
    places = np.ascontiguousarray(np.frombuffer(text, np.uint8).reshape(n_lines, width).T)
    if len(words) != n_words or (places[-1] != 10).any():
        return None
    if (places[[word.end() - 1 for word in words]] <= 32).any():  # a word is missing
        return None
    values = np.empty((n_lines, count))
    for k in range(count):
        start = words[first + k - 1].end() if first + k > 0 else 0
        column = _column(places, start, words[first + k])
        if column is None:
            return None
        values[:, k] = column
    return values


def _column(places: np.ndarray, start: int, word: re.Match) -> np.ndarray | None:
    """The numbers [N] between ``start`` and the end of ``word``, which is the first line's."""
    match = _NUMBER.fullmatch(word.group())
    if match is None:
        return None
    decimals = len(match[1])
    dot = word.start() + match.start(1) - 1
    stop = dot + 1 + decimals
    # after the number there is a space or the end of the line
    if (places[dot] != 46).any() or (places[word.end()] > 32).any():
        return None
    mantissa = _mantissa(places[start:dot], places[dot + 1 : stop])
    if mantissa is None or match[3] is not None:
        return None if mantissa is None else _scaled(mantissa, decimals, places[stop : word.end()])
    return mantissa / _POWERS[decimals]


def _mantissa(whole: np.ndarray, decimals: np.ndarray) -> np.ndarray | None:
    """Signed integers [N] made of the digits before and after the point."""
    whole = whole[(whole != 32).any(axis=1)]
    if len(whole) == 0 or len(whole) + len(decimals) > _MAX_POWER:
        return None
    digit = whole - np.uint8(48)
    is_digit, minus = digit < 10, whole == 45
    if not (is_digit | minus | (whole == 32)).all() or not is_digit[-1].all():
        return None
    # spaces, then perhaps a minus, then digits: 0, 1 and 2 never fall, and 1 comes once
    kind = 2 * is_digit.view(np.uint8) + minus.view(np.uint8)
    if (kind[1:] < kind[:-1]).any() or (minus[1:] & minus[:-1]).any():
        return None
    fraction = decimals - np.uint8(48)
    if fraction.max() > 9:
        return None
    powers = _POWERS[: len(whole) + len(fraction)][::-1]
    total = powers[: len(whole)] @ (digit * is_digit).astype(np.float64)
    total += powers[len(whole) :] @ fraction.astype(np.float64)
    if total.max() >= _EXACT:
        return None
    return np.where(minus.any(axis=0), -total, total)


def _scaled(mantissa: np.ndarray, decimals: int, tail: np.ndarray) -> np.ndarray | None:
    """Mantissas [N] times ten to the exponents that stand in ``tail`` [2 + digits, N]."""
    digits = tail[2:] - np.uint8(48)
    negative = tail[1] == 45
    if not ((tail[0] == 101) | (tail[0] == 69)).all() or not (negative | (tail[1] == 43)).all():
        return None
    if digits.max() > 9:
        return None
    exponent = 10 ** np.arange(len(digits))[::-1] @ digits.astype(int)
    power = np.where(negative, -exponent, exponent) - decimals
    if np.abs(power).max() > _MAX_POWER:
        return None
    ten = _POWERS[np.abs(power)]
    return np.where(power < 0, mantissa / ten, mantissa * ten)
