"""The rows of the table: every method, where it runs and what it is asked for."""

from dataclasses import dataclass


HERE = ""  # the environment of `compare.py` itself
SMALL = ("toy", "control")  # few enough parameters for an explicit Hessian
LARGE = ("2d", "digits", "mnist")
GANS = ("toy", "2d", "digits", "mnist")
METRIC, READER, DATA = "metric", "classifier", "data"


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        label: What the table calls it.
        asks: What it attributes: the metric, the discriminator as a classifier, or nothing
            but the data.
        peer: The environment it runs in.
        script: The script that has it.
        name: Its name there.
        games: The games it is run on; all if empty.
    """

    label: str
    asks: str
    peer: str = HERE
    script: str = ""
    name: str = ""
    games: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """What its files begin with."""
        return f"{self.script.removesuffix('.py')}_{self.name}"


def ours(label: str, asks: str, name: str, games: tuple[str, ...] = ()) -> Method:
    return Method(label, asks, HERE, "_counterplay.py", name, games)


def published(label: str, name: str) -> Method:
    return Method(label, METRIC, HERE, "_published.py", name, GANS)


def of_peer(
    label: str, asks: str, peer: str, name: str, games: tuple[str, ...] = ()
) -> Method:
    return Method(label, asks, peer, f"_{peer}.py", name, games)


METHODS = (
    ours("Counterplay `Unroll`", METRIC, "unroll"),
    ours("Counterplay `Unroll`, second half", METRIC, "truncated"),
    ours("Counterplay `Implicit`", METRIC, "implicit"),
    ours("Counterplay `FirstOrder`", METRIC, "first_order"),
    ours("Counterplay `Unroll`", READER, "reader_loss", GANS),
    published("ICLR 2021, as published", "iclr"),
    published("TNNLS 2025, moments dropped", "itd"),
    published("TNNLS 2025, ITD as coded", "itd_code"),
    published("TNNLS 2025, AID as coded", "aid_code"),
    of_peer("dattri IF, both players", METRIC, "dattri", "joint_explicit", ("toy",)),
    of_peer("dattri IF (CG), both players", METRIC, "dattri", "joint_cg", LARGE),
    of_peer("dattri IF", READER, "dattri", "explicit", SMALL),
    of_peer("dattri IF (CG)", READER, "dattri", "cg", LARGE),
    of_peer("dattri TracIn", READER, "dattri", "tracin"),
    of_peer("captum TracInCP", READER, "captum", "tracin"),
    of_peer("TRAK, 256 dimensions", READER, "trak", "trak"),
    of_peer("kronfluence EK-FAC", READER, "kronfluence", "ekfac"),
    of_peer("pyDVL direct", READER, "pydvl", "direct", SMALL),
    of_peer("pyDVL Nyström, rank 100", READER, "pydvl", "nystroem", LARGE),
    ours("gradient norm", READER, "gradient_norm"),
    ours("density", DATA, "density"),
    ours("Isolation Forest", DATA, "isolation_forest"),
    ours("random", DATA, "random"),
)
LEAVE_ONE_OUT = Method("leave-one-out, the truth itself", METRIC)
AFFORDABLE = Method("leave-one-out at the CPU of `Unroll`", METRIC)
