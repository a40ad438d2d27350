from halluc.grounding.context import pack_passages
from retrieval import Hit, Passage

TEXTS = [
    "The harbour is old. It was built by Anna Berg in 1850. Ships come daily.",
    "A harbour needs cranes. Cranes lift cargo.",
]
HITS = [Hit(Passage(f"p{i}", text), 1.0 - i / 10, i + 1, 0.5) for i, text in enumerate(TEXTS)]


def words(text):
    return len(text.split())


def pack(question, budget, room=None):
    return [(p.hit.passage.id, p.text) for p in pack_passages(question, HITS, budget=budget, room=room, count_tokens=words)]


def test_a_small_budget_leaves_the_most_telling_sentence():
    assert pack("In which year was it built by Anna?", 1) == [("p0", "It was built by Anna Berg in 1850.")]


def test_a_large_budget_takes_the_passages_whole_best_first():
    assert pack("Who built the harbour?", 1000) == [("p0", TEXTS[0]), ("p1", TEXTS[1])]


def test_sentences_stay_in_the_order_of_their_passage():
    (first, *_) = pack("When was the old harbour built?", 13)
    assert first == ("p0", "The harbour is old. It was built by Anna Berg in 1850.")


def test_no_sentence_is_cut_to_fit():
    assert pack("In which year was it built by Anna?", 100, room=5) == [("p0", "The harbour is old."), ]  # fmt: skip
    assert pack("anything", 100, room=2) == []
