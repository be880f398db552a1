"""Fitting a detector into a folder of its own, and what is found on the way."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, Literal

import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from counterplay import estimators
from counterplay._influence import Influence, trace
from counterplay._lock import locked
from counterplay._tables import require_known
from counterplay.cli import _options, _show
from counterplay.cli._folder import interruptible, sweep, write_columns, write_table
from counterplay.cli._given import channel_columns, detection_columns, Given
from counterplay.cli._jobs import Outliers, Series
from counterplay.cli._place import place
from counterplay.cli._watched_fit import fit_watched
from counterplay.errors import ConfigError, MetricError, RunError
from counterplay.estimators import _saved
from counterplay.report import model as page


N_SHOWN = 10
N_TRACED = 5_000  # labelled rows of a table; their pairs are compared


def fit(what: Outliers | Series) -> None:
    """Fit the detector of a job, and write what it has learnt and found to its folder.

    Raises:
        ConfigError: If labels are to be read from a column that is not named.
    """
    if what.valid and what.label is None:
        raise ConfigError(
            "`--valid` is there to measure the detector, which needs labels: name their "
            "column by `--label`."
        )
    torch.set_num_threads(what.threads)
    given, labelled = _read(what)
    detector = _detector(what)
    tables = _saved.tables_of(detector, _facts(what, given), fit={"threads": what.threads})
    with _begun(what, tables) as folder:
        fit_watched(detector, given.X, folder, _saved.checkpoints(folder, tables))
        _saved.finish(detector, folder, tables)
        quality = _quality(detector, given, labelled)
        influence = None
        if labelled is not None and what.trace and hasattr(detector, "trajectory_"):
            influence = _trace(detector, labelled, what.measure, folder)
        _write(detector, given, labelled, influence, quality, folder, tables)
    _show.say(f"The model is in {folder}; its page is {folder / 'report.html'}")


def _read(what: Outliers | Series) -> tuple[Given, Given | None]:
    """What to fit to, and what to measure on, if there are labels."""
    windows = isinstance(what, Series)
    own = ("time", what.time) if windows else ("id_column", what.id_column)
    columns: dict[str, Any] = dict([own])
    files = what.data if isinstance(what, Series) else (what.data,)
    valid = what.valid if isinstance(what.valid, tuple) else (what.valid,)
    if not what.valid:
        given = Given.read(
            files, windows=windows, drop=what.drop, label=what.label, **columns
        )
        labelled = given if what.label is not None else None
    else:
        left_out = () if what.label is None else (what.label,)
        given = Given.read(
            files, windows=windows, drop=what.drop, ignore=left_out, **columns
        )
        labelled = Given.read(
            [file for file in valid if file is not None],
            windows=windows,
            step=given.step,
            names=given.names,
            ignore=what.drop,
            label=what.label,
            **columns,
        )
    if labelled is not None:
        labelled.require_both(str(what.label))
    return given, labelled


def _detector(what: Outliers | Series) -> Any:
    """The detector of a job with its options, the later the stronger.

    Raises:
        ConfigError: If it has no such option, or not of this kind.
    """
    kind = estimators.detector(what.method)
    known: dict[str, Any] = kind().get_params()
    options: dict[str, Any] = {"random_state": what.seed} if "random_state" in known else {}
    for name in ("contamination", "threshold", "window", "stride"):
        if (value := getattr(what, name, None)) is not None:
            options[name] = value
    for assignment in what.overrides:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"`--set` takes OPTION=VALUE, such as memory=1GiB, got {assignment!r}."
            )
        require_known(name, known, f"option of {what.method}")
        options[name] = None if text == "none" else _options.value_of(text)
        hint = get_type_hints(kind.__init__).get(name, Any)
        if not _fits(options[name], hint):
            raise ConfigError(
                f"`{name}` of {what.method} must be {getattr(hint, '__name__', hint)}, got "
                f"{options[name]!r}. Its default is {known[name]!r}."
            )
    return kind(**options)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that an option has; an integer is a number, too."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if parts := get_args(hint):
        return any(_fits(value, part) for part in parts)
    if hint is Any or not isinstance(hint, type):
        return True
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _facts(what: Outliers | Series, given: Given) -> dict[str, Any]:
    """Table `[data]` of the model."""
    facts = {
        "kind": "series" if given.windows else "outliers",
        "files": [part.file for part in given.parts],
        "columns": list(given.names),
        "label": what.label,
        "id_column": getattr(what, "id_column", None),
        "time": getattr(what, "time", None),
        "drop": list(what.drop),
        "step": given.step,
        "n_rows": sum(map(len, given.parts)),
        "fingerprint": given.fingerprint,
    }
    return {name: value for name, value in facts.items() if value is not None}


@contextmanager
def _begun(what: Outliers | Series, tables: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of a fit, new or to be continued, for this process alone.

    Yields:
        The folder.
    """
    if what.resume:
        _require_same(_saved.read_tables(what.out), tables, what.out)
    else:
        place({"model.toml": _saved.text_of(tables)}, what.out, "model")
    with interruptible(what.out), locked(what.out / "lock"):
        sweep(what.out)
        yield what.out


def _require_same(begun: Mapping, wanted: Mapping, folder: Path) -> None:
    """Refuse to continue a fit as another one.

    Raises:
        RunError: If something that matters differs.
    """
    old, new = (
        {
            "estimator": tables["model"]["estimator"],
            "fingerprint of the data": tables["data"].get("fingerprint"),
            **tables["parameters"],
            **tables.get("fit", {}),
        }
        for tables in (begun, wanted)
    )
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            raise RunError(
                f"The model {str(folder)!r} was begun with {name} = {old.get(name)!r} and "
                f"cannot go on with {new.get(name)!r}. Give what it was begun with, or "
                "another `--out` without `--resume`."
            )


def _quality(detector: Any, given: Given, labelled: Given | None) -> dict[str, float]:
    """How well the labelled rows are told apart."""
    if labelled is None:
        return {}
    own = labelled is given
    scores = detector.outlier_scores_ if own else detector.outlier_scores(labelled.X)
    found = {
        "roc_auc": float(roc_auc_score(labelled.labels, scores)),
        "average_precision": float(average_precision_score(labelled.labels, scores)),
    }
    _show.say(
        f"ROC-AUC {found['roc_auc']:.3f}, average precision "
        f"{found['average_precision']:.3f} on {len(scores):,} labelled rows"
    )
    return found


def _trace(detector: Any, labelled: Given, measure: str, folder: Path) -> Influence | None:
    """What each training instance does to the detection, if anything changes it."""
    run, unfinished = detector.trajectory_, folder / "unfinished.safetensors"
    adjoint = detector.default_adjoint
    X, labels = labelled.sample(N_TRACED)
    try:
        target = detector.detection_target(X, labels, measure)
        with _show.stage("Tracing", adjoint.last or run.n_steps) as advance:
            found = trace(
                detector.game_,
                detector.data_,
                run,
                target,
                adjoint=adjoint,
                on_move=lambda done, total: advance(done),
                unfinished=unfinished,
            )
    except MetricError as error:  # such as rows that are told apart too well for a slope
        _show.say(f"No training row can be said to hurt. {error}")
        return None
    unfinished.unlink(missing_ok=True)
    return found


def _write(
    detector: Any,
    given: Given,
    labelled: Given | None,
    influence: Influence | None,
    quality: Mapping[str, float],
    folder: Path,
    tables: Mapping[str, Any],
) -> None:
    """The files that people read."""
    scores, threshold = detector.outlier_scores_, detector.threshold_
    columns = detection_columns(given, scores, threshold)
    residuals = detector.residuals_ if given.windows else None
    if residuals is not None:
        columns |= channel_columns(given.names, residuals, 3)
    if labelled is given:
        columns["label"] = given.labels
    write_columns(folder / "scores.csv", columns)
    traced = _traced(influence, given) if influence is not None else []
    harmful = sorted(traced, key=lambda row: row["rank"])
    if traced:
        write_table(folder / "influence.csv", traced)
        _show_harmful(harmful, "window" if given.windows else "row")
    fitted = page.Fitted(
        folder=folder,
        tables=tables,
        names=given.names,
        ids=given.ids,
        values=given.values,
        scores=scores,
        threshold=threshold,
        labels=given.labels if labelled is given else None,
        residuals=residuals,
        quality=quality,
        harmful=harmful,
    )
    fitted.save()
    page.build(fitted)


def _show_harmful(harmful: Sequence[Mapping[str, Any]], noun: str) -> None:
    hurting = [row for row in harmful if row["harm"] > 0][:N_SHOWN]
    if not hurting:
        _show.say(f"No training {noun} is predicted to hurt the detection of labelled rows")
        return
    _show.table(
        f"Training {noun}s that hurt the detection of labelled rows most",
        [{name: row[name] for name in ("rank", "id", "harm")} for row in hurting],
    )


def _traced(influence: Influence, given: Given) -> list[dict[str, Any]]:
    """What is known of every training instance, in their order."""
    ids = given.instance_ids(influence.ids)
    return [
        {"row": row, **known, "id": ids[row]} for row, known in enumerate(influence.rows())
    ]
