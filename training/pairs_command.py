"""`halluc train pairs`: preference pairs for `dpo`, `orpo`, `kto` and `reward`, from one configuration file.

Not here: how the pairs are made (preferences.py, revision_pairs.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.output import Json, console, print_json, wants_json, working
from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from datasets import Dataset

    from training.rewards.composite import RewardFunction

__all__ = ["PairsConfig", "make_pairs", "pairs"]

_LM = ("model", "gap", "longest_ratio", "max_new_tokens", "batch_size")
# Which settings a method takes beside those that all take; another that is set is a mistake.
_TAKES: dict[str, tuple[str, ...]] = {
    "sampled": (*_LM, "k", "abstention", "temperature", "seed"),
    "answers": (),
    "cove": (*_LM, "variant"),
    "constitution": (*_LM, "principles", "temperature", "seed"),
}
_ALL = ("method", "rows", "out", "verifier", "index", "kind", "kind_settings")


@dataclass(frozen=True)
class PairsConfig:
    """Settings of `halluc train pairs`.

    Attributes:
        method: "sampled" (`training.build_preference_pairs`), "answers" (`training.pairs_from_answers`), "cove" or
            "constitution" (`training.preferences.revised`).
        rows: folder or JSON-lines file with `prompt` or `question`; with `right` and `wrong` for "answers"; and with
            `context` or `answers` as evidence, where a verifier scores and there is no index.
        out: new folder for the pairs; the same command goes on after a break.
        model: says the completions.
        verifier: scores them, as `halluc.load_verifier` names it; None for none, where "answers" and "constitution" then
            trust the rows and the model.
        index: folder of a passage index to take evidence from; "cove" also answers its questions from it.
        kind, kind_settings: of the reward, see `training.rewards.kinds.reward_kind`.
        k, gap, longest_ratio, abstention, temperature, max_new_tokens, batch_size, seed: see
            `training.build_preference_pairs`.
        variant: of chain-of-verification, for "cove".
        principles: YAML file, for "constitution"; None takes those that come with the package.
    """

    method: str = ""
    rows: str = ""
    out: str = ""
    model: str = "default"
    verifier: str | None = "default"
    index: str | None = None
    kind: str = "precision"
    kind_settings: dict[str, float] | None = None
    k: int = 8
    gap: float = 0.1
    longest_ratio: float = 2.0
    abstention: str | None = None
    temperature: float = 1.0
    max_new_tokens: int = 128
    batch_size: int = 16
    seed: int = 0
    variant: str = "factored"
    principles: str | None = None

    def __post_init__(self) -> None:
        from training.rewards.kinds import reward_kind

        if self.method not in _TAKES:
            raise InvalidInput(f"method is {self.method!r}; choose from {', '.join(_TAKES)}")
        for name in ("rows", "out"):
            if not getattr(self, name):
                raise InvalidInput(f"{name} is not set; name {'a file of prompts' if name == 'rows' else 'a new folder'}")
        reward_kind(self.kind, self.kind_settings)
        if self.verifier is None and self.method in ("sampled", "cove"):
            raise InvalidInput(f"verifier is null, but {self.method!r} needs one to score by; name one")
        for own in fields(self):
            if own.name not in (*_ALL, *_TAKES[self.method]) and getattr(self, own.name) != own.default:
                raise InvalidInput(f"{own.name} does nothing where method is {self.method!r}; leave it out")


def pairs(
    config: Annotated[Path, typer.Argument(help="YAML file with the settings of training.pairs_command.PairsConfig.")],
    set_: Annotated[list[str], typer.Option("--set", help="key=value that replaces a setting of the file.")] = [],  # noqa: B006
    json_: Json = None,
) -> None:
    """Make preference pairs: sampled and scored, from right and wrong answers, or of drafts verified or revised."""
    from training.runs.config import load_config

    settings = load_config(PairsConfig, config, set_)
    facts = make_pairs(settings)
    if wants_json(json_):
        print_json(facts)
    else:
        console().print(f"{facts['pairs']} pairs of {facts['rows']} rows: {settings.out}")


def make_pairs(config: PairsConfig) -> dict[str, Any]:
    """Make the pairs and save them to `config.out`.

    Returns:
        The number of rows, and the manifest of the pairs.

    Raises:
        InvalidInput: the rows cannot be used (the row is named), or no pair came of them.
        ModelUnavailable: the model or the verifier cannot be had.
    """
    from training.runs.row_checks import read_rows

    rows = read_rows(config.rows).to_list()
    prompts = [_prompt(row, number, config) for number, row in enumerate(rows)]
    if not rows:
        raise InvalidInput(f"{config.rows} has no rows; at least one prompt is needed")
    columns = {name: _column(rows, name, config) for name in ("context", "answers") if name in rows[0]}
    if config.verifier is not None and config.index is None and not columns:
        raise InvalidInput(f"{config.rows} has no column 'context' or 'answers'; add one, set index, or verifier to null")
    answers = [_column(rows, name, config) for name in ("right", "wrong")] if config.method == "answers" else []
    made = _make(config, prompts, columns, answers)
    manifest = json.loads((Path(config.out) / "manifest.json").read_text(encoding="utf-8"))
    return {"rows": len(rows), "out": config.out, **manifest, "pairs": len(made)}


def _make(config: PairsConfig, prompts: list[Any], columns: dict[str, list[Any]], answers: list[list[Any]]) -> Dataset:
    from halluc.models import load_model
    from training.preferences.revised import pairs_from_constitution, pairs_from_verification
    from training.preferences.sampled import build_preference_pairs, pairs_from_answers

    with working("loading models"):
        # Without a verifier there is none, which PairsConfig allows where a method does without.
        reward: Any = _reward(config)
        lm = load_model(config.model) if config.method != "answers" else None
    if lm is None:
        return pairs_from_answers(prompts, *answers, reward=reward, columns=columns, out=config.out)
    taken: dict[str, Any] = {
        name: getattr(config, name) for name in _TAKES[config.method] if name not in ("model", "variant", "max_new_tokens")
    }
    if config.method == "cove":
        from halluc.cove.chain import ChainOfVerification
        from retrieval import PassageIndex

        index = PassageIndex.open(config.index) if config.index else None
        variant: Any = config.variant
        chain = ChainOfVerification(lm, variant, index=index, max_new_tokens=config.max_new_tokens)
        return pairs_from_verification(chain, prompts, reward, columns=columns, out=config.out, **taken)
    taken |= {"columns": columns, "out": config.out, "max_new_tokens": config.max_new_tokens}
    if config.method == "constitution":
        return pairs_from_constitution(lm, prompts, reward=reward, **taken)
    return build_preference_pairs(lm, prompts, reward, **taken)


def _reward(config: PairsConfig) -> RewardFunction | None:
    from halluc.verification import load_verifier
    from retrieval import PassageIndex
    from training.rewards.factuality import FactualityReward
    from training.rewards.kinds import reward_kind

    if config.verifier is None:
        return None
    index = PassageIndex.open(config.index) if config.index else None
    return FactualityReward(load_verifier(config.verifier), index, kind=reward_kind(config.kind, config.kind_settings))


def _prompt(row: dict[str, Any], number: int, config: PairsConfig) -> Any:
    prompt = row.get("prompt") if row.get("prompt") is not None else row.get("question")
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise InvalidInput(f"row {number} of {config.rows} has the prompt {prompt!r}; give it a text as prompt or question")
    if config.method == "cove" and not isinstance(prompt, str):
        raise InvalidInput(f"the prompt of row {number} of {config.rows} is a conversation; 'cove' takes questions as text")
    return prompt


def _column(rows: list[dict[str, Any]], name: str, config: PairsConfig) -> list[Any]:
    for number, row in enumerate(rows):
        if row.get(name) is None:
            raise InvalidInput(f"row {number} of {config.rows} has no {name!r}; give every row one")
    return [row[name] for row in rows]
