"""The terms of sparse search."""

import pytest

from retrieval import Passage, PassageIndex
from retrieval.terms import terms

FIRST_ARTICLES = [
    "All people are born free.", "Everyone has the right to life.", "Nobody may be a slave.", "Torture is forbidden.",
    "Each person is one before the law.", "The law protects all.", "Courts give a remedy.", "No arrest without a reason.",
    "Everyone may travel.",
]  # fmt: skip


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_one_character_tells_articles_and_vitamins_apart(tmp_path, embedder, mode):
    """Words of one character were dropped: the right passage came first for 4 of 10 questions, and for 7 in hybrid mode."""
    texts = {f"Article {i}": f"Article {i}. {text}" for i, text in enumerate(FIRST_ARTICLES, 1)}
    texts |= {f"Vitamin {name}": f"Vitamin {name} is found in {food}." for name, food in
              (("A", "carrots"), ("C", "oranges"), ("D", "fish oil"), ("K", "green leaves"))}  # fmt: skip
    index = PassageIndex.create(tmp_path / "x.index", embedder=embedder)
    index.add([Passage(name, text) for name, text in texts.items()])
    questions = {name: f"What does {name} say?" for name in texts if name.startswith("Article")}
    questions |= {name: f"Where is {name} found?" for name in texts if name.startswith("Vitamin")}
    first = [hits[0].passage.id for hits in index.search(list(questions.values()), k=1, mode=mode)]
    assert sum(a == b for a, b in zip(first, questions, strict=True)) >= len(questions) - 1


def test_scripts_without_spaces_are_searched(tmp_path, embedder):
    """A sentence was one word, which no question had."""
    texts = {
        "zh": "东京塔高三百三十三米。它建于一九五八年。",
        "zh2": "长城是中国最长的墙。",
        "ja": "富士山は日本で一番高い山です。",
        "ko": "서울은 대한민국의 수도이다.",
        "th": "กรุงเทพเป็นเมืองหลวงของประเทศไทย",
    }
    index = PassageIndex.create(tmp_path / "x.index", embedder=embedder)
    index.add([Passage(name, text) for name, text in texts.items()])
    for query, name in (
        ("东京塔有多高？", "zh"),
        ("中国的长城", "zh2"),
        ("日本の高い山", "ja"),
        ("대한민국 수도", "ko"),
        ("เมืองหลวง", "th"),
    ):
        assert index.search(query, k=1, mode="sparse")[0].passage.id == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't the dog's owners agree?", ["don", "dog", "owners", "agree"]),
        ("It costs 1,250.75 euros in § 5.2", ["costs", "1,250.75", "euros", "5.2"]),
        ("10⁶ is not １２", ["10⁶", "12"]),
        ("Plan A and hepatitis A. A plan for a day", ["plan", "a", "hepatitis", "a", "plan", "day"]),
        ("I am in Chapter i", ["am", "chapter"]),
        ("C++ in Zürich", ["c", "zürich"]),
        ("", []),
    ],
)
def test_terms_are_words_and_numbers(text, expected):
    assert terms(text) == expected


def test_an_index_of_other_terms_is_built_again(index, monkeypatch):
    before = index.search("Who sang?", mode="sparse")
    assert before
    (recorded,) = index.path.rglob("checksums.json")
    stamp = recorded.stat().st_mtime_ns
    PassageIndex.open(index.path).search("Who sang?", mode="sparse")
    assert recorded.stat().st_mtime_ns == stamp
    monkeypatch.setattr("retrieval.sparse.TERMS_VERSION", 99)
    assert PassageIndex.open(index.path).search("Who sang?", mode="sparse") == before
    assert '"terms": 99' in recorded.read_text()
