from dataclasses import replace

import pytest
from example_run import HOSTILE, N

from counterplay.report import gallery, records


def test_both_ends_are_ranked_and_marked(folder, data):
    (ranking,) = gallery.rankings(records.read(folder), data)
    first = ranking["harmful"][0]
    assert (first.name, first.rank, first.label, first.planted) == (HOSTILE, 1, "a", True)
    assert first.removal == -1.0
    assert first.effect == "improves the Fréchet distance by 1.00"
    assert first.size == 1.0
    assert first.picture.startswith("data:image/png")
    assert ranking["helpful"][0].rank == N
    assert [len(ranking[end]) for end in ("harmful", "helpful")] == [N // 2, N // 2]


def test_without_data_or_scores_only_ids_remain(folder):
    (folder / "scores.csv").unlink()
    (ranking,) = gallery.rankings(records.read(folder), None)
    first = ranking["harmful"][0]
    assert (first.name, first.picture, first.label, first.planted) == (
        HOSTILE,
        "",
        "",
        False,
    )


def test_labels_come_from_the_data_when_the_scores_have_none(folder, data):
    (folder / "scores.csv").unlink()
    run = records.read(folder)
    assert gallery.rankings(run, data)[0]["harmful"][1].label == "b"
    nameless = replace(data, class_names=())
    assert gallery.rankings(run, nameless)[0]["harmful"][1].label == "1"


def test_the_other_metrics_are_told_in_words(folder, influence):
    other = replace(influence, metric="valid_recall_identity_8", higher_is_better=True)
    other.save(folder / "influence_1.npz")
    first, second = gallery.rankings(records.read(folder), None)
    assert first["harmful"][0].others == "worsens the recall by 1.00"
    assert second["harmful"][0].rank == 1
    assert second["harmful"][0].removal == pytest.approx(1.0)
