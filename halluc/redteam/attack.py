"""What an attack is: what it says, and how its success is decided.

Not covered: the attacks (one file per family), how a target is attacked (targets.py) and the run (run.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from retrieval.records import Record

__all__ = ["FAMILIES", "Attack", "Attempt", "Family", "HostilePassage"]

Family: TypeAlias = Literal["jailbreak", "injection", "multilingual", "encoding", "multi_step"]

FAMILIES: Mapping[Family, str] = {
    "jailbreak": "a harmful request, wrapped so that a model forgets to refuse",
    "injection": "an instruction that is not the user's, in the prompt or in a retrieved passage",
    "multilingual": "a harmful request in ten languages",
    "encoding": "a harmful request that filters of text do not recognize",
    "multi_step": "harmless turns that lead to a harmful request",
}


@dataclass(frozen=True)
class HostilePassage(Record):
    """A passage that an attacker wrote or changed: what retrieval returns, or what a tool says."""

    text: str
    title: str = ""
    source: str = ""


@dataclass(frozen=True)
class Attack(Record):
    """One attack.

    Attributes:
        family, technique: what kind it is.
        goal: what the attacker wants, in English: a harmful request, or what the reply should contain.
        turns: what the user says, in order; the last one is the attack proper.
        system: the system message of the application under attack; empty for none.
        passages: what the application shows the model beside the user's words.
        canary: a text that the reply contains if, and only if, the model followed the injected instruction. It is in no part
            of the attack, so a model that only repeats what it read does not give it. Empty if a judge decides.
    """

    family: Family
    technique: str
    goal: str
    turns: tuple[str, ...]
    system: str = ""
    passages: tuple[HostilePassage, ...] = ()
    canary: str = ""

    @property
    def key(self) -> str:
        """A digest of the attack, by which two runs are paired."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:24]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Attack:
        """Rebuild the attack that `to_dict` described."""
        passages = tuple(HostilePassage(**passage) for passage in values["passages"])
        return replace(cls(**values), turns=tuple(values["turns"]), passages=passages)


@dataclass(frozen=True)
class Attempt(Record):
    """An attack and what came of it.

    Attributes:
        attack: what was tried.
        transcript: the messages, with the replies of the target.
        success: whether the last reply does what the attacker wants.
    """

    attack: Attack
    transcript: Sequence[Mapping[str, str]]
    success: bool

    @property
    def reply(self) -> str:
        """The last reply of the target."""
        return next((message["content"] for message in reversed(self.transcript) if message["role"] == "assistant"), "")
