"""A causal language model and its tokenizer, worked in token ids.

`CausalNetwork` is what plain generation, scoring, observation and contrastive decoding share: prompts become token ids,
token ids become padded batches, batches get a key-value cache or continuations, and continuations become `Generation`s.
Not covered: the `LanguageModel` protocol in text (transformers_model.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.control_tokens import break_control_tokens
from halluc.errors import ContextOverflow, InvalidInput, ModelUnavailable, check_integer
from halluc.models.language_model import Generation, Prompt, as_conversation, check_prompts
from retrieval.errors import first_line

if TYPE_CHECKING:
    import torch

__all__ = ["CausalNetwork", "end_tokens", "load_network", "loading_reason", "padding_token"]


class CausalNetwork:
    """A decoder-only transformers model on one device, with its tokenizer.

    Args:
        path: a folder or hub id that `AutoModelForCausalLM.from_pretrained` understands.
        name: what messages and results call the model; the path by default.
        device: "cpu", "cuda", "cuda:1", ...; by default CUDA if available.
        dtype: "float32", "bfloat16", "float16" or "auto", which is bfloat16 on accelerators, and on a CPU that multiplies it
            natively if the weights are stored in it; else float32.
        batch_tokens: prompt tokens per batch, padding included.

    Attributes:
        tokenizer: the transformers tokenizer.
        model: the transformers model, in evaluation mode.
        device: where the model is.
        end_ids: ids of the tokens that end a turn or the text; the first is the one appended to given answers.
        pad_id: id of the token that fills padded positions.

    Raises:
        ModelUnavailable: the folder or hub id cannot be loaded.
        InvalidInput: an option is unusable.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        batch_tokens: int = 8192,
    ) -> None:

        self.name = name or str(path)
        self.device = _device(device)
        self.batch_tokens = batch_tokens
        if dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise InvalidInput(f"dtype {dtype!r} is not one of auto, float32, bfloat16, float16")
        check_integer("batch_tokens", batch_tokens, 1)
        self.tokenizer, self.model = load_network(path, dtype, self.device)
        self.model.to(self.device).eval()
        self.end_ids: list[int] = end_tokens(self.tokenizer, self.model)
        if not self.end_ids:
            raise ModelUnavailable(
                f"{self.name} names no token that ends a text; set eos_token_id in its generation_config.json"
            )
        self.pad_id: int = padding_token(self.tokenizer, self.end_ids)

    @property
    def context_window(self) -> int | None:
        """Maximum number of tokens of a prompt and its completion together; None if the configuration has none."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens that the model assigns probabilities to."""
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Strings that the tokenizer turns into control tokens wherever they are in a text."""
        return tuple(token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special)

    def encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Convert prompts to token ids, with the chat template if the tokenizer has one.

        Control tokens in the text of messages are broken by a space, so that only the template writes control tokens. A
        model without a chat template completes plain strings, which are encoded as they are, and conversations as a
        transcript (`render_conversation`).

        Raises:
            InvalidInput: a prompt is unusable.
        """
        from halluc.models.chat_template import render_conversation

        check_prompts(prompts)
        if not prompts:
            return []
        template = self.tokenizer.chat_template is not None
        special = self.special_tokens
        texts = []
        for prompt in prompts:
            if template or not isinstance(prompt, str):
                messages = [
                    {**message, "content": break_control_tokens(message["content"], special, by_form=False)}
                    for message in as_conversation(prompt)
                ]
                texts.append(render_conversation(self.tokenizer, messages))
            else:
                texts.append(prompt)
        return [list(ids) for ids in self.tokenizer(texts, add_special_tokens=not template)["input_ids"]]

    def encode_text(self, text: str) -> list[int]:
        """Convert the text of an answer to token ids; control tokens in it are spelled out as plain text."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def stop_strings(self, prompts: Sequence[Prompt], stop: Sequence[str]) -> tuple[str, ...]:
        """Stop strings of a generation: those passed, and the user's next turn if a prompt is written as a transcript."""
        from halluc.models.chat_template import NEXT_TURN

        transcript = self.tokenizer.chat_template is None and any(not isinstance(prompt, str) for prompt in prompts)
        return (*stop, NEXT_TURN) if transcript else tuple(stop)

    def check_window(self, encoded: Sequence[Sequence[int]], new_tokens: Sequence[int]) -> None:
        """Check that prompts and their completions fit the context window.

        Args:
            encoded: (N,) token ids of the prompts.
            new_tokens: (N,) tokens that each completion may have.

        Raises:
            ContextOverflow: one does not fit; the message names it.
        """
        window = self.context_window
        for i, (ids, new) in enumerate(zip(encoded, new_tokens, strict=True)):
            if window is not None and len(ids) + new > window:
                raise ContextOverflow(
                    f"prompt {i} has {len(ids)} tokens and its completion may have {new}, but the context window of "
                    f"{self.name} is {window} tokens; shorten the prompt or lower max_new_tokens"
                )

    def batches(self, lengths: Sequence[int], *, copies: int) -> Iterator[list[int]]:
        """Yield the row numbers of each batch: longest first, `batch_tokens` at most.

        The largest allocation comes first, so a batch that does not fit in memory fails at once.

        Args:
            lengths: (N,) token counts of the rows.
            copies: how often each row is in its batch (samples).
        """
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        start = 0
        while start < len(order):
            size = max(1, self.batch_tokens // (lengths[order[start]] * copies or 1))
            yield order[start : start + size]
            start += size

    def pad(self, encoded: Sequence[Sequence[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad (B,) lists of token ids to one length.

        Returns:
            The token ids and the attention mask, (B, L) each, on the model's device.
        """
        import torch

        width = max(len(ids) for ids in encoded)
        padded = torch.full((len(encoded), width), self.pad_id)
        mask = torch.zeros_like(padded)
        for row, ids in enumerate(encoded):
            span = slice(width - len(ids), width) if left else slice(0, len(ids))
            padded[row, span] = torch.tensor(ids, dtype=padded.dtype)
            mask[row, span] = 1
        return padded.to(self.device), mask.to(self.device)

    def prefill(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        """Run the model over left-padded (B, L) prompts.

        Returns:
            transformers' output with `past_key_values`, and `logits` (B, 1, V) of the last position.
        """
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)

    @contextmanager
    def inference(self, seed: int) -> Iterator[None]:
        """Turn gradients off and seed the random numbers; restore torch's global random state afterwards."""
        import torch

        devices = [self.device] if self.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield

    def continue_batch(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        processors: Sequence[Any] = (),
        cache: Any = None,
    ) -> torch.Tensor:
        """Generate after left-padded (B, L) prompts.

        Args:
            ids, mask: (B, L) token ids and attention mask.
            max_new_tokens, temperature, top_p, stop: see `LanguageModel.generate`.
            processors: logits processors, applied in this order before sampling.
            cache: key-value cache of all but the last token of the prompts.

        Returns:
            (B, T) new token ids; rows that ended early are filled with `pad_id`.
        """
        from transformers import LogitsProcessorList, StoppingCriteriaList

        from halluc.models.hooks import StopStrings

        length = ids.shape[1]
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
        sequences: torch.Tensor = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.end_ids,
            pad_token_id=self.pad_id,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([StopStrings(self.tokenizer, stop, length)] if stop else []),
            **({} if cache is None else {"past_key_values": cache}),
            **sampling,
        )
        return sequences[:, length:]

    def read_generation(
        self,
        ids: torch.Tensor,
        logprobs: torch.Tensor,
        stop: Sequence[str] = (),
        top: Sequence[Sequence[tuple[int, float]]] = (),
    ) -> Generation:
        """Convert one row of new tokens to a `Generation`, cut before the end token or the first stop string.

        Args:
            ids: (T,) new token ids.
            logprobs: (T,) their log-probabilities.
            stop: stop strings.
            top: (T,) the most likely (token id, log-probability) of each step, or empty.
        """
        from halluc.models.stop_strings import first_stop

        tokens: list[int] = ids.tolist()
        end = next((i for i, token in enumerate(tokens) if token in self.end_ids), len(tokens))
        finished = end < len(tokens)
        tokens = tokens[:end]
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        if (cut := first_stop(text, stop)) is not None:
            finished = True
            text = text[:cut]
            # The fewest tokens that spell the text before the stop string.
            while tokens and len(self.tokenizer.decode(tokens[:-1], skip_special_tokens=True)) >= len(text):
                tokens.pop()
        count = len(tokens)
        return Generation(
            text=text,
            token_ids=tuple(tokens),
            token_logprobs=tuple(logprobs[:count].tolist()),
            finish_reason="stop" if finished else "length",
            top_logprobs=tuple(
                tuple((self.tokenizer.decode([token]), value) for token, value in step) for step in top[:count]
            ),
        )


def _device(name: str | None) -> torch.device:
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # An empty tensor shows whether the device is there, before anything is loaded.
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InvalidInput(f"device {name!r} cannot be used: {first_line(error)}; pass 'cpu'") from error


def end_tokens(tokenizer: Any, model: Any) -> list[int]:
    """Ids of the tokens that end a turn or the text: those of the generation configuration, and the tokenizer's."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return [i for i in dict.fromkeys([*ends, tokenizer.eos_token_id]) if i is not None]


def padding_token(tokenizer: Any, end_ids: Sequence[int]) -> int:
    """Id of the token that fills padded positions: the tokenizer's, or the first that ends a text."""
    pad = tokenizer.pad_token_id
    return int(end_ids[0] if pad is None else pad)


def load_network(path: str | Path, dtype: str, device: torch.device, **options: Any) -> tuple[Any, Any]:
    """Load a tokenizer and a causal language model that generates greedily unless it is told otherwise.

    Args:
        path: a folder or hub id.
        dtype: see `CausalNetwork`.
        device: where the model will be; it is loaded on the CPU unless the options say otherwise.
        options: of `AutoModelForCausalLM.from_pretrained`.

    Raises:
        ModelUnavailable: the folder or hub id cannot be loaded.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from retrieval.hub import require_hub
    from retrieval.progress import no_transformers_bars

    try:
        require_hub(path)
        if dtype == "auto":
            dtype = _best_dtype(device, AutoConfig.from_pretrained(_config_source(path)))
        with no_transformers_bars():
            tokenizer = AutoTokenizer.from_pretrained(path)
            model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **options)
    # Damaged files fail in as many ways as there are parsers: SafetensorError, KeyError, UnicodeDecodeError, ...
    except Exception as error:
        reason = loading_reason(path, error)
        where = "folder" if isinstance(path, Path) else "hub id (no such local folder)"
        raise ModelUnavailable(
            f"{path} could not be loaded as a {where}: {reason}; pass 'default', a folder that holds a causal language "
            "model, a hub id this machine can reach, or http://host:port/v1#model"
        ) from error
    # Generation would otherwise inherit sampling settings from the checkpoint.
    model.generation_config.update(do_sample=False, temperature=None, top_p=None, top_k=None)
    return tokenizer, model


def loading_reason(path: str | Path, error: Exception) -> str:
    """Say why a model cannot be loaded; two messages of transformers say nothing of the folder that they are about."""
    reason = first_line(error)
    if "backend tokenizer" in reason:
        return "it has no tokenizer that can be read"
    if "Repo id must be" in reason:
        return "it is a file" if Path(path).is_file() else "it is no hub id either"
    return reason if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {reason}"


def _config_source(path: str | Path) -> str | Path:
    """Where the configuration of the network is: an adapter has none of its own, but names the model it adapts."""
    from transformers.utils.peft_utils import find_adapter_config_file

    adapter = find_adapter_config_file(str(path))
    if adapter is None:
        return path
    return str(json.loads(Path(adapter).read_text(encoding="utf-8"))["base_model_name_or_path"])


def _best_dtype(device: torch.device, config: Any) -> str:
    import torch

    from retrieval.precision import cpu_multiplies_bfloat16

    if device.type != "cpu":
        return "bfloat16"
    stored = config.get_text_config().dtype
    return "bfloat16" if stored == torch.bfloat16 and cpu_multiplies_bfloat16() else "float32"
