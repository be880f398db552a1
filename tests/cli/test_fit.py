"""Fitting detectors from the command line, end to end."""

import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from counterplay import estimators
from counterplay.__main__ import main
from counterplay.cli import _fitting, _folder, _log
from counterplay.cli._given import Given
from counterplay.cli._log import Log
from counterplay.errors import MetricError


ROOT = Path(_folder.__file__).parents[2]
FIT = shlex.split(
    "fit outliers --data rows.csv --id-column who --drop note --set n_active=6"
)
SERIES = shlex.split(
    "fit series --time when --window 8 --set n_steps=9 batch_size=8 width=3 n_inversion=2"
)
HOSTILE = "<script>alert(1)</script>"


def read(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def write(path, columns):
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])


def rows(n=60, seed=0):
    """A table with a few rows that lie further out, in part."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    x[:6] *= 2.5
    return {
        "who": [f"row {i}" for i in range(n)],
        "a": x[:, 0],
        HOSTILE: x[:, 1],
        "note": ["text"] * n,
        "c": x[:, 2],
        "bad": (np.arange(n) < 6).astype(int),
    }


def series(n=90, seed=0, begin=0):
    """A series with a gap in the middle and a fault at its end."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(n) / 4)
    fault = np.arange(n) >= n - 5
    seconds = begin + np.arange(n) + 500 * (np.arange(n) >= n // 2)
    return {
        "when": [str(np.datetime64("2024-01-01T00:00:00") + int(s)) for s in seconds],
        "a": wave + 0.1 * rng.standard_normal(n) + 2 * fault,
        "b": wave**2 + 0.1 * rng.standard_normal(n),
        "bad": fault.astype(int),
    }


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The files in a working folder."""
    monkeypatch.chdir(tmp_path)
    write("rows.csv", rows())
    write("series.csv", series())
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model of the table, traced; not to be changed."""
    path = tmp_path_factory.mktemp("fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        write("rows.csv", rows())
        assert main([*FIT, "--label", "bad"]) == 0
    return path / "model"


@pytest.fixture
def model(fitted):
    """A copy of that model in the working folder."""
    shutil.copytree(fitted, "model")
    return Path("model")


def bits(model):
    """Everything that a fit determines."""
    names = [*sorted(model.glob("checkpoints/*")), model / "model.safetensors"]
    names += [model / name for name in ("scores.csv", "losses.jsonl")]
    return {path.name: path.read_bytes() for path in names}


def test_fit_writes_a_model_its_scores_and_what_hurts(fitted):
    assert {path.name for path in fitted.iterdir()} == {
        "model.toml", "model.safetensors", "checkpoints", "log.jsonl", "log.csv",
        "losses.jsonl", "scores.csv", "influence.csv", "report.html", "page.npz",
    }  # fmt: skip
    scores, influence = read(fitted / "scores.csv"), read(fitted / "influence.csv")
    assert list(scores[0]) == ["id", "score", "is_outlier", "label"]
    assert [row["id"] for row in scores] == [f"row {i}" for i in range(60)]
    assert sum(row["is_outlier"] == "true" for row in scores) == 6  # contamination of 0.1
    assert list(influence[0]) == ["row", "id", "removal", "harm", "rank"]
    ranks = [int(row["rank"]) for row in influence]
    assert sorted(ranks) == list(range(1, 61))
    harm = np.array([float(row["harm"]) for row in influence])
    assert harm[ranks.index(1)] == harm.max()
    tables = tomllib.loads((fitted / "model.toml").read_text())
    assert tables["model"]["estimator"] == "mo_gaal"
    assert tables["parameters"]["n_active"] == 6
    assert tables["data"]["columns"] == ["a", HOSTILE, "c"]
    losses = read(fitted / "log.csv")
    assert int(losses[-1]["step"]) == estimators.load(fitted).trajectory_.n_steps
    assert float(losses[-1]["loss_D"]) > 0


def test_the_folder_is_an_estimator_of_python(fitted):
    table = rows()
    X = np.column_stack([table["a"], table[HOSTILE], table["c"]])
    found = estimators.load(fitted)
    own = estimators.MOGAAL(n_active=6, random_state=0).fit(X)
    scores = [float(row["score"]) for row in read(fitted / "scores.csv")]
    assert found.outlier_scores(X).tolist() == own.outlier_scores(X).tolist() == scores
    harm = own.influence(X, table["bad"]).harm
    written = [float(row["harm"]) for row in read(fitted / "influence.csv")]
    assert written == pytest.approx(harm.tolist(), rel=1e-9)
    assert torch.equal(found.influence(X, table["bad"]).harm, harm)


def test_the_quality_is_printed(capsys):
    assert main([*FIT, "--label", "bad", "--no-trace"]) == 0
    scores = [float(row["score"]) for row in read("model/scores.csv")]
    labels = rows()["bad"]
    said = (
        f"ROC-AUC {roc_auc_score(labels, scores):.3f}, average precision "
        f"{average_precision_score(labels, scores):.3f} on 60 labelled rows"
    )
    assert said in capsys.readouterr().out
    assert not Path("model/influence.csv").exists()


def test_labels_are_not_learnt_from(fitted):
    write("rows.csv", {name: rows()[name] for name in ("who", "a", HOSTILE, "note", "c")})
    assert main(FIT) == 0
    own, labelled = read("model/scores.csv"), read(fitted / "scores.csv")
    assert [row["score"] for row in own] == [row["score"] for row in labelled]
    assert "label" not in own[0]


def test_names_are_shown_as_text(fitted):
    text = (fitted / "report.html").read_text()
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "Which training rows hurt" in text


def test_a_further_table_is_measured_and_traced_on(capsys):
    write("valid.csv", rows(40, seed=1))
    assert main([*FIT, "--label", "bad", "--valid", "valid.csv"]) == 0
    shown = capsys.readouterr().out
    assert "on 40 labelled rows" in shown
    assert "Training rows that hurt the detection" in shown
    assert "label" not in read("model/scores.csv")[0]
    assert len(read("model/influence.csv")) == 60


def test_of_many_labelled_rows_some_are_traced():
    write("rows.csv", rows(50) | {"bad": [1] * 5 + [0] * 45})
    given = Given.read([Path("rows.csv")], windows=False, label="bad", drop=["who", "note"])
    X, labels = given.sample(20)
    assert labels.tolist() == [1] * 2 + [0] * 20
    assert all((row == given.X).all(1).any() for row in X)
    assert len(set(X[:, 0])) == 22
    assert given.sample(50)[0] is given.X


def test_a_measure_without_a_slope_is_no_reason_to_fail(capsys, monkeypatch):
    def flat(*args, **options):
        raise MetricError("The gradient reaches no parameter.")

    monkeypatch.setattr(_fitting, "trace", flat)
    assert main([*FIT, "--label", "bad"]) == 0
    shown = capsys.readouterr().out
    assert "No training row can be said to hurt. The gradient reaches no par" in shown
    assert Path("model/report.html").exists()
    assert not Path("model/influence.csv").exists()


def test_series_are_fitted_with_their_times(capsys):
    words = [*SERIES, "--data", "series.csv", "--label", "bad", "--threshold", "quantile"]
    assert main(words) == 0
    scores, influence = read("model/scores.csv"), read("model/influence.csv")
    assert list(scores[0]) == [
        "time", "score", "is_outlier", "channel_1", "residual_1", "channel_2", "residual_2",
        "label",
    ]  # fmt: skip
    assert scores[0]["time"] == "2024-01-01 00:00:00"
    assert {row["channel_1"] for row in scores} <= {"a", "b"}
    assert all(float(row["residual_1"]) >= float(row["residual_2"]) for row in scores)
    times = [row["time"] for row in scores]
    assert {row["id"] for row in influence} <= set(times)
    assert not any(row["id"] in times[38:45] for row in influence)  # would cross the gap
    assert "MAD-GAN was fitted to 90 time stamps" in Path("model/report.html").read_text()
    assert "on 90 labelled rows" in capsys.readouterr().out


def test_several_series_are_named_in_the_results():
    write("more.csv", series(60, seed=1, begin=9_000))
    words = [*SERIES, "--data", "series.csv", "more.csv", "--drop", "bad"]
    assert main([*words, "--method", "mad_gan", "--stride", "4"]) == 0
    scores = read("model/scores.csv")
    assert len(scores) == 150
    assert scores[-1]["series"] == "more.csv"
    assert tomllib.loads(Path("model/model.toml").read_text())["data"]["step"] == 1e9


def test_the_baseline_of_series_has_no_game():
    words = "fit series --data series.csv --time when --label bad --method window_pca"
    assert main([*words.split(), "--window", "6", "--set", "n_components=3"]) == 0
    assert not Path("model/influence.csv").exists()
    assert not Path("model/log.csv").exists()


def interrupt_at(monkeypatch, step):
    append = Log.append

    def interrupted(self, move, values):
        append(self, move, values)
        if move == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(_log.Log, "append", interrupted)


@pytest.mark.parametrize("share", [0, 0.5, 0.6, 1])
def test_an_interrupted_fit_goes_on_to_the_same_bits(fitted, monkeypatch, capsys, share):
    last = int(read(fitted / "log.csv")[-1]["step"])
    step = max(1, round(share * last))
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        assert main([*FIT, "--label", "bad"]) == 130
    command = capsys.readouterr().err.split("counterplay ")[-1]
    assert command.endswith("--label bad --resume\n")
    assert main(shlex.split(command)) == 0
    assert bits(Path("model")) == bits(fitted)
    written = [Path(folder, "influence.csv").read_text() for folder in ("model", fitted)]
    assert written[0] == written[1]


def test_a_finished_model_is_written_again_to_the_same_bits(model, fitted):
    assert main([*FIT, "--label", "bad", "--resume"]) == 0
    assert bits(model) == bits(fitted)


def test_a_fit_that_failed_before_its_first_move_is_not_in_the_way(capsys):
    assert main([*FIT, "--contamination", "0.7"]) == 1
    assert "`contamination` is the share of outliers" in capsys.readouterr().err
    assert main(FIT) == 0


def test_a_model_is_not_overwritten_and_not_continued_as_another(model, capsys):
    assert main([*FIT, "--label", "bad"]) == 1
    assert "There is something in 'model' already." in capsys.readouterr().err
    assert main([*FIT, "--label", "bad", "--seed", "1", "--resume"]) == 1
    error = capsys.readouterr().err
    assert "was begun with random_state = 0 and cannot go on with 1" in error
    write("rows.csv", rows(seed=1))
    assert main([*FIT, "--label", "bad", "--resume"]) == 1
    assert "was begun with fingerprint of the data = '" in capsys.readouterr().err
    assert main([*FIT, "--resume", "--out", "nowhere"]) == 1
    assert "There is no model in 'nowhere'" in capsys.readouterr().err


def started(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "counterplay", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        start_new_session=True,
    )


def test_a_second_process_is_refused_and_a_killed_fit_goes_on(capsys):
    words = [*FIT[:-1], "n_active=40", "memory=100KiB"]
    with started(*words) as first:
        while not Path("model/checkpoints/000000000.safetensors").exists():
            assert first.poll() is None
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGSTOP)
        assert main([*words, "--resume"]) == 1
        error = capsys.readouterr().err
        assert f"Process {first.pid} is writing 'model'. Wait for it or stop it" in error
        os.kill(first.pid, signal.SIGKILL)
    assert main(["predict", "model", "--data", "rows.csv"]) == 1
    assert "has not been fitted to the end" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert main([*words, "--out", "whole"]) == 0
    assert bits(Path("model")) == bits(Path("whole"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data none.csv", "DataError: There is no file at 'none.csv'"),
        ("--data rows.csv --drop note", "Column 'who' holds string, such as 'row 0', where"),
        ("--data rows.csv --drop age", "'rows.csv' has no column 'age'; there are ['who'"),
        ("--data rows.csv --drop who note --label a", "The label 'a' is 0.3"),
        ("--data rows.csv --drop who note --label same", "All 60 labels in 'same' are 0"),
        ("--data rows.csv --valid v.csv", "name their column by `--label`"),
        ("--data gap.csv --drop who note", "Column 'a' has no finite value in row 3"),
        ("--data rows.csv --drop who note --set n_actve=3", "nearest is 'n_active'"),
        ("--data rows.csv --drop who note --set n_active", "takes OPTION=VALUE, such as"),
        ("--data rows.csv --drop who note --set lr_d=fast", "`lr_d` of mo_gaal must be float, got 'fast'. Its default"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_named(words, message, capsys):
    write("rows.csv", rows() | {"same": [0] * 60})
    gap = rows()
    gap["a"] = [*gap["a"][:3], "", *gap["a"][4:]]
    write("gap.csv", gap)
    assert main(["fit", "outliers", *words.split()]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("model").exists()


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (3, float, True), (0.5, int, False), (True, int, False), (True, bool, True),
        (1, bool, False), ("auto", int | Literal["auto"], True), ("a", Literal["b"], False),
        (None, int | None, True), (None, int, False), ("1GiB", int | str | None, True),
        ({}, Any, True),
    ],
)  # fmt: skip
def test_options_are_of_their_type(value, hint, fits):
    assert _fitting._fits(value, hint) == fits


def test_series_with_times_out_of_order_are_refused(capsys):
    table = series()
    table["when"][5], table["when"][6] = table["when"][6], table["when"][5]
    write("series.csv", table)
    assert main([*SERIES, "--data", "series.csv"]) == 1
    assert "comes after '2024-01-01 00:00:06'" in capsys.readouterr().err


def test_wrong_words_are_wrong_usage(capsys):
    assert main(["fit"]) == 2
    assert main(["fit", "rows", "--data", "rows.csv"]) == 2
    assert main(["fit", "outliers"]) == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["fit outliers", "fit series", "predict"])
def test_help_loads_nothing_heavy(verb):
    code = (
        "import sys; from counterplay.__main__ import main; main(sys.argv[1:]);"
        "print([m for m in ('torch', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *verb.split(), "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout.splitlines()[-1] == "[]"


def test_report_makes_the_page_of_a_model_again(model, capsys):
    text = (model / "report.html").read_text()
    (model / "report.html").unlink()
    assert main(["report", "model"]) == 0
    assert (model / "report.html").read_text() == text
    (model / "page.npz").unlink()
    assert main(["report", "model"]) == 1
    assert "cannot be made again" in capsys.readouterr().err
