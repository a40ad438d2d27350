"""What online runs optimize, made from their settings: the factuality reward, its sum with others, and own functions.

Not covered: the rewards themselves (training/rewards), and the runs (online.py).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput, leaf_errors_as_ours
from training.pluralism.group_reward import GroupReward
from training.rewards.composite import CompositeReward, length_reward
from training.rewards.factuality import FactualityReward
from training.rewards.kinds import reward_kind

__all__ = [
    "check_reward_settings",
    "factuality_reward",
    "imported_rewards",
    "preference_reward",
    "search_tool",
    "whole_reward",
]

_SETTINGS = ("k", "repetition_penalty", "copy_penalty", "disagreement_penalty")


def check_reward_settings(config: Any) -> None:
    """Check the settings of a reward, without a model.

    Raises:
        InvalidInput: the kind or a parameter is unknown or out of range, there is no reward, or settings need others.
    """
    reward_kind(config.kind, config.kind_settings)
    for name in config.reward_settings or {}:
        if name not in _SETTINGS:
            raise InvalidInput(f"{name!r} is not one of the reward_settings; choose from {', '.join(_SETTINGS)}")
    if (k := (config.reward_settings or {}).get("k", 1)) != int(k):
        raise InvalidInput(f"k of the reward_settings is {k}; pass a whole number")
    nothing: Any = None
    FactualityReward(nothing, **_settings(config))
    imported_rewards(config.rewards or [])
    _check_groups(config)
    if config.words is not None:
        if len(config.words) != 2:
            raise InvalidInput(f"words is {config.words}; pass two numbers, [fewest, most]")
        length_reward(*config.words)
    if config.verifier is None:
        if config.preference is None and config.groups is None and not config.rewards:
            raise InvalidInput("verifier is null and preference is not set, so there is no reward; set one of them")
        for name in ("held_out_verifier", "second_verifier"):
            if getattr(config, name) is not None:
                raise InvalidInput(f"{name} needs a verifier to compare with; set verifier, or leave it out")
    for name in ("held_out_verifier", "second_verifier"):
        if config.verifier is not None and getattr(config, name) == config.verifier:
            raise InvalidInput(f"{name} is {config.verifier!r}, the verifier itself; name another")
    if config.max_gap_growth is not None:
        if config.held_out_verifier is None:
            raise InvalidInput("max_gap_growth needs a held_out_verifier; name one")
        if not config.max_gap_growth > 0:
            raise InvalidInput(f"max_gap_growth is {config.max_gap_growth}; pass a number above 0")


def _check_groups(config: Any) -> None:
    if config.groups is None:
        if config.group_weights is not None:
            raise InvalidInput("group_weights is set but groups is not; name the reward models of the groups")
        return
    if config.preference is not None:
        raise InvalidInput("groups and preference are both set; name the reward models in groups alone")
    GroupReward(dict.fromkeys(config.groups, length_reward(1, 1)), config.group_rule, weights=config.group_weights)


def factuality_reward(config: Any) -> FactualityReward | None:
    """The factuality reward; None without a verifier."""
    from halluc.verification import load_verifier
    from retrieval import open_store

    if config.verifier is None:
        return None
    with leaf_errors_as_ours():
        index = open_store(config.index, embedder=config.index_embedder) if config.index else None
    others: dict[str, Any] = {
        name: load_verifier(getattr(config, name)) if getattr(config, name) else None
        for name in ("second_verifier", "held_out_verifier")
    }
    kind = reward_kind(config.kind, config.kind_settings)
    return FactualityReward(load_verifier(config.verifier), index, kind=kind, **others, **_settings(config))


def _settings(config: Any) -> dict[str, Any]:
    # YAML has 3, and the type of the setting makes it 3.0.
    settings = config.reward_settings or {}
    return {name: int(value) if name == "k" else value for name, value in settings.items()}


def preference_reward(config: Any, policy: Any) -> Any:
    """The reward model, or the aggregate of those of groups; None for none.

    Reward models that are adapters of the policy's model share its weights, if an adapter is trained.

    Args:
        config: settings of an online run.
        policy: the model to train, before an adapter is added to it.
    """
    from training.rewards.model import RewardModel

    # Weights that are trained, or are split among processes, cannot be shared.
    shared = policy if config.lora_rank and not (config.fsdp or config.deepspeed) else None
    if config.groups is not None:
        models = {name: RewardModel(folder, policy=shared) for name, folder in config.groups.items()}
        return GroupReward(models, config.group_rule, weights=config.group_weights)
    return RewardModel(config.preference, policy=shared) if config.preference else None


def whole_reward(config: Any, preference: Any, factuality: FactualityReward | None) -> list[Callable[..., Any]]:
    """The functions whose sum is optimized: the terms of the settings as one, and own functions."""
    own = imported_rewards(config.rewards or [])
    if preference is None and factuality is None and not config.words:
        return own
    composite = CompositeReward(
        preference,
        factuality,
        factuality_weight=config.factuality_weight,
        length=length_reward(*config.words) if config.words else None,
    )
    return [composite, *own]


def imported_rewards(names: list[str]) -> list[Callable[..., Any]]:
    """Import reward functions.

    Args:
        names: "MODULE:FUNCTION" or "FILE.py:FUNCTION" each; the functions have TRL's signature.

    Raises:
        InvalidInput: a module or file cannot be imported, or has no such function.
    """
    return [_imported(name) for name in names]


def _imported(name: str) -> Callable[..., Any]:
    source, _, function = name.rpartition(":")
    if not source or not function:
        raise InvalidInput(f"the reward {name!r} names no function; write MODULE:FUNCTION or FILE.py:FUNCTION")
    try:
        if source.endswith(".py"):
            specification: Any = importlib.util.spec_from_file_location(Path(source).stem, source)
            module = importlib.util.module_from_spec(specification)
            specification.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
    except Exception as error:  # whatever the module raises
        raise InvalidInput(f"the reward {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    found: Any = getattr(module, function, None)
    if not callable(found):
        raise InvalidInput(f"{source} has no function {function!r}; name another")
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature(found).parameters.values()):
        raise InvalidInput(f"the reward {name!r} takes no **kwargs, which TRL passes the columns of the data set in")
    reward: Callable[..., Any] = found
    return reward


def search_tool(index: Any, k: int) -> Callable[[str], str]:
    """The search of an index as a tool that a policy may call (`tools=` of TRL's `GRPOTrainer`)."""

    def search(query: str) -> str:
        """Search the passages for evidence. Quote the passage that answers the question.

        Args:
            query: What to look for, in a few words.

        Returns:
            The passages that fit best, numbered from 1.
        """
        if not query.strip():
            return "The query is empty; say what to look for."
        hits = index.search([query], k=k)[0]
        return "\n\n".join(f"[{i}] {hit.passage.text}" for i, hit in enumerate(hits, 1)) or "No passage was found."

    return search
