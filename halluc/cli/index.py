"""`halluc index`: build, extend, search, describe and evaluate a passage index."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.options import IndexEmbedder
from halluc.cli.output import Json, console, print_json, print_notice, wants_json, working
from retrieval.index import Mode

if TYPE_CHECKING:
    from retrieval import AddReport, Embedder, Passage, PassageIndex

__all__ = ["app"]

app = typer.Typer(help="Build and search an index of passages.", no_args_is_help=True)

Documents = Annotated[list[Path], typer.Argument(help="Files (txt, md, html, pdf, csv, jsonl) or folders of them.")]
IndexPath = Annotated[Path, typer.Option("--index", "-i", help="The index folder.")]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Fail on files of unknown type and on rows that cannot be used, instead of skipping them."
    ),
]
MaxTokens = Annotated[int | None, typer.Option(min=8, help="Longest passage, in the embedder's tokens.")]
Overlap = Annotated[int, typer.Option(min=0, help="Sentences that neighboring passages share.")]


@app.command("build")
def build(
    documents: Documents,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new index; must not exist, or be empty.")],
    embedder: Annotated[
        str | None,
        typer.Option(help="'mpnet' (pulled), a sentence-transformers hub id or folder, or http://host:port/v1#model."),
    ] = None,
    max_tokens: MaxTokens = None,
    overlap: Overlap = 1,
    strict: Strict = False,
    json_: Json = None,
) -> None:
    """Build an index from documents; it appears only once all of them are in it."""
    from retrieval import PassageIndex, load_embedder
    from retrieval.storage import check_vacant

    check_vacant(out)
    model = load_embedder(embedder)
    passages, skipped = _passages(documents, model, max_tokens, overlap, strict)
    index, added = PassageIndex.build(out, passages, embedder=model)
    with index:
        _report(out, index, added, skipped, json_)


@app.command("add")
def add(
    documents: Documents,
    index: IndexPath,
    embedder: IndexEmbedder = None,
    max_tokens: MaxTokens = None,
    overlap: Overlap = 1,
    strict: Strict = False,
    json_: Json = None,
) -> None:
    """Add documents to an index; durable when the command returns."""
    from retrieval import PassageIndex

    with PassageIndex.open(index, embedder=embedder) as opened:
        passages, skipped = _passages(documents, opened.embedder, max_tokens, overlap, strict)
        _report(index, opened, opened.add(passages), skipped, json_)


@app.command("search")
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    index: IndexPath,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits to show.")] = 5,
    mode: Annotated[Mode, typer.Option(help="How to search.")] = "hybrid",
    embedder: IndexEmbedder = None,
    json_: Json = None,
) -> None:
    """Show the passages nearest to a query."""
    from retrieval import PassageIndex

    with PassageIndex.open(index, embedder=embedder) as opened, working("searching"):
        hits = opened.search(query, k=k, mode=mode)
    if wants_json(json_):
        print_json([hit.to_dict() for hit in hits])
        return
    if not hits:
        console().print(f"no passage of {index} matches {query!r}")
    for hit in hits:
        similarity = "" if hit.similarity is None else f"  similarity {hit.similarity:.2f}"
        out = console()
        out.print(f"{hit.rank}. {hit.passage.title or hit.passage.id}{similarity}", style="cyan")
        out.print(hit.passage.text)


@app.command("info")
def info(index: Annotated[Path, typer.Argument(help="The index folder.")], json_: Json = None) -> None:
    """Describe an index: passages, embedder, kind, size."""
    from dataclasses import asdict

    from retrieval import PassageIndex

    with PassageIndex.open(index) as opened:
        facts: dict[str, Any] = asdict(opened.info())
    if wants_json(json_):
        print_json(facts)
        return
    from rich.table import Table

    table = Table(show_header=False, title=str(index))
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), str(value))
    console().print(table)


@app.command("eval")
def evaluate(
    questions: Annotated[Path, typer.Argument(help="JSON lines with the fields question and passage_id.")],
    index: IndexPath,
    embedder: IndexEmbedder = None,
    json_: Json = None,
) -> None:
    """Measure how often the passage that answers a question is among the first hits."""
    from halluc.errors import InvalidInput
    from halluc.files import read_rows, text_of
    from retrieval import PassageIndex, evaluate_retrieval

    rows = read_rows(questions)
    query_texts = [text_of(row, "question", where) for where, row in rows]
    gold = [text_of(row, "passage_id", where) for where, row in rows]
    if not query_texts:
        raise InvalidInput(f"{questions} holds no questions")
    with PassageIndex.open(index, embedder=embedder) as opened, working("searching"):
        scores = evaluate_retrieval(opened, query_texts, gold)
    if wants_json(json_):
        print_json([score.to_dict() for score in scores])
        return
    from rich.table import Table

    table = Table("mode", *(f"hit@{k}" for k in scores[0].hit_at), "MRR", title=f"{len(query_texts)} questions on {index}")
    for score in scores:
        table.add_row(score.mode, *(f"{value:.3f}" for value in score.hit_at.values()), f"{score.mrr:.3f}")
    console().print(table)


def _passages(
    documents: list[Path], embedder: Embedder, max_tokens: int | None, overlap: int, strict: bool
) -> tuple[list[Passage], list[str]]:
    """Read documents and cut them into passages; also returns a sentence for each file or folder with parts left out."""
    from retrieval import SkippedFilesWarning, SkippedRowsWarning, load_documents, split_documents

    kinds = (SkippedFilesWarning, SkippedRowsWarning)
    with warnings.catch_warnings(record=True) as caught, working("reading documents"):
        for kind in kinds:
            warnings.simplefilter("always", kind)
        loaded = load_documents(documents, strict=strict, on_bad_row="raise" if strict else "skip")
        passages = split_documents(loaded, max_tokens=max_tokens, overlap=overlap, embedder=embedder)
    skipped = [str(warning.message) for warning in caught if issubclass(warning.category, kinds)]
    return passages, skipped


def _report(path: Path, index: PassageIndex, added: AddReport, skipped: list[str], json_: bool | None) -> None:
    for sentence in skipped:
        print_notice(sentence)
    if wants_json(json_):
        print_json({"index": str(path), "passages": len(index), **added.to_dict(), "skipped": skipped})
        return
    out = console()
    out.print(f"{added.added} passages added to {path}, which holds {len(index)} now")
    if added.duplicates:
        first = ", ".join(f"{new} (as {old})" for new, old in added.duplicates[:3])
        out.print(f"{len(added.duplicates)} left out because their text is there already: {first}", style="yellow")
