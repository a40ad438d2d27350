"""From a GGUF file to a folder that transformers loads: weights, configuration and tokenizer.

The weights are dequantized once and stored as numbers, because transformers multiplies no quantized weights on a CPU.
Architectures: Llama and Qwen2. Not covered: the format of GGUF files (gguf_file.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from halluc.models.gguf_file import GgufFile

if TYPE_CHECKING:
    import torch

__all__ = ["convert_gguf"]

# Keys of GGUF, after the name of the architecture, and what transformers calls them.
_CONFIGURATION = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_INPUT, _OUTPUT = "token_embd.weight", "output.weight"
_COMPARED_ROWS = 4096


def convert_gguf(path: Path, folder: Path, dtype: Literal["float32", "bfloat16"]) -> None:
    """Convert a language model.

    Args:
        path: the GGUF file.
        folder: existing folder for the files of the model.
        dtype: of the stored weights.

    Raises:
        ValueError: the architecture is neither Llama nor Qwen2, or a tensor is missing.
    """
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    from retrieval.progress import no_transformers_bars

    file = GgufFile(path)
    config = _configuration(file)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.load_state_dict(_weights(file, model, getattr(torch, dtype)), strict=False, assign=True)
    model.tie_weights()
    # A model that pads has ended, too.
    ends = list(dict.fromkeys((config.eos_token_id, config.pad_token_id)))
    model.generation_config.eos_token_id = ends[0] if len(ends) == 1 else ends
    with no_transformers_bars():
        model.save_pretrained(folder)
        PreTrainedTokenizerFast.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)


def _configuration(file: GgufFile) -> Any:
    from transformers import LlamaConfig, Qwen2Config

    architecture = file.metadata["general.architecture"]
    classes = {"llama": LlamaConfig, "qwen2": Qwen2Config}
    if architecture not in classes:
        raise ValueError(f"a model of the architecture {architecture!r} cannot be converted, only {', '.join(classes)}")
    end = file.metadata["tokenizer.ggml.eos_token_id"]
    return classes[architecture](
        **{name: file.metadata[f"{architecture}.{key}"] for key, name in _CONFIGURATION.items()},
        rope_parameters={"rope_type": "default", "rope_theta": file.metadata[f"{architecture}.rope.freq_base"]},
        vocab_size=file.metadata["tokenizer.ggml.tokens"],
        bos_token_id=file.metadata.get("tokenizer.ggml.bos_token_id"),
        eos_token_id=end,
        pad_token_id=file.metadata.get("tokenizer.ggml.padding_token_id", end),
        tie_word_embeddings=_is_tied(file),
    )


def _is_tied(file: GgufFile) -> bool:
    """Whether input and output embeddings are one matrix.

    Some files hold it twice, quantized in two ways, which differ by 4 to 7 % in norm; two matrices differ by 100 % or more.
    """
    import torch

    if _OUTPUT not in file.names:
        return True
    first, second = (file.tensor(name, torch.float32, max_rows=_COMPARED_ROWS) for name in (_INPUT, _OUTPUT))
    return bool((first - second).norm() < 0.2 * second.norm())


def _weights(file: GgufFile, model: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Dequantize all weights; tied ones once, under the name of the embeddings."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = file.metadata["general.architecture"]
    number = next(number for number, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(number, model.config.num_hidden_layers)
    tied = model.config.tie_word_embeddings
    weights = {}
    for name in model.state_dict():
        stem, _, suffix = name.rpartition(".")
        stored = f"{names.get_name(stem)}.{suffix}"
        if tied and stored == _OUTPUT:
            continue
        if tied and stored == _INPUT and _OUTPUT in file.names:
            # It is quantized with more bits.
            stored = _OUTPUT
        tensor = file.tensor(stored, dtype)
        if architecture == "llama" and stem.endswith(("q_proj", "k_proj")):
            heads = model.config.num_attention_heads if stem.endswith("q_proj") else model.config.num_key_value_heads
            tensor = _original_order(tensor, heads)
        weights[name] = tensor
    return weights


def _original_order(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Undo GGUF's order of the rows of a Llama's query and key projections, which has rotated pairs side by side."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape).contiguous()
