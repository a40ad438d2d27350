"""What a change of an index writes and what it removes.

Passages that are stored already stay as they are, texts that another passage has may be left out, and texts that were
embedded are not embedded again. Not covered: writing the change (storage.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retrieval.contents import Contents
from retrieval.passages import Passage, document_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Change", "Duplicates", "OnMissing", "embed_ahead", "plan_change", "vectors_of"]

Duplicates = Literal["skip", "keep"]
OnMissing = Literal["raise", "skip", "add"]


@dataclass(frozen=True)
class Change:
    """A change of an index.

    Attributes:
        rows: positions of the passages to write among those that were passed.
        new: these passages.
        removed: passages to remove, and where they are.
        unchanged: number of passages that are stored already, exactly as they are.
        duplicates: passages that are left out, as (their id, id of the passage with the same text).
    """

    rows: list[int]
    new: list[Passage]
    removed: Mapping[Any, Passage]
    unchanged: int
    duplicates: tuple[tuple[str, str], ...]

    def select(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take those of the passages to write from the vectors of all that were passed, without a copy if these are all."""
        return vectors if len(self.rows) == len(vectors) else vectors[self.rows]

    @property
    def documents(self) -> set[str]:
        """Documents that the change touches."""
        return {document_of(passage) for passage in [*self.new, *self.removed.values()]}


def plan_change(
    state: Contents | None, passages: Sequence[Passage], replaced: Sequence[Any], duplicates: Duplicates
) -> Change:
    """Plan to write passages in place of those that are at `replaced` or have the same ids.

    Args:
        state: the present state; None for an index that is not there yet.
        passages: checked passages.
        replaced: where passages to remove are, unless one of `passages` is equal.
        duplicates: "skip" leaves out a passage whose text another one has.
    """
    stored: dict[Any, Passage] = {}
    if state is not None:
        places = list(dict.fromkeys([*replaced, *state.places([passage.id for passage in passages]).values()]))
        stored = dict(zip(places, state.passages_at(places), strict=True))
    with_id = {passage.id: passage for passage in stored.values()}
    equal = {passage.id for passage in passages if with_id.get(passage.id) == passage} if with_id else set()
    removed = {place: passage for place, passage in stored.items() if passage.id not in equal}
    id_of_text: dict[str, str] = {}
    if duplicates == "skip" and state is not None:
        removed_ids = {passage.id for passage in removed.values()}
        texts = state.ids_of_texts([passage.text for passage in passages])
        id_of_text = {text: passage_id for text, passage_id in texts.items() if passage_id not in removed_ids}
    rows = [i for i, passage in enumerate(passages) if passage.id not in equal]
    left_out: list[tuple[str, str]] = []
    if duplicates == "skip":
        candidates, rows = rows, []
        for i in candidates:
            first = id_of_text.setdefault(passages[i].text, passages[i].id)
            if first == passages[i].id:
                rows.append(i)
            else:
                left_out.append((passages[i].id, first))
    return Change(rows, [passages[i] for i in rows], removed, len(equal), tuple(left_out))


def vectors_of(
    state: Contents, change: Change, embed: Callable[[list[str]], NDArray[np.float32]]
) -> NDArray[np.float32] | None:
    """Get the (N, d) vectors of the N new passages: those of removed passages with the same texts, or embedded ones."""
    import numpy as np

    if not change.new:
        return None
    known = {passage.text: place for place, passage in change.removed.items()}
    texts = [passage.text for passage in change.new]
    unknown = [i for i, text in enumerate(texts) if text not in known]
    if len(unknown) == len(texts):
        return embed(texts)
    vectors = np.empty((len(texts), state.dimension), np.float32)
    if unknown:
        vectors[unknown] = embed([texts[i] for i in unknown])
    stored = [i for i, text in enumerate(texts) if text in known]
    vectors[stored] = state.vectors_at([known[texts[i]] for i in stored])
    return vectors


def embed_ahead(
    texts: Sequence[str], embed: Callable[[list[str]], NDArray[np.float32]]
) -> Callable[[list[str]], NDArray[np.float32]]:
    """Embed texts now, and return a function that gives their vectors and embeds other texts.

    For stores whose writers wait for each other: none of them waits while another one embeds.
    """
    import numpy as np

    unknown = list(dict.fromkeys(texts))
    vector_of = dict(zip(unknown, embed(unknown), strict=True)) if unknown else {}

    def embed_others(wanted: list[str]) -> NDArray[np.float32]:
        others = [text for text in dict.fromkeys(wanted) if text not in vector_of]
        if others:
            vector_of.update(zip(others, embed(others), strict=True))
        return np.stack([vector_of[text] for text in wanted])

    return embed_others
