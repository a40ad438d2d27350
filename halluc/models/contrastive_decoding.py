"""Contrastive decoding: contrast a model with itself without the context, or with its own lower layers.

Context-aware decoding (Shi et al. 2023, arXiv 2305.14739) and DoLa (Chuang et al. 2023, arXiv 2309.03883): the formulas as
functions of logits, logits processors that apply them in transformers' `generate`, and `generate_context_aware` and
`generate_dola` for a `TransformersModel`. Greedy search and sampling only: beams change the order of rows between steps,
which the processors do not follow. Not covered: ordinary decoding (transformers_model.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import LogitsProcessor, RepetitionPenaltyLogitsProcessor

from halluc.errors import InvalidInput, check_number, check_same_length
from halluc.models.hooks import TokenLogprobs
from halluc.models.language_model import Generation, Prompt, check_options, check_prompts

if TYPE_CHECKING:
    from halluc.models.causal_network import CausalNetwork

__all__ = [
    "ContextAwareDecoding",
    "DoLa",
    "context_aware_logits",
    "dola_logits",
    "generate_context_aware",
    "generate_dola",
    "jensen_shannon_divergence",
]


def context_aware_logits(with_context: torch.Tensor, without_context: torch.Tensor, *, alpha: float) -> torch.Tensor:
    """Compute (1 + alpha)·logit(y | context, question) - alpha·logit(y | question) (arXiv 2305.14739, eq. 2).

    Args:
        with_context, without_context: (..., V) logits.
        alpha: weight of the contrast, at least 0.

    Returns:
        (..., V) logits.
    """
    return (1 + alpha) * with_context - alpha * without_context


def jensen_shannon_divergence(logits_p: torch.Tensor, logits_q: torch.Tensor) -> torch.Tensor:
    """Compute the Jensen-Shannon divergence of two distributions.

    Args:
        logits_p, logits_q: (..., V) logits.

    Returns:
        (...) divergences in nats, in [0, log 2].
    """
    log_p, log_q = logits_p.log_softmax(-1), logits_q.log_softmax(-1)
    p, q = log_p.exp(), log_q.exp()
    # From the logarithms, so that the mixture is finite where one of the two underflows.
    log_m = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0))
    terms = torch.xlogy(p, p) - torch.where(p > 0, p * log_m, 0) + torch.xlogy(q, q) - torch.where(q > 0, q * log_m, 0)
    return (terms.sum(-1) / 2).clamp(min=0)


def dola_logits(mature: torch.Tensor, premature: torch.Tensor, *, relative_top: float) -> torch.Tensor:
    """Compute log q_N(y) - log q_M(y) for plausible tokens, -inf for others (arXiv 2309.03883, eq. 3 and 4).

    Args:
        mature: (..., V) logits of the last layer, q_N.
        premature: (..., V) logits of the lower layer, q_M.
        relative_top: a token is plausible if its probability in the last layer is at least this share, in [0, 1], of the
            most likely token's (the adaptive plausibility constraint; the paper's alpha).

    Returns:
        (..., V) log-ratios.
    """
    log_n, log_m = mature.log_softmax(-1), premature.log_softmax(-1)
    # log(0) is -inf, which keeps every token.
    least = log_n.amax(-1, keepdim=True) + torch.tensor(float(relative_top)).log()
    return torch.where(log_n >= least, log_n - log_m, -torch.inf)


class ContextAwareDecoding(LogitsProcessor):
    """Logits processor of context-aware decoding: the model runs a second time, on the prompts without their context.

    Each instance serves one call of `generate`.

    Args:
        model: the transformers model that generates.
        input_ids, attention_mask: (B, L) the prompts without context, padded on the left, in the order of the rows.
        alpha: weight of the contrast, at least 0; the paper uses 0.5 for summaries and 1 for knowledge conflicts.
    """

    def __init__(self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, alpha: float) -> None:
        check_number("alpha", alpha, 0)
        self._model = model
        self._ids, self._mask = input_ids, attention_mask
        self._alpha = alpha
        self._cache: Any = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        """Return (B, V) contrasted logits; `input_ids` ends with the tokens chosen in the last step."""
        if self._cache is not None:
            self._ids = input_ids[:, -1:]
            self._mask = torch.cat([self._mask, torch.ones_like(self._ids)], 1)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -self._ids.shape[1] :]
        output = self._model(
            input_ids=self._ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        return context_aware_logits(scores.float(), output.logits[:, -1].float(), alpha=self._alpha)


class DoLa(LogitsProcessor):
    """Logits processor that contrasts layers, with the premature layer chosen for each token and row.

    The premature layer is the candidate whose distribution is farthest from the last layer's by Jensen-Shannon divergence
    (eq. 2). A layer's distribution is the output head applied to its raw hidden state, as in the paper. Use it as a context
    manager: hooks on the model read the hidden states while it is open.

    Args:
        model: a transformers decoder with a list of layers and an output head.
        layers: "low" or "high": the even layers of the lower or upper half, which the paper chooses between on
            development data (upper for short facts, lower for long reasoning); or layer numbers. Layer j is the hidden
            state after j layers, 0 the embeddings. "low" leaves out 0 if the head shares the embeddings' weights, because
            it then only repeats the last token.
        relative_top: see `dola_logits`.

    Attributes:
        candidates: the candidate layers, ascending.
        chosen: per step, the (B,) premature layers.

    Raises:
        InvalidInput: a layer does not exist, an option is out of range, or the model's layers cannot be found.
    """

    def __init__(
        self, model: Any, *, layers: Literal["low", "high"] | Sequence[int] = "high", relative_top: float = 0.1
    ) -> None:
        check_number("relative_top", relative_top, 0, 1)
        self._blocks = _layers(model)
        self._head = model.get_output_embeddings()
        self._relative_top = relative_top
        self.candidates = _candidates(layers, len(self._blocks), bool(model.config.get_text_config().tie_word_embeddings))
        self.chosen: list[torch.Tensor] = []
        self._hidden: dict[int, torch.Tensor] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> DoLa:
        for layer in self.candidates:
            self._hooks.append(self._blocks[layer].register_forward_pre_hook(self._reader(layer), with_kwargs=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._hidden.clear()

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        """Return (B, V) contrasted log-probabilities."""
        if not self._hidden:
            raise InvalidInput("DoLa has read no hidden state; call generate inside 'with DoLa(model) as dola:'")
        mature = scores.float()
        premature = torch.stack([self._head(self._hidden[layer]).float() for layer in self.candidates])
        best = jensen_shannon_divergence(mature.expand_as(premature), premature).argmax(0)
        self.chosen.append(torch.tensor(self.candidates)[best.cpu()])
        rows = torch.arange(len(best), device=best.device)
        return dola_logits(mature, premature[best, rows], relative_top=self._relative_top)

    def _reader(self, layer: int) -> Callable[..., None]:
        def read(_block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            self._hidden[layer] = hidden[:, -1]

        return read


def generate_context_aware(
    lm: CausalNetwork,
    prompts: Sequence[Prompt],
    prompts_without_context: Sequence[Prompt],
    *,
    alpha: float = 0.5,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
) -> list[Generation]:
    """Complete each prompt by context-aware decoding (arXiv 2305.14739).

    Args:
        lm: a transformers model; the cost is that of two generations.
        prompts: (N,) prompts with the context to be faithful to.
        prompts_without_context: (N,) the same questions without it.
        alpha: weight of the contrast; 0 decodes as usual.
        max_new_tokens, temperature, seed, stop: see `LanguageModel.generate`.

    Returns:
        (N,) completions; `token_logprobs` are those of the model itself, with the context.

    Raises:
        InvalidInput: the lists differ in length, or a prompt or an option is unusable.
        ContextOverflow: a prompt and `max_new_tokens` exceed the context window.
    """
    check_number("alpha", alpha, 0)
    check_prompts(prompts)
    check_same_length(prompts=prompts, prompts_without_context=prompts_without_context)
    bare = lm.encode(prompts_without_context)
    lm.check_window(bare, [max_new_tokens] * len(bare))

    def contrast(rows: list[int]) -> AbstractContextManager[list[LogitsProcessor]]:
        ids, mask = lm.pad([bare[row] for row in rows], left=True)
        return nullcontext([ContextAwareDecoding(lm.model, ids, mask, alpha=alpha)])

    return _generate(lm, prompts, contrast, max_new_tokens, temperature, seed, stop)


def generate_dola(
    lm: CausalNetwork,
    prompts: Sequence[Prompt],
    *,
    layers: Literal["low", "high"] | Sequence[int] = "high",
    relative_top: float = 0.1,
    repetition_penalty: float = 1.2,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
) -> list[Generation]:
    """Complete each prompt by DoLa (arXiv 2309.03883).

    Args:
        lm: a transformers model.
        prompts: (N,) prompts.
        layers, relative_top: see `DoLa`.
        repetition_penalty: at least 1, which is none; the contrast makes models repeat themselves, and the paper uses 1.2.
        max_new_tokens, temperature, seed, stop: see `LanguageModel.generate`.

    Returns:
        (N,) completions; `token_logprobs` are those of the model itself.

    Raises:
        InvalidInput: a prompt or an option is unusable, or the model's layers cannot be found.
        ContextOverflow: a prompt and `max_new_tokens` exceed the context window.
    """
    check_number("repetition_penalty", repetition_penalty, 1)

    @contextmanager
    def contrast(_rows: list[int]) -> Iterator[list[LogitsProcessor]]:
        with DoLa(lm.model, layers=layers, relative_top=relative_top) as dola:
            yield [dola, RepetitionPenaltyLogitsProcessor(repetition_penalty)] if repetition_penalty > 1 else [dola]

    return _generate(lm, prompts, contrast, max_new_tokens, temperature, seed, stop)


def _generate(
    lm: CausalNetwork,
    prompts: Sequence[Prompt],
    contrast: Callable[[list[int]], AbstractContextManager[list[LogitsProcessor]]],
    max_new_tokens: int,
    temperature: float,
    seed: int,
    stop: Sequence[str],
) -> list[Generation]:
    """`TransformersModel.generate` with the logits processors that `contrast` makes for the rows of each batch."""
    check_options(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, stop=stop)
    encoded = lm.encode(prompts)
    lm.check_window(encoded, [max_new_tokens] * len(encoded))
    stop = lm.stop_strings(prompts, stop)
    results: dict[int, Generation] = {}
    with lm.inference(seed):
        for rows in lm.batches([len(ids) for ids in encoded], copies=1):
            ids, mask = lm.pad([encoded[row] for row in rows], left=True)
            recorder = TokenLogprobs()
            with contrast(rows) as processors:
                new = lm.continue_batch(
                    ids,
                    mask,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    stop=stop,
                    # The recorder reads the model's own logits, before the contrast.
                    processors=[recorder, *processors],
                )
            logprobs = recorder.finish(new)
            for i, row in enumerate(rows):
                results[row] = lm.read_generation(new[i], logprobs[i], stop)
    return [results[row] for row in range(len(prompts))]


def _layers(model: Any) -> Any:
    """Find the decoder's list of layers: the module list with as many entries as the configuration has layers."""
    count = model.config.get_text_config().num_hidden_layers
    lists = [m for m in model.base_model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    if not lists or model.get_output_embeddings() is None:
        raise InvalidInput(
            f"{type(model).__name__} has no list of {count} layers or no output head, and DoLa needs both; use another model"
        )
    return lists[0]


def _candidates(layers: Literal["low", "high"] | Sequence[int], count: int, tied: bool) -> list[int]:
    if isinstance(layers, str) and layers not in ("low", "high"):
        raise InvalidInput(f"layers is {layers!r}; pass 'low', 'high' or layer numbers")
    middle = count // 2
    if layers == "low":
        chosen = list(range(2 if tied else 0, middle, 2))
    elif layers == "high":
        chosen = list(range(middle + middle % 2, count, 2))
    else:
        chosen = sorted(set(layers))
    if not chosen or not all(isinstance(layer, int) and 0 <= layer < count for layer in chosen):
        raise InvalidInput(f"layers are {chosen}; pass numbers from 0 to {count - 1}, below the last of {count} layers")
    return chosen
