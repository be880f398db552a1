"""Whatever byte of a run folder is damaged: the file is named, or nothing changes."""

import random
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from counterplay.__main__ import main
from counterplay._checkpoint import fingerprint
from counterplay._retrain import retrain
from counterplay.cli import _scores
from counterplay.cli._folder import RunFolder
from counterplay.errors import CounterplayError
from counterplay.report import records


NAMES = [
    "run.toml",
    "removed.txt",
    "log.jsonl",
    "bank.jsonl",
    "trace.json",
    "verify.json",
    "cleansing.json",
    "influence_0.npz",
    "scores.csv",
    "checkpoints/000000009.safetensors",
    "seeds/0/cleansing.json",
    "seeds/0/bank.jsonl",
]
CLEANSE = ["--seeds", "1", "--jobs", "1", "--fractions", "0.1"]


@pytest.fixture(scope="module")
def full(played, tmp_path_factory):
    """A run folder with every file that a verb reads; not to be changed."""
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copytree(played, "parent")
        words = ["--without", "random:3", "--out", "run"]
        assert main(["retrain", "parent", *words]) == 0
        assert main(["trace", "run", "--instances", "3"]) == 0
        assert main(["cleanse", "run", *CLEANSE]) == 0
    return folder / "run"


def read(path):
    """Everything that the verbs read, as values that can be compared."""
    folder = RunFolder.open(path)
    facts = {k: v for k, v in folder.facts.items() if k != "checksum"}
    run, report = folder.trajectory(), records.read(path)
    influences, since = _scores.load_influences(folder)
    seed = RunFolder(path / "seeds/0", folder.recipe, folder.facts)
    return {
        "run.toml": (folder.recipe.tables(), {k: facts[k] for k in ("data", "threads")}),
        "removed.txt": run.plan.weights.tolist(),
        "checkpoints": {m: fingerprint(run.checkpoints[m]) for m in run.checkpoints},
        "fingerprints": dict(run.fingerprints),
        "log.jsonl": {row["step"]: row for row in report.log},
        "bank.jsonl": dict(folder.bank),
        "seed's bank": dict(seed.bank),
        "trace.json": since,
        "influences": [(one.metric, one.removal.tolist()) for one in influences],
        "verify.json": report.verified,
        "cleansing.json": report.cleansing,
        "seed's result": seed.read_json("cleansing.json")["cleansing"],
    }


def damage(path, position, bit):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def require_found_or_harmless(path, name, before):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = read(path)
        except CounterplayError as error:
            found = str(error)
    if isinstance(found, str):
        assert Path(name).name in found or name == "run.toml"
        return
    lost = False
    for key, value in before.items():
        if isinstance(value, dict) and key.endswith(("jsonl", "bank")):
            assert found[key].items() <= value.items()  # an entry less is computed again
            lost |= len(found[key]) < len(value)
        else:
            assert found[key] == value, key
    if lost and path.joinpath(name).read_bytes().endswith(b"\n"):
        assert any(name in str(one.message) for one in told)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_byte_is_found_or_harmless(full, tmp_path, name):
    """A few bytes of every file; the slow test below takes a thousand."""
    flips(full, tmp_path, name, random.Random(name).choices(range(10**9), k=12))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_damaged_byte_is_found_or_harmless(full, tmp_path, name):
    size = (full / name).stat().st_size
    flips(full, tmp_path, name, range(0, size, -(-size // 1_000)))


def flips(full, tmp_path, name, positions):
    before, copy = read(full), tmp_path / "run"
    shutil.copytree(full, copy)
    path, size = copy / name, (full / name).stat().st_size
    for position in positions:
        damage(path, position % size, position % 8)
        require_found_or_harmless(copy, name, before)
        shutil.copy(full / name, path)


def test_the_head_of_a_checkpoint_is_covered_alone(full, tmp_path):
    """The head alone gives the fingerprint, so it has a checksum of its own."""
    shutil.copytree(full, tmp_path / "run")
    checkpoints = RunFolder.open(tmp_path / "run").checkpoints
    path = tmp_path / "run/checkpoints/000000009.safetensors"
    content = path.read_bytes()
    expected = checkpoints.fingerprint_of(9)
    for position in range(0, 8 + int.from_bytes(content[:8], "little"), 13):
        damage(path, position, position % 8)
        try:
            found = checkpoints.fingerprint_of(9)
        except CounterplayError as error:
            found = str(error)
        assert found == expected or "000000009.safetensors' is damaged" in found
        path.write_bytes(content)


def test_a_checkpoint_under_the_name_of_another_is_found(full, tmp_path):
    shutil.copytree(full, tmp_path / "run")
    folder = tmp_path / "run/checkpoints"
    shutil.copy(folder / "000000006.safetensors", folder / "000000009.safetensors")
    checkpoints = RunFolder.open(tmp_path / "run").checkpoints
    with pytest.raises(CounterplayError, match=r"000000009.safetensors' is damaged"):
        checkpoints[9]


def test_a_damaged_verb_says_in_one_line_what_to_do(run, capsys):
    for name, words in {
        "trace.json": ["verify", "run"],
        "influence_0.npz": ["verify", "run"],
        "checkpoints/000000012.safetensors": ["trace", "run"],
        "run.toml": ["score", "run"],
        "verify.json": ["report", "run"],
    }.items():
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])
        assert main(words) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert Path(name).name in error
        assert "Traceback" not in error
        (run / name).write_bytes(content)


def test_a_record_of_a_trace_that_says_too_little_is_refused(run, capsys):
    (run / "trace.json").write_text('{"metrics": []}')
    assert main(["verify", "run"]) == 1
    assert "trace.json' is damaged. Delete it, and use `counterplay trace run` again" in (
        capsys.readouterr().err
    )


@pytest.mark.filterwarnings("default:.*is damaged in lines")
def test_a_bank_with_a_damaged_line_leads_to_the_same_numbers(run, capsys):
    before = (run / "verify.json").read_bytes()
    bank = run / "bank.jsonl"
    damage(bank, len(bank.read_bytes()) // 2, 0)
    assert main(["trace", "run", "--instances", "4", "--resume"]) == 0
    assert "Warning: 'run/bank.jsonl' is damaged in lines [1]" in capsys.readouterr().err
    assert (run / "verify.json").read_bytes() == before


def test_a_retrained_folder_whose_list_is_gone_is_refused(full, tmp_path, capsys):
    shutil.copytree(full, tmp_path / "run")
    (tmp_path / "run/removed.txt").unlink()
    assert main(["trace", str(tmp_path / "run")]) == 1
    assert "removed.txt' is damaged: it does not name" in capsys.readouterr().err


def test_a_final_state_on_disk_is_the_one_that_was_played(full):
    folder = RunFolder.open(full)
    run = folder.trajectory()
    again = retrain(folder.recipe.make_game(), folder.data, run)
    for name, tensor in run.final.tensors().items():
        assert torch.equal(again.final.tensors()[name], tensor)
