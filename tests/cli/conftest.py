"""The fixtures of a tiny run; see `toy_run`."""

from toy_run import (
    _few_resamples as _few_resamples,
    played as played,
    run as run,
    toy as toy,
)
