"""The pictures of docs/performance.md, made by matplotlib; only a run that writes needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

from .figures import Load, Results, median

mpl.use("svg")
# Text stays text, and two runs with the same figures make the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "unispawner", "font.size": 9})

from matplotlib import pyplot  # noqa: E402 - it looks at the settings above

Take = Callable[[Load], Sequence[float]]
PICTURES: dict[str, tuple[str, Take]] = {
    "performance-ready": ("Seconds until the server answers", lambda load: load.ready),
    "performance-stop": ("Seconds until the stop is confirmed", lambda load: load.stopped),
    "performance-cpu": ("CPU seconds of the Hub and its children", lambda load: load.start_cpu),
}


def write(results: Results, titles: dict[str, str], folder: Path) -> list[str]:
    """Write the pictures into a folder, and return the lines of the page that show them."""
    lines = []
    for name, (title, take) in PICTURES.items():
        _draw(results, titles, title, take, folder / f"{name}.svg")
        lines.append(f"![{title}, median; shorter is better](images/{name}.svg)")
    return lines


def _draw(
    results: Results,
    titles: dict[str, str],
    title: str,
    take: Take,
    path: Path,
) -> None:
    """Draw one panel for each number of users, with a bar for each candidate."""
    sizes = sorted(results.loads)
    figure, axes = pyplot.subplots(1, len(sizes), figsize=(3.2 * len(sizes), 2.6), squeeze=False)
    for number, (panel, size) in enumerate(zip(axes[0], sizes, strict=True)):
        loads = {name: load for name, load in results.loads[size].items() if take(load)}
        values = [median(take(load)) for load in loads.values()]
        bars = panel.barh([titles[name] for name in loads], values, color="#4878a8")
        panel.bar_label(bars, fmt="%.2g", padding=2)
        panel.margins(x=0.18)
        panel.invert_yaxis()
        panel.set_title("1 user" if size == 1 else f"{size} users at once")
        panel.spines[["top", "right"]].set_visible(False)
        if number:
            panel.set_yticklabels([])
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
