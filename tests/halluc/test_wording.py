"""What the words of evidence and claim alone decide."""

from __future__ import annotations

import time

import pytest

from halluc.verification.wording import shares_terms, states_verbatim

EVIDENCE = (
    "The Tamarind Bridge opened in 1987. It is 412 metres\nlong [2]. Nobody believes Mr. Smith resigned. Some think that "
    "the bank failed.\n\nThe end came.[1] Rolls are cheap. - He left\n- She stayed at home\n- They ran far away"
)


@pytest.mark.parametrize(
    "claim",
    [
        "The Tamarind Bridge opened in 1987.",
        "It is 412 metres long.",
        "The Tamarind Bridge opened in 1987. It is 412 metres long.",
        "Nobody believes Mr. Smith resigned",
        "The end came!",
        "Rolls are cheap.",
        "She stayed at home.",
        "They ran far away.",
    ],
)
def test_whole_sentences_of_the_evidence_are_stated_verbatim(claim):
    assert states_verbatim(EVIDENCE, claim)


@pytest.mark.parametrize(
    "claim",
    [
        "Smith resigned.",  # after an abbreviation, within a sentence that denies it
        "Mr. Smith resigned.",
        "the bank failed.",  # what some think
        "It is 412 metres",  # not the whole sentence
        "The bridge opened in 1987.",
        "Rolls are cheap?",
        "Rolls are",
        "It is 413 metres long.",
    ],
)
def test_parts_of_sentences_and_other_wordings_are_not(claim):
    assert not states_verbatim(EVIDENCE, claim)


def test_a_long_evidence_is_searched_fast():
    evidence = "a b c d " * 120_000
    start = time.process_time()
    assert not states_verbatim(evidence, "a b c d e f.")
    assert time.process_time() - start < 2


def test_only_words_that_name_something_are_shared():
    assert not shares_terms(
        "The meeting is at noon in room 4.", "Water is the first of the things that boil at 100 degrees."
    )
    assert shares_terms("The engineer was Paula Ostrov.", "Paula Ostrov engineered nothing.")
