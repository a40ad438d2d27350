"""pandas: check the rows of a data frame with `df.halluc.check(...)`.

Needs the extra `pandas`; `import halluc.integrations.pandas` registers the accessor. A data set of the library `datasets`
becomes a data frame by its method `to_pandas`. Not covered: files of rows, whose checks resume (`halluc check --batch`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, check_integer, needs_extra

with needs_extra("pandas"):
    import pandas as pd

if TYPE_CHECKING:
    from halluc.verification.check import CheckReport

__all__ = ["HallucAccessor"]


@pd.api.extensions.register_dataframe_accessor("halluc")
class HallucAccessor:
    """What `df.halluc` offers."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def check(
        self,
        answer: str = "answer",
        context: str = "context",
        question: str | None = None,
        *,
        index: Any = None,
        verifier: Any = None,
        k: int = 3,
        batch_rows: int = 64,
    ) -> pd.DataFrame:
        """Check the answer of each row.

        Args:
            answer, context, question: names of columns; the context is a text or a list of texts. Without `question`, no row
                has one. With an index, there is no context.
            index, verifier, k: see `halluc.check`.
            batch_rows: rows that are checked together.

        Returns:
            A data frame with the row labels of this one and the columns `score` (mean support; NaN where nothing was
            checked), `supported` (whether every claim is; False where nothing was checked), `claims` and
            `unsupported_claims` (numbers), `reason` (why nothing was checked) and `report` (the `CheckReport`).

        Raises:
            InvalidInput: a column is missing, or a row has no text in it; the row is named. No row is checked then.
        """
        from halluc.verification import load_verifier
        from halluc.verification.check import check_many

        check_integer("batch_rows", batch_rows, 1)
        columns = {"answer": answer, **({} if index is not None else {"context": context})}
        for name, column in {**columns, **({} if question is None else {"question": question})}.items():
            if column not in self._frame.columns:
                raise InvalidInput(f"the data frame has no column {column!r}; pass the name of a column as {name}")
        answers, contexts = self._texts(answer), None if index is not None else self._contexts(context)
        questions = [None] * len(answers) if question is None else self._questions(question)
        verifier = verifier or load_verifier()
        reports: list[CheckReport] = []
        for start in range(0, len(answers), batch_rows):
            part = slice(start, start + batch_rows)
            reports += check_many(
                answers[part],
                contexts=None if contexts is None else contexts[part],
                index=index,
                verifier=verifier,
                k=k,
                questions=questions[part],
            )
        return pd.DataFrame(_columns(reports), index=self._frame.index)

    def _texts(self, column: str) -> list[str]:
        texts: list[str] = self._frame[column].tolist()
        for label, text in zip(self._frame.index, texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise InvalidInput(f"row {label!r} has no text in column {column!r}; drop the row, or fill it in")
        return texts

    def _contexts(self, column: str) -> list[Any]:
        from halluc.verification.contexts import context_passages

        values = self._frame[column].tolist()
        contexts = [
            value if isinstance(value, str) or not pd.api.types.is_list_like(value) else list(value) for value in values
        ]
        for label, value in zip(self._frame.index, contexts, strict=True):
            context_passages(value, f"column {column!r} of row {label!r}")
        return contexts

    def _questions(self, column: str) -> list[str | None]:
        questions = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in self._frame[column]]
        for label, text in zip(self._frame.index, questions, strict=True):
            if text is not None and not (isinstance(text, str) and text.strip()):
                raise InvalidInput(f"row {label!r} has {text!r:.40} in column {column!r}; pass a question, or None")
        return questions


def _columns(reports: list[CheckReport]) -> dict[str, Any]:
    unsupported = [sum(verdict.label != "supported" for verdict in report.verdicts) for report in reports]
    return {
        "score": [float("nan") if report.score is None else report.score for report in reports],
        "supported": [bool(r.verdicts) and not bad for r, bad in zip(reports, unsupported, strict=True)],
        "claims": [len(report.verdicts) for report in reports],
        "unsupported_claims": unsupported,
        "reason": [report.reason for report in reports],
        "report": reports,
    }
