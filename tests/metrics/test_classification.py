"""What a game's own classifier gets wrong."""

from dataclasses import replace

import cases
import pytest
import torch
from sklearn.metrics import log_loss, zero_one_loss
from torch.nn.functional import softmax

from counterplay._influence import trace
from counterplay._play import play
from counterplay.errors import MetricError
from counterplay.metrics import of_classifier
from counterplay.metrics.classification import with_error


@pytest.fixture
def case():
    return cases.make("semi_supervised_gan")


def logits_of(case, state, x):
    network = case.game.modules["D"]
    network.load_state_dict(state.view()["D"])
    with torch.no_grad():
        return network(x)[0]


def test_values_are_those_of_scikit_learn_on_labelled_rows(case):
    state = case.game.initial()
    held_out = cases.labelled(40, seed=1)
    some = held_out["y"].clone()
    some[10:] = -1
    partly = replace(held_out, tensors={**held_out.tensors, "y": some})
    logits = logits_of(case, state, held_out["x"])
    for data, n in ((held_out, 40), (partly, 10)):
        y = held_out["y"][:n]
        error = of_classifier("classification_error", case.game, data)
        loss = of_classifier("cross_entropy", case.game, data)
        assert error.value(state) == pytest.approx(zero_one_loss(y, logits[:n].argmax(1)))
        assert loss.value(state) == pytest.approx(log_loss(y, softmax(logits[:n], 1)))
        assert error.higher_is_better is loss.higher_is_better is False


def test_the_cross_entropy_can_be_traced_and_the_error_only_measured(case):
    held_out = cases.labelled(20, seed=1)
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    target = of_classifier("cross_entropy", case.game, held_out)
    found = trace(case.game, case.data, run, target)
    assert (found.gradient != 0).any()
    with pytest.raises(MetricError, match="'classification_error' cannot be diff"):
        of_classifier("classification_error", case.game, held_out).cotangent(run.final)


def test_averages_take_the_place_of_the_classifier():
    case = cases.make("semi_supervised_gan", ema_halflife=2.0)
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    held_out = cases.labelled(20, seed=1)
    values = [
        of_classifier("cross_entropy", case.game, held_out, averaged=a).value(run.final)
        for a in (False, True)
    ]
    assert values[0] != values[1]


def test_what_cannot_be_measured_is_refused(case):
    data = cases.labelled()
    with pytest.raises(MetricError, match=r"no metric 'error' of a classifier; there are"):
        of_classifier("error", case.game, data)
    with pytest.raises(MetricError, match=r"this one's `classify` is None\. Play 'semi_su"):
        of_classifier("cross_entropy", cases.gan().game, data)
    with pytest.raises(MetricError, match="none of the 8 instances has one in a column"):
        of_classifier("cross_entropy", case.game, cases.points())


def test_only_games_that_classify_have_an_error(case):
    assert with_error(["frechet"], case.game) == ("frechet", "classification_error")
    assert with_error(["frechet"], cases.gan().game) == ("frechet",)
