"""What `counterplay fit` can be asked for; the options of its command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg


Names = Annotated[tuple[str, ...], arg(metavar="COLUMN")]
Name = Annotated[str | None, arg(metavar="COLUMN")]
File = Annotated[Path, arg(metavar="FILE")]
Folder = Annotated[Path, arg(metavar="FOLDER")]
Share = Annotated[float | None, arg(metavar="SHARE")]
Set = Annotated[tuple[str, ...], arg(name="set", metavar="OPTION=VALUE")]
Measure = Literal["roc_auc", "average_precision"]


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """Rank the rows of a table by how outlying they are, without labels.

    Writes model.toml, model.safetensors and checkpoints, which `counterplay predict` reads;
    log.csv, scores.csv and report.html; and influence.csv if there are labels: which
    training rows hurt the detection of the labelled ones.

    Args:
        data: Table of numbers, one row each: CSV, TSV or Parquet.
        method: Detector, see `counterplay list estimators`.
        contamination: Share of outliers assumed in the table, which sets the threshold;
            0.1 if not given.
        label: Column of 1 for an outlier and 0 for a normal row. Nothing is learnt from it:
            it measures the detector, and says which training rows hurt.
        id_column: Column that names the rows; their number from 0 if not given.
        drop: Columns to leave out.
        valid: Further labelled table, to measure and to trace on in place of the first,
            whose own labels are then not used.
        measure: What is traced.
        trace: Whether to trace, if there are labels; takes a few times as long as the fit.
        overrides: Any options of the detector, such as `n_active=300`.
        seed: Determines first parameters, order and noise.
        out: Folder to write.
        threads: Threads to compute in; another number gives other last digits.
        resume: Continue the interrupted fit in the folder of `--out`.
    """

    data: File
    method: Literal["mo_gaal", "so_gaal"] = "mo_gaal"
    contamination: Share = None
    label: Name = None
    id_column: Name = None
    drop: Names = ()
    valid: Annotated[Path | None, arg(metavar="FILE")] = None
    measure: Measure = "roc_auc"
    trace: bool = True
    overrides: Set = ()
    seed: int = 0
    out: Folder = Path("model")
    threads: int = 1
    resume: bool = False


@dataclass(frozen=True, kw_only=True)
class Series:
    """Learn what several channels normally do together, and score every time stamp.

    Writes what `fit outliers` writes. Rows are time stamps and columns are channels; where
    two times are further apart than 1.5 typical steps is a gap, over which no window goes.

    Args:
        data: Series, mostly without faults: CSV, TSV or Parquet, one or several.
        time: Column of times, ascending; rows follow each other if not given.
        method: Detector, see `counterplay list estimators`.
        threshold: `quantile` of the training scores, or `pot`, peaks over threshold, for
            shares smaller than one in the number of rows.
        contamination: Share of training rows above the threshold.
        window: Rows of a window.
        stride: Rows from one window to the next.
        label: Column of 1 for a faulty row and 0 for a normal one. Nothing is learnt from
            it: it measures the detector, and says which training windows hurt.
        drop: Columns to leave out.
        valid: Further labelled series, to measure and to trace on in place of the first,
            whose own labels are then not used.
        measure: What is traced.
        trace: Whether to trace, if there are labels; takes a few times as long as the fit.
        overrides: Any options of the detector, such as `latent_dim=2`.
        seed: Determines first parameters, order and noise.
        out: Folder to write.
        threads: Threads to compute in; another number gives other last digits.
        resume: Continue the interrupted fit in the folder of `--out`.
    """

    data: Annotated[tuple[Path, ...], arg(metavar="FILE")]
    time: Name = None
    method: Literal["mad_gan", "window_pca"] = "mad_gan"
    threshold: Literal["quantile", "pot"] | None = None
    contamination: Share = None
    window: Annotated[int | None, arg(metavar="ROWS")] = None
    stride: Annotated[int | None, arg(metavar="ROWS")] = None
    label: Name = None
    drop: Names = ()
    valid: Annotated[tuple[Path, ...], arg(metavar="FILE")] = ()
    measure: Measure = "roc_auc"
    trace: bool = True
    overrides: Set = ()
    seed: int = 0
    out: Folder = Path("model")
    threads: int = 1
    resume: bool = False
