"""The tree of states, sources and jobs: as counts for a program, and drawn as text for a person."""

from collections.abc import Iterator, Mapping, Sequence

from boss.model.job import State

# How many ids the drawn tree shows under a source.
DRAWN_IDS = 3

Counts = Mapping[tuple[str, State], int]
GreatestIds = Mapping[tuple[str, State], Sequence[str]]


def tree(counts: Counts) -> dict[str, dict[str, int]]:
    """For each state, the number of jobs of every source ever seen."""
    sources = sorted({source for source, _ in counts})
    return {state.value: {source: counts.get((source, state), 0) for source in sources} for state in State}


def draw(counts: Counts, greatest: GreatestIds) -> str:
    """The tree as text, one line a node, with the greatest ids under each source.

    Args:
        counts: the number of jobs of each source and state.
        greatest: the greatest ids of each source and state, the greatest first. One more than DRAWN_IDS means that
            "… more" is drawn.
    """
    lines = ["job"]
    sources = sorted({source for source, _ in counts})
    for state, indent in _branches(list(State), "", lines):
        for source, inner in _branches(sources, indent, lines):
            key = (source, State(state))
            _draw_ids(greatest.get(key, ()), counts.get(key, 0), inner, lines)
    return "\n".join(lines) + "\n"


def _branches(names: Sequence[str], indent: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, name in enumerate(names, start=1):
        last = number == len(names)
        lines.append(f"{indent}{'└' if last else '├'}── {name}")
        yield name, indent + ("    " if last else "│   ")


def _draw_ids(ids: Sequence[str], count: int, indent: str, lines: list[str]) -> None:
    shown = list(ids[:DRAWN_IDS])
    if len(ids) > DRAWN_IDS:
        shown.append(f"… {count - DRAWN_IDS:,} more")
    for _ in _branches(shown, indent, lines):
        pass
