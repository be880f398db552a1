"""The package of estimators loads its parts when they are asked for."""

import subprocess
import sys

import pytest

from counterplay import estimators
from counterplay.errors import ConfigError


def test_every_detector_is_there_under_its_name():
    for name in estimators.names():
        kind = estimators.detector(name)
        assert kind is getattr(estimators, kind.__name__)
        assert kind.__name__ in dir(estimators)
    assert list(estimators.names()) == sorted(estimators.names())
    with pytest.raises(AttributeError, match=r"no attribute 'Nothing'"):
        _ = estimators.Nothing
    with pytest.raises(ConfigError, match=r"no detector 'nothing'; there are \['mad_gan'"):
        estimators.detector("nothing")


def test_naming_the_detectors_loads_nothing_heavy():
    code = "import sys, counterplay; counterplay.estimators.names(); print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
