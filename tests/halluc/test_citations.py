"""Citations of grounded answers: which passages support each sentence, how good they are, and answers that were cut."""

import numpy as np
import pytest
from served import ScriptedModel, Served, content, events, question
from stand_in_verifiers import SharedWords

import halluc
from halluc import Answer, Citation, CitedStatement, GroundedModel, citation_scores
from halluc.answers import Claim, cited_text
from halluc.cli.ask import print_answer
from halluc.errors import InvalidInput
from halluc.grounding.citation_scores import cited_statements
from halluc.grounding.judging import complete_length
from halluc.models.language_model import Generation
from halluc.server import create_app
from halluc.verification.judge import Judge
from retrieval import Passage, PassageIndex

A, B, C = (Passage(name, f"text {name}") for name in "abc")
PASSAGES = [
    Passage("fleming", "Alexander Fleming discovered penicillin in 1928. He worked in London.", "Penicillin"),
    Passage("chain", "Ernst Chain made penicillin a medicine. He was born in Berlin.", "Chain"),
    Passage("curie", "Marie Curie was born in Warsaw. She studied in Paris.", "Curie"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = PassageIndex.create(tmp_path_factory.mktemp("citations") / "x.index")
    made.add(PASSAGES)
    return made


def entailed_by(*sets):
    """A judge by which a statement follows from exactly these sets of passages, and from larger ones."""
    return lambda passages, _text: any(needed <= {passage.id for passage in passages} for needed in map(set, sets))


# -- ALCE's scores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cited", "entailing", "recall", "precision"),
    [
        ((A,), ["a"], 1, 1),
        ((A,), ["b"], 0, 0),
        ((), ["a"], 0, 0),
        # b is irrelevant: it does not entail the statement, and a does without it.
        ((A, B), ["a"], 1, 1 / 2),
        # Both are needed.
        ((A, B), ["ab"], 1, 1),
        # Each suffices: neither is irrelevant.
        ((A, B), ["a", "b"], 1, 1),
        ((A, B, C), ["ab"], 1, 2 / 3),
        ((A, B), ["abc"], 0, 0),
    ],
)
def test_recall_and_precision_of_a_statement(cited, entailing, recall, precision):
    scores = citation_scores([[CitedStatement("s", cited)]], entailed_by(*entailing))
    assert (scores.recall, scores.precision) == (pytest.approx(recall), pytest.approx(precision))


def test_scores_are_averaged_within_answers_and_then_over_them():
    one = [CitedStatement("s", (A,)), CitedStatement("s", (B, C)), CitedStatement("s")]
    two = [CitedStatement("s", (A, B))]
    scores = citation_scores([one, two, []], entailed_by("a"))
    assert scores.recall == pytest.approx((1 / 3 + 1) / 2)
    assert scores.precision == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert (scores.answers, scores.statements, scores.citations) == (2, 4, 5)


def test_answers_that_state_nothing_have_no_scores():
    with pytest.raises(InvalidInput, match="no statement"):
        citation_scores([[], Answer("q", "", abstained=True)], entailed_by("a"))


def test_a_verifier_judges_citations_and_a_fragment_as_question_and_answer(index):
    model = GroundedModel(ScriptedModel("1928."), index, verifier=halluc.load_verifier())
    answer = model.ask("When did Alexander Fleming discover penicillin?")
    (statement,) = cited_statements(answer)
    assert "penicillin" in statement.text
    assert [passage.id for passage in statement.passages] == ["fleming"]
    scores = citation_scores([answer], halluc.load_verifier())
    assert (scores.recall, scores.precision, scores.citations) == (1, 1, 1)


# -- choosing citations ------------------------------------------------------------------------------------------------


def ask(index, text, verifier=None, q="Who discovered penicillin, in London or Berlin?"):
    return GroundedModel(ScriptedModel(text), index, verifier=verifier, k=3, passage_tokens=200).ask(q)


def test_each_sentence_cites_the_passage_that_supports_it_and_no_other_one_does(index):
    text = (
        "Alexander Fleming discovered penicillin in 1928. Ernst Chain made penicillin a medicine. "
        "Most dogs like to chase brown cats."
    )
    answer = ask(index, text, SharedWords())
    number = {citation.passage_id: citation.number for citation in answer.citations}
    assert {c.passage_id: [text[s:e] for s, e in c.sentences] for c in answer.citations} == {
        "fleming": ["Alexander Fleming discovered penicillin in 1928."],
        "chain": ["Ernst Chain made penicillin a medicine."],
    }
    assert answer.cited_text == (
        f"Alexander Fleming discovered penicillin in 1928 [{number['fleming']}]. "
        f"Ernst Chain made penicillin a medicine [{number['chain']}]. Most dogs like to chase brown cats."
    )
    assert len(set(number.values())) == 2


def test_a_mark_of_the_model_does_not_count_against_the_verifier(index):
    answer = ask(
        index,
        "Alexander Fleming discovered penicillin in 1928 [3]. Most dogs like to chase brown cats [1].",
        SharedWords(),
    )
    assert [citation.passage_id for citation in answer.citations] == ["fleming"]
    assert answer.cited_text.endswith("Most dogs like to chase brown cats.")
    assert answer.text.endswith("[1].")


def test_a_passage_that_the_model_did_not_read_can_be_cited(index):
    model = GroundedModel(
        ScriptedModel("Marie Curie studied in Paris."), index, verifier=SharedWords(), k=3, passage_tokens=8
    )
    answer = model.ask("Who discovered penicillin?")
    (citation,) = answer.citations
    assert (citation.passage_id, citation.number) == ("curie", 3)


def test_without_a_verifier_one_shared_word_is_no_citation(index):
    """Every passage that shared a word with the answer was cited."""
    answer = ask(index, "Ernst Chain was a baker with seven brothers somewhere else entirely.")
    assert answer.citations == ()
    assert [c.passage_id for c in ask(index, "Ernst Chain made it a medicine.").citations] == ["chain"]


class TwoTogether:
    """A claim needs the words "left" and "right" in its evidence."""

    name = "two"

    def probabilities(self, pairs):
        support = np.array([0.3 * ("left" in e) + 0.3 * ("right" in e) + 0.01 * ("left" in e) for e, _ in pairs])
        return np.stack([support, np.zeros_like(support), 1 - support], axis=1)


def test_a_claim_that_needs_two_passages_names_both_and_not_a_third():
    passages = [Passage("other", "nothing"), Passage("r", "right"), Passage("l", "left")]
    (verdict,) = Judge(TwoTogether()).verdicts([Claim("both", 0, 4)], [passages])
    assert (verdict.label, verdict.sources) == ("supported", ("l", "r"))
    (alone,) = Judge(TwoTogether()).verdicts([Claim("both", 0, 4)], [passages[:2]])
    assert (alone.label, alone.sources) == ("not_enough_info", ())
    assert type(verdict).from_dict(verdict.to_dict()).sources == ("l", "r")


class ByPassage:
    """The text of a passage says how far it supports and refutes every claim; passages that are joined do neither."""

    name = "by passage"

    def probabilities(self, pairs):
        rows = [[0.1, 0.1] if "\n" in evidence else [float(word) for word in evidence.split()] for evidence, _ in pairs]
        return np.array([[supported, refuted, 1 - supported - refuted] for supported, refuted in rows])


@pytest.mark.parametrize(
    ("texts", "label", "sources"),
    [
        # A short answer is cited although the verifier is not sure enough of it.
        ({"a": "0.45 0.1", "b": "0.2 0.1"}, "not_enough_info", ("a",)),
        ({"a": "0.39 0.1", "b": "0.2 0.1"}, "not_enough_info", ()),
        # What is refuted has no source.
        ({"a": "0.45 0.5", "b": "0.2 0.1"}, "refuted", ()),
        # Only passages about as good as the best one are cited.
        ({"a": "0.6 0.1", "b": "0.9 0.1", "c": "0.8 0.1"}, "supported", ("b", "c")),
    ],
)
def test_a_claim_is_cited_by_the_passages_that_support_it_or_nearly_do(texts, label, sources):
    passages = [Passage(name, text) for name, text in texts.items()]
    (verdict,) = Judge(ByPassage()).verdicts([Claim("claim", 0, 5)], [passages])
    assert (verdict.label, verdict.sources) == (label, sources)


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        ("It is long. Yes.", ((0, 11),), "It is long [1]. Yes."),
        ("It is long! (Really?)", ((12, 21),), "It is long! (Really [1]?)"),
        ("308", ((0, 3),), "308 [1]"),
        ("It is [2] long [3].\n\nYes.", ((0, 19), (21, 25)), "It is long [1].\n\nYes [1]."),
        ("A list x[0] is fine.", (), "A list x is fine."),
    ],
)
def test_numbers_stand_before_the_end_of_a_sentence(text, spans, expected):
    assert cited_text(text, [Citation(1, "p", None, None, "q", spans)]) == expected


# -- inline on request -------------------------------------------------------------------------------------------------


def test_a_server_writes_citations_inline_when_asked(index):
    model = ScriptedModel("Alexander Fleming discovered penicillin in 1928. Most dogs like to chase brown cats.")
    grounded = GroundedModel(model, index, verifier=SharedWords(), max_new_tokens=30)
    served = Served(create_app(model, grounded=grounded, verifier=grounded.verifier))
    expected = "Alexander Fleming discovered penicillin in 1928 [1]. Most dogs like to chase brown cats."
    plain = served.chat(question()).json()
    assert plain["choices"][0]["message"]["content"] == model.text
    assert plain["halluc"]["cited_text"] == expected
    inline = {"halluc": {"inline_citations": True}}
    assert served.chat(question(**inline)).json()["choices"][0]["message"]["content"] == expected
    assert content(events(served.chat(question(stream=True, **inline)))) == expected
    refused = served.chat(question(halluc={"inline_citations": True, "on_unsupported": "mark"}))
    assert refused.status_code == 400
    served.stop()


# -- answers that were cut ---------------------------------------------------------------------------------------------


class CutModel(ScriptedModel):
    """Says its text and stops for its length."""

    def stream(self, prompt, **options):
        *pieces, end = super().stream(prompt, **options)
        yield from pieces
        yield Generation(end.text, end.token_ids, end.token_logprobs, "length")


CUT = "Alexander Fleming discovered penicillin in 1928. Marie Curie was born in"


def test_the_last_sentence_of_a_cut_answer_is_not_judged_and_the_answer_says_so(index, capsys):
    answer = GroundedModel(CutModel(CUT), index, verifier=SharedWords(), k=3).ask("Who discovered penicillin?")
    assert answer.is_cut
    assert [verdict.claim.text for verdict in answer.verdicts] == ["Alexander Fleming discovered penicillin in 1928."]
    (unchecked,) = answer.unchecked
    assert answer.text[unchecked.start : unchecked.end] == unchecked.text == "Marie Curie was born in"
    print_answer(answer)
    assert "the answer was cut" in capsys.readouterr().out
    whole = GroundedModel(ScriptedModel(CUT), index, verifier=SharedWords(), k=3).ask("Who discovered penicillin?")
    assert (whole.is_cut, len(whole.verdicts)) == (False, 2)


@pytest.mark.parametrize("action", [None, "mark", "stop", "replace"])
def test_a_stream_does_not_show_a_sentence_that_was_cut(index, action):
    model = GroundedModel(CutModel(CUT), index, verifier=SharedWords(), k=3, min_support=0.4, max_new_tokens=30)
    *pieces, answer = model.stream("Who discovered penicillin?", on_unsupported=action)
    assert "".join(piece for piece in pieces if isinstance(piece, str)).strip() == CUT[:48]
    assert answer.text == CUT[:48]
    assert answer.is_cut


def test_an_answer_cut_within_its_first_sentence_is_held_back_when_support_is_needed(index):
    model = GroundedModel(CutModel("Alexander Fleming discovered"), index, verifier=SharedWords(), max_new_tokens=30)
    answer = list(model.stream("Who discovered penicillin?", on_unsupported="stop"))[-1]
    assert answer.abstained
    assert "cut within its first sentence" in answer.reason


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("One. Two", "One."),
        ("One. Two.", "One. Two."),
        ("One", ""),
        ('He said "yes."', 'He said "yes."'),
        ("- one\n- two\n- thr", "- one\n- two"),
        ("", ""),
    ],
)
def test_a_cut_text_is_complete_up_to_its_last_whole_sentence(text, complete):
    assert text[: complete_length(text)] == complete
