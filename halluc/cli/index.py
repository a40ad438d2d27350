"""`halluc index`: build a passage index, keep it in step with its documents, search, describe and evaluate it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from halluc.cli.options import IndexEmbedder, RerankerName, WorkerCount
from halluc.cli.output import Json, console, print_json, print_notice, wants_json, working
from retrieval.locations import checked_location
from retrieval.ranking import Mode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrieval import Embedder, PassageStore, ReadReport
    from retrieval.changes import OnMissing
    from retrieval.synchronize import SyncReport

__all__ = ["app"]

app = typer.Typer(help="Build and search an index of passages.", no_args_is_help=True)

Documents = Annotated[
    list[Path],
    typer.Argument(help="Files (txt, md, rst, html, pdf, docx, pptx, xlsx, eml, json, csv, tsv, jsonl) or folders of them."),
]
_LOCATION = "a folder, postgresql://user@host/database#name (password in PGPASSWORD), or qdrant://host#name."
IndexLocation = Annotated[str, typer.Option("--index", "-i", help=f"The index: {_LOCATION}")]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Change nothing if a file or row cannot be read, or the type of a file is unknown."),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        min=8, help="Longest passage, in the embedder's tokens, and at most as many as it reads. [default: as many]"
    ),
]
Overlap = Annotated[int, typer.Option(min=0, help="Sentences that neighboring passages share.")]
TextColumns = Annotated[
    list[str] | None,
    typer.Option("--text-column", help="Column of tables that holds the text; repeat it for several. [default: text]"),
]


@app.command("build")
def build(
    documents: Documents,
    out: Annotated[str, typer.Option("--out", "-o", help=f"The new index, where nothing is yet: {_LOCATION}")],
    embedder: Annotated[
        str | None,
        typer.Option(help="'mpnet' (pulled), a sentence-transformers hub id or folder, or http://host:port/v1#model."),
    ] = None,
    max_tokens: MaxTokens = None,
    overlap: Overlap = 1,
    text_column: TextColumns = None,
    strict: Strict = False,
    workers: WorkerCount = 1,
    json_: Json = None,
) -> None:
    """Build an index from documents; it appears only once all of them are in it.

    Files and rows that cannot be read are left out and named; the exit code is then 2.
    """
    from retrieval import build_store, load_embedder, read_documents, split_documents
    from retrieval.locations import check_vacant

    check_vacant(out)
    model = load_embedder(embedder)
    with working("reading documents"):
        if strict:
            _check_readable(documents, text_column)
        read = read_documents(documents, text_columns=text_column or None)
        _check_not_empty(read, documents)
        passages = split_documents(read.documents, max_tokens=max_tokens, overlap=overlap, embedder=model)
    with _sharing(model, embedder, workers) as shared:
        index, added = build_store(out, passages, embedder=shared)
    name = checked_location(out)
    with index:
        _name_left_out(read)
        if wants_json(json_):
            print_json({"index": name, "passages": len(index), **added.to_dict(), **_left_out(read)})
        else:
            console().print(f"{added.added} passages added to {name}, which holds {len(index)} now")
            _print_duplicates(added.duplicates)
    _exit_if_incomplete(read)


@contextmanager
def _sharing(model: Embedder, name: str | None, workers: int) -> Iterator[Embedder]:
    """The embedder, or one that shares texts among workers."""
    if workers == 1:
        yield model
        return
    from halluc.workers import ParallelEmbedder, start_workers

    with start_workers(workers, partial(_load_encode, name)) as running:
        yield ParallelEmbedder(model, running)


def _load_encode(name: str | None) -> Callable[[list[str]], NDArray[np.float32]]:
    from retrieval import load_embedder

    return load_embedder(name).encode


# Commands that bring an index up to date with files: name, what happens to documents that are not in it ("all": they are
# added, and those whose files are gone are deleted), help.
_CHANGES: tuple[tuple[str, OnMissing | Literal["all"], str], ...] = (
    (
        "add",
        "add",
        """Add documents to an index; documents that are in it already are replaced whole.

        Files and rows that cannot be read are left out and named; the exit code is then 2.
        """,
    ),
    (
        "update",
        "skip",
        """Replace documents of an index whole by what their files hold now; documents that are not in it are left out.

        Files and rows that cannot be read are left out and named; the exit code is then 2.
        """,
    ),
    (
        "sync",
        "all",
        """Make an index hold the documents of files and folders as they are now: adds, replaces and deletes, in one step.

        Documents from elsewhere stay, and so do those of files that cannot be read. Such files are named, and the exit code
        is then 2.
        """,
    ),
)


def _add_change(name: str, on_missing: OnMissing | Literal["all"], summary: str) -> None:
    @app.command(name, help=inspect.cleandoc(summary))
    def change(
        documents: Documents,
        index: IndexLocation,
        embedder: IndexEmbedder = None,
        max_tokens: MaxTokens = None,
        overlap: Overlap = 1,
        text_column: TextColumns = None,
        strict: Strict = False,
        json_: Json = None,
    ) -> None:
        from retrieval import open_store
        from retrieval.synchronize import put_documents, sync_documents

        options: dict[str, Any] = {"max_tokens": max_tokens, "overlap": overlap, "text_columns": text_column or None}
        with open_store(index, embedder=embedder) as opened:
            with working("synchronizing" if on_missing == "all" else "reading documents"):
                if strict:
                    _check_readable(documents, text_column)
                if on_missing == "all":
                    report = sync_documents(opened, documents, **options)
                else:
                    report = put_documents(opened, documents, on_missing=on_missing, **options)
                    _check_not_empty(report.read, documents)
            _report(checked_location(index), opened, report, json_)


for _entry in _CHANGES:
    _add_change(*_entry)


@app.command("delete")
def delete(
    names: Annotated[
        list[str], typer.Argument(help="Ids of documents or passages, or files or folders, which need not exist any more.")
    ],
    index: IndexLocation,
    json_: Json = None,
) -> None:
    """Delete documents from an index; if one of them is not in it, nothing is changed."""
    from retrieval import open_store
    from retrieval.synchronize import delete_documents

    with open_store(index, embedder=None) as opened:
        before = len(opened)
        deleted = delete_documents(opened, names)
        name = checked_location(index)
        if wants_json(json_):
            print_json({"index": name, "passages": len(opened), "deleted": deleted, "removed": before - len(opened)})
            return
        console().print(
            f"{_count(len(deleted), 'document')} with {_count(before - len(opened), 'passage')} deleted from {name}, "
            f"which holds {len(opened)} now"
        )


@app.command("copy")
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help=f"The index: {_LOCATION}")],
    target: Annotated[str, typer.Argument(metavar="TO", help=f"The new index, where nothing is yet: {_LOCATION}")],
    json_: Json = None,
) -> None:
    """Copy an index to another place or kind of store; nothing is embedded again."""
    from retrieval import copy_store

    with working("copying"):
        passages = copy_store(source, target)
    name = checked_location(target)
    if wants_json(json_):
        print_json({"index": name, "passages": passages})
        return
    console().print(f"{_count(passages, 'passage')} copied to {name}")


@app.command("list")
def list_(index: Annotated[str, typer.Argument(help=f"The index: {_LOCATION}")], json_: Json = None) -> None:
    """List the documents of an index."""
    from retrieval import open_store

    with open_store(index, embedder=None) as opened:
        documents = opened.documents()
    if wants_json(json_):
        print_json([document.to_dict() for document in documents])
        return
    for document in documents:
        console().print(f"{document.id}  {_count(document.passages, 'passage')}")


@app.command("search")
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    index: IndexLocation,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits to show.")] = 5,
    mode: Annotated[Mode, typer.Option(help="How to search.")] = "hybrid",
    rerank: RerankerName = None,
    embedder: IndexEmbedder = None,
    json_: Json = None,
) -> None:
    """Show the passages nearest to a query."""
    from retrieval import open_store

    with open_store(index, embedder=embedder) as opened, working("searching"):
        hits = opened.search(query, k=k, mode=mode, rerank=rerank)
    if wants_json(json_):
        print_json([hit.to_dict() for hit in hits])
        return
    if not hits:
        console().print(f"no passage of {checked_location(index)} matches {query!r}")
    for hit in hits:
        similarity = "" if hit.similarity is None else f"  similarity {hit.similarity:.2f}"
        out = console()
        out.print(f"{hit.rank}. {hit.passage.title or hit.passage.id}{similarity}", style="cyan")
        out.print(hit.passage.text)


@app.command("info")
def info(index: Annotated[str, typer.Argument(help=f"The index: {_LOCATION}")], json_: Json = None) -> None:
    """Describe an index: passages, embedder, kind, size."""
    from dataclasses import asdict

    from retrieval import open_store

    with open_store(index) as opened:
        facts: dict[str, Any] = asdict(opened.info())
    if wants_json(json_):
        print_json(facts)
        return
    from rich.table import Table

    table = Table(show_header=False, title=facts["location"])
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), str(value))
    console().print(table)


@app.command("eval")
def evaluate(
    questions: Annotated[Path, typer.Argument(help="JSON lines with the fields question and passage_id.")],
    index: IndexLocation,
    rerank: RerankerName = None,
    embedder: IndexEmbedder = None,
    json_: Json = None,
) -> None:
    """Measure how often the passage that answers a question is among the first hits."""
    from halluc.errors import InvalidInput
    from halluc.files import read_rows, text_of
    from retrieval import evaluate_retrieval, open_store

    rows = read_rows(questions)
    query_texts = [text_of(row, "question", where) for where, row in rows]
    gold = [text_of(row, "passage_id", where) for where, row in rows]
    if not query_texts:
        raise InvalidInput(f"{questions} holds no questions")
    with open_store(index, embedder=embedder) as opened, working("searching"):
        scores = evaluate_retrieval(opened, query_texts, gold, rerank=rerank)
    if wants_json(json_):
        print_json([score.to_dict() for score in scores])
        return
    from rich.table import Table

    table = Table(
        "mode",
        *(f"hit@{k}" for k in scores[0].hit_at),
        "MRR",
        title=f"{len(query_texts)} questions on {checked_location(index)}",
    )
    for score in scores:
        table.add_row(score.mode, *(f"{value:.3f}" for value in score.hit_at.values()), f"{score.mrr:.3f}")
    console().print(table)


def _check_readable(documents: list[Path], text_columns: list[str] | None) -> None:
    """Refuse to go on if a file or row cannot be read, in one message that names them all."""
    from retrieval import load_documents

    load_documents(documents, strict=True, text_columns=text_columns or None)


def _check_not_empty(read: ReadReport, documents: list[Path]) -> None:
    """Refuse to go on if nothing at all could be read, with the reasons."""
    from retrieval.documents import DOCUMENT_TYPES
    from retrieval.errors import EmptyCorpus

    if read.documents:
        return
    names = ", ".join(map(str, documents))
    reasons = "; ".join([*read.unreadable.values(), *read.skipped])
    types = ", ".join(DOCUMENT_TYPES)
    raise EmptyCorpus(f"there is no document in {names}{': ' + reasons if reasons else ''}; name files of type {types}")


def _report(path: str, index: PassageStore, report: SyncReport, json_: bool | None) -> None:
    """Print what a command did to an index, and end with exit code 2 if a file or row could not be read."""
    from retrieval.passages import UpdateReport

    read, update = report.read, report.update or UpdateReport((), (), (), 0, (), 0, 0)
    _name_left_out(read)
    if update.missing:
        print_notice(
            f"{_count(len(update.missing), 'document')} left out because not in {path}: {_named(update.missing)}; "
            "add new ones with 'halluc index add' or 'halluc index sync'"
        )
    if wants_json(json_):
        print_json({"index": path, "passages": len(index), **update.to_dict(), **_left_out(read)})
    else:
        numbers = f"{len(update.new)} new, {len(update.changed)} changed, {len(update.deleted)} deleted"
        console().print(
            f"documents: {numbers}, {update.unchanged} unchanged; {_count(update.added, 'passage')} written to {path}, "
            f"{update.removed} removed; it holds {len(index)} now"
        )
        _print_duplicates(update.duplicates)
    _exit_if_incomplete(read)


def _left_out(read: ReadReport) -> dict[str, Any]:
    return {"unreadable": read.unreadable, "skipped": [*read.bad_rows.values(), *read.skipped]}


def _name_left_out(read: ReadReport) -> None:
    for sentence in (*read.skipped, *read.bad_rows.values(), *read.unreadable.values()):
        print_notice(sentence)
    if read.unreadable:
        print_notice(
            f"{_count(len(read.unreadable), 'file')} could not be read, and nothing of them was written to the index"
        )


def _exit_if_incomplete(read: ReadReport) -> None:
    if not read.is_complete:
        raise typer.Exit(2)


def _print_duplicates(duplicates: Sequence[tuple[str, str]]) -> None:
    if duplicates:
        first = ", ".join(f"{new} (as {old})" for new, old in duplicates[:3])
        console().print(f"{len(duplicates)} left out because their text is there already: {first}", style="yellow")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
