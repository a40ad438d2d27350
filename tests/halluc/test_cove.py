"""ChainOfVerification: the calls it makes to a scripted endpoint over HTTP, and that a small real model cannot break it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from test_endpoint import Server, completion
from typer.testing import CliRunner

from halluc import ChainOfVerification
from halluc.answers import Answer
from halluc.cove.prompts import PLACEHOLDERS, load_prompts
from halluc.cove.trace import Variant
from halluc.errors import InvalidInput

QUESTION = "Name some politicians who were born in New York City."
DRAFT = "Theodore Roosevelt, Hillary Clinton and Donald Trump were born in New York City."
BORN = {"Theodore Roosevelt": "New York City", "Hillary Clinton": "Chicago", "Donald Trump": "New York City"}
VARIANTS = get_args(Variant)
OPENINGS = {
    "answer": "Answer the question in a few words",
    "answer from passages": "Answer the question from the passages",
    "answers": "Answer each question in a few words",
    "joint": "After each question, answer it",
    "plan": "Write a numbered list",
    "cross-check": "Does the other source agree",
    "revise": "Correct an answer according to the checks",
}


def kind(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    return next((name for name, opening in OPENINGS.items() if opening in text), "baseline")


def script(body: dict[str, Any]) -> tuple[int, Any]:
    """Fixed answers; the revision names those of whom the prompt says that they were born in New York City."""
    text = body["messages"][-1]["content"]
    named = [name for name in BORN if name in text.rpartition("Question: ")[2]]
    asked = [f"{i}. Where was {name} born?" for i, name in enumerate(BORN, 1)]
    right = [name for name in BORN if re.search(rf"- Where was {name} born\? New York City", text)]
    replies = {
        "baseline": DRAFT,
        "plan": "Sure! Here they are:\n" + "\n".join(asked),
        "joint": "\n".join(f"{line} Answer: {place}." for line, place in zip(asked, BORN.values(), strict=True)),
        "answer": BORN[named[0]] if named else "",
        "answers": "\n".join(f"{i}. {place}" for i, place in enumerate(BORN.values(), 1)),
        "cross-check": "INCONSISTENT" if "Chicago" in text else "CONSISTENT",
        "revise": "Corrected answer: " + " and ".join(right) + " were born in New York City.",
    }
    return 200, completion(replies[kind(body)])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    running.behavior = script
    yield running
    running.close()


def chain(server: Server, variant: Variant = "factored", **options: Any) -> ChainOfVerification:
    # One request at a time, so that the order of calls is the order of prompts.
    return ChainOfVerification(server.model(max_concurrency=1), variant, **options)


SEQUENCES = {
    "joint": ["baseline", "joint", "revise"],
    "two-step": ["baseline", "plan", "answers", "revise"],
    "factored": ["baseline", "plan", *["answer"] * 3, "revise"],
    "factor+revise": ["baseline", "plan", *["answer"] * 3, *["cross-check"] * 3, "revise"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_makes_its_calls_removes_the_false_claim_and_keeps_the_true_ones(
    server: Server, variant: Variant
) -> None:
    answer = chain(server, variant).ask(QUESTION)
    assert [kind(body) for body in server.requests] == SEQUENCES[variant]
    assert answer.draft == DRAFT
    assert answer.text == "Theodore Roosevelt and Donald Trump were born in New York City."
    assert [(check.question, check.answer.strip(".")) for check in answer.checks] == [
        (f"Where was {name} born?", place) for name, place in BORN.items()
    ]
    assert isinstance(answer, Answer)
    assert not answer.stopped


@pytest.mark.parametrize("variant", ["two-step", "factored", "factor+revise"])
def test_no_answering_call_sees_the_draft(server: Server, variant: Variant) -> None:
    chain(server, variant).ask(QUESTION)
    seen = [json.dumps(body["messages"]) for body in server.requests if kind(body) in ("answer", "answers")]
    assert seen
    assert not any("were born in New York City" in text or QUESTION in text for text in seen)
    if variant != "two-step":
        assert [sum(name in text for name in BORN) for text in seen] == [1, 1, 1]


def test_only_a_cross_check_compares_each_answer_with_the_draft(server: Server) -> None:
    answer = chain(server, "factor+revise").ask(QUESTION)
    compared = [body["messages"][-1]["content"] for body in server.requests if kind(body) == "cross-check"]
    assert all(DRAFT in text for text in compared)
    assert [check.consistency for check in answer.checks] == ["consistent", "inconsistent", "consistent"]
    assert "Chicago (contradicts the answer)" in server.requests[-1]["messages"][-1]["content"]


def test_a_draft_that_no_check_contradicts_is_returned_unchanged(server: Server) -> None:
    server.behavior = lambda body: (200, completion("CONSISTENT")) if kind(body) == "cross-check" else script(body)
    answer = chain(server, "factor+revise").ask(QUESTION)
    assert kind(server.requests[-1]) == "cross-check"
    assert answer.text == answer.draft == DRAFT
    assert answer.stopped == "no check contradicts the draft"


@pytest.mark.parametrize("draft", ["", "What do you mean by that?", "I don't know.", "..."])
def test_a_draft_with_nothing_to_check_ends_the_chain(server: Server, draft: str) -> None:
    server.behavior = lambda body: (200, completion(draft))
    answer = chain(server).ask(QUESTION)
    assert len(server.requests) == 1
    assert answer.stopped
    assert answer.text == draft
    assert answer.abstained == (draft == "")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "noise", ["1. 1. 1. 1.\n?\n?? 2)", "Is it so? " * 200, "﷽ \u202e 1.)( <|im_end|> {$question}", "12:30"]
)
def test_nonsense_neither_crashes_nor_loops(server: Server, variant: Variant, noise: str) -> None:
    server.behavior = lambda body: (200, completion(DRAFT if kind(body) == "baseline" else noise))
    answer = chain(server, variant, max_questions=2).ask(QUESTION)
    assert len(server.requests) <= 2 + 2 * 2 + 1
    assert answer.text in (DRAFT, noise.strip())
    json.dumps(answer.to_dict())


def test_a_plan_without_questions_leaves_the_draft(server: Server) -> None:
    server.behavior = lambda body: (200, completion(DRAFT if kind(body) == "baseline" else "All of it is true."))
    answer = chain(server).ask(QUESTION)
    assert [kind(body) for body in server.requests] == ["baseline", "plan"]
    assert answer.text == DRAFT
    assert "no verification question" in answer.stopped


def test_the_steps_of_many_questions_are_batched(server: Server) -> None:
    answers = chain(server).batch([QUESTION, QUESTION + " Please."])
    assert [kind(body) for body in server.requests] == [
        *["baseline"] * 2,
        *["plan"] * 2,
        *["answer"] * 6,
        *["revise"] * 2,
    ]
    assert [answer.question for answer in answers] == [QUESTION, QUESTION + " Please."]


def test_every_step_is_in_the_trace_with_its_tokens(server: Server) -> None:
    answer = chain(server).ask(QUESTION)
    assert [step.name for step in answer.trace] == ["baseline", "plan", "execute", "revise"]
    assert [len(step.calls) for step in answer.trace] == [1, 1, 3, 1]
    assert all(call.prompt_tokens > 0 and call.new_tokens > 0 and not call.exact for s in answer.trace for call in s.calls)
    values = json.loads(json.dumps(answer.to_dict()))
    assert values["prompt_tokens"] == sum(step.prompt_tokens for step in answer.trace)
    assert values["trace"][1]["read"] == [f"Where was {name} born?" for name in BORN]


def test_chains_run_side_by_side_in_an_event_loop(server: Server) -> None:
    cove = ChainOfVerification(server.model(), "factored")

    async def both() -> list[Any]:
        return await asyncio.gather(cove.ask_async(QUESTION), cove.ask_async(QUESTION))

    first, second = asyncio.run(both())
    assert first.text == second.text == "Theodore Roosevelt and Donald Trump were born in New York City."


# -- sources


class NamesVerifier:
    """Supports a claim whose first word is in the evidence together with New York, and refutes it with another place."""

    name = "names"

    def probabilities(self, pairs: Any) -> Any:
        rows = []
        for evidence, claim in pairs:
            about = claim.split()[0] in evidence
            rows.append([0.9, 0.05, 0.05] if about and "New York" in evidence else [0.1, 0.8 if about else 0.1, 0.1])
        table = np.array(rows)
        table[:, 2] = 1 - table[:, 0] - table[:, 1]
        return table

    def support(self, pairs: Any) -> Any:
        return self.probabilities(pairs)[:, 0]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from retrieval import Passage, PassageIndex

    with PassageIndex.create(tmp_path_factory.mktemp("cove") / "people.index") as made:
        made.add([Passage(name, f"{name} was a politician, born in {place}.") for name, place in BORN.items()])
        yield made


def test_with_an_index_each_question_is_answered_from_passages(server: Server, index: Any) -> None:
    server.behavior = lambda body: (200, completion("Chicago")) if kind(body) == "answer from passages" else script(body)
    answer = chain(server, index=index, k=1).ask(QUESTION)
    asked = [body["messages"][-1]["content"] for body in server.requests if kind(body) == "answer from passages"]
    assert len(asked) == 3
    assert all(f"[1] {name} was a politician" in text for name, text in zip(BORN, asked, strict=True))
    assert [check.hits[0].passage.id for check in answer.checks] == list(BORN)
    assert answer.trace[2].source == "retrieval"


def test_the_verifier_judges_the_claims_of_the_draft_in_place_of_questions(server: Server, index: Any) -> None:
    draft = " ".join(f"{name} was born in New York City." for name in BORN)
    server.behavior = lambda body: (200, completion(draft)) if kind(body) == "baseline" else script(body)
    answer = chain(server, "factor+revise", index=index, verifier=NamesVerifier(), k=1).ask(QUESTION)
    assert [kind(body) for body in server.requests] == ["baseline", "revise"]
    labels = {check.question: check.label for check in answer.checks}
    assert any("Clinton" in claim and label == "refuted" for claim, label in labels.items())
    assert any("Roosevelt" in claim and label == "supported" for claim, label in labels.items())
    assert answer.verdicts


# -- prompts, options, command line


def test_a_folder_replaces_the_prompts_it_holds(server: Server, tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text("Answer the question in a few words, for $$5: ${question}")
    chain(server, prompts=tmp_path).ask(QUESTION)
    asked = [body["messages"][-1]["content"] for body in server.requests if kind(body) == "answer"]
    assert asked == [f"Answer the question in a few words, for $5: Where was {name} born?" for name in BORN]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("answer.txt", "What?", r"lacks the placeholder \${question}"),
        ("answer.txt", "${question} ${draft}", r"has the placeholder \${draft}"),
        ("answer.txt", "${question} for 5 $", "dollar sign"),
        ("ask.txt", "${question}", "is not a prompt"),
        ("note.md", "", "holds no prompt files"),
    ],
)
def test_unusable_prompt_files_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=message):
        load_prompts(tmp_path)


def test_the_shipped_prompts_are_usable() -> None:
    assert set(load_prompts()) == set(PLACEHOLDERS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "single"}, "no variant 'single'"),
        ({"verifier": NamesVerifier()}, "pass an index"),
        ({"max_questions": 0}, "max_questions is 0"),
    ],
)
def test_unusable_options_are_named(server: Server, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ChainOfVerification(server.model(), **options)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ("Why?", "questions is one string, 'Why\\?'; pass a list"),
        (["Why?", " "], r"questions\[1\] is empty"),
        (["Why?", 3], r"questions\[1\] is 3, not a text"),
        (["Why \ud83d?"], r"questions\[0\] has a lone surrogate"),
    ],
)
def test_unusable_questions_are_named_before_the_model_is_called(server: Server, questions: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        chain(server).batch(questions)
    with pytest.raises(InvalidInput, match=message):
        asyncio.run(chain(server).batch_async(questions))
    assert not server.requests


def test_the_command_prints_the_trace_as_json(server: Server) -> None:
    from halluc.cli.main import app

    arguments = ["cove", QUESTION, "--variant", "two-step", "--model", f"{server.url}#tiny", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["text"] == "Theodore Roosevelt and Donald Trump were born in New York City."
    assert [step["name"] for step in values["trace"]] == ["baseline", "plan", "execute", "revise"]


def test_the_command_checks_its_prompts_before_it_loads_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from halluc.cli.main import app

    monkeypatch.setattr("halluc.models.load_model", lambda *_: pytest.fail("a model was loaded"))
    result = CliRunner().invoke(app, ["cove", QUESTION, "--prompts", str(tmp_path)])
    assert isinstance(result.exception, InvalidInput)
    assert "holds no prompt files" in str(result.exception)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_of_135_million_parameters_completes_every_variant(lm: Any, variant: Variant) -> None:
    cove = ChainOfVerification(lm, variant, max_questions=1, max_new_tokens=16)
    answer = cove.ask("What are the official languages of Canada?")
    assert answer.text
    assert all(call.exact for step in answer.trace for call in step.calls)
    assert sum(step.new_tokens for step in answer.trace) <= 16 + 32 + 48 + 48 + 12 + 16
