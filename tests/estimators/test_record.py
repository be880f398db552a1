"""Fits that keep their states elsewhere, and go on from there."""

import numpy as np
import pytest

from counterplay.estimators import SOGAAL
from counterplay.estimators._record import current, Record, recorded


X = np.random.default_rng(0).random((40, 2))


def fitted():
    return SOGAAL(n_active=5, random_state=0).fit(X)


def test_a_fit_keeps_its_states_in_the_record_and_is_watched():
    seen, kept = [], {}

    def watch(n_steps):
        return lambda state, losses: seen.append((n_steps, state.step))

    with recorded(Record(kept, watch)):
        found = fitted()
    n = found.trajectory_.n_steps
    assert seen == [(n, step) for step in range(1, n + 1)]
    assert max(kept) == n
    assert found.trajectory_.checkpoints.keys() == kept.keys()
    assert current().checkpoints == {}  # over


def test_a_fit_goes_on_from_the_record_to_the_same_bits():
    whole, kept = fitted(), {}

    def interrupt(n_steps):
        def at(state, losses):
            if state.step == n_steps // 2:
                raise KeyboardInterrupt

        return at

    with pytest.raises(KeyboardInterrupt), recorded(Record(kept, interrupt)):
        fitted()
    reached = max(kept)
    assert 0 < reached <= whole.trajectory_.n_steps // 2
    n_d = sum("D" in whole.game_.movers(move) for move in range(reached))
    past = {
        "D": whole.train_history_["D"][:n_d],
        "G": whole.train_history_["G"][: reached - n_d],
    }
    with recorded(Record(kept, past=past)):
        again = fitted()
    assert (again.outlier_scores_ == whole.outlier_scores_).all()
    assert again.trajectory_.fingerprints == whole.trajectory_.fingerprints
    assert again.train_history_ == whole.train_history_
