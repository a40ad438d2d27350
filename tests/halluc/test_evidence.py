from hypothesis import given, settings
from hypothesis import strategies as st

from halluc.verification.evidence import evidence_units, nearest_sentences


def words(texts):
    return [len(text.split()) for text in texts]


def test_short_evidence_is_one_unit():
    assert evidence_units("One. Two.", words, max_tokens=2) == ["One. Two."]


def test_windows_are_whole_sentences_that_overlap():
    text = " ".join(f"Sentence number {name}." for name in ("one", "two", "three", "four", "five", "six"))
    units = evidence_units(text, words, max_tokens=12)
    assert units == [
        "Sentence number one. Sentence number two. Sentence number three. Sentence number four.",
        "Sentence number four. Sentence number five. Sentence number six.",
    ]


def test_a_sentence_longer_than_a_unit_is_cut_between_words_and_a_word_longer_than_that_between_characters():
    units = evidence_units("x" * 50 + " " + "y " * 50, lambda texts: [len(t.replace(" ", "")) for t in texts], max_tokens=20)
    assert all(len(unit.replace(" ", "")) <= 20 for unit in units)
    assert sum(unit.count("x") for unit in units) >= 50
    assert sum(unit.count("y") for unit in units) >= 50


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab .\n", min_size=1, max_size=40), min_size=1, max_size=12), st.integers(4, 30))
def test_units_fit_and_leave_out_no_word(parts, max_tokens):
    text = " ".join(parts)
    units = evidence_units(text, words, max_tokens=max_tokens)
    assert len(units) == 1 or all(words([unit])[0] <= max_tokens for unit in units)
    words_of_units = [word for unit in units for word in unit.split()]
    assert set(text.split()) <= set(words_of_units) or len(units) == 1


def test_the_nearest_sentences_share_most_words_with_the_claim():
    text = "Rain fell in May. The bridge was opened in 1859. Ants build nests. The bridge is long."
    assert nearest_sentences(text, "The bridge opened in 1859.", 2) == [
        "The bridge was opened in 1859.",
        "The bridge is long.",
    ]
