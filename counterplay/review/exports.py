"""What a review came to, as files for other programs."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from counterplay._atomic import make_folder, write_atomically
from counterplay.review.instances import Instances
from counterplay.review.marks import Marks


Row = dict[str, Any]
_FIELDS = {bool: "Boolean", int: "Int", float: "Float", str: "String"}


def rows(instances: Instances, marks: Marks) -> list[Row]:
    """One row per instance: who it is, what is said of it, and what removing it does."""
    influences = instances.run.influences
    removals = [influence.removal.tolist() for influence in influences]
    harms = [influence.harm.tolist() for influence in influences]
    found = []
    for i, name in enumerate(instances.data.ids):
        opinion = marks.of(i)
        row: Row = {"id": name}
        if instances.data.labels is not None:
            row["label"] = instances.data.labels[i]
        if instances.planted is not None:
            row["planted"] = instances.planted[i]
        row |= {"mark": opinion.mark, "note": opinion.note}
        for j, influence in enumerate(influences):
            rank = instances.ranks[j][i]
            row[f"removal_{influence.metric}"] = None if rank is None else removals[j][i]
            row[f"harm_{influence.metric}"] = None if rank is None else harms[j][i]
            row[f"rank_{influence.metric}"] = rank
        found.append(row)
    return found


def as_csv(instances: Instances, marks: Marks, folder: Path) -> bytes:
    """All instances as comma-separated values."""
    return _written(csv.write_csv, rows(instances, marks))


def as_parquet(instances: Instances, marks: Marks, folder: Path) -> bytes:
    """All instances as a table for data frames."""
    return _written(parquet.write_table, rows(instances, marks))


def as_names(instances: Instances, marks: Marks, folder: Path) -> bytes:
    """The ids of those to remove, one per line, as `retrain --without` reads them."""
    ids = instances.data.ids
    return "".join(f"{ids[row]}\n" for row in marks.rows("remove")).encode()


def as_fiftyone(instances: Instances, marks: Marks, folder: Path) -> bytes:
    """All images as a data set of FiftyOne, which `Dataset.from_json` reads.

    Instances that are no files are written as pictures into `folder`.
    Source: voxel51/fiftyone, `Dataset.from_dict` in fiftyone/core/dataset.py.
    """
    found = rows(instances, marks)
    samples = [
        _sample(row, _file(instances, i, folder), instances.data.labels is not None)
        for i, row in enumerate(found)
    ]
    content = {
        "name": f"counterplay-{instances.run.folder.resolve().name}",
        "media_type": "image",
        "num_samples": len(samples),
        "sample_fields": _fields(found),
        "info": {"metrics": [metric["title"] for metric in instances.metrics]},
        "samples": samples,
    }
    return json.dumps(content, indent=1).encode()


EXPORTS: Mapping[str, Callable[[Instances, Marks, Path], bytes]] = {
    "review.csv": as_csv,
    "review.parquet": as_parquet,
    "fiftyone.json": as_fiftyone,
    "removed.txt": as_names,
}


def offered(instances: Instances) -> list[str]:
    """The exports that fit the data: FiftyOne shows images."""
    return [n for n in EXPORTS if n != "fiftyone.json" or instances.data.kind == "image"]


def export(name: str, instances: Instances, marks: Marks) -> Path:
    """Write one of `EXPORTS` to the folder `review` of the run.

    Returns:
        Where it is.
    """
    folder = instances.run.folder / "review"
    make_folder(folder)
    content = EXPORTS[name](instances, marks, folder)
    write_atomically(folder / name, content)
    return folder / name


def _written(write: Callable[..., Any], found: Sequence[Row]) -> bytes:
    table = pa.table({name: [row[name] for row in found] for name in found[0]})
    content = pa.BufferOutputStream()
    write(table, content)
    return content.getvalue().to_pybytes()


def _file(instances: Instances, row: int, folder: Path) -> Path:
    """The file of an instance, or a picture of it."""
    if path := instances.file_of(row):
        return path.resolve()
    path = folder / "pictures" / f"{row:06d}.png"
    make_folder(path.parent)
    if not path.exists():  # what an instance looks like never changes
        write_atomically(path, instances.picture(row)[1])
    return path.resolve()


def _sample(row: Row, path: Path, labelled: bool) -> Row:
    tags = [row["mark"]] if row["mark"] else []
    tags += ["planted"] if row.get("planted") else []
    fields = {_field(name): value for name, value in row.items() if name != "label"}
    if labelled:
        label = {"_cls": "Classification", "tags": [], "label": row["label"]}
        fields["ground_truth"] = label if row["label"] else None
    return {"filepath": str(path), "tags": tags, "metadata": None, **fields}


def _fields(found: Sequence[Row]) -> dict[str, str]:
    """The type of every field, as FiftyOne names it."""
    core = "fiftyone.core"
    types = {
        _field(name): f"{core}.fields.{_FIELDS[_kind(name, found)]}Field"
        for name in found[0]
        if name != "label"
    }
    if "label" in found[0]:
        label = f"{core}.labels.Classification"
        types["ground_truth"] = f"{core}.fields.EmbeddedDocumentField({label})"
    return types


def _kind(name: str, found: Sequence[Row]) -> type:
    return next((type(row[name]) for row in found if row[name] is not None), float)


def _field(name: str) -> str:
    # `id` is FiftyOne's own, and a field is a name of Python.
    return "instance" if name == "id" else re.sub(r"\W", "_", name)
