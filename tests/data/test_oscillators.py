import numpy as np

from counterplay import data


def test_the_seed_determines_the_plant():
    one, same, other = (
        data.oscillators(n_train=200, n_test=400, seed=s) for s in (1, 1, 2)
    )
    assert np.array_equal(one.train, same.train)
    assert np.array_equal(one.test, same.test)
    assert not np.array_equal(one.train, other.train)
    assert one.train.shape == (200, 6)
    assert one.test.shape == (400, 6)


def test_about_a_sixth_is_faulty_in_stretches_of_15_to_34_steps():
    labels = data.oscillators(seed=3).labels
    assert 0.16 <= labels.mean() <= 0.16 + 34 / 2_000
    edges = np.flatnonzero(np.diff(np.r_[0, labels, 0]))
    lengths = edges[1::2] - edges[::2]
    assert lengths.min() >= 15
    assert lengths.max() < 35


def test_the_channels_are_related_as_they_say():
    x = data.oscillators(n_train=4_000, seed=0).train
    # Noise of deviation 0.05 in every channel.
    assert np.abs(x[:, 3] - 0.6 * x[:, 0] - 0.4 * x[:, 1]).std() < 0.1
    assert np.abs(x[:, 4] - x[:, 1] * x[:, 2]).std() < 0.1
    assert np.abs(x[7:, 5] - x[:-7, 0]).std() < 0.1


def test_it_is_a_tool_and_no_data_set():
    assert "oscillators" in dir(data)
    assert "oscillators" not in data.names()
