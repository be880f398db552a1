import json

from example_run import VALID

from counterplay.report import records, verdicts


def test_a_good_ranking_is_attributable_with_the_tau_of_removal(folder):
    (found,) = verdicts.verdicts(records.read(folder))
    assert found.attributable
    assert found.tau is not None
    assert (found.tau["size"], found.tau["measure"]) == (1.0, "kendall")


def test_a_ranking_that_nobody_verified_is_neither(folder):
    (folder / "verify.json").unlink()
    (found,) = verdicts.verdicts(records.read(folder))
    assert found.attributable is None
    assert found.tau is None


def test_a_verdict_on_another_adjoint_does_not_count(folder, influence):
    text = (
        (folder / "verify.json").read_text().replace("Unroll(last=None)", "Unroll(last=7)")
    )
    (folder / "verify.json").write_text(text)
    assert verdicts.of(records.read(folder), influence).attributable is None


def test_a_verdict_is_kept_when_the_trace_is_gone(folder, wrong):
    (folder / "influence_0.npz").unlink()
    (folder / "verify.json").write_text(json.dumps(wrong))
    (found,) = verdicts.verdicts(records.read(folder))
    assert (found.metric, found.attributable) == (VALID, False)
    assert found.advice
