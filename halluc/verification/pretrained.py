"""Loading other people's verifiers from a folder or the hub.

Not covered: which family a model is of (families.py), and verifiers trained by halluc (weights.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, ModelUnavailable
from halluc.models.model_config import read_model_config
from halluc.verification.families import Family, pair_columns, recognize

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier

__all__ = ["load_pretrained"]


def load_pretrained(
    path: str | Path,
    *,
    family: str | None = None,
    columns: Sequence[int] | None = None,
    trust_remote_code: bool = False,
    device: str | None = None,
    max_tokens: int | None = None,
    batch_tokens: int = 4096,
) -> Verifier:
    """Load a verifier of a family of `FAMILIES`, or any sequence classifier that reads evidence and claim as a pair.

    Args:
        path: a folder, or the id of a model on the hub.
        family: the name of its family, or "pair"; by default recognized from the id, the configuration and the labels.
        columns: for a pair, the logits of supported, refuted and not enough information (see `CrossEncoderVerifier`); by
            default inferred from the names of the labels.
        trust_remote_code: run Python code that comes with the model. Read that code first.
        device: "cpu", "cuda", ...; by default CUDA if there is a GPU. On CUDA it computes in half precision.
        max_tokens: longest unit of evidence; by default that of the family, or five eighths of the window.
        batch_tokens: tokens, padding included, per forward pass.

    Returns:
        The verifier.

    Raises:
        InvalidInput: it is not known how the model is read, or an option is out of range.
        ModelUnavailable: the model cannot be loaded, has untrained weights, or needs code that is not trusted.
    """
    config = _config(path)
    if columns is not None and family not in (None, "pair"):
        raise InvalidInput(f"columns goes with a model that reads a pair, not with the family {family!r}; leave one out")
    found = recognize(str(path), config, family="pair" if columns is not None else family)
    if found is None and columns is None:
        columns = pair_columns(str(path), config, named=family == "pair")
    model, tokenizer = _model_and_tokenizer(path, config, found, trust_remote_code, device)
    name = str(path)
    if found is None:
        from halluc.verification.cross_encoder import CrossEncoderVerifier

        return CrossEncoderVerifier(
            model,
            tokenizer,
            name=name,
            columns=columns or (0,),
            max_tokens=max_tokens,
            batch_tokens=batch_tokens,
        )
    if found.head == "token":
        from halluc.verification.token_classifier import TokenClassifierVerifier

        return TokenClassifierVerifier(model, tokenizer, found, name=name, max_tokens=max_tokens, batch_tokens=batch_tokens)
    from halluc.verification.templated import TemplatedVerifier

    return TemplatedVerifier(model, tokenizer, found, name=name, max_tokens=max_tokens, batch_tokens=batch_tokens)


def _config(path: str | Path) -> Mapping[str, Any]:
    try:
        return read_model_config(path)
    except (OSError, ValueError, KeyError) as error:
        raise _unavailable(path, error) from error


def _model_and_tokenizer(
    path: str | Path, config: Mapping[str, Any], family: Family | None, trust_remote_code: bool, device: str | None
) -> tuple[Any, Any]:
    import torch
    import transformers
    from safetensors import SafetensorError

    from retrieval.progress import no_transformers_bars

    loader, dtype = _LOADERS[family.head if family else "sequence"]
    if _needs_code(config) and not trust_remote_code:
        raise ModelUnavailable(
            f"{path} runs Python code that comes with it; read that code, then pass trust_remote_code=True (on the command "
            "line, --trust-remote-code)"
        )
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        if family and family.head == "first token":
            _complete_remote_class(path, config)
        with no_transformers_bars():
            model, report = getattr(transformers, loader).from_pretrained(
                path, output_loading_info=True, dtype="auto" if family and family.head == "causal" else "float32", **options
            )
        # HHEM has no tokenizer of its own: it takes that of the model that it was trained from.
        tokenizer = transformers.AutoTokenizer.from_pretrained(getattr(model.config, "foundation", path), **options)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unavailable(path, error) from error
    if report["missing_keys"]:
        raise ModelUnavailable(
            f"{path} is not a trained verifier: it has no weights for {min(report['missing_keys'])}; train or fetch it again"
        )
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if target.type == "cpu":
        return model.to(target).eval(), tokenizer
    return model.to(target, getattr(torch, dtype)).eval(), tokenizer


def _complete_remote_class(path: str | Path, config: Mapping[str, Any]) -> None:
    """Give code written for transformers 4 the attribute that transformers 5 reads while it loads weights."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    reference = config["auto_map"]["AutoModelForSequenceClassification"]
    remote: Any = get_class_from_dynamic_module(reference, str(path))
    if not hasattr(remote, "all_tied_weights_keys"):
        remote.all_tied_weights_keys = {}


# The class that loads a head, and its precision on a GPU: T5 and large language models overflow in float16.
_LOADERS = {
    "sequence": ("AutoModelForSequenceClassification", "float16"),
    "seq2seq": ("AutoModelForSeq2SeqLM", "bfloat16"),
    "causal": ("AutoModelForCausalLM", "bfloat16"),
    "token": ("AutoModelForTokenClassification", "float16"),
    "first token": ("AutoModelForSequenceClassification", "bfloat16"),
}


def _needs_code(config: Mapping[str, Any]) -> bool:
    from transformers import CONFIG_MAPPING

    return bool(config.get("auto_map")) and config.get("model_type") not in CONFIG_MAPPING


def _unavailable(path: str | Path, error: Exception | str) -> ModelUnavailable:
    reason = " ".join(str(error).split())[:300].rstrip(" .")
    return ModelUnavailable(
        f"the verifier {str(path)!r} cannot be loaded: {reason}; pass 'default', 'lm', a "
        "folder, or the id of a verifier that is in the cache or can be fetched"
    )
