"""Spans of OpenTelemetry, as its own exporter in memory gets them."""

import subprocess
import sys
import time

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("opentelemetry.sdk", reason="the extra telemetry is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from served import Served

from halluc import GroundedModel, check, load_verifier
from halluc.server import create_app
from retrieval import Passage, PassageIndex

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def provider():
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def spans(provider):
    """Gives the spans since the test began, once one of a name is among them, and forgets them."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def finished(name=None):
        # The span of a request ends after its reply was sent.
        deadline = time.monotonic() + 20
        while name is not None and name not in {span.name for span in exporter.get_finished_spans()}:
            assert time.monotonic() < deadline, f"no span {name!r} ended"
            time.sleep(0.01)
        ended = exporter.get_finished_spans()
        exporter.clear()
        return ended

    yield finished
    exporter.shutdown()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    passages = [Passage("zebra", "Zebras graze on the savannah of Kenya."), Passage("rose", "Roses grow in Kent.")]
    return PassageIndex.build(tmp_path_factory.mktemp("traced") / "x.index", passages)[0]


def test_a_search_a_check_and_a_generation_have_spans_without_texts(spans, lm, index):
    index.search("Where do zebras graze?", 2, "dense")
    (search,) = spans()
    assert search.name == "retrieval"
    assert dict(search.attributes) == {"retrieval.mode": "dense", "retrieval.k": 2, "retrieval.queries": 1}
    check("Zebras graze in Kenya.", index=index)
    search, verification = spans()
    assert (search.name, verification.name) == ("retrieval", "verification")
    assert dict(verification.attributes) == {"verification.verifier": "halluc-minilm", "verification.claims": 1}
    ((generation,),) = lm.generate(["Say yes."], max_new_tokens=3)
    (span,) = spans()
    assert (span.name, span.attributes["gen_ai.request.model"]) == (f"chat {lm.name}", lm.name)
    assert span.attributes["gen_ai.usage.output_tokens"] == len(generation.token_logprobs)


def test_an_error_is_recorded_in_its_span(spans, lm):
    with pytest.raises(Exception, match="shorten the prompt"):
        lm.generate(["word " * 3000], max_new_tokens=8000)
    (span,) = spans()
    assert span.status.status_code.name == "ERROR"


def test_all_work_for_a_request_to_the_server_is_in_its_trace(spans, lm, index):
    verifier = load_verifier()
    app = create_app(lm, grounded=GroundedModel(lm, index, verifier=verifier), verifier=verifier)
    served = Served(app)
    try:
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        question = {"messages": [{"role": "user", "content": "Where do zebras graze?"}], "max_tokens": 12}
        assert served.chat(question, headers=headers).status_code == 200
        chat = spans("POST /v1/chat/completions")
        body = {"answer": "Zebras graze.", "context": "Zebras graze in Kenya."}
        assert served.post("/check", body, headers=headers).status_code == 200
        checked = spans("POST /check")
    finally:
        served.stop()
    assert {f"{span.context.trace_id:032x}" for span in [*chat, *checked]} == {TRACE}
    assert {"retrieval", f"chat {lm.name}", "verification"} <= {span.name for span in chat}
    assert "verification" in {span.name for span in checked}
    said = " ".join(str(value) for span in [*chat, *checked] for value in span.attributes.values())
    assert "ebras" not in said


def test_a_process_without_opentelemetry_does_not_import_it():
    code = (
        "import sys, halluc, retrieval\n"
        "from retrieval.tracing import span, start_span\n"
        "with span('x', {}) as current: assert current is None\n"
        "assert start_span('x', {}) is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
