"""Every verb, end to end on a toy."""

import csv
import dataclasses
import functools
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from counterplay import cli, games, live
from counterplay.__main__ import main, VERBS
from counterplay.cli import _record
from counterplay.cli._folder import RunFolder


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_there_is_one_file_per_verb():
    files = {path.stem for path in Path(cli.__file__).parent.glob("[!_]*.py")}
    assert files == set(VERBS)


def test_no_verb_shows_the_verbs_and_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "usage: counterplay VERB" in capsys.readouterr().err


def test_an_unknown_verb_names_the_nearest(capsys):
    assert main(["trase", "runs/1"]) == 2
    assert "no verb 'trase'; the nearest is 'trace'" in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage(capsys):
    assert main(["play", "--n-stpes", "3"]) == 2
    assert "--n-steps" in capsys.readouterr().err


def test_an_option_that_is_given_twice_is_wrong_usage(toy, capsys):
    options = ["--set", "game.r1=1", "--seed", "3", "--set=play.n_steps=5"]
    assert main(["play", *options, "--dry-run"]) == 2
    assert "`--set` is given twice, and only its last values" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_an_error_is_one_line(toy, capsys):
    assert main(["trace", "nowhere"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("RunError: There is no run in 'nowhere'")
    assert error.count("\n") == 1


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("counterplay 0.")


def test_play_writes_a_numbered_folder(toy, capsys):
    assert main(["play", "--from", "toy.toml", "--seed", "3"]) == 0
    assert main(["play", "--from", "runs/0001-gan-ring", "--n-rows", "3"]) == 0
    assert "runs/0002-gan-ring" in capsys.readouterr().out
    first, second = Path("runs/0001-gan-ring"), Path("runs/0002-gan-ring")
    tables = tomllib.loads((first / "run.toml").read_text())
    assert tables["play"] | {"n_steps": 12, "batch_size": 8, "seed": 3} == tables["play"]
    assert tables["game"]["loss"] == "non_saturating"  # defaults are there too
    assert {"version", "commit", "created", "device", "threads", "data", "seconds"} <= set(
        tables["run"]
    )
    moves = [path.name for path in sorted((first / "checkpoints").iterdir())]
    assert moves == [f"{move:09d}.safetensors" for move in (0, 3, 6, 9, 12)]
    for move in moves:  # the same recipe gives the same bits
        assert (first / "checkpoints" / move).read_bytes() == (
            second / "checkpoints" / move
        ).read_bytes()
    assert not (first / "lock").exists()


def test_the_log_has_losses_metrics_and_time(run):
    rows = read(run / "log.csv")
    assert list(rows[0]) == [
        "step", "loss_D", "loss_G", "valid_frechet_identity_32", "cpu_s"
    ]  # fmt: skip
    assert [int(row["step"]) for row in rows] == list(range(13))
    assert rows[0]["loss_D"] == ""
    assert float(rows[0]["valid_frechet_identity_32"]) > 0
    assert rows[2]["loss_G"] != ""
    assert rows[12]["valid_frechet_identity_32"] != ""
    lines = (run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(13))


def test_points_are_drawn_from_the_same_latents(run):
    sizes = set()
    for move in (0, 12):
        with Image.open(run / f"fakes_{move:06d}.png") as picture:
            sizes.add(picture.size)
    assert len(sizes) == 1


def test_images_are_drawn_in_a_grid(toy):
    options = ["--n-steps", "4", "--n-scores", "2", "--set", "nets.width=4", "metric.n=64"]
    assert main(["play", *options]) == 0
    folder = Path("runs/0001-gan-digits")
    with Image.open(folder / "reals.png") as picture:
        assert np.ptp(np.asarray(picture)) > 0
    assert {path.name for path in folder.glob("fakes*")} == {
        f"fakes_{move:06d}.png" for move in (0, 2, 4)
    }


def test_a_dry_run_prints_the_complete_recipe_and_writes_nothing(toy, capsys):
    overrides = ["game.lr_g=1e-4", "nets.activation=silu", "metric.options.recall.k=5"]
    assert main(["play", "--dry-run", "--n-steps", "7", "--set", *overrides]) == 0
    tables = tomllib.loads(capsys.readouterr().out)
    assert tables["play"]["n_steps"] == 7
    assert tables["game"]["lr_g"] == 1e-4
    assert tables["game"]["lr_d"] == 1e-3
    assert tables["nets"]["activation"] == "silu"
    assert tables["metric"]["options"] == {"recall": {"k": 5}}
    assert not Path("runs").exists()


def test_options_are_stronger_than_a_file_and_a_file_than_defaults(toy, capsys):
    assert main(["play", "--dry-run", "--from", "toy.toml", "--batch-size", "5"]) == 0
    tables = tomllib.loads(capsys.readouterr().out)
    assert tables["play"] | {"n_steps": 12, "batch_size": 5, "seed": 0} == tables["play"]


def test_trace_writes_scores_with_their_error_bar(run):
    metric = "valid_frechet_identity_32"
    rows = read(run / "scores.csv")
    assert list(rows[0]) == [
        "id", "label", f"removal_{metric}", f"harm_{metric}", f"rank_{metric}", "attributable"
    ]  # fmt: skip
    assert len(rows) == 48
    assert len({row["id"] for row in rows}) == 48
    harm = np.array([float(row[f"harm_{metric}"]) for row in rows])
    rank = np.array([int(row[f"rank_{metric}"]) for row in rows])
    assert sorted(rank) == list(range(1, 49))
    assert (np.diff(harm[rank.argsort()]) <= 0).all()
    table = parquet.read_table(run / "scores.parquet").to_pydict()
    assert table["id"] == [row["id"] for row in rows]
    verdict = json.loads((run / "verify.json").read_text())[0]["verdict"]
    believed = next(iter(verdict.values()))["attributable"]
    assert {row["attributable"] for row in rows} == {str(believed).lower()}


def test_trace_says_first_whether_to_believe(run, capsys):
    assert main(["trace", "run", "--instances", "3", "--epochs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "NOT attributable" in lines[0]  # three instances prove nothing
    assert any("Most harmful to" in line and "NOT attributable" in line for line in lines)
    facts = json.loads((run / "trace.json").read_text())
    assert facts["since"] == 0
    assert facts["adjoint"] == "Unroll(last=12)"


def test_verify_judges_several_adjoints_on_subsets_too(run):
    options = ["--instances", "4", "--subsets", "3", "--fractions", "0.1"]
    assert main(["verify", "run", *options, "--also", "implicit", "--depth", "5"]) == 0
    rows = read(run / "verify.csv")
    assert len({row["adjoint"] for row in rows}) == 2
    assert {row["change"] for row in rows} == {"instance", "subset"}
    assert "linear datamodeling score" in {row["measure"] for row in rows}


def test_cleanse_compares_methods_over_seeds(run, capsys):
    options = ["--seeds", "2", "--jobs", "1", "--fractions", "0.1", "0.25"]
    assert main(["cleanse", "run", *options, "--iterative", "--n-rounds", "1"]) == 0
    found = json.loads((run / "cleansing.json").read_text())
    assert found["chosen_by"] == "valid_frechet_identity_32"
    assert len(found["seeds"]) == 2
    assert {one["metric"] for one in found["comparisons"]} == {
        "test_frechet_identity_32",
        "test_average_log_likelihood_identity_32",
    }
    rows = read(run / "cleansing.csv")
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert {path.name for path in (run / "cleansed").iterdir()} == {
        "before.png",
        "fakes.png",
    }
    assert len(json.loads((run / "rounds.json").read_text())) == 1
    assert not (run / "detection.json").exists()
    assert (
        "test_frechet_identity_32, lower is better, mean of 2 seeds"
        in capsys.readouterr().out
    )


def test_planted_instances_are_looked_for(toy):
    corrupt = ["--set", "corrupt.kind=noise", "corrupt.fraction=0.25"]
    assert main(["play", "--from", "toy.toml", "--out", "run", *corrupt]) == 0
    assert main(["cleanse", "run", "--seeds", "1", "--fractions", "0.25"]) == 0
    found = json.loads(Path("run/detection.json").read_text())
    assert found["k"] == found["n_planted"] == 12
    assert found["precision"]["isolation forest"] > 0.5


def test_retrain_makes_a_run_that_names_its_parent(run):
    before = read(run / "scores.csv")
    assert main(["retrain", "run", "--without", "harmful:5", "--out", "child"]) == 0
    facts = tomllib.loads(Path("child/run.toml").read_text())["run"]
    assert facts["parent"] == "run"
    assert facts["without"] == "harmful:5"
    worst = {row["id"] for row in before if int(row["rank_valid_frechet_identity_32"]) <= 5}
    assert set(Path("child/removed.txt").read_text().split()) == worst
    child = RunFolder.open(Path("child"))
    assert int((child.plan.weights == 0).sum()) == 5
    Path("gone.txt").write_text(f"{before[0]['id']}\n")
    assert main(["retrain", "child", "--without", "gone.txt", "--out", "grandchild"]) == 0
    assert len(RunFolder.open(Path("grandchild")).removed) in (5, 6)
    assert main(["trace", "child", "--instances", "2"]) == 0


def test_retrain_refuses_what_it_cannot_read(run, capsys):
    for without, text in {
        "worst:5": "`--without` takes harmful:K, helpful:K, random:K or a file",
        "toy.toml": "names '\\[data\\]', which is no instance",
    }.items():
        assert main(["retrain", "run", "--without", without]) == 1
        assert text.replace("\\", "") in capsys.readouterr().err
    assert main(["retrain", "run", "--metric", "beauty"]) == 1
    assert "no scores on 'beauty'" in capsys.readouterr().err
    assert main(["retrain", "run", "--without", "random:3", "--out", "child"]) == 0
    assert main(["retrain", "child", "--resume", "--out", "child"]) == 1
    assert "The parent of 'child' is 'run', not 'child'" in capsys.readouterr().err
    words = ["retrain", "run", "--resume", "--out", "child"]
    assert main([*words, "--without", "random:4"]) == 1
    error = capsys.readouterr().err
    assert "begun without 'random:3' and cannot go on without 'random:4'" in error
    assert main([*words, "--without", "random:3"]) == 0
    assert main(words) == 0


def test_score_compares_runs(run, capsys):
    words = ["score", "run", "run", "--repeats", "3"]
    assert main([*words, "--output", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["metric"] for row in rows[:2]] == [
        "test_frechet_identity_32",
        "test_average_log_likelihood_identity_32",
    ]
    assert rows[0]["value"] == rows[2]["value"]
    assert rows[0]["low"] < rows[0]["value"] < rows[0]["high"]
    assert rows[0]["of_real"] < rows[0]["value"]
    assert (rows[0]["better"], rows[0]["n"]) == ("lower", 32)
    assert main([*words, "--sort", "value", "--figure", "spread.png"]) == 0
    assert "test_frechet_identity_32" in capsys.readouterr().out
    assert Path("spread.svg").exists()
    assert main(["score", "run", "--metric", "recall", "--output", "csv"]) == 0
    assert capsys.readouterr().out.startswith(
        "model,metric,value,low,high,of_real,n_of_real,n,"
    )
    assert main(["score", "run", "--part", "valid"]) == 0
    assert "valid_frechet_identity_32" in capsys.readouterr().out


def test_a_metric_that_fails_does_not_lose_the_others(run, capsys):
    np.save("real.npy", np.random.default_rng(0).normal(size=(50, 3)))
    models = ["run", "real.npy", "nowhere.npy"]
    words = ["score", *models, "--reference", "real.npy", "--metric", "frechet", "am_score"]
    assert main([*words, "--output", "json"]) == 1
    printed = capsys.readouterr()
    assert [(row["model"], row["metric"]) for row in json.loads(printed.out)] == [
        ("run", "test_frechet_identity_32"),
        ("real.npy", "frechet_identity_50"),
    ]
    assert "MetricError: 3 could not be measured, and what could be is above" in printed.err
    for what in ("am_score of run: ", "am_score of real.npy: ", "nowhere.npy: "):
        assert what in printed.err
    assert main(["score", "run", "--metric", "am_score"]) == 1
    assert "could not be measured" not in capsys.readouterr().err


@pytest.mark.filterwarnings("default:The images of")
def test_score_reads_samples_that_something_else_made(run, capsys):
    random = np.random.default_rng(0)
    for name, shift in (("real", 0.0), ("near", 0.1), ("far", 2.0)):
        np.save(f"{name}.npy", random.normal(shift, 1.0, (50, 3)))
    words = ["score", "far.npy", "near.npy", "--reference", "real.npy", "--output", "json"]
    assert main([*words, "--sort", "value", "--resamples", "20"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["near.npy", "far.npy"]
    assert rows[1]["low"] < rows[1]["value"] < rows[1]["high"]
    assert rows[0]["metric"] == "frechet_identity_50"
    Path("images").mkdir()
    for i in range(20):
        Image.fromarray(random.integers(0, 255, (9, 9), np.uint8)).save(f"images/{i}.png")
    words = ["score", "images", "--reference", "images", "--size", "4", "--output", "json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)[0]["value"] == pytest.approx(0, abs=1e-9)
    assert main(["score", "near.npy"]) == 1
    assert (
        "need real data to be compared with. Give `--reference`" in capsys.readouterr().err
    )
    Path("text.npy").write_text("text")
    assert main(["score", "text.npy", "--reference", "real.npy"]) == 1
    assert "neither a run folder, a folder of images, nor" in capsys.readouterr().err
    np.savez("two.npz", a=1, b=2)
    assert main(["score", "two.npz", "--reference", "real.npy"]) == 1
    assert "holds several arrays" in capsys.readouterr().err
    for name, low in (("unit", 0.0), ("signed", -1.0)):
        np.save(f"{name}.npy", random.uniform(low, 1.0, (30, 4, 4)))
    assert main(["score", "unit.npy", "--reference", "signed.npy"]) == 0
    assert "if either is in [0, 1], multiply by 2" in capsys.readouterr().err


@pytest.mark.filterwarnings("default:The classifier.s errors")
def test_fairness_needs_a_classifier_and_takes_out_its_errors(run, capsys):
    assert main(["fairness", "run", "--n", "0"]) == 1
    assert "`n` must be at least 1 sample" in capsys.readouterr().err
    assert main(["fairness", "run"]) == 1
    assert "feature map 'identity', which tells no classes" in capsys.readouterr().err
    words = ["--set", "nets.width=4", "features.name=classifier", "features.n_steps=60"]
    assert main(["play", "--n-steps", "4", *words, "--out", "digits"]) == 0
    capsys.readouterr()
    words = ["fairness", "digits", "--n", "300", "--output", "json"]
    assert main(words) == 0
    found = capsys.readouterr()
    report = json.loads(found.out)
    assert [row["class"] for row in report["classes"]] == list("0123456789")
    assert sum(row["measured"] for row in report["classes"]) == pytest.approx(1)
    assert "instances of the rarest class" in found.err
    assert main([*words, "--groups", *"0000011111"]) == 0
    assert len(json.loads(capsys.readouterr().out)["classes"]) == 2
    assert main(["fairness", "digits", "--n", "300"]) == 0
    words = ["score", "digits", "--metric", "am_score", "--per-class", "--output", "csv"]
    assert main(words) == 0
    assert "model,class,distance,share of real" in capsys.readouterr().out
    assert main(["fairness", "digits", "--n", "300"]) == 0
    assert "wanted shares" in capsys.readouterr().out


def test_report_writes_the_page_and_the_figures(run):
    assert main(["report", "run"]) == 0
    assert (run / "report.html").stat().st_size > 1_000
    assert list((run / "figures").glob("*.svg"))
    assert "Nearest of" in (run / "report.html").read_text()
    assert main(["report", "run", "--n-instances", "5", "--out", "few.html"]) == 0
    assert Path("few.html").read_text().count('"removal":') == 5


def test_report_compares_several_runs(run):
    assert main(["report", "run", "run"]) == 0
    assert "How the runs compare" in Path("compare.html").read_text()


def test_report_needs_a_run_and_an_instance(run, capsys):
    assert main(["report"]) == 1
    assert "at least one run folder" in capsys.readouterr().err
    assert main(["report", "run", "--n-instances", "0"]) == 1
    assert "`--n-instances 0`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("games", "lqgan"),
        ("nets", "dcgan"),
        ("data", "digits"),
        ("metrics", "recall"),
        ("features", "classifier"),
        ("adjoints", "implicit"),
        ("estimators", "mo_gaal"),
    ],
)
def test_list_names_and_explains(kind, name, capsys):
    assert main(["list", kind]) == 0
    assert name in capsys.readouterr().out


def test_experiment_prints_and_writes_its_table(toy, capsys):
    text = toy.read_text() + "[ladder]\nepochs = [0]\ninstances = 3\nsubsets = 0\n"
    Path("small.toml").write_text(text)
    assert main(["experiment", "small.toml", "--seeds", "1"]) == 0
    rows = read(Path("runs/small/results.csv"))
    assert {row["measure"] for row in rows} >= {"pearson", "kendall"}
    assert "runs/small/results.csv" in capsys.readouterr().out


def test_run_does_all_of_it(toy, capsys):
    options = ["--instances", "3", "--seeds", "2", "--jobs", "1", "--fractions", "0.1"]
    assert main(["run", "--from", "toy.toml", "--out", "all", *options]) == 0
    for name in ("scores.csv", "verify.json", "cleansing.json", "report.html"):
        assert (Path("all") / name).exists()
    out = capsys.readouterr().out
    assert (
        out.index("Most harmful") < out.index("mean of 2 seeds") < out.index("report.html")
    )
    assert main(["run", "--dry-run"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["data"]["name"] == "digits"


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")]
)
def test_a_log_for_another_tool_needs_its_package(toy, capsys, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["play", "--from", "toy.toml", f"--{name}"]) == 1
    assert f'pip install "counterplay[{name}]"' in capsys.readouterr().err


def test_a_run_tells_its_watchers_and_the_bar(toy, monkeypatch):
    told, closed = [], []

    class Board:
        def __init__(self, folder, *, since):
            told.append((Path(folder).name, since))

        def __call__(self, progress):
            told.append(progress)

        def close(self):
            closed.append(True)

    monkeypatch.setattr(live, "TensorBoard", Board)
    words = ["play", "--from", "toy.toml", "--tensorboard", "--n-scores", "2"]
    assert main([*words, "--out", "run"]) == 0
    (name, since), *rows = told
    assert (name, since, closed) == ("tensorboard", 0, [True])
    assert [row.step for row in rows] == [int(r["step"]) for r in read(Path("run/log.csv"))]
    assert rows[-1].n_steps == 12
    assert any(value in rows[-1].values for value in ("loss_D", "loss_G"))
    assert any(name.startswith("valid_frechet") for name in rows[-1].values)


def test_the_note_beside_the_bar_has_losses_pace_and_metrics():
    losses, measured = {"loss_D": 1.3862, "loss_G": 0.7}, {"valid_frechet_a_64": 12.345}
    note = _record._note(losses, measured, 5_432.1)
    assert note == "D 1.39 · G 0.7 · 5,432/s · Fréchet distance 12.35"
    assert _record._note({}, {}, 0.0) == ""


def test_a_grid_of_a_game_with_labels_has_a_class_per_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = []
    factory = games.load("cgan")

    def watched(*networks, **options):
        game = factory(*networks, **options)
        sample = game.sample

        def seen(params, noise):
            shown.append(noise["y"].tolist())
            return sample(params, noise)

        return dataclasses.replace(game, sample=seen)

    monkeypatch.setattr(games, "load", lambda name: functools.wraps(factory)(watched))
    words = ["play", "--game", "cgan", "--n-steps", "2", "--set", "nets.width=4"]
    assert main([*words, "--n-scores", "1"]) == 0
    grids = [labels for labels in shown if len(labels) == 64]
    assert grids
    assert all(labels == [i // 8 for i in range(64)] for labels in grids)
