"""The page of check reports: all text is escaped, nothing is loaded, and every mark has its evidence."""

import re
from html.parser import HTMLParser

import pytest
from stand_in_verifiers import SharedWords

import halluc
from halluc.answers import LABEL_NAMES, Claim, Evidence, Verdict
from halluc.errors import InvalidInput
from halluc.verification.check import CheckReport
from halluc.verification.page import report_page, write_report_page
from retrieval import Passage

PAYLOADS = ['<script>alert("1")</script>', "\"'><img src=x onerror=alert(1)>", "</style></p></main>{{ 7 * 7 }}{% raw %}"]


TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "p", "ul", "li", "span", "main", "article", "header", "h2",
    "details", "summary", "ol", "div", "blockquote", "cite", "script",
}  # fmt: skip


class Page(HTMLParser):
    """The elements of a page, and the text of each answer."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.answers, self.words = [], [], []
        self._open = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self._open.append((tag, dict(attributes).get("class")))
        if self._open[-1] == ("p", "answer"):
            self.answers.append("")

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if ("p", "answer") in self._open:
            self.answers[-1] += data
        if not {"style", "script"} & {tag for tag, _ in self._open}:
            self.words.append(data)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_from_anywhere_is_escaped_and_shown(payload):
    claim = Claim(payload, 0, len(payload))
    evidence = Evidence(Passage("p", payload, title=payload), 0, len(payload), 0.9)
    verdicts = tuple(Verdict(claim, label, 0.5, (evidence,)) for label in LABEL_NAMES)
    report = CheckReport(payload, "faithfulness", payload, 0.5, verdicts, question=payload)
    page = report_page([report], titles=[payload])
    parsed = Page(page)
    assert {tag for tag, _ in parsed.elements} <= TAGS
    assert sum(tag == "script" for tag, _ in parsed.elements) == 1
    assert not any(
        name.startswith("on") or name in ("src", "href") for _, attributes in parsed.elements for name in attributes
    )
    assert parsed.answers == [payload]
    # Title, question, answer, verifier; and of each verdict the claim, the sentence and the title of its passage.
    assert sum(text.count(payload) for text in parsed.words) == 4 + 3 * len(LABEL_NAMES)


def test_nothing_is_loaded_from_elsewhere():
    page = report_page([halluc.check("Town 1 is old.", context="Town 1 is old.", verifier=SharedWords())])
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|<[^>]*\b(?:src|href)=|url\(|@import", page)


def test_an_answer_is_shown_character_by_character_and_every_mark_has_an_entry():
    answer = "Town 1,  a place\twith 2 gates,\n\nis old. Is it so?\n  Town 2 is new; it is small. Sorry."
    report = halluc.check(answer, context="Town 1 is old. Town 2 is new.", verifier=SharedWords())
    parsed = Page(report_page([report, report]))
    assert parsed.answers == [answer, answer]
    marks = [attributes for _, attributes in parsed.elements if "data-claims" in attributes]
    entries = {attributes["id"] for tag, attributes in parsed.elements if tag == "li" and "id" in attributes}
    assert entries == {f"c{number}-{i}" for number in (1, 2) for i in range(len(report.verdicts))}
    assert {name for mark in marks for name in mark["data-claims"].split()} == entries


def test_labels_have_their_names_for_people():
    report = halluc.check("Town 1 is old. Town 2 is old. Ants dance.", context="Town 1 is old.", verifier=SharedWords())
    text = " ".join(" ".join(Page(report_page([report])).words).split())
    assert "3 claims: 1 supported, 1 contradicted, 1 not supported by the evidence." in text
    assert not re.search("refuted|unverified|not_enough|not enough", text)


def test_an_answer_without_claims_has_no_score():
    report = halluc.check("Sorry, I cannot tell.", context="Town 1 is old.", verifier=SharedWords())
    page = report_page([report])
    assert "nothing checked: the answer is an abstention" in page
    assert "<li>Sorry, I cannot tell.</li>" in page
    assert "Claims and evidence as a list" not in page


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    report = halluc.check("Town 1 is old.", context="Town 1 is old.", verifier=SharedWords())
    write_report_page(tmp_path / "page.html", [report])
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_report_page(tmp_path / "nowhere" / "page.html", [report])
    for titles, message in (([], "0 titles for 1 reports"), ("t", "titles is one string"), (["\ud83d"], "lone surrogate")):
        with pytest.raises(InvalidInput, match=message):
            report_page([report], titles=titles)
