import pytest
from stand_in_verifiers import SharedWords

import halluc
from halluc.errors import InvalidInput
from halluc.verification.check import CheckReport
from retrieval import Passage, PassageIndex

CONTEXT = "The defense gave up 308 points. It led in interceptions. Kawann Short led the team in sacks."


def test_each_claim_gets_a_verdict_with_the_sentence_that_decides_it():
    answer = "The defense gave up 308 points. Kawann Short led the team in sacks in 2015. The coach was old. Is it so?"
    report = halluc.check(answer, context=CONTEXT, verifier=SharedWords())
    assert [(v.claim.text, v.label) for v in report.verdicts] == [
        ("The defense gave up 308 points.", "supported"),
        ("Kawann Short led the team in sacks in 2015.", "refuted"),
        ("The coach was old.", "not_enough_info"),
    ]
    quotes = [v.evidence[0] for v in report.verdicts[:2]]
    assert [q.text for q in quotes] == ["The defense gave up 308 points.", "Kawann Short led the team in sacks."]
    assert all(CONTEXT[q.start : q.end] == q.text for q in quotes)
    # Of its four words "the" alone is in the context.
    assert [v.support for v in report.verdicts] == [1.0, 0.0, 0.25]
    assert report.score == pytest.approx(1.25 / 3)
    assert report.mode == "faithfulness"
    assert [(answer[s.start : s.end], s.label) for s in report.unsupported] == [
        ("Kawann Short led the team in sacks in 2015.", "refuted"),
        ("The coach was old.", "not_enough_info"),
    ]
    assert [claim.text for claim in report.unchecked] == ["Is it so?"]
    assert all(q.passage.id == "context" and q.passage.text == CONTEXT and q.probability == 1.0 for q in quotes[:1])
    again = CheckReport.from_dict(report.to_dict())
    assert again.to_dict() == report.to_dict()
    assert [v.evidence[0].text for v in again.verdicts[:2]] == [q.text for q in quotes]


def test_all_claims_of_all_answers_are_two_calls_of_the_verifier():
    verifier = SharedWords()
    reports = halluc.check_many(["Short led.", "He lost. They won."], contexts=[CONTEXT, "They won."], verifier=verifier)
    # One for the verdicts, one for the sentences that decide.
    assert verifier.calls == 2
    assert [len(report.verdicts) for report in reports] == [1, 2]


def test_an_answer_without_a_claim_has_no_score():
    report = halluc.check("I'm sorry, but I cannot answer that.", context=CONTEXT, verifier=SharedWords())
    assert report.score is None
    assert report.verdicts == report.unsupported == ()


def test_a_fragment_is_judged_with_its_question():
    report = halluc.check("308", context=CONTEXT, verifier=SharedWords(), question="The defense gave up how many points?")
    assert report.verdicts[0].claim.text == "The defense gave up how many points? 308"
    assert report.verdicts[0].label == "supported"


def test_with_an_index_the_passage_that_supports_a_claim_most_decides(tmp_path):
    index = PassageIndex.create(tmp_path / "x.index")
    index.add([Passage("a", "Paris is in France. It is old."), Passage("b", "Oslo is in Norway.", title="Oslo")])
    report = halluc.check("Oslo is in Norway. Rome is hot.", index=index, verifier=SharedWords(), k=2)
    assert report.mode == "factual support"
    assert [v.label for v in report.verdicts] == ["supported", "not_enough_info"]
    quote = report.verdicts[0].evidence[0]
    assert (quote.passage.id, quote.passage.title, quote.text) == ("b", "Oslo", "Oslo is in Norway.")


def test_evidence_of_a_hundred_thousand_words_is_searched_to_its_end():
    context = " ".join(f"Town {i} has {i} people in all." for i in range(14_500)) + " Kawann Short led the team."
    assert len(context.split()) > 100_000
    report = halluc.check("Kawann Short led the team.", context=context, verifier=SharedWords())
    assert report.verdicts[0].evidence[0].text == "Kawann Short led the team."


def test_a_claim_too_long_for_a_verifier_is_judged_in_pieces_and_the_worst_counts():
    class Short(SharedWords):
        def probabilities(self, pairs):
            assert all(len(claim.split()) <= 80 and len(claim) <= 450 for _, claim in pairs)
            return super().probabilities(pairs)

    names = ", ".join(f"Town{chr(97 + i % 26)}" for i in range(100))
    for ending, label in (("Towna", "supported"), ("and 77 villages", "refuted")):
        report = halluc.check(f"There are {names}, {ending}", context=f"There are {names} and villages.", verifier=Short())
        assert [v.label for v in report.verdicts] == [label]
        assert report.verdicts[0].claim.end == len(report.answer)
    answer = "".join(chr(0x4E00 + i) for i in range(500))
    assert len(halluc.check(answer, context="c", verifier=Short()).verdicts) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "unchecked"),
    [
        ("I don't know.", "the answer is an abstention", 1),
        ("Der Text sagt dazu nichts.", "the answer is an abstention", 1),
        ("```python\nprint(1)\n```", "the answer is only code", 1),
        ("[1] [2]", "the answer is only markup, such as citations or a list of sources", 0),
        ("Sources:\n- https://example.org/a\n- https://example.org/b", "the answer is only markup", 0),
        ("The answer is as follows.", "the answer states nothing that evidence could confirm or deny", 1),
        ("a" * 20_000, "the answer states nothing", 1),
        ("Things are things. Hello!", "the answer states nothing", 2),
        ("<think>It was 1987.", "the answer holds only the model's thoughts", 0),
    ],
)
def test_an_answer_of_which_nothing_is_checked_says_why_and_lists_its_parts(answer, reason, unchecked):
    report = halluc.check(answer, context=CONTEXT, verifier=SharedWords())
    assert (report.score, report.verdicts, len(report.unchecked)) == (None, (), unchecked)
    assert report.reason.startswith(reason)
    assert CheckReport.from_dict(report.to_dict()) == report


@pytest.mark.parametrize(
    ("answer", "claim", "hedged"),
    [
        ("You should give the tablets to children under 12.", "You should give the tablets to children under 12.", False),
        ("Call 0800 555 222.", "Call 0800 555 222.", False),
        ("I think refunds take 50 days.", "Refunds take 50 days.", True),
        ("We recommend taking two tablets a day.", "We recommend taking two tablets a day.", False),
        ("Die Frist beträgt drei Monate.", "Die Frist beträgt drei Monate.", False),
        ("Please note that the office closes at noon.", "The office closes at noon.", False),
    ],
)
def test_advice_instructions_and_opinions_with_a_factual_core_are_checked(answer, claim, hedged):
    report = halluc.check(answer, context=CONTEXT, verifier=SharedWords())
    assert [(v.claim.text, v.claim.hedged) for v in report.verdicts] == [(claim, hedged)]
    assert report.unchecked == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer": " ", "context": "c"}, "answer is empty"),
        ({"answer": "a", "context": "\n"}, "context is empty; write a text"),
        ({"answer": 3, "context": "c"}, "answer is 3, not a text"),
        ({"answer": "a", "context": b"c"}, "context is b.c., not a text"),
        ({"answer": "Paris \ud800 is in France.", "context": "c"}, "answer has a lone surrogate, .* at character 7"),
        ({"answer": "a", "context": "c \udfff"}, "context has a lone surrogate"),
        ({"answer": "a"}, "neither a context nor an index"),
        ({"answer": "a", "context": "c", "index": object()}, "both a context and an index"),
        ({"answer": "a", "context": "c", "k": 0}, "k is 0"),
        ({"answer": "a", "context": "c", "question": 1}, r"questions\[0\] is 1, not a text"),
    ],
)
def test_input_that_cannot_be_checked_is_named(options, message):
    with pytest.raises(InvalidInput, match=message):
        halluc.check(options.pop("answer"), verifier=SharedWords(), **options)


def test_every_answer_needs_its_context():
    with pytest.raises(InvalidInput, match="there are 2 answers, 1 contexts"):
        halluc.check_many(["a", "b"], contexts=["c"], verifier=SharedWords())
    with pytest.raises(InvalidInput, match="answers is one string"):
        halluc.check_many("ab", contexts=["c", "d"], verifier=SharedWords())
    with pytest.raises(InvalidInput, match=r"answers\[1\] is empty"):
        halluc.check_many(["a", ""], contexts=["c", "d"], verifier=SharedWords())
    assert halluc.check_many([], contexts=[], verifier=SharedWords()) == []
