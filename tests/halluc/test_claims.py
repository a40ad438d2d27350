import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc import LMClaimExtractor, RuleClaimExtractor, extract_claims
from halluc.answers import Claim
from halluc.claims.lm_extractor import parse_claims
from halluc.claims.parsing import add_entities
from halluc.errors import InvalidInput
from halluc.models.language_model import Generation

SPLIT = {
    "Lanny Flaherty is an American actor born on December 18, 1949, in Pensacola, Florida.": [
        "Lanny Flaherty is American.",
        "Lanny Flaherty is an actor.",
        "Lanny Flaherty was born on December 18, 1949.",
        "Lanny Flaherty was born in Pensacola, Florida.",
    ],
    "Donald Trump was born in New York City and previously served as a businessman.": [
        "Donald Trump was born in New York City.",
        "Donald Trump previously served as a businessman.",
    ],
    "Barack Obama, who served two terms from 2009 to 2017, lives in Washington.": [
        "Barack Obama lives in Washington.",
        "Barack Obama served two terms from 2009 to 2017.",
    ],
    "Milan, a city in the north, is rich.": ["Milan is rich.", "Milan is a city in the north."],
    "She missed the cut but received strong support from fans.": [
        "She missed the cut.",
        "She received strong support from fans.",
    ],
    "Stevenson lived in various places such as France, Switzerland, and Samoa.": [
        "Stevenson lived in various places such as France.",
        "Stevenson lived in various places such as Switzerland.",
        "Stevenson lived in various places such as Samoa.",
    ],
    "He wrote and directed the film.": ["He wrote the film.", "He directed the film."],
}
WHOLE = [
    "If it rains, the road closes and the school shuts.",
    "He did not eat and drink.",
    "The treaty was signed between France and Germany.",
    "He played tennis or wrote letters.",
    "Paxton has said that singing and acting went hand in hand.",
    "The man who stole the car was caught.",
    "She moved to Paris by train, which pleased her parents.",
    "The colour is a mixture of red and blue.",
    "He was re-elected in 2016.",
    "They married and divorced.",
]


def texts(answer, **options):
    return [claim.text for claim in extract_claims(answer, **options)]


@pytest.mark.parametrize("sentence", SPLIT)
def test_a_compound_sentence_is_split_into_its_statements(sentence):
    assert texts(sentence) == SPLIT[sentence]


@pytest.mark.parametrize("sentence", WHOLE)
def test_a_sentence_that_a_split_could_falsify_is_kept_whole(sentence):
    assert texts(sentence) == [sentence]


def test_a_claim_knows_its_place_in_the_answer():
    answer = "Well known. Donald Trump was born in New York City and served as a businessman."
    spans = [answer[claim.start : claim.end] for claim in extract_claims(answer)]
    assert spans == ["Well known.", "Donald Trump was born in New York City", "served as a businessman"]


def test_pronouns_stand_for_the_subject_spoken_of():
    assert texts("Donald Trump was the second. He was born in New York.")[1] == "Donald Trump was born in New York."
    assert texts("Paris is in France. It is old.")[1] == "Paris is old."
    assert texts("Barack Obama won. His father came from Kenya.")[1] == "Barack Obama's father came from Kenya."


def test_a_pronoun_that_could_mean_two_people_is_left():
    assert texts("Barack Obama met Joe Biden. He was tired.")[1] == "He was tired."
    assert texts("Paris is in France. It is likely that Rome is older.")[1] == "It is likely that Rome is older."
    assert texts("The cities are old. He likes them.")[1] == "He likes them."


@pytest.mark.parametrize(
    "sentence",
    [
        "Is Rome in Italy?",
        "I'm sorry, but I cannot answer that.",
        "As an AI language model, I do not have opinions.",
        "I hope this helps!",
        "Let me know if you have any questions.",
        "You should see a doctor.",
        "Consult a doctor.",
        "In my opinion, Rome is nicer.",
        "Here are the facts:",
        "The context does not mention the year.",
        "Hello!",
        "***",
    ],
)
def test_what_states_no_fact_is_marked_and_left_out(sentence):
    found = RuleClaimExtractor().extract([sentence])[0]
    assert all(not claim.check_worthy for claim in found)
    assert extract_claims(sentence) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "World War I would end in 1918.",
        "Elizabeth I can be seen as a great queen.",
        "She argued that taxes should fall.",
        "A Beautiful Mind is a film of 2001.",
        "I was born in Paris.",
        "Hello Kitty is a character by Sanrio.",
        "308",
    ],
)
def test_facts_that_look_like_talk_are_checked(sentence):
    assert texts(sentence)


def test_a_fragment_is_joined_to_its_question_and_a_sentence_is_not():
    question = "How many points did the defense give up?"
    assert extract_claims("308.", question=question) == [Claim(f"{question} 308.", 0, 4)]
    assert texts("Yes.", question="Is Rome old?") == ["Is Rome old? Yes."]
    assert texts("It is old.", question="What about Rome?") == ["What about Rome? It is old."]
    assert texts("The defense gave up 308 points.", question=question) == ["The defense gave up 308 points."]
    assert texts("Yes.") == []


def test_list_marks_and_headings_are_no_part_of_claims():
    answer = "# Cities\n1. Rome is in Italy.\n2. Milan is rich.\nI hope this helps! Is it so?\n- Oslo is cold"
    assert texts(answer) == ["Rome is in Italy.", "Milan is rich.", "Oslo is cold"]


PIECES = st.lists(
    st.sampled_from(
        [*SPLIT, *WHOLE, "Is it?", "308", "Sure!", "é — “quoted” (text).", "Ωμέγα είναι.", "a" * 1500, "1. x\n\n- y", "\n"]
    ),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(PIECES, st.sampled_from([" ", "\n", "\n\n"]))
def test_spans_lie_in_the_text_and_no_two_claims_start_at_one_place(pieces, joint):
    answer = joint.join(pieces)
    claims = RuleClaimExtractor().extract([answer])[0]
    assert all(0 <= claim.start < claim.end <= len(answer) and claim.text.strip() for claim in claims)
    assert len({claim.start for claim in claims}) == len(claims)
    assert not answer.strip() or claims


@pytest.mark.parametrize(
    ("texts", "questions", "message"),
    [
        ("text", None, "texts is one string, 'text'; pass a list"),
        (["a", 3], None, r"texts\[1\] is 3, not a text"),
        (["a", "b"], ["q"], "1 questions for 2 texts"),
        (["a"], "q", "questions is one string, 'q'; pass a list"),
        (["a"], [3], r"questions\[0\] is 3, not a text"),
        (["a", "half \ud83d."], None, r"texts\[1\] has a lone surrogate, '\\ud83d', at character 6"),
    ],
)
def test_texts_and_questions_that_cannot_be_used_are_named(texts, questions, message):
    with pytest.raises(InvalidInput, match=message):
        RuleClaimExtractor().extract(texts, questions=questions)


class Scripted:
    name = "scripted"

    def __init__(self, *replies):
        self.replies = replies
        self.prompts = []

    def generate(self, prompts, **_options):
        self.prompts += prompts
        return [[Generation(reply)] for reply in self.replies[: len(prompts)]]


def test_a_language_model_is_asked_about_each_sentence_once_and_its_claims_carry_the_sentence_span():
    lm = Scripted("Here are the facts:\n- Rome is old.\n- Rome is in Italy.", "I cannot do that:")
    answer = "Rome is old and in Italy. Is it? Oslo is cold."
    claims = LMClaimExtractor(lm).extract([answer])[0]
    assert [(c.text, answer[c.start : c.end], c.check_worthy) for c in claims] == [
        ("Rome is old.", "Rome is old and in Italy.", True),
        ("Rome is in Italy.", "Rome is old and in Italy.", True),
        ("Is it?", "Is it?", False),
        ("Oslo is cold.", "Oslo is cold.", True),
    ]
    assert len(lm.prompts) == 2


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but I cannot help with that.",
        "- I don't know.",
        '{"claims": []}',
        "None.",
        "<think>Rome is old.",
        "Sure!",
    ],
)
def test_a_sentence_is_its_own_claim_where_the_model_refuses_or_lists_nothing(reply):
    claims = LMClaimExtractor(Scripted(reply)).extract(["I think the bridge opened in 1987."])[0]
    assert [(claim.text, claim.hedged) for claim in claims] == [("The bridge opened in 1987.", True)]


def test_model_output_is_read_as_json_and_without_emphasis():
    expected = ["Rome is old.", "Rome is in Italy."]
    assert parse_claims('{"claims": ["Rome is old.", "Rome is in Italy."]}') == expected
    assert parse_claims('Here you go:\n```json\n["Rome is old.", "Rome is in Italy."]\n```') == expected
    assert parse_claims('[{"claim": "Rome is old."}, {"claim": "Rome is in Italy."}]') == expected
    assert parse_claims("- **The bridge** opened in 1987.\n- I cannot tell more.") == ["The bridge opened in 1987."]
    assert parse_claims("- It has [two] lanes.") == ["It has [two] lanes."]


def test_model_output_is_read_whatever_its_list_marks():
    assert parse_claims("1. A is b.\n2) C is d.\n(3) E is f.") == ["A is b.", "C is d.", "E is f."]
    assert parse_claims("* A is b.\n\n* A is b.") == ["A is b."]
    assert parse_claims("A is b.\nC is d.") == ["A is b.", "C is d."]
    assert parse_claims("Sure, here you go:\n- A is b.\n- C is", complete=False) == ["A is b."]
    assert parse_claims("None") == parse_claims("") == parse_claims("???") == []


def test_the_default_model_yields_at_least_one_claim_per_sentence(lm):
    claims = LMClaimExtractor(lm, max_new_tokens=24).extract(["Rome is the capital of Italy. Is it?"])[0]
    assert [claim.check_worthy for claim in claims][-1] is False
    assert any(claim.check_worthy and claim.start == 0 for claim in claims)


def test_many_list_items_are_extracted_in_linear_time():
    """A megabyte took more than a minute; now a sentence that repeats is parsed once."""

    def seconds(size):
        text = "- The bridge is long.\n" * (size // 22)
        begin = time.process_time()
        claims = RuleClaimExtractor().extract([text])[0]
        assert len(claims) == size // 22
        assert text[claims[-1].start : claims[-1].end] == "The bridge is long."
        return time.process_time() - begin

    seconds(1000)
    # Processor time, and the least of three: other processes and the garbage collector are not what is measured.
    quarter, whole = (min(seconds(size) for _ in range(3)) for size in (75_000, 300_000))
    assert whole < 20
    assert whole < 10 * quarter


def test_a_long_run_of_colons_is_read_in_a_moment():
    """Quadratic."""
    begin = time.process_time()
    assert [claim.check_worthy for claim in RuleClaimExtractor().extract(["Here is " + ":" * 20_000 + "a bridge"])[0]] == [
        True
    ]
    assert time.process_time() - begin < 5
    assert not extract_claims("Here are the three facts: ")
    assert not extract_claims("Here's what we know:**")


PRONOUNS = [json.loads(line) for line in (Path(__file__).parent / "pronouns.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("part", [slice(0, 32), slice(32, None)], ids=["tuned on", "held out"])
def test_pronouns_of_a_list_of_texts_stand_for_the_right_thing_or_are_left(part):
    """Leaving a pronoun is safe; a wrong replacement makes another claim."""
    last = [(texts(row["text"])[-1], row["last"], row["text"]) for row in PRONOUNS[part]]
    assert not [text for claim, right, text in last if claim != right and not text.endswith(claim)]
    assert sum(claim == right for claim, right, _ in last) >= 30


def test_it_never_stands_for_a_person():
    for person in ("The engineer", "The president", "A nurse", "Paula Ostrov", "His wife", "The architect"):
        assert texts(f"{person} was praised. It is 412 metres long.")[1] == "It is 412 metres long."


def test_claims_are_the_same_as_if_every_sentence_had_its_entities(monkeypatch):
    """Named entities take as long as the parse, and are found only where they may decide."""
    answers = [
        *SPLIT,
        *WHOLE,
        " ".join(SPLIT),
        *(row["text"] for row in PRONOUNS),
        "Tom Hanks was born on 9 July 1956 in Concord. He is an American actor. The film cost 3 million dollars. It won.",
    ]
    lazy = RuleClaimExtractor().extract(answers)
    monkeypatch.setattr(
        "halluc.claims.rule_extractor._add_entities",
        lambda sentences: add_entities(s.parse for of_answer in sentences for s in of_answer if s.parse is not None),
    )
    assert RuleClaimExtractor().extract(answers) == lazy
