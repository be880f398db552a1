"""The instances of a run as the review shows them."""

import base64
import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from counterplay._influence import Influence
from counterplay.data.splits import Scaling
from counterplay.game import Columns
from counterplay.report import pictures, similar, verdicts
from counterplay.report.gallery import number, ranked, unusual
from counterplay.report.records import is_planted, Run


N_NEAREST = 6
N_COPIES = 20  # of an instance, that are named
N_CLASSES = 1_000  # to choose from
N_VALUES = 64  # of a row of a table
N_AMONG = 400  # instances that one is drawn among
Picture = tuple[str, bytes]  # its media type, and its content


class Instances:
    """Who the instances are, what removing them does, and what they look like.

    Attributes:
        run: The run.
        data: Its training set.
        files: The folder in which the ids are names of files, if they are.
    """

    def __init__(
        self,
        run: Run,
        data: Columns,
        *,
        scaling: Scaling | None = None,
        files: Path | None = None,
    ):
        self.run, self.data, self.files = run, data, files
        self._scaling = scaling
        n = len(data)
        # A point is drawn between the outermost ones, which a part of them may lack.
        few = data["x"][:: max(1, n // N_AMONG)]
        self._among = data["x"] if data.kind == "point" else few

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The traced metrics, and whether their rankings may be believed."""
        return [self._metric(influence) for influence in self.run.influences]

    @cached_property
    def classes(self) -> list[str]:
        """The labels to choose from; none if they are too many to be classes."""
        found = sorted(set(self.data.labels or ()))
        order = {name: place for place, name in enumerate(self.data.class_names)}
        found.sort(key=lambda name: order.get(name, len(order)))
        return found if len(found) <= N_CLASSES else []

    @cached_property
    def planted(self) -> list[bool] | None:
        """Which instances are known to be corrupt, if the run planted any."""
        found = [is_planted(row) for row in self.run.scores]
        return found if any(found) else None

    @cached_property
    def copies(self) -> Mapping[int, tuple[int, ...]]:
        """The rows with the same content, for every row that is not the only one."""
        return similar.copies(self.data["x"])

    @cached_property
    def ranks(self) -> list[list[int | None]]:
        """Per metric the place of every instance, 1 for the most harmful."""
        return [influence.ranks for influence in self.run.influences]

    def table(self) -> dict[str, Any]:
        """Everything that a page needs to filter and to sort, as columns."""
        return {
            "metrics": self.metrics,
            "ids": self.data.ids,
            "labels": self.data.labels,
            "planted": self.planted,
            "copies": [len(self.copies.get(row, ())) for row in range(len(self))],
            "removal": [
                [number(value) for value in influence.removal.tolist()]
                for influence in self.run.influences
            ],
            "rank": self.ranks,
        }

    def about(self, row: int) -> dict[str, Any]:
        """What is looked up only when somebody looks at an instance."""
        x, kind = self.data["x"], self.data.kind
        (near,) = similar.nearest(x[[row]], x, kind, k=N_NEAREST, own=[row])
        return {
            "nearest": [[other, number(distance)] for other, distance in near],
            "copies": self.copies.get(row, ())[:N_COPIES],
            "values": self._values(row) if kind == "row" else [],
            "actual": [
                None if (value := judged.actual.get(row)) is None else number(value)
                for judged in self._verdicts
            ],
        }

    def thumbnail(self, row: int) -> Picture:
        """An instance as a small picture."""
        x, kind = self.data["x"][row], self.data.kind
        uri = pictures.thumbnail(x, kind, among=self._among)
        head, _, body = uri.removeprefix("data:").partition(",")
        content = unquote_to_bytes(body)
        media, _, encoding = head.partition(";")
        return media, base64.b64decode(content) if encoding == "base64" else content

    def picture(self, row: int) -> Picture:
        """An instance as large as it is."""
        if self.data.kind != "image":
            return self.thumbnail(row)  # drawn with lines, which have no size
        content = io.BytesIO()
        pictures.grid(self.data["x"][[row]]).save(content, "PNG")
        return "image/png", content.getvalue()

    def file_of(self, row: int) -> Path | None:
        """The file of an instance, if it has one."""
        path = self.files / self.data.ids[row] if self.files else None
        return path if path and path.is_file() else None

    @cached_property
    def _verdicts(self) -> list[verdicts.Judged]:
        return [verdicts.of(self.run, influence) for influence in self.run.influences]

    def _metric(self, influence: Influence) -> dict[str, Any]:
        judged = verdicts.of(self.run, influence)
        known = {"reason": judged.reason, "advice": judged.advice}
        return {**ranked(influence, judged), **known}

    def _values(self, row: int) -> list[list[Any]]:
        """Name, value and deviations from the mean, the most unusual first."""
        x, usual = self.data["x"][row].flatten(), self._among.flatten(1)
        std = usual.std(0, correction=0).clamp(min=1e-9)
        return unusual(x, usual.mean(0), std, self._scaling, N_VALUES)
