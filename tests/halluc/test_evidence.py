from hypothesis import given, settings
from hypothesis import strategies as st

from halluc.verification.evidence import EvidenceText, evidence_units, nearest_sentences


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


FILLER = "The committee met again and spoke at length about the budget of the year. " * 30


def test_short_evidence_is_its_own_excerpt():
    assert EvidenceText("One  two.\nThree.", words, max_tokens=3).excerpt("Anything.") == "One  two.\nThree."


def test_an_excerpt_holds_both_sentences_that_a_claim_needs_in_the_order_of_the_text():
    first, second = "The bridge was built by Paula Ostrov.", "Ostrov was born in Graz in 1951."
    text = f"{FILLER}{first} {FILLER}{second} {FILLER}"
    excerpt = EvidenceText(text, words, max_tokens=60).excerpt("The engineer of the bridge, Ostrov, was born in Graz.")
    assert words([excerpt])[0] <= 60
    assert 0 <= excerpt.index(first) < excerpt.index(second)


def test_a_part_of_the_claim_that_is_covered_leaves_room_for_the_others():
    repeated = "The bridge over the river in the valley is long. " * 12
    text = f"{repeated}{FILLER}Cyclists pay nothing. {FILLER}"
    excerpt = EvidenceText(text, words, max_tokens=60).excerpt(
        "The bridge over the river in the valley is free for cyclists."
    )
    assert "Cyclists pay nothing." in excerpt


def test_a_claim_that_shares_no_word_gets_the_beginning():
    excerpt = EvidenceText(FILLER, words, max_tokens=40).excerpt("Ants sleep.")
    assert excerpt
    assert FILLER.startswith(excerpt)


def test_excerpts_of_a_megabyte_take_a_second_of_processor_time():
    import time

    text = " ".join(f"Sentence {i} says that the value of item {i % 977} is {i * 7}." for i in range(18_000))
    seconds = []
    for _ in range(2):
        start = time.process_time()
        evidence = EvidenceText(text, words, max_tokens=200)
        excerpts = [evidence.excerpt(f"The value of item {i} is 42.") for i in range(20)]
        seconds.append(time.process_time() - start)
    assert all(f"item {i} is" in excerpt for i, excerpt in enumerate(excerpts))
    assert min(seconds) < 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab .\n", min_size=1, max_size=40), min_size=1, max_size=12),
    st.integers(8, 30),
    st.text("ab ", max_size=9),
)
def test_excerpts_fit_and_hold_nothing_but_the_text(parts, max_tokens, claim):
    text = " ".join(parts)
    excerpt = EvidenceText(text, words, max_tokens=max_tokens).excerpt(claim)
    assert words([excerpt])[0] <= max_tokens
    assert set(excerpt.split()) <= set(text.split())
