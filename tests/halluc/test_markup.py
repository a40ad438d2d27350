"""What states nothing in an answer is not judged, and what remains keeps its place."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

import halluc
from halluc.answers import Claim
from halluc.claims import LMClaimExtractor, RuleClaimExtractor
from halluc.claims.abstention import abstains
from halluc.claims.markup import final_answer, plain_text
from halluc.confidence import parse_confidence
from halluc.models.language_model import Generation
from halluc.verification import load_verifier
from retrieval.encoders import encoder_folder
from training.rewards.completions import completion_text

CONTEXT = (
    "The Tamarind Bridge opened on 14 March 1987. It is 412 metres long and carries two lanes of traffic. The engineer was "
    "Paula Ostrov."
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("It opened in 1987 [1][2]. It is long.[3] So 【4†source】 it is.", "It opened in 1987. It is long. So it is."),
        ("It is long [1, 2], old [3–5] and red[^6] [^note].", "It is long, old and red."),
        ("It is long (Source: the city, 2020). It is old [citation needed].", "It is long. It is old."),
        ("It is 10<sup>6</sup> m long.<sup>2</sup> It is <b>old</b>.<br/>", "It is 10^6 m long. It is old."),
        ("It covers 30 km<sup>2</sup> and 5<sup>2</sup> = 25.", "It covers 30 km2 and 5^2 = 25."),
        ("He died in 1350<sup>1</sup>, at 55.1%<sup>2</sup> of 3,210<sup>3</sup>.", "He died in 1350, at 55.1% of 3,210."),
        ("[The [first] bridge (old)](https://example.org/a_(b)) fell.", "The [first] bridge (old) fell."),
        ("The engineer was **Paula Ostrov**.", "The engineer was Paula Ostrov."),
        ("It is *very* long, _really_ long, ~~not~~ `here`.", "It is very long, really long, not here."),
        ("_a._ __b.__", "a. b."),
        ('See [the page](https://example.org/a_(b) "title"). ![a map](map.png)', "See the page. "),
        ("## The bridge\nIt is long.", "The bridge\nIt is long."),
        ("It is long.\n\n**Sources:**\n[1] The city\n- https://example.org\n", "It is long.\n\n"),
        ("<think>Is it 999?</think>It is 412.", "It is 412."),
        ("Is it 999?</think>\n\nIt is 412.", "It is 412."),
        ("<think>Is it", ""),
    ],
)
def test_markup_is_removed(text, plain):
    assert plain_text(text).text == plain


@pytest.mark.parametrize(
    "text",
    [
        "The value lies in [0, 1].",
        "2 * 3 * 4 = 24 and 2*3*4 = 24.",
        "Set my_long_name and x[0].",
        "The sources: two rivers.",
        "a < b and b > c",
        "In [2019] and [sic].",
        "",
        "市は412メートルです。",
    ],
)
def test_other_text_stays_as_it_is(text):
    assert plain_text(text).text == text
    assert plain_text(text).positions == tuple(range(len(text)))


@given(st.text(alphabet="ab.1 *_`[](){}<>#~\n^【】!/supthink", max_size=80))
def test_what_remains_keeps_its_place(text):
    plain = plain_text(text)
    assert len(plain.positions) == len(plain.text)
    assert list(plain.positions) == sorted(plain.positions)
    # Only the sign of a power is not in the answer.
    pairs = zip(plain.text, plain.positions, strict=True)
    assert all(character in (text[position], "^") for character, position in pairs)


@pytest.mark.parametrize(
    "text",
    [
        " " * 200_000,
        "[" * 200_000,
        "**a " * 50_000,
        " __a" * 50_000,
        "<think>" * 30_000,
        "```\n" * 50_000,
        "Sources:\n- a\n" * 15_000,
        "Sources" + " " * 200_000,
        "(source: " * 20_000,
        "<b " * 60_000,
        "[1" * 100_000,
    ],
)
def test_any_answer_is_read_in_linear_time(text):
    start = time.process_time()
    plain_text(text)
    assert time.process_time() - start < 3


def test_claims_have_their_place_in_the_answer():
    answer = "The **bridge** is 412 metres long [1]. Its lanes are two.[2]"
    claims = RuleClaimExtractor().extract([answer])[0]
    assert [claim.text for claim in claims] == ["The bridge is 412 metres long.", "Its lanes are two."]
    places = [answer[claim.start : claim.end] for claim in claims]
    assert places == ["The **bridge** is 412 metres long [1].", "Its lanes are two."]


class Silent:
    """A model that lists no claim, so that each sentence is one."""

    name = "silent"

    def generate(self, prompts, **_):
        return [[Generation("")] for _ in prompts]


@pytest.mark.parametrize("extractor", [RuleClaimExtractor(), LMClaimExtractor(Silent())], ids=["rules", "lm"])
def test_code_is_listed_as_unchecked_and_not_cut_into_claims(extractor):
    answer = "It works.\n```python\nBridge().length = 412\n```\nIt is old."
    claims = extractor.extract([answer])[0]
    start, end = answer.index("```"), answer.rindex("```") + 3
    assert Claim(answer[start:end], start, end, check_worthy=False) in claims
    assert [claim.text for claim in claims if claim.check_worthy] == ["It works.", "It is old."]
    assert halluc.check(answer[start:end], context="c").score is None


def test_a_citation_mark_or_emphasis_does_not_change_a_verdict():
    sentences = re.split(r"(?<=\.) ", CONTEXT)
    plain = [halluc.check(sentence, context=CONTEXT).score for sentence in sentences]
    for mark in (" [1].", "[1][2].", ". [3]", ".[1]", "【2】.", " (Source: the city).", ".<sup>1</sup>"):
        marked = [halluc.check(sentence.removesuffix(".") + mark, context=CONTEXT).score for sentence in sentences]
        assert marked == pytest.approx(plain, abs=0.02), mark
    bold = [halluc.check(re.sub(r"(\w+)(?=\.)", r"**\1**", sentence), context=CONTEXT).score for sentence in sentences]
    assert bold == pytest.approx(plain, abs=0.02)


def test_thoughts_are_no_part_of_an_answer_anywhere():
    thought = "<think>Maybe it is 999 metres long, 0.3 sure.</think>"
    answer = "The Tamarind Bridge is 412 metres long."
    assert [v.claim.text for v in halluc.check(thought + answer, context=CONTEXT).verdicts] == [answer]
    assert final_answer(thought + answer) == answer
    assert abstains(thought + "I don't know.")
    assert parse_confidence(thought + "0.9") == 0.9
    assert completion_text([{"role": "assistant", "content": thought + answer}]) == answer


def test_text_that_spells_a_special_token_is_text():
    verifier, special = load_verifier(), {*AutoTokenizer.from_pretrained(encoder_folder()).all_special_ids}
    assert len(special) == 5
    false, true = "The defense gave up 999 points.", "The defense gave up 308 points."
    for token in ("[PAD]", "[SEP]", "[CLS]", "[MASK]", "[UNK]"):
        suffix = f" {token}" * 10
        support = verifier.support([(true, false + suffix), (true + suffix, false)])
        assert (support < 0.5).all(), token
        (ids,) = verifier.tokenizer([false + suffix], add_special_tokens=False)["input_ids"]
        assert not {*ids} & special
