"""Loading a verifier by name: `load_verifier`.

Not covered: the verifiers themselves (cross_encoder.py, pretrained.py, lm_verifier.py) and the use of their probabilities
(judge.py).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier

__all__ = ["load_verifier"]


def load_verifier(name: str | Path = "default", *, lm: LanguageModel | None = None, **options: Any) -> Verifier:
    """Load a verifier by name.

    Args:
        name: "default", the small verifier that comes with halluc, or "large", which is better and slower and needs
            `halluc models pull mpnet`; both are loaded once per process unless there are options; "lm", a language model
            that answers Yes or No (`LMVerifier`); a folder written by `halluc train verifier`; or a folder or hub id of
            another verifier: MiniCheck, FactCG, Bespoke-MiniCheck, HHEM, LettuceDetect, or any NLI cross-encoder. If its
            family cannot be recognized, "NAME#FAMILY" names it.
        lm: with "lm", the language model to ask; the default model if None.
        options: `device`, `max_tokens`, `batch_tokens`, `columns`, and for other people's verifiers `family` and
            `trust_remote_code` (see `halluc.verification.pretrained.load_pretrained`).

    Returns:
        The verifier.

    Raises:
        InvalidInput: the name is empty, or an option does not go with it.
        ModelUnavailable: the verifier cannot be loaded; the message says what was tried and what to do.
        VerifierMismatch: the weights of a trained verifier do not belong to the base installed here.
    """
    if isinstance(name, Path):
        name = str(name)
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput(f"the verifier is {name!r}; pass 'default', 'lm', a folder or a hub id")
    if name == "lm":
        if options:
            raise InvalidInput(
                f"{next(iter(options))} is an option of cross-encoders, not of the verifier 'lm'; leave it out"
            )
        from halluc.models import load_model
        from halluc.verification.lm_verifier import LMVerifier

        return LMVerifier(lm or load_model())
    if lm is not None:
        raise InvalidInput(f"lm goes with the verifier 'lm', not with {name!r}; leave one of them out")
    if name in _PACKAGED:
        return _load_packaged(name, **_of_trained(name, options)) if options else _packaged_once(name)
    folder, _, family = name.rpartition("#")
    if folder and not Path(name).is_dir():
        name, options = folder, {**options, "family": family}
    if (Path(name) / "verifier.json").is_file():
        from halluc.verification.pair_verifier import load_pair_verifier

        return load_pair_verifier(name, **_of_trained(name, options))
    from halluc.verification.pretrained import load_pretrained

    return load_pretrained(name, **options)


def _of_trained(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options for weights trained by halluc, which run no code of their own and have no family or columns."""
    options = {key: value for key, value in options.items() if not (key == "trust_remote_code" or value is None)}
    for option in options:
        if option in ("family", "columns"):
            raise InvalidInput(f"{option} is an option of other people's verifiers, not of {name!r}; leave it out")
        if option not in ("device", "max_tokens", "batch_tokens"):
            raise InvalidInput(f"{option} is not an option of {name!r}; leave it out")
    return options


# The folder of each packaged verifier, and its name in results.
_PACKAGED = {"default": "halluc-minilm", "large": "halluc-mpnet"}


def _load_packaged(name: str, **options: Any) -> Verifier:
    from halluc.verification.pair_verifier import load_pair_verifier

    return load_pair_verifier(Path(__file__).parent / name, name=_PACKAGED[name], **options)


@cache
def _packaged_once(name: str) -> Verifier:
    # A bare halluc.check(...) would otherwise spend nearly all of its time on loading.
    return _load_packaged(name)
