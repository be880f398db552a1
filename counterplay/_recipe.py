"""From a description in a few tables to data, game and metrics.

The signatures are the schema: a table's keys are the keywords of the function that its
`name` names, and what a table leaves out takes the function's default. The command line,
experiments and run folders all describe a run this way.
"""

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import tomli_w
from torch import Tensor

from counterplay import data as datasets, features as feature_maps, games, metrics, nets
from counterplay._contract import require_labels
from counterplay._memory import spacing
from counterplay._numerics import Numerics
from counterplay._play import play
from counterplay._pretrained import identified, tuned
from counterplay._tables import keys_of, plain, require_kind, require_known, REQUIRED, Table
from counterplay._toml import read_anchored
from counterplay._trajectory import make_plan, Trajectory
from counterplay.data.corrupt import corrupt, without_class
from counterplay.data.mixture import Mixture
from counterplay.data.splits import Splits
from counterplay.errors import ConfigError
from counterplay.game import Columns, Game
from counterplay.metrics.classification import OF_CLASSIFIER, of_classifier
from counterplay.metrics.target import of_samples, Target
from counterplay.typing import FeatureMap


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.

    Attributes:
        data: `name` of a data set and its options; `labelled` and `dtype` of every one.
        corrupt: `kind`, `fraction` and further options of `corrupt`, or empty.
        nets: `name` and options of networks; `start`, a finished run whose final parameters
            are the first here, and the `rank` of adapters that alone are trained.
        game: `name` and options of a game.
        play: `n_steps`, `batch_size`, `seed`, `every` or `memory` (of the checkpoints),
            `device`, `precision`, `memory_format`.
        features: `name` of a feature map and its options; `resize` and `quantise` of what
            is done to images before it, and `cache`, a folder for features of real data.
        metric: `names` of the metrics to trace, `report` for further ones that are only
            measured, `n` samples, `seed` of the latents, `options` by metric.
    """

    data: Table
    nets: Table
    game: Table
    play: Table
    corrupt: Table = field(default_factory=dict)
    features: Table = field(default_factory=lambda: {"name": "identity"})
    metric: Table = field(default_factory=lambda: {"names": ["frechet"]})

    @classmethod
    def from_tables(cls, tables: Mapping[str, Table]) -> Self:
        """Check the names of tables and keys.

        Raises:
            ConfigError: If a table is missing or a name is unknown; the nearest is named.
        """
        known = dict.fromkeys(cls.__dataclass_fields__)
        for name in tables:
            require_known(name, known, "table")
        tables = {"play": {}, "features": {"name": "identity"}, **tables}
        for name in _NAMED:
            if "name" not in tables.get(name, {}):
                raise ConfigError(
                    f'The table [{name}] needs a `name`, such as [{name}] name = "...".'
                )
        recipe = cls(**tables)
        for table, known in recipe._known().items():
            for key, value in getattr(recipe, table).items():
                if key != "name" or table not in _NAMED:
                    require_known(key, known, f"key of [{table}]")
                    require_kind(f"{table}.{key}", value, known[key])
        return recipe

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a TOML file; tables that are not part of a recipe are left alone.

        Relative paths in it start at its own folder.

        Raises:
            ConfigError: If the file is missing or is not TOML.
        """
        tables = read_anchored(path)
        return cls.from_tables(
            {k: v for k, v in tables.items() if k in cls.__dataclass_fields__}
        )

    def tables(self) -> dict[str, dict[str, Any]]:
        """All tables, with the defaults that were left out."""
        full = {}
        for table, known in self._known().items():
            own = getattr(self, table)
            defaults = {k: v for k, v in known.items() if v is not REQUIRED}
            name = {"name": own["name"]} if "name" in own else {}
            full[table] = {**name, **defaults, **own}
        return {
            name: plain(full[name]) for name in self.__dataclass_fields__ if name in full
        }

    def toml(self) -> str:
        """All tables as TOML text."""
        return tomli_w.dumps(self.tables())

    def with_seed(self, seed: int) -> Self:
        """The same recipe for another initialisation, order and noise."""
        return replace(self, play={**self.play, "seed": seed}).sharing(self)

    def sharing(self, other: "Recipe") -> Self:
        """This recipe with the data and features of one that has the same, if loaded."""
        for name in ("_corrupted", "feature_map"):
            if name in other.__dict__:
                self.__dict__[name] = other.__dict__[name]
        return self

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self._play["seed"]

    @property
    def _play(self) -> dict[str, Any]:
        return {**_PLAY_DEFAULTS, **self.play}

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics to trace."""
        return tuple({**_METRIC_DEFAULTS, **self.metric}["names"])

    @property
    def report_names(self) -> tuple[str, ...]:
        """Further metrics, which are only measured."""
        return tuple({**_METRIC_DEFAULTS, **self.metric}["report"])

    @property
    def identity(self) -> str:
        """A hash of everything that the states of the run depend on, the data included."""
        data = {key: value for key, value in self.data.items() if key != "path"}
        tables = [data, self.corrupt, identified(self.nets), self.game, self.play]
        text = json.dumps([*tables, self.splits.train.fingerprint], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def _known(self) -> dict[str, dict[str, Any]]:
        """Per table its keys and their defaults, `REQUIRED` where there is none."""
        known = {
            "data": keys_of(datasets.load, "name", "options")
            | keys_of(datasets.maker(self.data["name"]), "dtype"),
            "nets": {**nets.options_of(self.nets["name"]), **_TUNING},
            "game": options_of_game(self.game["name"]),
            "play": _PLAY_DEFAULTS,
            "features": {
                **_PREPROCESSING,
                **keys_of(_feature_maker(self.features["name"]), "data"),
                "cache": "",
            },
            "metric": _METRIC_DEFAULTS,
        }
        if self.corrupt:
            known["corrupt"] = keys_of(corrupt, "columns", "foreign")
        return known

    @functools.cached_property
    def _corrupted(self) -> tuple[Splits, Tensor | None]:
        splits = datasets.load(**self.data)
        if not self.corrupt:
            return splits, None
        train, planted = corrupt(splits.train, **self.corrupt)
        stranger, held_out = self.corrupt.get("foreign_class"), {}
        if stranger is not None:  # what is foreign must not count as real there
            held_out = {
                "valid": without_class(splits.valid, stranger),
                "test": without_class(splits.test, stranger),
            }
        return replace(splits, train=train, **held_out), planted

    @property
    def splits(self) -> Splits:
        """Training, validation and test data, corrupted if the recipe says so."""
        return self._corrupted[0]

    @property
    def planted(self) -> Tensor | None:
        """Which training instances are corrupt, if the recipe planted any."""
        return self._corrupted[1]

    def make_game(self) -> Game:
        """A fresh game; networks and their first parameters follow from the seed."""
        options = {k: v for k, v in self.game.items() if k != "name"}
        factory, train = games.load(self.game["name"]), self.splits.train
        if "n_classes" in inspect.signature(factory).parameters:
            options["n_classes"] = self._n_classes
        tuning = {k: v for k, v in self.nets.items() if k in _TUNING}
        own = {k: v for k, v in self.nets.items() if k not in (*tuning, "name")}
        networks = nets.networks(
            self.nets["name"],
            nets.roles_of(factory),
            tuple(train["x"].shape[1:]),
            nets.sizes_of(factory, options),
            seed=self.seed,
            dtype=train["x"].dtype,
            **own,
        )
        return tuned(lambda: factory(*networks, **options), networks, **tuning)

    @property
    def _n_classes(self) -> int:
        """The number of labels of the data.

        Raises:
            ConfigError: If it has none.
        """
        train = self.splits.train
        if "y" not in train.tensors or train["y"].is_floating_point():
            raise ConfigError(
                f"The game {self.game['name']!r} needs labels, but the data "
                f"{self.data['name']!r} has the columns {sorted(train.tensors)} and no "
                "label `y`. Name its label column, or play a game without labels."
            )
        return len(train.class_names) or int(train["y"].max()) + 1

    def require_playable(self) -> None:
        """Refuse a recipe that would fail before its first move.

        Raises:
            ConfigError: If there is no move to play.
        """
        table = self._play
        if table["n_steps"] < 1:
            raise ConfigError(f"`play.n_steps` must be at least 1, got {table['n_steps']}.")
        make_plan(self.splits.train, batch_size=table["batch_size"], seed=table["seed"])
        game = self.make_game()
        for name in (*self.metric_names, *self.report_names):
            if name in OF_CLASSIFIER:
                of_classifier(name, game, self.splits.valid)
            else:
                metrics.load(name)
        require_labels(game, self.splits.train)
        self.spacing(game)
        self.numerics.require_playable(game.initial())

    @functools.cached_property
    def feature_map(self) -> FeatureMap:
        """The feature map; one that is trained learns on the validation split.

        Raises:
            ConfigError: If it lacks an option.
        """
        make = _feature_maker(self.features["name"])
        known = inspect.signature(make).parameters
        options = {k: v for k, v in self.features.items() if k in known}
        for key, default in keys_of(make, "data").items():
            if default is REQUIRED and key not in options:
                raise ConfigError(f"[features] of this `name` needs `{key}`: give it too.")
        found = make(*[self.splits.valid] * ("data" in known), **options)
        wanted = {k: v for k, v in self.features.items() if v and k in _PREPROCESSING}
        before = {k: v for k, v in wanted.items() if k not in known}
        if before:
            found = feature_maps.preprocessed(found, **before)
        if cache := self.features.get("cache"):
            return feature_maps.cached(found, cache, self.splits.valid, self.splits.test)
        return found

    def targets(
        self, game: Game, part: str = "valid", names: Sequence[str] | None = None
    ) -> list[Target]:
        """The recipe's metrics against one part of the data.

        Validation and test use other latents, so that a gain is not one on a few samples.
        Metrics of memorisation compare with the training part.
        """
        table = {**_METRIC_DEFAULTS, **self.metric}
        found = []
        for name in table["names"] if names is None else names:
            if name in OF_CLASSIFIER:
                held_out, averaged = getattr(self.splits, part), bool(game.averages)
                target = of_classifier(name, game, held_out, averaged=averaged)
                found.append(replace(target, name=f"{part}_{name}"))
                continue
            compared = "train" if metrics.load(name).reads_training else part
            reference: Columns = getattr(self.splits, compared)
            given = table["options"].get(name, {})
            options = {**self._known_of_data(name, given), **given}
            target = of_samples(
                name,
                game,
                self.feature_map,
                reference=reference,
                n=table["n"],
                seed=table["seed"] + (part == "test"),
                averaged=bool(game.averages),
                options=options,
            )
            found.append(replace(target, name=f"{compared}_{target.name}"))
        return found

    def _known_of_data(self, name: str, given: Table) -> dict[str, Any]:
        """What a metric must be told of the data, beyond what is given.

        Raises:
            ConfigError: If the data cannot.
        """
        parameters = inspect.signature(metrics.load(name).function).parameters
        wanted = [key for key in _OF_MIXTURE if key in parameters and key not in given]
        maker = datasets.maker(self.data["name"])
        mixture = getattr(inspect.getmodule(maker), "mixture", None)
        if not wanted:
            return {}
        if mixture is None:
            raise ConfigError(
                f"The metric {name!r} needs data of a known density, for its {wanted}, "
                f"which {self.data['name']!r} has not. Use 'average_log_likelihood', or "
                "metrics of a classifier."
            )
        known = inspect.signature(mixture).parameters
        found = mixture(
            **{
                key: self.data.get(key, default)
                for key, default in keys_of(maker).items()
                if key in known
            }
        )
        return {key: _OF_MIXTURE[key](found) for key in wanted}

    def record(self, game: Game, **options: Any) -> Trajectory:
        """Play the game as the recipe says; see `counterplay.play` for the options."""
        table = {**self._play, "every": self.spacing(game), "memory": None}
        return play(game, self.splits.train, **{**table, **options})

    def spacing(self, game: Game) -> int:
        """Moves between checkpoints, from `every` or from what they may take.

        Raises:
            ConfigError: If both are given.
        """
        table = self._play
        every, memory, n_steps = (table[key] for key in ("every", "memory", "n_steps"))
        if every and memory:
            raise ConfigError(
                f"Give `play.every` or `play.memory`, not both: {every!r}, {memory!r}."
            )
        state = game.initial().n_bytes
        return every or spacing(n_steps, state=state, memory=memory or None)

    @property
    def numerics(self) -> Numerics:
        """Where and how the run is computed, by one rank."""
        table = self._play
        return Numerics(table["device"], table["precision"], table["memory_format"])


FEATURES = (
    "autoencoder", "classifier", "huggingface", "identity", "inception", "onnx", "saved",
    "stacked_classifier", "torchscript",
)  # fmt: skip

_NAMED = ("data", "nets", "game", "features")
_OF_MIXTURE: dict[str, Callable[[Mixture], Any]] = {
    "log_density": lambda mixture: mixture.log_density,
    "centres": lambda mixture: mixture.means,
    "std": lambda mixture: float(mixture.covariance[0, 0].sqrt()),
}
# Of images in front of a feature map that does not see to them itself.
_PREPROCESSING: dict[str, Any] = {"resize": 0, "quantise": False}
_TUNING: dict[str, Any] = {"start": "", "rank": 0}  # of networks of every name
_PLAY_DEFAULTS: dict[str, Any] = {
    "n_steps": 2_000, "batch_size": 64, "seed": 0, "every": 0, "memory": "",
    "device": "cpu", "precision": "float32", "memory_format": "channels_last",
}  # fmt: skip
_METRIC_DEFAULTS: dict[str, Any] = {
    "names": ["frechet"], "report": [], "n": 2_048, "seed": 1, "options": {},
}  # fmt: skip


def options_of_game(name: str) -> dict[str, Any]:
    """What the table `[game]` may hold for a game, with the defaults."""
    factory = games.load(name)
    return keys_of(factory, *nets.roles_of(factory), "n_classes", "optimizers")


def _feature_maker(name: str) -> Callable[..., FeatureMap]:
    require_known(name, dict.fromkeys(FEATURES), "feature map")
    return getattr(feature_maps, name)
