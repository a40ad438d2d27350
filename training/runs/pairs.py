"""A run that makes preference pairs from a configuration: rows in, a data set of pairs on disk.

Not covered: how the pairs are made (training/preferences).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from halluc.cli.output import working
from halluc.errors import InvalidInput, leaf_errors_as_ours
from halluc.workers import check_workers, start_workers
from training.preferences.constitution import load_principles
from training.preferences.dataset import BuildPairs, PairFolder, check_pairs_folder
from training.preferences.pairing import PairOptions
from training.preferences.revised import pairs_from_constitution, pairs_from_verification
from training.preferences.sampled import SamplingOptions, build_preference_pairs, pairs_from_answers
from training.rewards.completions import check_text_or_messages
from training.rewards.factuality import FactualityReward
from training.rewards.kinds import reward_kind
from training.rows import read_rows

if TYPE_CHECKING:
    from datasets import Dataset

    from retrieval import PassageStore

__all__ = ["PairsConfig", "make_pairs"]

_OF_PAIRS = ("model", "min_margin", "max_length_ratio", "min_chosen", "max_new_tokens", "batch_size")
# The settings of each method in addition to those of all methods; setting any other is an error.
_SETTINGS_OF: dict[str, tuple[str, ...]] = {
    "sampled": (*_OF_PAIRS, "n_samples", "abstention", "temperature", "seed"),
    "answers": (),
    "cove": (*_OF_PAIRS, "variant"),
    "constitution": (*_OF_PAIRS, "principles", "temperature", "seed"),
}
_SETTINGS_OF_ALL = ("method", "rows", "out", "verifier", "index", "index_embedder", "kind", "kind_settings")


@dataclass(frozen=True)
class PairsConfig:
    """Settings of `halluc train pairs`.

    Attributes:
        method: "sampled" (`training.build_preference_pairs`), "answers" (`training.pairs_from_answers`), "cove"
            (`training.pairs_from_verification`) or "constitution" (`training.pairs_from_constitution`).
        rows: folder or JSON-lines file with `prompt` or `question`; with `right` and `wrong` for "answers"; and with
            `context` or `references` as evidence, if a verifier scores and there is no index.
        out: new folder for the pairs; the same command resumes after an interruption.
        model: the model that writes the completions.
        verifier: scores the completions, as `halluc.load_verifier` names it. None for no verifier: "answers" then trusts the
            rows, and "constitution" trusts the model's revisions.
        index: folder of a passage index to retrieve evidence from; "cove" also answers its questions from it.
        index_embedder: embedder of the index, to name only if it is an endpoint (http://host:port/v1#model), to allow that
            texts and your API key are sent there.
        kind, kind_settings: of the reward, see `training.rewards.kinds.reward_kind`.
        n_samples, min_margin, max_length_ratio, min_chosen, abstention, temperature, max_new_tokens, batch_size, seed: see
            `training.build_preference_pairs`.
        variant: of chain-of-verification, for "cove".
        principles: YAML file, for "constitution"; None uses those of the package.
    """

    method: str = ""
    rows: str = ""
    out: str = ""
    model: str = "default"
    verifier: str | None = "default"
    index: str | None = None
    index_embedder: str | None = None
    kind: str = "precision"
    kind_settings: dict[str, float] | None = None
    n_samples: int = 8
    min_margin: float = 0.1
    max_length_ratio: float = 2.0
    min_chosen: float | None = 0.5
    abstention: str | None = None
    temperature: float = 1.0
    max_new_tokens: int = 128
    batch_size: int = 16
    seed: int = 0
    variant: str = "factored"
    principles: str | None = None

    def __post_init__(self) -> None:
        if self.method not in _SETTINGS_OF:
            raise InvalidInput(f"method is {self.method!r}; choose from {', '.join(_SETTINGS_OF)}")
        for name, kind in {"rows": "a file of prompts", "out": "a new folder"}.items():
            if not getattr(self, name):
                raise InvalidInput(f"{name} is not set; name {kind}")
        reward_kind(self.kind, self.kind_settings)
        if self.verifier is None and self.method in ("sampled", "cove"):
            raise InvalidInput(f"verifier is null, but {self.method!r} needs one to score completions; name one")
        for field in fields(self):
            taken = field.name in (*_SETTINGS_OF_ALL, *_SETTINGS_OF[self.method])
            if not taken and getattr(self, field.name) != field.default:
                raise InvalidInput(f"{field.name} has no effect with the method {self.method!r}; leave it out")
        PairOptions(self.min_margin, self.max_length_ratio, self.batch_size, self.min_chosen)
        SamplingOptions(self.n_samples, self.temperature, self.max_new_tokens, self.abstention)
        if self.method == "cove":
            from halluc.cove.trace import Variant

            if self.variant not in get_args(Variant):
                raise InvalidInput(f"variant is {self.variant!r}; choose from {', '.join(get_args(Variant))}")


def make_pairs(config: PairsConfig, *, workers: int = 1) -> dict[str, Any]:
    """Make the pairs and save them to `config.out`.

    Args:
        config: the settings.
        workers: number of processes that make the batches (`halluc.workers`), each with models of its own; the pairs are
            those of one process. "answers" makes one batch, so that workers do nothing for it.

    Returns:
        The number of rows, and the manifest of the pairs.

    Raises:
        InvalidInput: the rows cannot be used (the row is named), `out` cannot be written or holds something else, or no row
            gives a pair.
        ModelUnavailable: the model or the verifier cannot be loaded.
        RetrievalFailed: the index cannot be opened.
        MissingExtra, WorkersFailed: workers cannot be started, or keep dying.
    """
    check_workers(workers)
    check_pairs_folder(config.out)
    rows = read_rows(config.rows).to_list()
    if not rows:
        raise InvalidInput(f"{config.rows} has no rows; at least one prompt is needed")
    prompts = [_prompt(row, number, config) for number, row in enumerate(rows)]
    columns = {name: [row[name] for row in rows] for name in ("context", "references") if name in rows[0]}
    if config.verifier is not None and config.index is None:
        _check_evidence(rows, columns, config)
    answers = [_column(rows, name, config) for name in ("right", "wrong")] if config.method == "answers" else []
    work = (config, prompts, columns, answers)
    # A worker does the same up to the function that makes a batch, and takes that.
    load = partial(_make, *work, out=None, build=_batch_function)
    build = PairFolder.build if workers == 1 else partial(_build_with_workers, workers, load)
    pairs = _make(*work, out=config.out, build=build)
    manifest = json.loads((Path(config.out) / "manifest.json").read_text(encoding="utf-8"))
    return {"rows": len(rows), "out": config.out, **manifest, "pairs": len(pairs)}


def _build_with_workers(
    workers: int,
    load: Callable[[], Callable[[int], dict[str, Any]]],
    folder: PairFolder,
    batches: int,
    make_batch: Callable[[int], dict[str, Any]],
    activity: str,
) -> Dataset:
    def compute(numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
        with start_workers(workers, load) as running:
            yield from running.map(numbers)

    return folder.build(batches, make_batch, activity, compute)


def _batch_function(
    _folder: PairFolder, _batches: int, make_batch: Callable[[int], dict[str, Any]], _activity: str
) -> Callable[[int], dict[str, Any]]:
    return make_batch


def _make(
    config: PairsConfig,
    prompts: list[Any],
    columns: dict[str, list[Any]],
    answers: list[list[Any]],
    *,
    out: str | None,
    build: BuildPairs,
) -> Any:
    """Load the models and make the pairs, or what `build` makes of them."""
    from halluc.models import load_model
    from halluc.models.packaged_models import name_for_training

    principles = load_principles(config.principles)
    with leaf_errors_as_ours():
        index = _open_index(config)
    with working("loading models"):
        # None is possible only for the methods that can do without a reward.
        reward: Any = _reward(config, index)
        lm = load_model(name_for_training(config.model)) if config.method != "answers" else None
    options: dict[str, Any] = {"columns": columns, "out": out, "build": build}
    if lm is None:
        return pairs_from_answers(prompts, *answers, reward=reward, **options)
    options |= {name: getattr(config, name) for name in ("min_margin", "max_length_ratio", "min_chosen", "batch_size")}
    if config.method == "cove":
        from halluc.cove.chain import ChainOfVerification

        variant: Any = config.variant
        chain = ChainOfVerification(lm, variant, index=index, max_new_tokens=config.max_new_tokens)
        return pairs_from_verification(chain, prompts, reward, **options)
    options |= {name: getattr(config, name) for name in ("temperature", "max_new_tokens", "seed")}
    if config.method == "constitution":
        return pairs_from_constitution(lm, prompts, principles, reward=reward, **options)
    return build_preference_pairs(lm, prompts, reward, n_samples=config.n_samples, abstention=config.abstention, **options)


def _open_index(config: PairsConfig) -> PassageStore | None:
    from retrieval import open_store

    return open_store(config.index, embedder=config.index_embedder) if config.index else None


def _reward(config: PairsConfig, index: PassageStore | None) -> FactualityReward | None:
    from halluc.verification import load_verifier

    if config.verifier is None:
        return None
    return FactualityReward(load_verifier(config.verifier), index, kind=reward_kind(config.kind, config.kind_settings))


def _prompt(row: dict[str, Any], number: int, config: PairsConfig) -> Any:
    prompt = row.get("prompt") if row.get("prompt") is not None else row.get("question")
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise InvalidInput(f"row {number} of {config.rows} has the prompt {prompt!r}; write a text as prompt or question")
    check_text_or_messages(f"the prompt of row {number} of {config.rows}", prompt)
    if config.method == "cove" and not isinstance(prompt, str):
        raise InvalidInput(f"the prompt of row {number} of {config.rows} is a conversation; 'cove' takes questions as text")
    return prompt


def _check_evidence(rows: list[dict[str, Any]], columns: dict[str, list[Any]], config: PairsConfig) -> None:
    if not columns:
        raise InvalidInput(
            f"{config.rows} has no column 'context' or 'references'; add one, set index, or set verifier to null"
        )
    for number, row in enumerate(rows):
        if all(row[name] is None for name in columns):
            raise InvalidInput(f"row {number} of {config.rows} has no {' or '.join(columns)}; every row needs evidence")


def _column(rows: list[dict[str, Any]], name: str, config: PairsConfig) -> list[Any]:
    for number, row in enumerate(rows):
        if row.get(name) is None:
            raise InvalidInput(f"row {number} of {config.rows} has no {name!r}; every row needs one")
    return [row[name] for row in rows]
