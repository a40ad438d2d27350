"""pytest: assert that answers are grounded.

pytest finds the plugin where halluc is installed (`-p no:halluc` turns it off). It loads nothing until a test uses one of
its fixtures: `assert_grounded`, the function with the session's verifier, and `halluc_verifier`, that verifier. The option
`--halluc-verifier`, or `halluc_verifier` in the configuration of pytest, names the verifier. Not covered: checks of files of
answers (`halluc check --batch --fail-under`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from halluc.verification.check import CheckReport
    from halluc.verification.contexts import Context
    from halluc.verification.verifier import Verifier

__all__ = ["assert_grounded"]


def assert_grounded(
    answer: str,
    context: Context | None = None,
    *,
    question: str | None = None,
    index: Any = None,
    verifier: Verifier | None = None,
    k: int = 3,
    min_score: float | None = None,
    allow_unchecked: bool = False,
) -> CheckReport:
    """Assert that the evidence supports an answer.

    Args:
        answer, context, question, index, verifier, k: see `halluc.check`.
        min_score: by default every claim must be supported; with a number in [0, 1], the mean support must be at least that.
        allow_unchecked: accept an answer of which nothing can be checked, such as an abstention.

    Returns:
        The report of the check.

    Raises:
        AssertionError: the answer is not grounded; the message names each claim and the evidence nearest to it.
        InvalidInput: as `halluc.check`.
    """
    from halluc.errors import check_number
    from halluc.verification.check import check

    __tracebackhide__ = True
    if min_score is not None:
        check_number("min_score", min_score, 0, 1)
    report = check(answer, context=context, index=index, verifier=verifier, k=k, question=question)
    if report.score is None:
        if not allow_unchecked:
            raise AssertionError(f"nothing in the answer could be checked: {report.reason}\n  answer: {answer}")
    elif min_score is None:
        if any(verdict.label != "supported" for verdict in report.verdicts):
            raise AssertionError(_described("the answer has claims that the evidence does not support", report))
    elif report.score < min_score:
        raise AssertionError(_described(f"the mean support {report.score:.2f} is below {min_score:g}", report))
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    text = "verifier of assert_grounded: 'default', 'large', a folder or a hub id"
    parser.getgroup("halluc").addoption("--halluc-verifier", metavar="NAME", default=None, help=text)
    parser.addini("halluc_verifier", text, default="default")


@pytest.fixture(scope="session")
def halluc_verifier(request: pytest.FixtureRequest) -> Verifier:
    """The verifier of this session, loaded once."""
    from halluc.verification import load_verifier

    return load_verifier(request.config.getoption("halluc_verifier") or request.config.getini("halluc_verifier"))


@pytest.fixture(name="assert_grounded")
def _assert_grounded(halluc_verifier: Verifier) -> Callable[..., CheckReport]:
    """`assert_grounded` with the verifier of this session."""
    return partial(assert_grounded, verifier=halluc_verifier)


def _described(problem: str, report: CheckReport) -> str:
    from halluc.answers import LABEL_NAMES

    lines = [problem]
    for verdict in report.verdicts:
        lines.append(f"  {LABEL_NAMES[verdict.label]} (support {verdict.support:.2f}): {verdict.claim.text}")
        if verdict.label != "supported":
            lines += [f"    evidence: {evidence.text}" for evidence in verdict.evidence[:1]]
    return "\n".join(lines)
