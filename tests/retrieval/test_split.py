import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval import Document, split_documents
from retrieval.errors import DocumentError, EmptyCorpus, InvalidQuery
from retrieval.split import sentence_spans

TEXT = "Dr. Fleming came back in 1928. He saw a mould! Was it useful? It was: naïve 模 № 3.5 died.\n\nA new paragraph."


def test_sentences_are_found_at_character_offsets_also_after_wide_characters():
    sentences = [TEXT[start:end] for start, end in sentence_spans(TEXT)]
    assert sentences[0] == "Dr. Fleming came back in 1928."
    assert sentences[-1] == "A new paragraph."
    assert len(sentences) == 5


@pytest.mark.parametrize(
    "sentences",
    [
        ["Reed resigned.", "Ms. Lind took over."],
        ["It weighs approx. 40 kg and cost 3 bn. Euros.", "It sank."],
        ["It cost 3 bn.", "The firm paid."],
        ["See Fig. 3 and Nos. 4 to 9 in vol. 2, ch. 4, para. 9.", "Dr. No. 5 is here."],
        ["The U.S. Army came.", "He lives in the U.S.", "It is big."],
        ["J. R. R. Tolkien met George W. Bush, e.g. Smith et al. Found it.", "Vitamin C.", "The dose."],
        ["Apple Inc. Google said.", "Main St.", "The shop.", "Martin Luther King Jr. Day is in January."],
        ["The answer is no.", "Paris is big.", "No.", "He arrived at 5 p.m.", "Then he left."],
    ],
)
def test_abbreviations_end_a_sentence_only_where_another_one_begins(sentences):
    text = " ".join(sentences)
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


def test_a_sentence_is_not_cut_within_a_quotation_and_is_within_one_that_is_not_closed():
    quoted = "He said „It is cold. I go home.“ Then he left."
    assert len(sentence_spans(quoted)) == 2
    # Among many marks, too.
    assert len(sentence_spans(f"{quoted} " * 200)) == 400
    assert len(sentence_spans("„" * 200 + " It is cold. I go home. " + "x" * 1000 + ".“")) > 2


@pytest.mark.parametrize("unit", ["A. ", "no. A ", "Ms. ", "U.S.", "no.\n", "„a", "“a", "«a", "»a", "‘a", "‹a", "‘a’"])
def test_a_long_text_of_anything_is_read_in_linear_time(unit):
    begin = time.process_time()
    sentence_spans(unit * 100_000)
    assert time.process_time() - begin < 5


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("abc dé模. !?\n\t😀A1'ﬁß"), min_size=1, max_size=300), limit=st.integers(4, 20))
def test_every_passage_is_a_slice_of_its_document_and_nothing_is_lost(embedder, text, limit):
    if not text.strip():
        return
    passages = split_documents([Document("d", text)], max_tokens=limit, overlap=1, embedder=embedder)
    assert max(len(offsets) for offsets in embedder.token_offsets([passage.text for passage in passages])) <= limit
    covered = set()
    for passage in passages:
        assert text[passage.start : passage.end] == passage.text
        covered.update(range(passage.start, passage.end))
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)


def test_passages_end_at_sentences_and_fit_the_limit(embedder):
    text = " ".join(f"This is sentence number {i} of the document." for i in range(60))
    passages = split_documents([Document("d", text, "Title")], max_tokens=50, overlap=1, embedder=embedder)
    assert len(passages) > 5
    for number, passage in enumerate(passages):
        assert passage.id == f"d#{number}"
        assert (passage.title, passage.document_id) == ("Title", "d")
        assert passage.text.startswith("This")
        assert passage.text.endswith("document.")
        assert len(embedder.token_offsets([passage.text])[0]) <= 50
    last_of_first = passages[0].text.rsplit("This", 1)[1]
    assert passages[1].text.startswith("This" + last_of_first)


def test_a_sentence_longer_than_the_limit_is_cut_between_tokens(embedder):
    text = "word " * 700 + "end."
    passages = split_documents([Document("d", text)], embedder=embedder)
    assert len(passages) == 3
    assert "".join(passage.text for passage in passages) == text


def test_a_document_that_fits_keeps_its_id(embedder):
    (passage,) = split_documents([Document("d", "Short.")], embedder=embedder)
    assert passage.id == "d"


def test_no_documents_and_bad_limits_are_refused(embedder):
    with pytest.raises(EmptyCorpus):
        split_documents([], embedder=embedder)
    with pytest.raises(InvalidQuery, match="max_tokens is 0"):
        split_documents([Document("d", "x")], max_tokens=0, embedder=embedder)
    window = embedder.max_tokens
    with pytest.raises(InvalidQuery, match=f"max_tokens is {window + 1}, but the embedder .* reads only {window} tokens"):
        split_documents([Document("d", "x")], max_tokens=window + 1, embedder=embedder)
    assert len(split_documents([Document("d", "x")], max_tokens=window, embedder=embedder)) == 1


@pytest.mark.parametrize("limit", [8, 16, 100])
def test_no_passage_exceeds_the_limit_where_a_cut_changes_the_tokens(embedder, limit):
    """Passages had one or two tokens more than the limit, which the embedder does not read."""
    words = ("unbelievable", "electroencephalographically", "Straßenbahnhaltestelle", "internationalization")
    glued = Document("glued", "".join(words[i % 4] for i in range(200)))
    unspaced = Document("unspaced", "".join(f"{words[i % 4]} ends.Then" for i in range(100)))
    passages = split_documents([glued, unspaced], max_tokens=limit, embedder=embedder)
    counts = [len(offsets) for offsets in embedder.token_offsets([passage.text for passage in passages])]
    assert max(counts) <= limit
    # The limit is still used: only a few tokens of it are given up.
    assert sorted(counts)[len(counts) // 2] >= limit / 2


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ("a text", "documents is a str; pass a list of Document"),
        (Document("d", "x"), "documents is a Document; pass a list"),
        (None, "documents is a NoneType"),
        (["a text"], r"documents\[0\] is 'a text'; pass Document\(id, text\)"),
        ([Document("d", None)], r"documents\[0\] is Document\(id='d', text=None"),
        (
            [Document("fine", "x"), Document("d", "half \ud83d")],
            "text of document 'd' has a lone surrogate.*character 6",
        ),
    ],
)
def test_what_is_no_list_of_documents_is_refused_by_name(embedder, documents, message):
    with pytest.raises(DocumentError, match=message):
        split_documents(documents, embedder=embedder)
