"""The table of docs/metrics.md is what the facts say; run this file to write it again."""

import inspect

import pages

from counterplay import metrics


def written():
    rows = [
        "| metric | reads | better | range | gradient | what it is |",
        "|---|---|---|---|---|---|",
    ]
    for name in metrics.names():
        facts = metrics.load(name)
        reads = {"classified": "features, logits"}.get(facts.needs, facts.needs)
        better = "higher" if facts.higher_is_better else "lower"
        low, high = (f"{bound:g}".replace("inf", "∞") for bound in facts.bounds)
        first = (inspect.getdoc(facts.function) or "").split("\n")[0].replace("|", "\\|")
        gradient = "yes" if facts.differentiable else ""
        rows.append(
            f"| `{name}` | {reads} | {better} | {low} to {high} | {gradient} | {first} |"
        )
    return "\n".join(rows) + "\n"


def test_the_table_holds_every_metric_and_its_facts():
    assert pages.table_of("metrics.md") == written()


if __name__ == "__main__":
    pages.rewrite("metrics.md", written())
