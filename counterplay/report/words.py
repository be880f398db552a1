"""Names and numbers as people read them."""

import re

from markupsafe import escape, Markup

from counterplay import metrics
from counterplay.data.splits import PARTS


_PART = {"train": "training", "valid": "validation", "test": "test"}
MINUS = "\u2212"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def metric_part(name: str) -> str:
    """The part of the data that a metric compares with, such as `"valid"`, or empty."""
    part, _, rest = name.partition("_")
    return part if part in PARTS and rest else ""


def metric_name(name: str) -> str:
    """A metric without its protocol: `"Fréchet distance"`."""
    label, _ = _label_and_protocol(name)
    return label


def metric_title(name: str) -> str:
    """A metric with its protocol: `"recall (validation; classifier, 2,048 samples)"`."""
    label, protocol = _label_and_protocol(name)
    parts = [_PART.get(metric_part(name), ""), protocol]
    inside = "; ".join(part for part in parts if part)
    return f"{label} ({inside})" if inside else label


def _label_and_protocol(name: str) -> tuple[str, str]:
    part = metric_part(name)
    rest = name.removeprefix(f"{part}_") if part else name
    for known in sorted(metrics.names(), key=len, reverse=True):
        if rest == known or rest.startswith(f"{known}_"):
            label = metrics.load(known).function.__name__.replace("_", " ")
            label = label.replace("frechet", "Fréchet")
            return label, _protocol(rest.removeprefix(known).strip("_"))
    return rest.replace("_", " "), ""


def _protocol(rest: str) -> str:
    found = re.fullmatch(r"(.+?)_(\d+)(?:_(.+))?", rest)
    if found is None:
        return rest.replace("_", " ")
    features, n, options = found.groups()
    parts = [features.replace("_", " "), f"{int(n):,} samples"]
    return ", ".join([*parts, options.replace("_", " ")] if options else parts)


def method_name(name: str) -> str:
    """A way to choose what to remove: `"influence on Fréchet distance"`."""
    if name.startswith("influence on "):
        metric, *rest = name.removeprefix("influence on ").split(" ", 1)
        return " ".join([f"influence on {metric_name(metric)}", *rest])
    return name.replace("_", " ")


def number(value: float, *, signed: bool = False) -> str:
    """Three significant digits, with a real minus sign: `"−0.0123"`, `"4.50 × 10⁻⁷"`."""
    sign = "+" if signed else ""
    whole = 999.5 <= abs(value) < 1e6
    return _typeset(f"{value:{sign},.0f}" if whole else f"{value:{sign}#.3g}")


def agreement(value: float) -> str:
    """A correlation: `"0.83"`, `"−0.21"`."""
    return _typeset(f"{value:.2f}")


def tick(value: float) -> str:
    """A round number beside an axis: `"0.2"`, `"1,500"`, `"2 × 10⁻⁷"`."""
    plain = value == 0 or 1e-4 <= abs(value) < 1e6
    return _typeset(f"{value:,.6g}" if plain else f"{value:.3g}")


def _typeset(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    if exponent:
        mantissa += f"\u2009\u00d7\u200910{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return mantissa.removesuffix(".").replace("-", MINUS)


def percent(share: float) -> str:
    """A share as a percentage: `"5 %"`."""
    return f"{100 * share:.3g} %"


def p_value(value: float) -> str:
    """A p-value: `"0.013"`, `"< 0.001"`."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def effect(harm: float, metric: str) -> str:
    """What removing an instance is predicted to do: `"improves the recall by 0.0200"`."""
    verb = "improves" if harm > 0 else "worsens"
    return f"{verb} the {metric_name(metric)} by {number(abs(harm))}"


def count(n: int, noun: str) -> str:
    """A number of things: `"1 seed"`, `"1,078 instances"`, `"2 stretches"`."""
    ending = "es" if noun.endswith("ch") else "s"
    return f"{n:,} {noun}{'' if n == 1 else ending}"


def coded(text: str) -> Markup:
    """Text with its `code` in backticks set as code; everything else is escaped."""
    pieces = str(escape(text)).split("`")
    marked = (f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))
    return Markup("".join(marked))
