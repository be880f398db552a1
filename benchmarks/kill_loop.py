"""Is anything lost when a verb is killed?

Kills `play`, `trace`, `retrain`, `verify` and `cleanse` with SIGKILL at random moments,
half of them right after something was written, and gives the same command again until it
has finished. After every kill, each file that is there must be readable and hold what it
held before, or what an undisturbed run writes into it; entries of the bank, and the move
from which a run goes on, may only grow. At the end all files must be bit-identical, but for
dates, commits and seconds.

Every command is a process of its own, forked after the imports, which would be most of it.

Run: python benchmarks/kill_loop.py [--kills 200] [--seed 0] [--verbs play trace]
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from PIL import Image
from pyarrow import csv, parquet

from counterplay import _statistics
from counterplay.__main__ import main as counterplay
from counterplay._bank import Bank
from counterplay._influence import Influence
from counterplay._sealed import loads
from counterplay._sweep import SweepFile
from counterplay.cli import _command
from counterplay.report.records import log_rows


RECIPE = """
[data]
name = "ring"
n_train = 64
n_valid = 32
n_test = 32
[nets]
name = "mlp"
width = 8
[game]
name = "gan"
latent_dim = 2
[play]
n_steps = 120
batch_size = 8
[metric]
names = ["frechet"]
report = ["average_log_likelihood"]
n = 32
"""
RUNS = ("run", "again")
PLAY = "play --from recipe.toml --out run"
TRACE = "trace run --instances 6 --chunk 4"
CLEANSE = "cleanse run --seeds 2 --fractions 0.1 0.2 --chunk 5"


@dataclass(frozen=True)
class Case:
    """What is killed.

    Attributes:
        words: The command.
        before: The commands whose results it needs.
        out: The run folder that it makes, if it makes one.
    """

    words: str
    before: tuple[str, ...] = ()
    out: str = ""


CASES = {
    "play": Case(PLAY, out="run"),
    "trace": Case(TRACE, (PLAY,)),
    "retrain": Case("retrain run --without harmful:6 --out again", (PLAY, TRACE), "again"),
    "verify": Case("verify run --instances 24 --chunk 5", (PLAY, TRACE)),
    "cleanse": Case(f"{CLEANSE} --jobs 1", (PLAY,)),
    "cleanse, two processes": Case(f"{CLEANSE} --jobs 2", (PLAY,)),
}


@dataclass
class Tally:
    """What happened to one case."""

    kills: int = 0
    writing: int = 0  # of the kills, those right after a write
    rounds: int = 0
    identical: int = 0
    problems: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    _statistics.N_RESAMPLES = 50  # intervals take time, and no file
    # An unfinished trace is kept every half minute; these are over in a second.
    assert SweepFile.__init__.__kwdefaults__ is not None
    SweepFile.__init__.__kwdefaults__["seconds"] = 0.02
    for verb in {name.split(",")[0] for name in options.verbs}:
        _command.function_of(verb)  # the imports, before any fork
    chance, tallies = random.Random(options.seed), {}
    for i, name in enumerate(options.verbs):
        share = options.kills * (i + 1) // len(options.verbs)
        share -= options.kills * i // len(options.verbs)
        with tempfile.TemporaryDirectory() as folder:
            tallies[name] = loop(CASES[name], Path(folder), share, chance)
        show(name, tallies[name])
    total = sum(tally.kills for tally in tallies.values())
    failed = sum(len(tally.problems) for tally in tallies.values())
    print(f"{total} kills, {failed} problems")
    return 1 if failed else 0


def show(name: str, tally: Tally) -> None:
    print(
        f"{name:24} {tally.kills:4} kills, {tally.writing:3} right after a write; "
        f"{tally.rounds:3} finished, {tally.identical:3} identical",
        flush=True,
    )
    for problem in tally.problems:
        print(f"    {problem}", flush=True)


def loop(case: Case, folder: Path, kills: int, chance: random.Random) -> Tally:
    """Kill one case as often as asked, from its beginning again and again."""
    start, undisturbed = folder / "start", folder / "undisturbed"
    start.mkdir()
    (start / "recipe.toml").write_text(RECIPE)
    for words in case.before:
        finish(start, words.split())
    shutil.copytree(start, undisturbed)
    began = time.monotonic()
    changes = finish(undisturbed, case.words.split())
    seconds = time.monotonic() - began
    allowed, tally = (contents(start), contents(undisturbed)), Tally()
    while tally.kills < kills:
        here = folder / "here"
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(start, here)
        play_round(case, here, allowed, tally, kills, chance, seconds, changes)
    return tally


def play_round(
    case: Case,
    here: Path,
    allowed: tuple[dict[str, Any], dict[str, Any]],
    tally: Tally,
    kills: int,
    chance: random.Random,
    seconds: float,
    changes: int,
) -> None:
    """One run of a case from its beginning to its end, killed on the way."""
    progress: dict[str, Any] = {}
    children: list[int] = []
    while True:
        words = case.words.split()
        if not case.out or (here / case.out / "run.toml").exists():
            words.append("--resume")
        child = begin(here, words)
        children.append(child)
        writing = chance.random() < 0.5
        if tally.kills == kills:
            status, _ = wait(here, child)
        elif writing:
            goal = chance.randint(1, max(1, changes // 3))
            status, _ = wait(here, child, lambda _, n, goal=goal: n >= goal)
        else:
            end = time.monotonic() + chance.uniform(0, seconds / 2)
            status, _ = wait(here, child, lambda now, _, end=end: now >= end)
        if status is not None:
            break
        time.sleep(chance.uniform(0, 0.002) if writing else 0)
        # The process alone, or with those that it has started.
        (os.kill if chance.random() < 0.5 else os.killpg)(child, signal.SIGKILL)
        os.waitpid(child, 0)
        tally.kills += 1
        tally.writing += writing
        tally.problems += check(here, allowed, progress)
    for group in children:  # processes whose parent was killed alone
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    tally.rounds += 1
    expected = allowed[1]
    found = check(here, (expected, expected), progress)
    missing = sorted(expected.keys() - contents(here).keys())
    found += [f"{name} is missing at the end" for name in missing]
    if status != 0:
        found.append(f"{words} ended with status {status}: {(here / 'output').read_text()}")
    tally.identical += not found
    tally.problems += found


def begin(here: Path, words: list[str]) -> int:
    """Start a command in a process and a process group of its own."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.chdir(here)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    status = 70
    try:
        status = counterplay(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def finish(here: Path, words: list[str]) -> int:
    """Run a command to its end; how often it changed a file."""
    status, changes = wait(here, begin(here, words))
    assert status == 0, (here / "output").read_text()
    return changes


def wait(
    here: Path,
    child: int,
    enough: Callable[[float, int], bool] = lambda now, changes: False,
) -> tuple[int | None, int]:
    """The status of a process, or None when it is time before it ends; changes of files."""
    seen, changes = listing(here), 0
    while not enough(time.monotonic(), changes):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), changes
        time.sleep(0.0005)
        now = listing(here)
        changes += now != seen
        seen = now
    return None, changes


def listing(folder: Path) -> set[tuple[str, int]]:
    """Every file with its size; not the output, nor the lines that come with each move."""
    found = set()
    with suppress(FileNotFoundError):  # renamed while we look
        for entry in os.scandir(folder):
            if entry.is_dir():
                found |= listing(Path(entry.path))
            elif entry.name != "output" and not entry.name.endswith(".jsonl"):
                found.add((entry.path, entry.stat().st_size))
    return found


def check(
    here: Path, allowed: tuple[dict[str, Any], dict[str, Any]], progress: dict[str, Any]
) -> list[str]:
    """What is wrong with the files that are there.

    Args:
        here: Where they are.
        allowed: What files held before the command, and after it if nothing disturbs it.
        progress: What was there at the last kill; brought up to date.

    Returns:
        The problems, each in a sentence.
    """
    problems, found = [], contents(here)
    for name, content in found.items():
        versions = [held[name] for held in allowed if name in held]
        if isinstance(content, Exception):
            problems.append(f"{name} cannot be read: {content!r}")
        elif isinstance(content, dict) and versions:  # lines: as far as it has got
            wrong = {k for k, v in content.items() if versions[-1].get(k) != v}
            problems += [f"{name} has other entries: {sorted(wrong)[:3]}"] if wrong else []
            lost = progress.get(name, {}).keys() - content.keys()
            problems += [f"{name} has lost {sorted(lost)[:3]}"] if lost else []
        elif versions and content not in versions:
            problems.append(f"{name} has other content")
    banks = {k: v for k, v in found.items() if k.endswith("bank.jsonl")}
    reached = {
        f"{run} reached": dict.fromkeys(range(resumable(here / run) + 1)) for run in RUNS
    }
    for name, moves in reached.items():
        if progress.get(name, {}).keys() - moves.keys():
            problems.append(f"{name}: went back to move {len(moves) - 1}")
    progress.update(banks | reached)
    return problems


def resumable(folder: Path) -> int:
    """The move from which a run goes on: its newest checkpoint with a row in the log."""
    rows = {row["step"] for row in log_rows(folder / "log.jsonl")}
    kept = {int(path.stem) for path in folder.glob("checkpoints/*.safetensors")}
    return int(max(rows & kept, default=-1))


def contents(folder: Path) -> dict[str, Any]:
    """What every finished file holds; of a file that cannot be read, why."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        passing = any(part.startswith(".") for part in Path(name).parts)
        if path.is_file() and not passing and path.name not in ("lock", "output"):
            try:
                found[name] = content_of(path)
            except Exception as error:
                found[name] = error
    return found


def content_of(path: Path) -> Any:
    """The bytes of a file once it has been read, or what does not change in it."""
    match path.name:
        case "run.toml":
            tables = tomllib.loads(path.read_text())
            for name in ("created", "seconds", "commit", "checksum"):
                tables["run"].pop(name, None)
            return json.dumps(tables)
        case "log.jsonl":
            rows = log_rows(path)
            return {f"{row['step']}": {**row, "cpu_s": 0} for row in rows}
        case "log.csv":
            return csv.read_csv(path).drop(["cpu_s"]).to_pylist()
        case "bank.jsonl":
            return dict(Bank(path))
    readers = {
        ".safetensors": safetensors.torch.load_file,
        ".npz": Influence.load,
        ".json": lambda path: loads(path.read_bytes()),
        ".csv": csv.read_csv,
        ".parquet": parquet.read_table,
        ".png": lambda path: Image.open(path).verify(),
    }
    readers.get(path.suffix, Path.read_bytes)(path)
    return path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
