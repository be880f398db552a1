import pytest

from counterplay._tables import keys_of, plain, require_kind, require_known, REQUIRED
from counterplay.errors import ConfigError


def make(data, *, path, width=32, rate=0.1, norm="group", parts=(1, 2)):
    del data, path, width, rate, norm, parts


def test_the_keywords_of_a_function_are_the_keys_of_its_table():
    assert keys_of(make, "data") == {
        "path": REQUIRED, "width": 32, "rate": 0.1, "norm": "group", "parts": (1, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "default"),
    [(3, 1), (3, 0.5), (0.5, 1.0), ("a", "b"), (True, False), (7, None)],
)
def test_values_of_the_kind_of_the_default_are_taken(value, default):
    require_kind("nets.width", value, default)


@pytest.mark.parametrize(
    ("value", "default"), [(0.5, 1), ("3", 1), (True, 1), (1, True), (1, "a"), ("a", 0.5)]
)
def test_values_of_another_kind_are_refused(value, default):
    kind = type(default).__name__
    with pytest.raises(ConfigError, match=rf"`nets.width` must be of type {kind}, such as"):
        require_kind("nets.width", value, default)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no metric 'frechte'; the nearest is 'frechet'"):
        require_known("frechte", {"frechet": 0, "recall": 0}, "metric")
    require_known("recall", {"frechet": 0, "recall": 0}, "metric")


def test_what_toml_cannot_hold_is_left_out_or_turned_into_a_list():
    assert plain({"a": (1, 2), "b": None, "c": len, "d": "x"}) == {"a": [1, 2], "d": "x"}
