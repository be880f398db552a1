"""Retraining without what was marked, as a process of its own that can be watched."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from counterplay._atomic import make_folder, write_atomically
from counterplay._influence import Influence
from counterplay._sealed import dumps, loads
from counterplay.report import words
from counterplay.report.records import log_rows, Run


LOOK_S = 0.3  # between two looks at a process
TAIL = 600  # characters of what a process said before it failed
IDLE: dict[str, Any] = {"state": "idle"}
_INTERRUPTED = (
    "The review was stopped before the retraining was finished. What was played is kept: "
    "`counterplay retrain {run} --resume --out {child}` continues it."
)


class Retraining:
    """At most one retraining at a time, and what came of the last one.

    It is what `counterplay retrain` and then `counterplay score` do, each in a process of
    its own, so that the review goes on and a cancelled run leaves a folder that can be
    continued. What there is to show is read from the new folder's log.
    """

    def __init__(self, run: Run):
        self._run, self._folder = run, run.folder / "review"
        self._n_steps = int(run.recipe.get("play", {}).get("n_steps", 0))
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen | None = None
        self._cancelled = False
        self._said: dict[str, Any] = self._last()
        self._began = 0.0
        self._first: tuple[int, float] | None = None  # move, and when it was seen

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._thread is not None and self._thread.is_alive()

    def snapshot(self) -> dict[str, Any]:
        """What there is to show: the state, how far it is, and what came of it."""
        said = self._said
        if said["state"] != "running" or said["stage"] != "playing":
            return said
        rows = log_rows(Path(said["child"]) / "log.jsonl")
        step = int(rows[-1]["step"]) if rows else 0
        now = time.monotonic()
        if rows and self._first is None:
            self._first = (step, now)  # from here on, as a start takes its time
        first, then = self._first or (step, now)
        left = (
            (now - then) / (step - first) * (self._n_steps - step) if step > first else None
        )
        return {**said, "step": step, "left_s": left, "so_far": self._so_far(rows)}

    def start(self, ids: Sequence[str]) -> bool:
        """Begin to retrain without instances.

        Returns:
            Whether it was begun: not if one is running, or there is nobody to remove.
        """
        with self._starting:
            if self.running or not ids:
                return False
            make_folder(self._folder)
            # Not the export, which may change meanwhile.
            names = self._folder / "without.txt"
            write_atomically(names, "".join(f"{name}\n" for name in ids).encode())
            self._cancelled, self._began, self._first = False, time.monotonic(), None
            self._say(
                state="running",
                stage="playing",
                child=str(self._free_folder()),
                n_removed=len(ids),
                n_steps=self._n_steps,
            )
            self._thread = threading.Thread(target=self._attempt, args=(names,))
            self._thread.start()
            return True

    def cancel(self) -> None:
        """Stop what is running, and wait until it has ended."""
        self._cancelled = True
        thread = self._thread
        while thread is not None and thread.is_alive():
            if self._process is not None:
                with suppress(OSError):
                    self._process.terminate()
            thread.join(LOOK_S)

    def grid(self, which: str) -> Path | None:
        """The samples of the run `"before"` or `"after"`, from the same latents."""
        folder = {"before": str(self._run.folder), "after": self._said.get("child")}[which]
        path = Path(folder or "") / f"fakes_{self._n_steps:06d}.png"
        return path if folder and path.is_file() else None

    def _attempt(self, names: Path) -> None:
        try:
            self._retrain(names)
        except OSError as error:  # no process can be begun, or nothing be written
            self._said = {**self._said, "state": "failed", "text": str(error)}

    def _retrain(self, names: Path) -> None:
        parent, child = str(self._run.folder), self._said["child"]
        failed = self._call("retrain", parent, "--without", str(names), "--out", child)
        if not failed:
            self._say(**{**self._said, "stage": "measuring"})
            failed = self._call("score", parent, child, "--output", "json")
        if self._cancelled:
            self._say(**{**self._said, "state": "cancelled"})
        elif failed and self._said["stage"] == "playing":
            self._say(**{**self._said, "state": "failed", "text": failed})
        else:  # a metric that could not be measured does not undo the retraining
            self._say(
                **{**self._said, "state": "done", "text": failed},
                rows=[*self._validated(child), *self._tested(child)],
                grids=bool(self.grid("before") and self.grid("after")),
                seconds=round(time.monotonic() - self._began, 1),
            )

    def _call(self, verb: str, *options: str) -> str:
        """Run a verb to its end; what it complained of, empty if all went well."""
        if self._cancelled:
            return "cancelled"
        output, errors = self._folder / f"{verb}.out", self._folder / f"{verb}.err"
        with output.open("wb") as stdout, errors.open("wb") as stderr:
            command = [sys.executable, "-m", "counterplay", verb, *options]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
            code = self._process.wait()
        if not code:
            return ""
        said = errors.read_text(errors="replace").strip()
        return said[-TAIL:] or f"`counterplay {verb}` ended with status {code}."

    def _validated(self, child: str) -> list[dict[str, Any]]:
        """The traced metrics, which the removal was chosen by, from both logs."""
        after = _last_values(log_rows(Path(child) / "log.jsonl"))
        return [
            _row(one.metric, one.value, after[one.metric], one.higher_is_better)
            for one in self._run.influences
            if one.metric in after
        ]

    def _tested(self, child: str) -> list[dict[str, Any]]:
        """The metrics against test data, as `counterplay score` printed them."""
        try:
            found = json.loads((self._folder / "score.out").read_bytes())
        except ValueError:
            return []
        values = {(row["model"], row["metric"]): row for row in found}
        parent = str(self._run.folder)
        return [
            _row(metric, row["value"], values[child, metric]["value"], better == "higher")
            for (model, metric), row in values.items()
            if model == parent and (child, metric) in values
            for better in [row["better"]]
        ]

    def _so_far(self, rows: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
        """The newest metrics of the log beside those of the run at the same move."""
        measured = [row for row in rows if self._metrics_in(row)]
        if not measured:
            return []
        step = measured[-1]["step"]
        then = next((row for row in self._run.log if row["step"] == step), {})
        return [
            {"step": step, **_row(m.metric, then[m.metric], value, m.higher_is_better)}
            for m in self._metrics_in(measured[-1])
            if (value := measured[-1][m.metric]) is not None
            and then.get(m.metric) is not None
        ]

    def _metrics_in(self, row: Mapping[str, float]) -> list[Influence]:
        return [one for one in self._run.influences if one.metric in row]

    def _free_folder(self) -> Path:
        folder, number = self._run.folder.resolve(), 1
        while (child := folder.with_name(f"{folder.name}-reviewed-{number}")).exists():
            number += 1
        return child

    def _say(self, **said: Any) -> None:
        write_atomically(self._folder / "retraining.json", dumps(said).encode())
        self._said = said

    def _last(self) -> dict[str, Any]:
        try:
            said = loads((self._folder / "retraining.json").read_bytes())
        except (OSError, ValueError):
            return IDLE  # nothing is lost with it: the folder of the run stays
        if said["state"] != "running":
            return said
        text = _INTERRUPTED.format(run=self._run.folder, child=said["child"])
        return {**said, "state": "failed", "text": text}


def _last_values(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    last = rows[-1] if rows else {}
    return {name: value for name, value in last.items() if value is not None}


def _row(metric: str, before: float, after: float, higher: bool) -> dict[str, Any]:
    change = after - before
    return {
        "metric": metric,
        "title": words.metric_title(metric),
        "before": words.number(before),
        "after": words.number(after),
        "change": words.number(change, signed=True),
        "higher_is_better": higher,
        "better": None if change == 0 else (change > 0) == higher,
    }
