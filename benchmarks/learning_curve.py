"""Draw how the bundled weights came to their scores: `python -m benchmarks.learning_curve` makes the picture in docs/.

docs/learning_curve.csv has a line for every state that was bundled or scored: the windows that its training had seen,
PSNR_T on the held-out clips of docs/results.md, that of the start, and what had changed before the stage.
"""

import csv
from pathlib import Path
from string import ascii_lowercase

from matplotlib.figure import Figure

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = {"2e": "two exposures", "3e": "three exposures"}
COLORS = {"lite": "tab:blue", "small": "tab:orange"}


def main() -> None:
    """Draw one panel per number of exposures: scores as dots, starts as dashes, stages by letters."""
    with (DOCS / "learning_curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    letters = dict(zip(dict.fromkeys(row["stage"] for row in rows if row["stage"]), ascii_lowercase, strict=False))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for panel, (exposures, title) in zip(panels, SHOWN.items(), strict=True):
        for size, color in COLORS.items():
            mine = [row for row in rows if row["weights"] == f"{size}_{exposures}"]
            windows = [int(row["windows"]) / 1000 for row in mine]
            panel.plot(windows, [float(row["score_db"]) for row in mine], "o-", color=color, label=size, markersize=4)
            if size == "lite":
                panel.plot(windows, [float(row["start_db"]) for row in mine], "--", color="gray", label="its start")
            for row, place in zip(mine, windows, strict=True):
                label, at = letters.get(row["stage"], ""), (place, float(row["score_db"]))
                panel.annotate(label, at, xytext=(-3, 6), textcoords="offset points", color=color)
        panel.set(title=title, xlabel="windows seen in training, thousands")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("PSNR_T on 17 held-out clips, dB")
    panels[0].legend(loc="lower right")
    stages = "\n".join(f"{letter}  {stage}" for stage, letter in letters.items())
    panels[1].text(0.97, 0.04, stages, transform=panels[1].transAxes, ha="right", va="bottom", fontsize=9)
    figure.savefig(DOCS / "learning_curve.png", dpi=90)


if __name__ == "__main__":
    main()
