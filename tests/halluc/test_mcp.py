"""`halluc mcp` with the client of the official library: in this process, and as a process of its own."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from mcp import StdioServerParameters
from mcp.client import Client

from halluc import GroundedModel, load_verifier
from halluc.integrations.mcp import create_mcp_server
from retrieval import Passage, PassageIndex

HALLUC = str(Path(sys.executable).with_name("halluc"))
CONTEXT = "The Panthers defense gave up just 308 points. It led the league in interceptions with 24."


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mcp") / "x.index"
    passages = [
        Passage("panthers", CONTEXT, "Super Bowl 50", source="bowl.txt"),
        Passage("zebra", "Zebras graze on the savannah of Kenya.", "Zebra"),
    ]
    return PassageIndex.build(folder, passages)[0]


def with_client(server, *calls):
    async def run():
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(run())


def test_without_an_index_there_is_only_check():
    tools, _ = with_client(create_mcp_server(verifier=load_verifier()))
    assert [tool.name for tool in tools] == ["check"]
    assert "context" in tools[0].input_schema["properties"]
    assert tools[0].input_schema["required"] == ["answer"]
    assert tools[0].annotations.read_only_hint


def test_an_answer_is_checked_against_a_context_and_against_the_index(index):
    server = create_mcp_server(verifier=load_verifier(), index=index)
    answer = "The Panthers defense gave up 300 points."
    _, (faithful, factual, several) = with_client(
        server,
        ("check", {"answer": answer, "context": CONTEXT}),
        ("check", {"answer": answer}),
        ("check", {"answer": answer, "context": ["Zebras graze.", CONTEXT]}),
    )
    for result, mode, source in (
        (faithful, "faithfulness", "context"),
        (factual, "factual support", "Super Bowl 50"),
        (several, "faithfulness", "context 2"),
    ):
        assert not result.is_error
        report = result.structured_content
        assert report["mode"] == mode
        (claim,) = report["claims"]
        assert claim["label"] == "refuted"
        assert 0 <= claim["support"] < 0.5
        assert claim["evidence"][0]["source"] == source
        assert "308 points" in claim["evidence"][0]["text"]


def test_the_index_is_searched_also_for_what_was_added_since(index):
    server = create_mcp_server(verifier=load_verifier(), index=index)
    PassageIndex.open(index.path).add([Passage("yak", "Yaks live in the mountains of Tibet.", "Yak")])
    _, (result,) = with_client(server, ("search", {"query": "Where do yaks live?", "k": 1}))
    (passage,) = result.structured_content["passages"]
    assert (passage["id"], passage["title"]) == ("yak", "Yak")


def test_a_question_is_answered_with_citations(lm, index):
    grounded = GroundedModel(lm, index, verifier=load_verifier())
    tools, (answer, nothing) = with_client(
        create_mcp_server(verifier=load_verifier(), index=index, grounded=grounded),
        ("ask", {"question": "How many points did the Panthers defense give up?"}),
        ("ask", {"question": "What is the best way to cook risotto?"}),
    )
    assert [tool.name for tool in tools] == ["check", "search", "ask"]
    assert "308" in answer.structured_content["text"]
    assert answer.structured_content["citations"][0]["passage_id"] == "panthers"
    assert nothing.structured_content["abstained"]
    assert nothing.structured_content["reason"]


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("check", {"answer": " ", "context": "x"}, "answer is empty"),
        ("check", {"answer": "Zebras graze."}, "neither a context nor an index"),
        ("check", {"context": "x"}, "answer"),
        ("ask", {"question": "why?"}, "ask"),
    ],
)
def test_bad_calls_are_answered_with_a_sentence(tool, arguments, message):
    _, (result,) = with_client(create_mcp_server(verifier=load_verifier()), (tool, arguments))
    assert result.is_error
    assert message in result.content[0].text
    assert "Traceback" not in result.content[0].text


def test_the_command_serves_a_client_on_standard_input_and_output(index):
    environment = {name: os.environ[name] for name in ("PYTHONPATH", "HALLUC_HOME", "OMP_NUM_THREADS") if name in os.environ}
    server = StdioServerParameters(
        command=HALLUC, args=["mcp", "--index", str(index.path), "--no-ask"], env={**environment, "HF_HUB_OFFLINE": "1"}
    )
    tools, (result,) = with_client(server, ("check", {"answer": "Zebras graze in Kenya.", "context": "Zebras graze."}))
    assert [tool.name for tool in tools] == ["check", "search"]
    assert json.loads(result.content[0].text)["claims"][0]["claim"] == "Zebras graze in Kenya."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--index", "nowhere.index"), "no index at nowhere.index"), (("--verifier", " "), "the verifier is ' '")],
)
def test_what_cannot_be_served_is_named_before_the_server_starts(halluc, arguments, message):
    code, out, err = halluc("mcp", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_missing_extra_is_named(halluc, monkeypatch):
    monkeypatch.delitem(sys.modules, "halluc.integrations.mcp", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    code, out, err = halluc("mcp")
    assert (code, out) == (2, "")
    assert "install it with pip install 'halluc[mcp]'" in err
    assert err.count("\n") == 1
