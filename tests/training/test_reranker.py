"""Training a reranker: which rows are read and left out, how negatives are drawn, and a short run."""

import json

import numpy as np
import pytest

from halluc.errors import InvalidInput
from training.reranker import Question, RerankerConfig, read_questions, train_reranker, with_negatives


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    qnli = [
        {"premise": f"Where is town {i}?", "hypothesis": f"Town {i} is {place} the river.", "label": label}
        for i in range(6)
        for place, label in (("beside", "entailment"), ("older than", "not_entailment"))
    ]
    write_rows(folder / "nli" / "qnli.jsonl", qnli)
    clapnq = [
        {"question": f"who built bridge {i}", "passage": f"Bridge {i} was built.", "answerable": i > 1} for i in range(4)
    ]
    write_rows(folder / "clapnq" / "questions.jsonl", clapnq)
    multispanqa = [{"question": ["who", "ran"], "context": ["Ann", "and", "Bo", "ran", "."]}]
    write_rows(folder / "multispanqa" / "rows.jsonl", multispanqa)
    hotpotqa = [{"question": "Which is older?", "knowledge": "A is old. B is new. A is old. B is new.", "answer": "A"}]
    write_rows(folder / "hotpotqa" / "gold_paragraphs.jsonl", hotpotqa)
    return folder


class Letters:
    """An embedder of vectors that count letters."""

    def encode(self, texts):
        counts = np.array(
            [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"] for text in texts]
        )
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


def test_questions_are_grouped_and_rows_that_are_measured_on_are_left_out(data, tmp_path):
    questions = read_questions(RerankerConfig(), data)
    assert questions[0] == Question(
        "Where is town 0?", ("Town 0 is beside the river.",), ("Town 0 is older than the river.",), "qnli"
    )
    assert questions[6] == Question("who built bridge 0", (), ("Bridge 0 was built.",), "clapnq")
    assert questions[-2] == Question("who ran", ("Ann and Bo ran .",), (), "multispanqa")
    assert questions[-1].answering == ("A is old. B is new.",)
    held_out = write_rows(
        tmp_path / "held_out.jsonl",
        [{"question": "where is  Town 1?"}, {"text": "A book says: town 2 is beside the river. Yes."}],
    )
    kept = read_questions(RerankerConfig(exclude=(str(held_out),)), data)
    assert {q.text for q in questions} - {q.text for q in kept} == {"Where is town 1?", "Where is town 2?"}


def test_known_near_misses_come_first_and_no_negative_answers(data):
    config = RerankerConfig(negatives=3, last_rank=8)
    questions = read_questions(config, data)
    rows = with_negatives(config, questions, Letters())
    assert len(rows) == sum(bool(question.answering) for question in questions)
    by_text = {question.text: question for question in questions}
    for row in rows:
        question = by_text[row["query"]]
        assert row["docs"][0] in question.answering
        assert row["docs"][1:][: len(question.not_answering)] == list(question.not_answering)
        assert not set(row["docs"][1:]) & set(question.answering)
        assert row["labels"] == [20, 0, 0, 0]
    assert rows == with_negatives(config, questions, Letters())


def test_single_sentences_are_joined_to_passages_that_still_do_not_answer(data):
    config = RerankerConfig(negatives=3, last_rank=8, neighbors=2)
    questions = [question for question in read_questions(config, data) if question.source == "qnli"]
    rows = with_negatives(config, questions, Letters())
    assert max(text.count(".") for row in rows for text in row["docs"]) == 3
    for question, row in zip(questions, rows, strict=True):
        assert [any(text in passage for text in question.answering) for passage in row["docs"]] == [True] + [False] * 3


def test_no_more_questions_of_a_data_set_are_taken_than_its_most(data, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr("training.reranker._fit", lambda _config, rows, *_: trained.extend(rows))
    config = RerankerConfig(most={"qnli": 2, "hotpotqa": 0}, negatives=2, last_rank=6)
    train_reranker(config, data, tmp_path / "out")
    assert sorted(row["query"].split()[0] for row in trained) == ["Where", "Where", "who", "who", "who"]


def test_a_trained_reranker_is_used_by_search(data, tmp_path, halluc):
    from retrieval import CrossEncoderReranker

    out = tmp_path / "reranker"
    config = tmp_path / "c.yaml"
    config.write_text("sources: [qnli]\nnegatives: 2\nlast_rank: 6\nepochs: 1\nbatch_size: 2\nlimit: 4\nmax_tokens: 32\n")
    code, printed, err = halluc("train", "reranker", config, "--data", data, "--out", out)
    assert code == 0, err
    assert json.loads(printed)["questions"] == 4
    assert not (out / "checkpoints").exists()
    scores = CrossEncoderReranker(str(out)).score([("Where is town 1?", "Town 1 is beside the river."), ("Where?", "Here.")])
    assert len(set(scores)) == 2
    code, _, err = halluc("train", "reranker", config, "--data", data, "--out", out)
    assert code == 2
    assert "is not empty; name a new folder" in err


def test_a_packed_reranker_scores_as_the_whole_one(data, tmp_path):
    from retrieval.rerank import checked_reranker

    settings = {
        "sources": ("qnli",),
        "negatives": 2,
        "last_rank": 6,
        "epochs": 1,
        "batch_size": 2,
        "limit": 4,
        "max_tokens": 32,
    }
    train_reranker(RerankerConfig(**settings), data, tmp_path / "whole")
    train_reranker(RerankerConfig(**settings, packed=True), data, tmp_path / "packed")
    pairs = [("Where is town 1?", "Town 1 is beside the river."), ("Where is town 1?", "Nothing."), ("Who?", "Town 2.")]
    logits = checked_reranker(str(tmp_path / "packed")).score(pairs)
    whole = checked_reranker(str(tmp_path / "whole")).score(pairs)
    assert 1 / (1 + np.exp(-np.array(logits))) == pytest.approx(np.array(whole), abs=0.05)
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == [
        "reranker.json", "training.json", "weights.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"negatives": 30}, "30 negatives, but 28 ranks"),
        ({"sources": ("nothing",)}, "sources names 'nothing'; choose from qnli"),
        ({"most": {"nothing": 1}}, "most names 'nothing'; choose from qnli"),
        ({"neighbors": -1}, "neighbors is -1; it must be 0 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(InvalidInput, match=message):
        RerankerConfig(**settings)


def test_an_unfinished_run_of_other_settings_is_not_resumed(data, tmp_path):
    out = tmp_path / "reranker"
    out.mkdir()
    settings = {"kind": "reranker run", "format": 1, "settings": {"base": None, "sources": ["clapnq"], "data": str(data)}}
    (out / "run.json").write_text(json.dumps(settings))
    with pytest.raises(InvalidInput, match=r"unfinished run with another sources: \['clapnq'\], not \['qnli'\]"):
        train_reranker(RerankerConfig(sources=("qnli",)), data, out)
    with pytest.raises(InvalidInput, match="has no question of qnli to train on"):
        train_reranker(
            RerankerConfig(sources=("qnli",), exclude=(str(data / "nli" / "all.jsonl"),)),
            _all_excluded(data),
            tmp_path / "new",
        )


def _all_excluded(data):
    rows = [json.loads(line) for line in (data / "nli" / "qnli.jsonl").read_text().splitlines()]
    write_rows(data / "nli" / "all.jsonl", [{"question": row["premise"]} for row in rows])
    return data
