"""The command `counterplay`: what there is to do, and the way to it.

The top-level help answers at once, so nothing heavy is imported before a verb is known.
"""

import difflib
import errno
import importlib
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from counterplay import __version__
from counterplay.errors import CounterplayError


# In the order of the work. The lines repeat the verbs' docstrings, which a test compares:
# reading them there would load PyTorch.
VERBS = {
    "run": "Do the whole job: play, trace, verify, cleanse and report.",
    "play": "Play a game and record the run in a new folder.",
    "trace": "Score what each training instance does to the metrics, and check the scores.",
    "verify": "Compare the scores with real retraining.",
    "cleanse": "Retrain without the most harmful instances, against other ways to choose.",
    "retrain": "Play a run again without some instances, in a new folder.",
    "score": "Measure the metrics of one or several models.",
    "fairness": "Measure how equally a run's generator makes the classes of its data.",
    "report": "Show what a run folder holds in one HTML page, or compare several runs.",
    "review": "Look at the instances of a run in the browser, mark them and retrain.",
    "features": "Train a feature map on your own data and save it to a file.",
    "fit": "Fit a detector of outliers or of faults in series, and write it to a folder.",
    "predict": "Score new rows or series by a model that was fitted before.",
    "compare": "Play several games on the same data, and compare what they come to.",
    "list": "List games, nets, data sets, metrics, feature maps, adjoints or estimators.",
    "experiment": "Run an experiment that a TOML file describes.",
}
REFUSALS = {  # of the system, which no program can prevent
    errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENOSPC,
    errno.EPERM, errno.EROFS,
}  # fmt: skip
OK, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: The command line without the program's name; that of the process if left out.

    Returns:
        The exit status: 0, or 1 after an error, 2 after wrong usage, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        print(f"counterplay {__version__}")
        return OK
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage(), file=sys.stdout if words else sys.stderr)
        return OK if words else WRONG_USAGE
    if words[0] not in VERBS:
        nearest = difflib.get_close_matches(words[0], VERBS, n=1, cutoff=0.0)[0]
        known = ", ".join(VERBS)
        print(
            f"There is no verb {words[0]!r}; the nearest is {nearest!r}, of {known}.",
            file=sys.stderr,
        )
        return WRONG_USAGE
    if repeated := _repeated(words[1:]):
        print(
            f"`{repeated}` is given twice, and only its last values would count. Give all "
            f"of them after one, as in `{repeated} A B`.",
            file=sys.stderr,
        )
        return WRONG_USAGE
    return _run(words)


def _repeated(words: Sequence[str]) -> str:
    """The first option that is given a second time, empty if there is none."""
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return next((name for i, name in enumerate(options) if name in options[:i]), "")


def usage() -> str:
    """The help text above all verbs."""
    width = max(map(len, VERBS))
    return "\n".join(
        [
            "usage: counterplay VERB [options]",
            "",
            "Train a GAN, find the training instances that harm it, and prove the gain of "
            "removing them.",
            "",
            *(f"  {verb:<{width}}  {line}" for verb, line in VERBS.items()),
            "",
            "`counterplay run` shows all of it on handwritten digits.",
            "`counterplay VERB --help` lists the options of a verb.",
        ]
    )


def _run(words: list[str]) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            command = importlib.import_module("counterplay.cli._command")
            command.call(words[0], words[1:])
    except CounterplayError as error:
        text = " ".join(str(error).split())
        print(f"{type(error).__name__}: {text}", file=sys.stderr)
        return FAILED
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        print(f"RunError: {_refusal(error)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as interrupt:
        print(f"\nInterrupted. {_advice(words, interrupt)}", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as exit:  # tyro's, after a help text or wrong usage
        return exit.code if isinstance(exit.code, int) else WRONG_USAGE
    return OK


def _refusal(error: OSError) -> str:
    """What the system would not do, where it was not foreseen."""
    where = f"{error.filename!r} could not be written or read: " if error.filename else ""
    return (
        f"{where}{error.strerror}. What was finished before is intact; free some space, or "
        "choose a folder that can be written, then repeat the command with `--resume` if "
        "it has that."
    )


def _advice(words: list[str], interrupt: KeyboardInterrupt) -> str:
    """How to go on; an interrupt inside a run folder carries the folder."""
    folder = next((arg for arg in interrupt.args if isinstance(arg, Path)), None)
    if folder is None:
        return "Nothing was begun that could be continued."
    if words[0] in ("run", "play", "retrain") and "--out" not in words:
        words = [*words, "--out", str(folder)]
    if "--resume" not in words:
        words = [*words, "--resume"]
    return f"What is finished is kept; continue with: counterplay {shlex.join(words)}"


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    del category, filename, lineno, file, line
    print(f"Warning: {' '.join(str(message).split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
