"""Splitting work into consecutive ranges of bounded cost (Python and TorchScript)."""


def split_by_cost(costs: list[float], bound: float) -> list[tuple[int, int]]:
    """Return ranges (start, stop) of consecutive entries whose costs add up to at most ``bound``.

    An entry that exceeds the bound has a range of its own.
    """
    ranges: list[tuple[int, int]] = []
    start, total = 0, 0.0
    for index in range(len(costs)):
        if index > start and total + costs[index] > bound:
            ranges.append((start, index))
            start, total = index, 0.0
        total += costs[index]
    if start < len(costs):
        ranges.append((start, len(costs)))
    return ranges
