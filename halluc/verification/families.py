"""Families of other people's verifiers: how one is recognized, what its input looks like, and how its output is read.

Every family has its own template and its own meaning of the output, so a verifier of one family that is read like one of
another gives probabilities that mean nothing. A model whose family is not in the table is read as a pair of evidence and
claim if the names of its labels say which of them means support, and is refused otherwise.

Not covered: loading (pretrained.py) and the forward passes (cross_encoder.py, templated.py, token_classifier.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from halluc.errors import InvalidInput

__all__ = ["FAMILIES", "Family", "Head", "family_named", "pair_columns", "recognize"]

Head = Literal["sequence", "seq2seq", "causal", "token", "first token"]
"""The head that gives the probability of support.

"sequence": softmax over the labels of a sequence classifier. "seq2seq": softmax over two label tokens at the first step of
the decoder. "causal": probability of the token "Yes" after a chat prompt. "token": a token classifier that marks unsupported
tokens of the claim. "first token": softmax over the labels at the first token, by code that comes with the model.
"""


@dataclass(frozen=True)
class Family:
    """Verifiers of one kind.

    Attributes:
        name: as `load_verifier(..., family=name)` takes it.
        head: how the output is read.
        ids: regular expression that the last part of a hub id matches, in any case.
        template: the input, with `{evidence}` and `{claim}`, and `{eos}` for the end-of-sequence token of the tokenizer. The
            first of the two texts of a pair for a token classifier, the user's message for a causal model.
        labels: the label or token that means not supported, and the one that means supported.
        window: tokens of the longest input.
        chunk: long evidence is cut into runs of sentences of so many units, and the best one counts; None to cut
            only what does not fit the window.
        unit: what `chunk` counts; "words and signs" as tokenizers of words do.
        system: system message of a causal model.
        source: the paper and the code that the reading follows.
        license: of the weights.
    """

    name: str
    head: Head
    ids: str
    template: str
    source: str
    license: str
    labels: tuple[int, int] = (0, 1)
    window: int = 2048
    chunk: int | None = None
    unit: Literal["words", "words and signs", "tokens"] = "tokens"
    system: str = ""


FAMILIES: tuple[Family, ...] = (
    Family(
        "minicheck-flan-t5",
        "seq2seq",
        r"minicheck.*t5",
        "predict: {evidence}{eos}{claim}",
        "Tang et al. 2024, arXiv 2404.10774; github.com/Liyan06/MiniCheck; lytang/MiniCheck-Flan-T5-Large",
        "MIT",
        # The first tokens of "0" and "1" in the vocabulary of Flan-T5.
        labels=(3, 209),
        chunk=500,
        unit="words",
    ),
    Family(
        "minicheck",
        "sequence",
        r"minicheck",
        # One text, not a pair: on RoBERTa a pair would have another separator and a pair on DeBERTa another segmentation.
        "{evidence}{eos}{claim}",
        "Tang et al. 2024, arXiv 2404.10774; lytang/MiniCheck-RoBERTa-Large and lytang/MiniCheck-DeBERTa-v3-Large",
        "MIT",
        chunk=400,
    ),
    Family(
        "bespoke-minicheck",
        "causal",
        r"bespoke.*minicheck",
        "Document: {evidence}\nClaim: {claim}",
        "bespokelabs/Bespoke-MiniCheck-7B; github.com/Liyan06/MiniCheck",
        "CC BY-NC 4.0",
        window=32768,
        system=(
            "Determine whether the provided claim is consistent with the corresponding document. Consistency in this "
            "context implies that all information presented in the claim is substantiated by the document. If not, it "
            "should be considered inconsistent. Please assess the claim's consistency with the document by responding with "
            'either "Yes" or "No".'
        ),
    ),
    Family(
        "factcg",
        "sequence",
        r"factcg",
        '{evidence}\n\nChoose your answer: based on the paragraph above can we conclude that "{claim}"?\n\n'
        "OPTIONS:\n- Yes\n- No\nI think the answer is ",
        "Lei et al. 2025, arXiv 2501.17144; github.com/derenlei/FactCG; yaxili96/FactCG-DeBERTa-v3-Large",
        "MIT",
        chunk=550,
        unit="words and signs",
    ),
    Family(
        "hhem-2.1",
        "first token",
        # By the type of model that its configuration names.
        r"(?!)",
        "<pad> Determine if the hypothesis is true given the premise?\n\nPremise: {evidence}\n\nHypothesis: {claim}",
        "vectara/hallucination_evaluation_model, the model card of HHEM-2.1-Open",
        "Apache-2.0",
        window=4096,
    ),
    Family(
        "lettucedetect",
        "token",
        r"(tiny)?lettuce",
        "Summarize the following text:\npassage 1: {evidence}\noutput:",
        "Kovács and Recski 2025, arXiv 2502.17125; github.com/KRLabsOrg/LettuceDetect; "
        "KRLabsOrg/lettucedect-base-modernbert-en-v1 and KRLabsOrg/tinylettuce-ettin-17m-en",
        "MIT",
        labels=(1, 0),
        window=4096,
    ),
)

# Endings of the names of architectures, as a configuration lists them.
_HEADS: dict[str, Head] = {
    "ForSequenceClassification": "sequence",
    "ForConditionalGeneration": "seq2seq",
    "ForCausalLM": "causal",
    "ForTokenClassification": "token",
}
_SUPPORTED = {
    "entailment",
    "entailed",
    "entails",
    "supported",
    "supports",
    "support",
    "consistent",
    "correct",
    "factual",
    "faithful",
    "attributable",
    "grounded",
}
_REFUTED = {"contradiction", "contradicts", "contradictory", "refuted", "refutes", "refute"}
_NEITHER = {"neutral", "not_enough_info", "not_enough_information", "nei", "unverified"}
_UNSUPPORTED = {"hallucination", "hallucinated", "hal", "unsupported", "not_supported", "inconsistent", "baseless"}
# Models that score a pair, but not for support.
_OTHER_SCORES = re.compile(r"ms.?marco|re.?rank|stsb?\b|similarity|reward|quora|relevance", re.IGNORECASE)


def recognize(path: str, config: Mapping[str, Any], *, family: str | None = None) -> Family | None:
    """Find the family of a model.

    Args:
        path: folder or hub id.
        config: its configuration, as the file config.json has it.
        family: name of the family, if it is known.

    Returns:
        The family; None for a sequence classifier that reads evidence and claim as a pair (`pair_columns`).

    Raises:
        InvalidInput: the family is unknown, or the model does not have the head of the named family.
    """
    head = _head(config)
    if family == "pair":
        if head != "sequence":
            raise InvalidInput(f"{path} is {_described(config)}, not a sequence classifier; leave out the family 'pair'")
        return None
    if family is not None:
        named = family_named(family)
        if named.head != head:
            raise InvalidInput(f"{path} is {_described(config)}, which is not the architecture of the family {family!r}")
        return _with_named_labels(named, config)
    for candidate in FAMILIES:
        fits_labels = candidate.head not in ("sequence", "token") or len(_labels(config)) == 2
        if candidate.head == head and fits_labels and (head == "first token" or _has_id(candidate, path, config)):
            return _with_named_labels(candidate, config)
    if head == "token" and _named_labels(config) is not None:
        return _with_named_labels(family_named("lettucedetect"), config)
    if head == "sequence":
        return None
    fitting = [candidate.name for candidate in FAMILIES if candidate.head == head]
    if not fitting:
        raise InvalidInput(f"{path} is {_described(config)}, which no family of verifiers is read from; {_advice()}")
    more = " For a language model that answers any question, use the verifier 'lm'." if head == "causal" else ""
    raise InvalidInput(
        f"{path} is {_described(config)}, and neither its name nor its labels say how a verifier is read from it; if it is "
        f"of one of these families, pass family= {' or '.join(map(repr, fitting))}, or write {path}#{fitting[0]}.{more}"
    )


def family_named(name: str) -> Family:
    """Get a family by its name; InvalidInput if there is none."""
    for family in FAMILIES:
        if family.name == name:
            return family
    names = ", ".join(repr(family.name) for family in FAMILIES)
    raise InvalidInput(f"the family of verifiers is {name!r}; pass {names} or 'pair'")


def pair_columns(path: str, config: Mapping[str, Any], *, named: bool = False) -> tuple[int, ...]:
    """Infer the meaning of the logits of a sequence classifier from the names of its labels.

    Args:
        path: folder or hub id, for messages.
        config: its configuration.
        named: the caller named the family "pair", so that a single logit is support whatever the model is called.

    Returns:
        The logits of supported, refuted and not enough information; of supported and everything else; or of support alone.

    Raises:
        InvalidInput: the names do not say which label means support.
    """
    labels = _labels(config)
    names = [_normalized(label) for label in labels]
    supported, refuted, neither = (
        [i for i, label in enumerate(names) if label in group] for group in (_SUPPORTED, _REFUTED, _NEITHER)
    )
    if len(labels) == 3 and len(supported) == len(refuted) == len(neither) == 1:
        return supported[0], refuted[0], neither[0]
    if (two := _named_labels(config)) is not None:
        return two[1], two[0]
    if len(labels) == 1 and (named or supported or not _OTHER_SCORES.search(_last_part(path))):
        return (0,)
    if len(labels) == 1:
        raise InvalidInput(
            f"{path} gives one score, by its name not one of support; to read it as support, pass family='pair', or write "
            f"{path}#pair"
        )
    raise InvalidInput(
        f"the labels of {path}, {', '.join(map(repr, labels))}, do not say which means support; {_advice(path)}"
    )


def _advice(path: str = "") -> str:
    sequence = " or ".join(repr(family.name) for family in FAMILIES if family.head == "sequence")
    suffix = f", or write {path}#FAMILY" if path else ""
    return (
        "pass columns=(supported, refuted, not enough information) if it reads evidence and claim as a pair, or "
        f"family= {sequence} if it is one of these{suffix}"
    )


def _has_id(family: Family, path: str, config: Mapping[str, Any]) -> bool:
    ids = {_last_part(path), _last_part(str(config.get("_name_or_path") or ""))}
    return any(re.search(family.ids, name, re.IGNORECASE) for name in ids)


def _last_part(path: str) -> str:
    """The name of a folder, or of the model in a path of the hub's cache."""
    cached = re.search(r"models--([^/\\]+)", path)
    return cached[1].rpartition("--")[2] if cached else Path(path).name


def _head(config: Mapping[str, Any]) -> Head | None:
    if config.get("model_type") == "HHEMv2":
        return "first token"
    architectures: Sequence[str] = config.get("architectures") or ()
    return next((head for name in architectures for end, head in _HEADS.items() if name.endswith(end)), None)


def _labels(config: Mapping[str, Any]) -> list[str]:
    labels: Mapping[Any, str] = config.get("id2label") or {}
    if not labels:
        return [f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2))]
    return [str(labels[i]) for i in sorted(labels, key=int)]


def _named_labels(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """The labels of two that mean unsupported and supported, if the name of one of them says so."""
    names = [_normalized(label) for label in _labels(config)]
    supported = [i for i, name in enumerate(names) if name in _SUPPORTED]
    unsupported = [i for i, name in enumerate(names) if name in _UNSUPPORTED | _REFUTED]
    if len(names) != 2 or len(supported) > 1 or len(unsupported) > 1 or not supported + unsupported:
        return None
    column = supported[0] if supported else 1 - unsupported[0]
    return 1 - column, column


def _with_named_labels(family: Family, config: Mapping[str, Any]) -> Family:
    """The family, with the labels that the configuration names, if it names them, in place of its usual ones."""
    named = _named_labels(config) if family.head in ("sequence", "token") else None
    return family if named is None else replace(family, labels=named)


def _normalized(label: str) -> str:
    return re.sub(r"\W+", "_", label.strip().lower())


def _described(config: Mapping[str, Any]) -> str:
    architectures: Sequence[str] = config.get("architectures") or ()
    return f"a {architectures[0]}" if architectures else "a model without a named architecture"
