"""The figures of a page: which there are, what they say in words, their inline SVG."""

import io
import re
from dataclasses import dataclass

import numpy as np
from markupsafe import escape, Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from counterplay.report import drawing, figures, verdicts, words
from counterplay.report.records import is_planted, Run


# The page's own colours, which follow light and dark.
_THEMED = {
    drawing.INK: "var(--soft)",
    drawing.HARMFUL: "var(--harm)",
    drawing.HELPFUL: "var(--help)",
    drawing.PLANTED: "var(--mark)",
}


@dataclass(frozen=True)
class Chart:
    """A figure and what it shows.

    Attributes:
        name: Unique in the page; also the stem of its files.
        figure: The figure.
        text: The alternative for who does not see it.
    """

    name: str
    figure: Figure
    text: str

    def markup(self) -> Markup:
        """Inline SVG in the page's colours and font."""
        content = io.StringIO()
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": self.name}):
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            self.figure.savefig(content, format="svg", metadata=nothing)
        svg = content.getvalue()
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r'\s(xmlns(:\w+)?|width|height|version)="[^"]*"', "", svg, count=5)
        # Ids are unique in a figure only, but the page holds several.
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        for colour, themed in _THEMED.items():
            svg = svg.replace(colour, themed)
        label = f'<svg role="img" aria-label="{escape(self.text)}"'
        return Markup(svg.replace("<svg", label, 1))


def draw(run: Run) -> dict[str, Chart]:
    """Every chart that the files of a run allow, by name."""
    found = [
        *_of_training(run),
        *_of_influence(run),
        *_of_verifying(run),
        *_of_cleansing(run),
    ]
    return {chart.name: chart for chart in found}


def _of_training(run: Run) -> list[Chart]:
    found = []
    names = {name for row in run.log for name in row}
    if any(name.startswith("loss_") for name in names):
        text = "The loss of each player over the moves of the run."
        found.append(Chart("training", figures.training_curves(run.log), text))
    if measured := sorted(name for name in names if words.metric_part(name)):
        last = {n: next(r[n] for r in reversed(run.log) if n in r) for n in measured}
        ends = ", ".join(
            f"{words.metric_title(n)} {words.number(v)}" for n, v in last.items()
        )
        text = f"Metrics over the moves of the run; at the end: {ends}."
        found.append(Chart("metrics", figures.metric_curves(run.log), text))
    return found


def _of_influence(run: Run) -> list[Chart]:
    marks = {row["id"]: is_planted(row) for row in run.scores}
    found = []
    for i, influence in enumerate(run.influences):
        harm = influence.harm[~influence.harm.isnan()]
        if not len(harm):
            continue
        text = (
            f"Histogram of the predicted effect of removing each of {len(harm):,} "
            f"instances. For {int((harm > 0).sum()):,} of them removal improves the metric."
        )
        figure = figures.influence_histogram(
            influence.removal.numpy(),
            influence.metric,
            higher_is_better=influence.higher_is_better,
            planted=np.array([marks.get(name, False) for name in influence.ids]),
        )
        found.append(Chart(f"influence_{i}", figure, text))
    return found


def _of_verifying(run: Run) -> list[Chart]:
    found = []
    for i, entry in enumerate(run.verified):
        taus = {a: verdicts.judged(entry["metric"], a, entry).tau for a in entry["verdict"]}
        said = ", ".join(
            f"{t['value']:.2f} for {adjoint}"
            for adjoint, t in taus.items()
            if t is not None
        )
        text = (
            "Predicted against true changes of the metric, found by retraining. "
            f"Kendall's tau of removals: {said or 'not measured'}."
        )
        found.append(Chart(f"verify_{i}", figures.verification_scatter(entry), text))
    return found


def _of_cleansing(run: Run) -> list[Chart]:
    found = []
    for metric in run.cleansing["seeds"][0]["after"] if run.cleansing else ():
        gains = {
            words.method_name(c["method"]): words.number(c["gain"]["value"], signed=True)
            for c in run.cleansing["comparisons"]
            if c["metric"] == metric
        }
        best = [f"{method} {gain}" for method, gain in gains.items()]
        text = (
            "Gain over no removal against the share removed, per method. "
            f"At the share chosen for each: {', '.join(best)}."
        )
        figure = figures.cleansing_curves(run.cleansing, metric)
        found.append(Chart(f"cleansing_{metric}", figure, text))
    return found
