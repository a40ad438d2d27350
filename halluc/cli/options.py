"""Options that several commands share, and the objects that their values name.

Not covered: options of a single command, which are in its signature, and --json (output.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.ranking import Mode

if TYPE_CHECKING:
    from calibration import Calibrator
    from halluc.evaluation.harm_judges import HarmJudge
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval.store import PassageStore

__all__ = [
    "AnswerCacheFolder",
    "CalibratorFile",
    "IndexEmbedder",
    "JudgeName",
    "MaxNewTokens",
    "MinAnswerability",
    "MinSupport",
    "ModelName",
    "OptionalVerifierName",
    "PassageTokens",
    "RerankerName",
    "Retrieved",
    "SearchMode",
    "TrustRemoteCode",
    "VerifierName",
    "WorkerCount",
    "code_options",
    "load_calibrator",
    "load_named_judge",
    "load_named_verifier",
    "open_named_index",
]

ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="'default', a name from 'halluc models list', a folder, a hub id, or http://host:port/v1#model.",
    ),
]
VerifierName = Annotated[
    str,
    typer.Option(
        "--verifier",
        help="Verifier of claims: 'default', 'lm' (a language model), a folder or a hub id; NAME#FAMILY if its family "
        "cannot be recognized.",
    ),
]
OptionalVerifierName = Annotated[
    str,
    typer.Option(
        "--verifier",
        help="Verifier of claims: 'default', 'lm' (the model itself), a folder or a hub id, NAME#FAMILY if its family "
        "cannot be recognized; 'none' for no verdicts.",
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run Python code that comes with the verifier, such as HHEM. Read it first."),
]
CalibratorFile = Annotated[
    Path | None,
    typer.Option(
        "--calibrator",
        help="File that halluc.calibrate saved for this model: calibrates the confidence and abstains below its threshold.",
    ),
]
IndexEmbedder = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="The embedder of the index. Name it only if it is an endpoint, http://host:port/v1#model, to allow that texts "
        "and your API key are sent there.",
    ),
]
AnswerCacheFolder = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of answers, from which a killed run is resumed; the user's cache by default."),
]
Retrieved = Annotated[int, typer.Option("--k", "-k", min=1, help="Passages to retrieve.")]
SearchMode = Annotated[Mode, typer.Option("--mode", help="How to search.")]
RerankerName = Annotated[
    str | None,
    typer.Option(
        "--rerank",
        help="Reranker that puts the first hits in order: 'default', or the folder or hub id of a cross-encoder.",
    ),
]
PassageTokens = Annotated[
    int | None,
    typer.Option("--passage-tokens", min=1, help="Tokens of passage text in the prompt; by default what suits the model."),
]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens.")]
MinAnswerability = Annotated[
    float,
    typer.Option(
        "--min-answerability",
        min=0,
        max=1,
        help="Abstain if the probability that the passages answer the question is below this; 0 to always answer.",
    ),
]
MinSupport = Annotated[
    float,
    typer.Option("--min-support", min=0, max=1, help="Abstain if a claim of the answer has less support than this."),
]

WorkerCount = Annotated[
    int,
    typer.Option(
        min=1,
        help="Number of processes that share the work, each with models of its own (extra 'ray'); on the cluster that the "
        "environment variable RAY_ADDRESS names, if it does.",
    ),
]

JudgeName = Annotated[
    str | None,
    typer.Option(
        "--judge",
        help="Judge of harm: 'refusal' (sees refusals only), 'lm' (the model itself), 'lm:MODEL', or a folder or hub id of "
        "a text classifier (NAME#LABEL names the label that means harmful) or of a guard model. By default 'refusal', or "
        "'lm' where statements are judged.",
    ),
]


def load_calibrator(path: Path | None) -> Calibrator | None:
    """Load the calibrator that a `CalibratorFile` names, if it names one."""
    if path is None:
        return None
    from calibration import Calibrator

    return Calibrator.load(path)


def load_named_verifier(name: str, lm: LanguageModel, *, trust_remote_code: bool = False) -> Verifier | None:
    """Load the verifier that an `OptionalVerifierName` names: "lm" asks `lm`, and "none" is None."""
    from halluc.verification import load_verifier

    if name == "none":
        return None
    return load_verifier(name, lm=lm if name == "lm" else None, **code_options(trust_remote_code))


def open_named_index(index: str | None, embedder: str | None) -> PassageStore | None:
    """Open the index that an option names, if it names one, with the embedder of an `IndexEmbedder`.

    Raises:
        InvalidInput: there is an embedder without an index.
    """
    from halluc.errors import InvalidInput
    from retrieval import open_store

    if index is not None:
        return open_store(index, embedder=embedder)
    if embedder is not None:
        raise InvalidInput(
            f"--embedder is {embedder!r}, but there is no index; pass --index as well, or leave out --embedder"
        )
    return None


def load_named_judge(name: str, lm: LanguageModel) -> HarmJudge:
    """Load the judge of harm that a `JudgeName` names: "lm" asks `lm`, and "lm:MODEL" another model."""
    from halluc.evaluation.harm_judges import load_harm_judge
    from halluc.models import load_model

    if name.startswith("lm:"):
        return load_harm_judge("lm", lm=load_model(name.removeprefix("lm:")))
    return load_harm_judge(name, lm=lm)


def code_options(trust_remote_code: bool) -> dict[str, Any]:
    """Options of `load_verifier` for a `TrustRemoteCode`; verifiers without code of their own need none."""
    return {"trust_remote_code": True} if trust_remote_code else {}
