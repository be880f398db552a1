import functools

import pytest

from counterplay._memory import (
    in_bytes,
    in_words,
    Layout,
    layout,
    n_replayed,
    next_kept,
    spacing,
)
from counterplay.errors import ConfigError, TraceError


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, 1),
        (4096, 4096),
        ("7", 7),
        ("2GiB", 2**31),
        ("1.5 kib", 1536),
        ("3 MB", 3_000_000),
    ],
)
def test_sizes_are_numbers_or_texts(size, expected):
    assert in_bytes(size) == expected


@pytest.mark.parametrize("size", ["", "many", "2 XiB", "-1", 0, "0GiB", "1e9"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(
        ConfigError, match=r"`memory` is a number of bytes or a size such as"
    ):
        in_bytes(size)


def test_sizes_are_said_in_words():
    assert [in_words(n) for n in (12, 1536, 3 * 2**20, 2**30)] == [
        "12 bytes", "1.5 KiB", "3.0 MiB", "1.0 GiB",
    ]  # fmt: skip


@functools.cache
def fewest(n: int, kept: int) -> int:
    """The fewest pieces played again, by trying every place of the next kept state."""
    if n == 1:
        return 0
    if kept == 0:
        return n * (n - 1) // 2
    return min(
        first + fewest(n - first, kept - 1) + fewest(first, kept) for first in range(1, n)
    )


def walked(n: int, kept: int) -> int:
    """Pieces that are played again when `next_kept` is followed."""
    if n == 1:
        return 0
    if kept == 0:
        return n * (n - 1) // 2
    first = next_kept(n, kept)
    return first + walked(n - first, kept - 1) + walked(first, kept)


@pytest.mark.parametrize("kept", range(6))
def test_the_schedule_plays_the_fewest_pieces_again(kept):
    for n in range(1, 40):
        assert n_replayed(n, kept) == fewest(n, kept)
        assert walked(n, kept) == fewest(n, kept)


def test_room_for_all_graphs_plays_nothing_again():
    assert layout(30, state=1, graph=10, memory=10_000).n_replayed(30) == 0


def test_less_memory_never_plays_less_again():
    costs = [
        layout(100, state=5, graph=20, memory=memory).n_replayed(100)
        for memory in range(60, 3_000, 20)
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 500
    assert costs[-1] == 0


def test_a_layout_stays_within_its_budget():
    for memory in range(60, 3_000, 35):
        found = layout(100, state=5, graph=20, memory=memory)
        assert 3 * 5 + 20 + found.held * 20 + found.kept * 5 <= memory


def test_more_states_than_moves_are_not_kept():
    assert layout(10, state=1, graph=1_000, memory=3_000) == Layout(held=1, kept=9)


def test_a_budget_below_one_move_is_refused():
    with pytest.raises(
        TraceError,
        match=r"A budget of 100 bytes is too small .* 50 bytes .* 1.0 KiB, so that 2.1 KiB is",
    ):
        layout(10, state=50, graph=1_024, memory=100)


def test_checkpoints_lie_a_square_root_apart_if_there_is_room():
    assert spacing(10_000, state=10, memory=None) == 100
    assert spacing(10_000, state=10, memory="1MiB") == 100
    assert spacing(1, state=10, memory=None) == 1


def test_checkpoints_lie_further_apart_if_there_is_less_room():
    for memory in range(20, 1_000, 30):
        every = spacing(10_000, state=10, memory=memory)
        kept = {0, *range(0, 10_000, every), 10_000}
        assert len(kept) * 10 <= memory
        assert every == 100 or (len(kept) + 1) * 10 > memory or memory < 40
    assert spacing(10_000, since=9_000, state=10, memory=50) == 250


def test_room_for_one_checkpoint_is_too_little():
    with pytest.raises(TraceError, match=r"A budget of 19 is too small for checkpoints"):
        spacing(100, state=10, memory=19)
