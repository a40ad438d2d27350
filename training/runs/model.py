"""The model of a run: its settings, loading it with its tokenizer, and the adapter that is trained on it.

Not covered: reward models (training/rewards/model.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from retrieval.errors import first_line

__all__ = [
    "ModelSettings",
    "check_model_settings",
    "load_trainable",
    "lora_config",
    "lora_of",
    "model_options",
    "token_limit",
    "trainable_path",
]

_DTYPES = ("float32", "bfloat16", "float16", "auto")


@dataclass
class ModelSettings:
    """Which model a run trains, how it is loaded, and which adapter is trained.

    Attributes:
        model: "default" (SmolLM2-135M-Instruct), a folder or a hub id.
        dtype: of the weights: "float32", "bfloat16", "float16" or "auto".
        attn_implementation: of transformers, such as "sdpa" or "flash_attention_2"; None for its choice.
        load_in_4bit: quantize the weights to 4 bits and train an adapter on them (QLoRA, arXiv 2305.14314); needs
            bitsandbytes and a GPU.
        lora_rank: rank of the adapter (LoRA, arXiv 2106.09685); 0 trains all weights.
        lora_alpha: scale of the adapter is alpha / rank; None for twice the rank.
        lora_dropout: in [0, 1).
        lora_target_modules: names or endings of names of layers; "all-linear" for all but the last.
        use_rslora: scale by alpha / sqrt(rank) instead (arXiv 2312.03732).
        use_dora: decompose weights into magnitude and direction (arXiv 2402.09353).
    """

    model: str = "default"
    dtype: str = "float32"
    attn_implementation: str | None = None
    load_in_4bit: bool = False
    lora_rank: int = 16
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    lora_target_modules: str | list[str] = "all-linear"
    use_rslora: bool = False
    use_dora: bool = False


def check_model_settings(config: Any) -> None:
    """Check what needs no model.

    Raises:
        InvalidInput: the model is an endpoint, or a setting cannot be used.
    """
    _check_trainable(config.model)
    lora_of(config)
    if config.dtype not in _DTYPES:
        raise InvalidInput(f"dtype is {config.dtype!r}; choose from {', '.join(_DTYPES)}")
    if config.load_in_4bit and not config.lora_rank:
        raise InvalidInput("load_in_4bit is true and lora_rank is 0; weights of 4 bits cannot be trained, so set a rank")
    if config.load_in_4bit and find_spec("bitsandbytes") is None:
        raise InvalidInput("load_in_4bit is true, and bitsandbytes is not installed; install it, or set it to false")


def model_options(config: Any) -> dict[str, Any]:
    """The options of `from_pretrained` that the settings ask for, TRL's `model_init_kwargs` among them.

    These are taken out of `config`: TRL ignores them, with a warning, for a model that is loaded already.
    """
    options: dict[str, Any] = {"dtype": config.dtype}
    if config.attn_implementation is not None:
        options["attn_implementation"] = config.attn_implementation
    if config.load_in_4bit:
        import torch
        from transformers import BitsAndBytesConfig
        from trl import get_kbit_device_map  # type: ignore[attr-defined]

        compute = torch.bfloat16 if config.bf16 else torch.float16
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute, bnb_4bit_use_double_quant=True
        )
        options["device_map"] = get_kbit_device_map()
    initial = getattr(config, "model_init_kwargs", None)
    if initial:
        if not isinstance(initial, Mapping):
            raise InvalidInput(f"model_init_kwargs is {initial!r}; pass a mapping of options of from_pretrained")
        options |= initial
        config.model_init_kwargs = None
    return options


def load_trainable(name: str, *, out: str | Path | None = None, **options: Any) -> tuple[Any, Any]:
    """Load the tokenizer and the model to train, on the CPU: the trainer places the model.

    Args:
        name: see `trainable_path`.
        out: see `trainable_path`.
        options: of `from_pretrained`; float32 unless they name another dtype.

    Returns:
        (tokenizer, model)

    Raises:
        InvalidInput: the name is an endpoint, or an adapter that cannot be merged.
        ModelUnavailable: the model cannot be loaded.
    """
    import torch

    from halluc.models.causal_network import load_network

    dtype = options.pop("dtype", "float32")
    return load_network(trainable_path(name, out=out), dtype, torch.device("cpu"), **options)


def trainable_path(name: str, *, out: str | Path | None = None) -> str | Path:
    """The folder or hub id to load a model to train from.

    Adapters are merged into their base model, which is saved under `out`; a new adapter trained on it works only on top of
    that merged model.

    Args:
        name: "default" (SmolLM2-135M-Instruct) or another packaged model, a folder or a hub id.
        out: output folder of the run; needed for an adapter.

    Raises:
        InvalidInput: the name is an endpoint, or an adapter that cannot be merged.
    """
    from halluc.models.packaged_models import LANGUAGE_MODELS, name_for_training, pull

    _check_trainable(name)
    if (packaged := name_for_training(name)) in LANGUAGE_MODELS:
        return pull(packaged)
    if (Path(name) / "adapter_config.json").is_file():
        if out is None:
            raise InvalidInput(f"{name} is an adapter; pass out=... to name a folder for the merged model")
        return _merged(Path(name), Path(out))
    return Path(name) if Path(name).is_dir() else name


def _check_trainable(name: str) -> None:
    if name.startswith(("http://", "https://")):
        raise InvalidInput(f"{name} is an endpoint and cannot be trained; pass 'default', a folder or a hub id")


def _merged(adapter: Path, out: Path) -> Path:
    """Merge an adapter into its base model, in a folder of `out`; the first of several processes writes it."""
    import xxhash
    from accelerate import PartialState
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    weights = b"".join(path.read_bytes() for path in sorted(adapter.glob("adapter_*")))
    folder = out / f"start-{xxhash.xxh3_64_hexdigest(weights)}"
    with PartialState().main_process_first():
        if not folder.exists():
            temporary = out / f".{folder.name}"
            try:
                model = AutoPeftModelForCausalLM.from_pretrained(str(adapter), dtype="float32").merge_and_unload()
                AutoTokenizer.from_pretrained(adapter).save_pretrained(temporary)
            except (OSError, ValueError) as error:
                raise InvalidInput(f"the adapter {adapter} cannot be merged into its model: {first_line(error)}") from error
            model.save_pretrained(temporary)
            temporary.rename(folder)
    return folder


def token_limit(model: Any, max_length: int | None) -> int | None:
    """The smaller of the model's context window and `max_length`, in tokens; None if there is neither."""
    limits = (max_length, getattr(model.config, "max_position_embeddings", None))
    return min((limit for limit in limits if limit is not None), default=None)


def lora_of(config: Any, task: str = "CAUSAL_LM") -> Any:
    """The adapter that the settings of a run ask for; see `lora_config`."""
    return lora_config(
        config.lora_rank,
        task,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.lora_target_modules,
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
    )


def lora_config(
    rank: int,
    task: str = "CAUSAL_LM",
    *,
    lora_alpha: float | None = None,
    lora_dropout: float = 0.0,
    target_modules: str | list[str] = "all-linear",
    **options: Any,
) -> Any:
    """LoRA (arXiv 2106.09685) of this rank, by default on all linear layers; None for rank 0, which trains all weights.

    Args:
        rank: 0 or more.
        task: task type, as peft names it.
        lora_alpha, lora_dropout, target_modules: see `ModelSettings`.
        options: others of `peft.LoraConfig`.

    Raises:
        InvalidInput: a setting is out of range.
    """
    from peft import LoraConfig

    if rank < 0:
        raise InvalidInput(f"lora_rank is {rank}; pass 0 or more")
    if lora_alpha is not None and not lora_alpha > 0:
        raise InvalidInput(f"lora_alpha is {lora_alpha}; pass a number above 0")
    if not 0 <= lora_dropout < 1:
        raise InvalidInput(f"lora_dropout is {lora_dropout}; pass at least 0 and less than 1")
    if not target_modules:
        raise InvalidInput("lora_target_modules is empty; name layers, or all-linear")
    if not rank:
        return None
    alpha: Any = 2 * rank if lora_alpha is None else lora_alpha
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=lora_dropout,
        target_modules=target_modules,
        task_type=task,
        **options,
    )
