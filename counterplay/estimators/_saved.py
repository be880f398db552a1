"""Fitted detectors as folders: what they are, what they have learnt, and from what run.

`model.toml` says what was fitted to what, `model.safetensors` holds what was learnt, and
`checkpoints` the run, so that a detector that was read again can be traced.
"""

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime, UTC
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from sklearn.utils.validation import check_is_fitted

from counterplay import estimators
from counterplay._atomic import make_folder, write_atomically
from counterplay._checkpoint import FolderCheckpoints
from counterplay._numerics import Numerics
from counterplay._sealed import CHECKSUM, checksum
from counterplay._tensor_files import read_tensors, write_tensors
from counterplay._toml import read_toml
from counterplay._trajectory import Plan, Trajectory
from counterplay.errors import ConfigError, RunError
from counterplay.estimators._pieces import Pieces
from counterplay.estimators._scorer import AbstractScorer


FORMAT = 1  # raised when older folders cannot be read any more
_KIND = "detector"
_TOML, _TENSORS = "model.toml", "model.safetensors"
_RUN = "trajectory_"  # kept beside the rest, as checkpoints
Tables = dict[str, Any]


def save(detector: AbstractScorer, folder: Path | str) -> Path:
    """Write a fitted detector to a new folder.

    Args:
        detector: Fitted; its scores after `load` are the same to the last bit.
        folder: Where.

    Returns:
        The folder.

    Raises:
        RunError: If there is something in the folder already.
    """
    check_is_fitted(detector)
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(
            f"There is something in {str(folder)!r} already. Delete it, or save to another "
            "folder."
        )
    state = _state(detector)
    data = {"fingerprint": state["data_"].fingerprint} if _RUN in state else {}
    tables = tables_of(detector, data)
    if _RUN in state:
        trajectory: Trajectory = state[_RUN]
        kept = checkpoints(folder, tables)
        for move in trajectory.fingerprints:
            kept[move] = trajectory.checkpoints[move]
    finish(detector, folder, tables)
    return folder


def load(folder: Path | str) -> AbstractScorer:
    """Read what `save` or `counterplay fit` wrote.

    Args:
        folder: Where it is.

    Returns:
        The detector, which scores, and can be traced, as if it had just been fitted.

    Raises:
        RunError: If there is no model, or it is unfinished, damaged or of another version.
    """
    folder = Path(folder)
    tables = read_tables(folder)
    if not (folder / _TENSORS).exists():
        raise RunError(
            f"The model {str(folder)!r} has not been fitted to the end: it has no "
            f"{_TENSORS}. Continue with the same `counterplay fit` and `--resume`."
        )
    detector = unfitted(tables)
    try:
        kind, facts, tensors = read_tensors(folder / _TENSORS)
        same = (kind, facts["identity"]) == (_KIND, identity(tables))
        pieces = Pieces(sys.modules[type(detector).__module__], tensors)
        learnt = {name: pieces.unpack(one) for name, one in facts["learnt"].items()}
        run = learnt.pop(_RUN, None)
        if run is not None:
            learnt[_RUN] = _trajectory(checkpoints(folder, tables), **run)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(_damaged(folder / _TENSORS, error)) from error
    if not same:
        raise RunError(_damaged(folder / _TENSORS, f"it was not written with {_TOML}"))
    state = _state(detector)
    detector.__setstate__({**state, **learnt})
    return detector


def tables_of(detector: AbstractScorer, data: Mapping[str, Any], **more: Any) -> Tables:
    """What `model.toml` says of a detector, fitted or not.

    Args:
        detector: The detector.
        data: Table `[data]`, what it is fitted to; `fingerprint` changes with any value.
        more: Further tables.

    Returns:
        The tables.

    Raises:
        ConfigError: If a parameter cannot be written.
    """
    return {
        "model": {
            "format": FORMAT,
            "estimator": _name_of(detector),
            "version": metadata.version("counterplay"),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
            "sklearn": metadata.version("scikit-learn"),
        },
        "parameters": {
            name: _plain(name, value)
            for name, value in detector.get_params().items()
            if value is not None
        },
        "data": dict(data),
        **more,
    }


def text_of(tables: Mapping[str, Any]) -> str:
    """The tables as the text of `model.toml`, which shows if it was changed."""
    return tomli_w.dumps({CHECKSUM: checksum(tables), **tables})


def read_tables(folder: Path) -> Tables:
    """The tables of a model.

    Raises:
        RunError: If there is none, or it is damaged or of another version.
    """
    path = folder / _TOML
    if not path.is_file():
        raise RunError(
            f"There is no model in {str(folder)!r}: it has no {_TOML}. `counterplay fit` "
            "and `estimators.save` make model folders."
        )
    try:
        tables = read_toml(path)
    except ConfigError as error:
        raise RunError(_damaged(path, error)) from error
    claimed = tables.pop(CHECKSUM, None)
    about = tables.get("model", {})
    if about.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"The model {str(folder)!r} was written by Counterplay "
            f"{about.get('version', 'of an unknown version')} in format "
            f"{about['format']!r}; this is {metadata.version('counterplay')}, which reads "
            f"format {FORMAT}. Use that version, or fit the detector again."
        )
    if claimed != checksum(tables):
        raise RunError(_damaged(path, "its checksum does not fit"))
    return tables


def identity(tables: Mapping[str, Any]) -> str:
    """A hash of everything that the states of the run depend on."""
    data = tables["data"].get("fingerprint")
    return checksum({"model": [tables["model"]["estimator"], tables["parameters"], data]})


def checkpoints(folder: Path, tables: Mapping[str, Any]) -> FolderCheckpoints:
    """The states of the run of a model; those of another one are refused."""
    return FolderCheckpoints(folder / "checkpoints", run=identity(tables))


def unfitted(tables: Mapping[str, Any]) -> AbstractScorer:
    """The detector that `model.toml` describes, with its parameters.

    Raises:
        RunError: If this version knows no such detector, or not with these parameters.
    """
    name, parameters = tables["model"]["estimator"], tables["parameters"]
    kind = estimators.detector(name) if name in estimators.names() else None
    defaults = {} if kind is None else kind().get_params()
    if kind is None or set(parameters) - set(defaults):
        raise RunError(
            f"This version of Counterplay has no detector {name!r} with the parameters "
            f"{sorted(parameters)}; it has {list(estimators.names())}. Use version "
            f"{tables['model'].get('version')}."
        )
    given = {key: parameters.get(key) for key in defaults}
    return kind(**{
        key: tuple(value) if isinstance(defaults[key], tuple) else value
        for key, value in given.items()
    })  # fmt: skip


def finish(detector: AbstractScorer, folder: Path, tables: Mapping[str, Any]) -> None:
    """Write what a detector has learnt; its run is in the checkpoints already."""
    pieces = Pieces(sys.modules[type(detector).__module__], {})
    known, everything = detector.get_params(), _state(detector)
    state = {k: v for k, v in everything.items() if k not in known}
    if _RUN in state:
        state[_RUN] = _facts_of(state[_RUN])
    facts = {
        "identity": identity(tables),
        "learnt": {name: pieces.pack(one, name) for name, one in state.items()},
    }
    make_folder(folder)
    write_tensors(folder / _TENSORS, _KIND, facts, pieces.tensors)
    write_atomically(folder / _TOML, text_of(tables).encode())


def _state(detector: AbstractScorer) -> dict[str, Any]:
    """What a pickle of the detector would hold."""
    found: Any = detector.__getstate__()
    return dict(found)


def _facts_of(trajectory: Trajectory) -> dict[str, Any]:
    """A run without its states."""
    plan = {field.name: getattr(trajectory.plan, field.name) for field in fields(Plan)}
    return {
        "plan": {**plan, "numerics": asdict(trajectory.plan.numerics)},
        "n_steps": trajectory.n_steps,
        "fingerprints": dict(trajectory.fingerprints),
    }


def _trajectory(
    kept: FolderCheckpoints,
    *,
    plan: dict[str, Any],
    n_steps: int,
    fingerprints: dict[int, str],
) -> Trajectory:
    """The run with its states.

    Raises:
        RunError: If one is missing.
    """
    missing = sorted(set(fingerprints) - set(kept))
    if missing:
        raise RunError(
            f"The checkpoint of move {missing[0]} is missing in {str(kept.folder)!r}. "
            "Bring it back from a copy, or repeat `counterplay fit` with `--resume`."
        )
    drawn = Plan(**{**plan, "numerics": Numerics(**plan["numerics"])})
    return Trajectory(drawn, n_steps, kept, fingerprints)


def _name_of(detector: AbstractScorer) -> str:
    """What a detector is called on the command line.

    Raises:
        ConfigError: If it is none of the package's.
    """
    kind = type(detector)
    for name in estimators.names():
        if estimators.detector(name) is kind:
            return name
    raise ConfigError(
        f"A {kind.__name__} cannot be kept in a model folder; {list(estimators.names())} "
        "can. Pickle it instead."
    )


def _plain(name: str, value: Any) -> Any:
    """A parameter as TOML holds it.

    Raises:
        ConfigError: If it does not.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(name, one) for one in value]
    raise ConfigError(
        f"The parameter `{name}` is {value!r}, which cannot be written to {_TOML}. Give a "
        "number, a text or a list of these."
    )


def _damaged(path: Path, error: BaseException | str) -> str:
    return (
        f"{str(path)!r} is damaged or belongs to something else: {error}. Bring it back "
        "from a copy, or fit the detector again."
    )
