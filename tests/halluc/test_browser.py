"""The page at /, used in headless Chromium: by mouse, by keyboard alone, with texts that try to be markup, with a key."""

import shutil

import pytest
from served import ScriptedModel, Served
from stand_in_verifiers import SharedWords

from halluc import GroundedModel
from halluc.server import ServerOptions, create_app
from retrieval import Passage, PassageIndex

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

PAYLOAD = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
PASSAGES = [
    Passage("fleming", "Alexander Fleming discovered penicillin in 1928. He worked in London.", f"Penicillin {PAYLOAD}"),
    Passage("curie", f"Marie Curie was born in Warsaw. {PAYLOAD}", "Curie"),
]
ANSWER = "😀 Alexander Fleming discovered penicillin in 1928. He worked in London in 1950. Dogs like cats."


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1000, "height": 800})
    opened.set_default_timeout(60_000)
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("console", lambda line: line.type == "error" and opened.faults.append(line.text))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = PassageIndex.create(tmp_path_factory.mktemp("browser") / "x.index")
    made.add(PASSAGES)
    return made


@pytest.fixture
def serve(index):
    servers = []

    def start(text=ANSWER, **options):
        model = ScriptedModel(text, pause=options.pop("pause", 0.0))
        grounded = GroundedModel(model, index, verifier=SharedWords(), max_new_tokens=48)
        app = create_app(model, grounded=grounded, verifier=grounded.verifier, options=ServerOptions(**options))
        servers.append(Served(app))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def ask(page, question):
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_selector("#status >> text=/^Answer: /", state="attached")


def test_an_answer_has_its_sentences_marked_and_a_citation_opens_the_passage(page, serve):
    page.goto(serve().url)
    page.wait_for_selector("#question:focus")
    ask(page, "Who discovered penicillin?")
    marks = [(mark.inner_text(), mark.get_attribute("class")) for mark in page.query_selector_all(".answer .mark")]
    assert marks == [
        ("😀 Alexander Fleming discovered penicillin in 1928.", "mark supported"),
        ("He worked in London in 1950.", "mark refuted"),
        ("Dogs like cats.", "mark not_enough_info"),
    ]
    assert page.get_by_role("button", name="He worked in London in 1950. (contradicted)").is_visible()
    assert "3 claims checked, 1 contradicted, 1 not supported." in page.inner_text("#status")
    assert "Confidence" in page.inner_text("#log")
    page.click(".answer .cite >> nth=0")
    page.wait_for_selector(".passage")
    assert page.inner_text(".passage") == PASSAGES[0].text
    assert page.inner_text(".passage .quoted") == "Alexander Fleming discovered penicillin in 1928."
    page.keyboard.press("Escape")
    assert not page.is_visible("#dialog")
    assert page.faults == []


def test_everything_works_by_keyboard_alone(page, serve, tmp_path):
    page.goto(serve(uploads=tmp_path / "uploads").url)
    page.wait_for_selector("#question:focus")
    page.keyboard.type("Who discovered penicillin?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer .mark")
    assert page.evaluate("document.activeElement.id") == "question"
    page.focus(".answer .mark.refuted")
    page.keyboard.press("Enter")
    assert "contradicted" in page.inner_text("#dialog")
    assert page.evaluate("document.activeElement.id") == "dialog-title"
    page.keyboard.press("Escape")
    assert "refuted" in page.evaluate("document.activeElement.className")
    page.focus("#tab-ask")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#check")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#documents")
    assert page.evaluate("document.activeElement.id") == "tab-documents"
    page.keyboard.press("Home")
    assert page.is_visible("#ask")
    assert not page.is_visible("#documents")


def test_every_control_has_a_name_and_there_is_one_heading_per_part(page, serve, tmp_path):
    page.goto(serve(uploads=tmp_path / "uploads").url)
    page.wait_for_selector("#question:focus")
    ask(page, "Who discovered penicillin?")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, textarea, input, select, [role=button]')]
        .filter((node) => !node.ariaLabel && !node.textContent.trim() && !(node.labels && node.labels.length))
        .map((node) => node.outerHTML)"""
    )
    assert unnamed == []
    for tab in ("check", "documents", "ask"):
        page.click(f"#tab-{tab}")
        assert page.get_attribute(f"#tab-{tab}", "aria-selected") == "true"
        assert page.get_attribute(f"#{tab}", "aria-labelledby") == f"tab-{tab}"
    assert page.inner_text("h1") == "halluc"


@pytest.mark.parametrize("width", [320, 1400])
def test_nothing_is_wider_than_the_window(page, serve, tmp_path, width):
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(serve("Penicillin" * 60, uploads=tmp_path / "uploads").url)
    page.wait_for_selector("#question:focus")
    ask(page, "Who discovered penicillin?")
    for tab in ("ask", "check", "documents"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_texts_that_try_to_be_markup_are_shown_as_text(page, serve, tmp_path):
    page.goto(serve(f"Marie Curie was born in Warsaw. {PAYLOAD}", uploads=tmp_path / "uploads").url)
    page.wait_for_selector("#question:focus")
    ask(page, f"Where was Marie Curie born? {PAYLOAD}")
    assert PAYLOAD in page.inner_text("#log h2")
    assert PAYLOAD in page.inner_text("#log .answer")
    page.click(".sources .cite >> nth=0")
    page.wait_for_selector(".passage")
    assert PAYLOAD in page.inner_text("#dialog")
    page.keyboard.press("Escape")
    page.click("#tab-check")
    page.fill("#checked", PAYLOAD)
    page.fill("#against", PAYLOAD)
    page.click("#check-button")
    page.wait_for_selector("#report article")
    assert page.query_selector("main img, main script, dialog img") is None
    assert page.title() == "halluc"


def test_the_policy_allows_neither_other_scripts_nor_other_hosts(page, serve):
    served = serve()
    page.goto(served.url)
    page.wait_for_selector("#question:focus")
    policy = served.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)") == "TypeError"
    assert any("connect-src" in fault for fault in page.faults)
    refused = (
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'inserted'; } catch (error) { return error.name; } }"
    )
    assert page.evaluate(refused) == "TypeError"


def test_a_pasted_answer_is_checked_against_a_pasted_text(page, serve):
    page.goto(serve().url)
    page.click("#tab-check")
    page.fill("#checked", "The Elbe is long. The Elbe is 9 kilometres long.")
    page.fill("#against", "😀 Facts. The Elbe is long. It is 1094 kilometres long.")
    page.click("#check-button")
    page.wait_for_selector("#report article")
    classes = [mark.get_attribute("class") for mark in page.query_selector_all("#report .answer .mark")]
    assert classes == ["mark supported", "mark refuted"]
    page.click("#report .mark.supported")
    page.click("#dialog .cite")
    assert page.inner_text(".passage .quoted") == "The Elbe is long."
    assert page.inner_text("#dialog-title") == "Your text"


def test_documents_are_uploaded_replaced_after_a_question_and_removed(page, serve, tmp_path):
    page.goto(serve("The Elbe is long.", uploads=tmp_path / "uploads").url)
    page.click("#tab-documents")
    page.wait_for_selector("#counts >> text=/^2 passages/")
    upload = {"name": "elbe.md", "mimeType": "text/markdown", "buffer": b"The Elbe is long."}
    page.set_input_files("#files", [upload, {**upload, "name": "tool.exe"}])
    page.wait_for_selector("#uploaded >> text=elbe.md")
    assert "1 passage indexed" in page.inner_text("#uploads li >> nth=0")
    assert "no type that can be read" in page.inner_text("#uploads li >> nth=1")
    page.set_input_files("#files", [{**upload, "buffer": b"The Elbe is very long."}])
    page.click("text=Replace it")
    page.wait_for_selector("text=elbe.md: replaced; 1 passage indexed")
    page.click("#tab-ask")
    ask(page, "How long is the Elbe?")
    assert page.query_selector(".answer .mark.supported") is not None
    page.click("#tab-documents")
    page.get_by_role("button", name="Remove elbe.md").click()
    page.click("text=Remove it")
    page.wait_for_selector("#stored", state="hidden")
    page.wait_for_selector("#counts >> text=/^2 passages/")


def test_a_key_is_asked_for_and_kept_while_the_tab_is_open(page, serve):
    page.goto(serve(api_key="s3cret").url)
    page.wait_for_selector("#key:focus")
    assert not page.is_visible("#tool")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=the API key is wrong")
    page.fill("#key", "s3cret")
    page.keyboard.press("Enter")
    page.wait_for_selector("#question:focus")
    ask(page, "Who discovered penicillin?")
    page.reload()
    page.wait_for_selector("#question:focus")


def test_an_abstention_says_so_and_a_running_answer_can_be_stopped(page, serve):
    served = serve("one two three " * 15, pause=0.3)
    page.goto(served.url)
    page.wait_for_selector("#question:focus")
    page.fill("#question", "Which chord follows a dominant seventh?")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=I could not find this in the documents.")
    page.click("#new-button")
    page.fill("#question", "Who discovered penicillin?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer >> text=one two")
    page.click("#stop-button")
    page.wait_for_selector("text=Stopped. The text was not checked.")
    assert not page.is_visible("#stop-button")


def test_a_server_that_is_gone_is_said(page, serve):
    served = serve()
    page.goto(served.url)
    page.wait_for_selector("#question:focus")
    page.route("**/v1/**", lambda route: route.abort())
    page.fill("#question", "Who discovered penicillin?")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The server cannot be reached.")
    assert page.input_value("#question") == "Who discovered penicillin?"
