"""Every error Counterplay raises on purpose.

Each class is also the built-in that a caller would expect, so `except ValueError` works
for people who do not know this module.
"""


class CounterplayError(Exception):
    """Base of all errors raised on purpose; the command line prints it and exits 1."""


class GameError(CounterplayError, ValueError):
    """A game is put together wrongly, or a network in it cannot be traced."""


class DataError(CounterplayError, ValueError):
    """Training data, features or a split do not fit what is asked of them."""


class MetricError(CounterplayError, ValueError):
    """A metric has no usable value or no gradient."""


class PlayError(CounterplayError, ArithmeticError):
    """A run cannot go on: a loss or a parameter is no longer finite."""


class TraceError(CounterplayError, ValueError):
    """A trace is asked for that the trajectory or the adjoint cannot give."""


class ReplayError(CounterplayError, RuntimeError):
    """A replayed move does not reproduce the recorded one."""


class RunError(CounterplayError, OSError):
    """A run folder is missing, damaged, in use, or from another run."""


class RankError(CounterplayError, ConnectionError):
    """A process of a shared run was lost, or computes something else than the others."""


class ConfigError(CounterplayError, ValueError):
    """A configuration file or option has a wrong name or value."""


class MissingExtraError(CounterplayError, ImportError):
    """An optional package is needed; the text names the extra to install."""
