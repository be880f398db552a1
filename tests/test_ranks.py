"""Runs and traces that several processes share are those of one process."""

import os
import re
from unittest import mock

import cases
import numpy as np
import pytest
import ranked

from counterplay.ranks import ALONE, launched, Ranks


@pytest.fixture(params=[2, pytest.param(4, marks=pytest.mark.slow)])
def shared(request):
    return ranked.shared(request.param)


@pytest.mark.parametrize("name", ranked.RUNS)
def test_ranks_play_and_trace_what_one_process_does(shared, name):
    alone = ranked.run(name)
    for found in shared:
        for tensor, value in alone["state"].items():
            np.testing.assert_allclose(
                found[name]["state"][tensor], value, rtol=1e-10, atol=1e-12
            )
        for ours, theirs in zip(found[name]["influence"], alone["influence"], strict=True):
            assert np.abs(theirs).min() > 0
            np.testing.assert_allclose(
                ours, theirs, rtol=0, atol=1e-10 * np.abs(theirs).max()
            )


@pytest.mark.parametrize("name", ranked.RUNS)
def test_all_ranks_have_the_same_bits(shared, name):
    first, *others = (found[name] for found in shared)
    for other in others:
        for tensor, value in first["state"].items():
            np.testing.assert_array_equal(other["state"][tensor], value)
        np.testing.assert_array_equal(other["influence"], first["influence"])


@pytest.mark.parametrize("way", ranked.ADJOINTS)
def test_other_adjoints_are_shared_as_well(shared, way):
    alone = ranked.adjoints()[way]
    for found in shared:
        np.testing.assert_allclose(found["adjoints"][way], alone, rtol=1e-9, atol=1e-14)


def test_only_the_first_rank_writes_and_all_go_on_from_its_files(shared):
    alone = ranked.run("everything")["influence"][0]
    assert [found["resumed"]["writes"] > 0 for found in shared] == [True] + [False] * (
        len(shared) - 1
    )
    for found in shared:
        assert found["resumed"]["moves"] == [0, 5, 7, 10, 12]
        assert found["resumed"]["done"][0] == 5  # four moves were done before
        np.testing.assert_allclose(
            found["resumed"]["influence"], alone, rtol=0, atol=1e-10 * np.abs(alone).max()
        )


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (
            "unequal parts",
            r"GameError: A batch of \d instances cannot be shared equally by \d",
        ),
        ("dropout", r"GameError: A network draws random numbers of its own"),
        ("coupled", r"GameError: The game couples the instances of a batch"),
        ("no mean", r"GameError: The loss of player 'G' cannot be computed in parts: its "),
        ("mixing layer", r"GameError: The loss of player '.' cannot be computed in parts"),
        ("recorded alone", r"TraceError: The run was played by 1 ranks, but here are \d"),
        ("forward mode", r"TraceError: `ForwardMode` pushes many tangents at once"),
        ("kinks", r"TraceError: `Mollified` measures units over a whole batch"),
        (
            "other state",
            r"RankError: The state at move 3 is not the same on rank 0 and on \[1",
        ),
    ],
)
def test_what_ranks_cannot_share_is_refused_on_all_of_them(shared, what, text):
    for found in shared:
        assert re.match(text, found["refused"][what]), found["refused"][what]


def test_the_first_rank_tells_the_others_and_takes_them_along_when_it_fails(shared):
    assert [found["told"] for found in shared] == ["by rank 0"] * len(shared)
    first, *others = (found["refused"]["first fails"] for found in shared)
    assert first == "GameError: none"
    assert set(others) == {
        "RankError: The first rank has failed and says why; this one stops too."
    }


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_a_lost_rank_stops_the_others(how, tmp_path):
    said = ranked.abandoned(how, tmp_path)
    assert said.startswith("RankError: Contact with another rank was lost while summing")


def test_a_single_process_shares_nothing():
    game = cases.gan().game
    with Ranks.joined() as ranks:
        assert ranks == ALONE
        assert ranks.is_first
        assert ranks.share(game, 5) is game
        kept = {}
        assert ranks.store(kept) is kept
        assert ranks.largest(3) == 3
        assert ranks.told(lambda: "alone") == "alone"
        ranks.agree("Nothing", "alone")


def test_a_launcher_is_known_by_what_it_sets():
    found = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    with mock.patch.dict(os.environ, found, clear=True):
        assert launched()
    with mock.patch.dict(os.environ, found | {"WORLD_SIZE": "1"}, clear=True):
        assert not launched()
    with mock.patch.dict(os.environ, {}, clear=True):
        assert not launched()
