"""The plot of the throughput: rates by connections, and whole cycles beside those of the peers."""

import statistics
from pathlib import Path

_BOSS = ("submit", "take", "done", "cycle")


def plot_rates(rates: dict[tuple[str, int], list[float]], file: Path) -> None:
    """Draw the medians, with their spread, into an SVG file."""
    # Imported here because it is installed for benchmarks only (make bench).
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "boss"
    import matplotlib.pyplot as plt

    figure, (lines, bars) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name in _BOSS:
        counts = sorted(count for each, count in rates if each == name)
        middle = [statistics.median(rates[name, count]) for count in counts]
        below = [median - min(rates[name, count]) for median, count in zip(middle, counts, strict=True)]
        above = [max(rates[name, count]) - median for median, count in zip(middle, counts, strict=True)]
        lines.errorbar(counts, middle, yerr=[below, above], marker="o", capsize=3, label=name)
    lines.set(xscale="log", xlabel="connections", ylabel="a second", title="Boss, one HTTP request each")
    lines.set_xticks(counts, [f"{count:,}" for count in counts])
    lines.set_ylim(bottom=0)
    lines.legend()

    cycles = {
        "Boss": rates.get(("cycle", 64)),
        **{
            name.removesuffix(": cycle"): found
            for (name, count), found in rates.items()
            if name.endswith(": cycle") and count == 64
        },
        "the design's statements": rates.get(("the design's statements, pgbench", 64)),
    }
    shown = sorted(((statistics.median(found), name) for name, found in cycles.items() if found), reverse=True)
    drawn = bars.barh([name for _, name in shown], [rate for rate, _ in shown])
    bars.bar_label(drawn, [f" {rate:,.0f}" for rate, _ in shown])
    bars.set(xscale="log", title="whole cycles a second, 64 clients", xlim=(100, 100_000))
    bars.invert_yaxis()
    figure.savefig(file, metadata={"Date": None})
