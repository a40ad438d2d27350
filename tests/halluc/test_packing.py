import pytest
from served import ScriptedModel

from halluc import choose_passage_tokens
from halluc.errors import InvalidInput
from halluc.grounding.context import pack_passages
from retrieval import Hit, Passage, PassageIndex

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


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = PassageIndex.create(tmp_path_factory.mktemp("packing") / "x.index")
    made.add([Passage(f"p{i}", text) for i, text in enumerate(TEXTS)])
    return made


def test_the_size_with_the_most_right_answers_is_chosen_and_of_equal_ones_the_smallest(index):
    """The model answers from the whole passage, and from its best sentence it does not."""
    model = ScriptedModel(lambda prompt: "Anna Berg" if "Ships come" in prompt[-1]["content"] else "Eva Falk")
    choice = choose_passage_tokens(
        model, index, ["Who built the old harbour in 1850?"], [["Anna Berg"]], sizes=(500, 4, 1000), min_answerability=0
    )
    assert (choice.passage_tokens, choice.right, choice.n) == (500, {4: 0.0, 500: 1.0, 1000: 1.0}, 1)


def test_an_answer_that_shares_most_words_with_a_reference_is_right(index):
    model = ScriptedModel("a billion years ago")
    references = [["around a billion years ago"]]
    choice = choose_passage_tokens(model, index, ["When was the harbour built?"], references, sizes=[8], min_answerability=0)
    assert choice.right == {8: 1.0}


def test_questions_without_references_of_their_own_are_refused(index):
    with pytest.raises(InvalidInput, match="questions"):
        choose_passage_tokens(ScriptedModel(), index, ["a?", "b?"], [["x"]])
    with pytest.raises(InvalidInput, match="no questions"):
        choose_passage_tokens(ScriptedModel(), index, [], [])
    with pytest.raises(InvalidInput, match="each of sizes is 0"):
        choose_passage_tokens(ScriptedModel(), index, ["a?"], [["x"]], sizes=[0])
