"""Sums over processes have derivatives of every order."""

import math

import pytest
import ranked

from counterplay._collectives import in_contact
from counterplay.errors import RankError


def test_sums_over_ranks_have_derivatives_of_every_order():
    # Of sum_k sin(k x), with k = rank + 1.
    x = 0.7
    wanted = [
        sum(k * math.cos(k * x) for k in (1, 2)),
        sum(-(k**2) * math.sin(k * x) for k in (1, 2)),
        sum(-(k**3) * math.cos(k * x) for k in (1, 2)),
    ]
    for found in ranked.shared(2):
        assert found["derivatives"] == pytest.approx(wanted, rel=1e-14)


def test_a_lost_contact_says_what_to_do():
    text = r"lost while waiting.*with `--resume`.*peer is gone"
    with pytest.raises(RankError, match=text), in_contact("waiting"):
        raise RuntimeError("peer is gone\nand a trace")
