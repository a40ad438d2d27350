"""Several endpoints as one model: shared work, and failures that others make good."""

import time
from collections import Counter

import pytest
from test_endpoint import Server, completion, delta, error, events

from halluc import load_model
from halluc.errors import ContextOverflow, HallucError, InvalidInput, ModelUnavailable
from halluc.models.balanced_endpoints import BalancedEndpoints, endpoint_specs
from halluc.models.endpoint import EndpointModel
from halluc.models.language_model import LanguageModel


@pytest.fixture
def servers(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    running = [Server(), Server()]
    for number, server in enumerate(running):
        server.behavior = lambda body, number=number: (200, completion(f"{body['messages'][-1]['content']} by {number}"))
    yield running
    for server in running:
        server.close()


def balanced(servers, **options):
    return BalancedEndpoints([f"{server.url}#tiny" for server in servers], **{"timeout": 5.0, "max_retries": 0, **options})


def texts(results):
    return [generations[0].text for generations in results]


def test_load_model_takes_several_urls(servers):
    name = ",".join(f"{server.url}#tiny" for server in servers)
    with load_model(name, timeout=5) as model:
        assert isinstance(model, BalancedEndpoints)
        assert isinstance(model, LanguageModel)
        assert model.name == name
    assert endpoint_specs("http://a/v1#org/m,x, http://b/v1#m") == ["http://a/v1#org/m,x", "http://b/v1#m"]
    assert isinstance(load_model(f"{servers[0].url}#a,b"), EndpointModel)


def test_prompts_are_shared_evenly_and_results_keep_their_order(servers):
    for number, server in enumerate(servers):

        def slow(body, number=number):
            time.sleep(0.02)
            return 200, completion(f"{body['messages'][-1]['content']} by {number}")

        server.behavior = slow
    with balanced(servers, max_concurrency=2) as model:
        results = texts(model.generate([f"prompt {n}" for n in range(24)]))
    assert [text.split(" by ")[0] for text in results] == [f"prompt {n}" for n in range(24)]
    counts = Counter(text[-1] for text in results)
    assert min(counts.values()) >= 8
    assert max(server.most_at_once for server in servers) <= 2


def test_a_slow_endpoint_gets_fewer_prompts(servers):
    def slow(body):
        time.sleep(0.25)
        return 200, completion("by 0")

    servers[0].behavior = slow
    with balanced(servers, max_concurrency=1) as model:
        counts = Counter(text[-1] for text in texts(model.generate(["prompt"] * 20)))
    assert counts["0"] < counts["1"]


def test_the_seed_of_a_sample_does_not_depend_on_the_endpoint(servers):
    for server in servers:
        server.behavior = lambda body: (200, completion(*[f"{body['seed']}"] * body.get("n", 1)))
    prompts = ["a", "b", "c"]
    with balanced(servers) as model, servers[0].model() as single:
        expected = texts(single.generate(prompts, n=2, temperature=1.0, seed=5))
        assert texts(model.generate(prompts, n=2, temperature=1.0, seed=5)) == expected == ["5", "7", "9"]
        assert texts(model.generate(prompts, seed=5)) == texts(single.generate(prompts, seed=5))


def test_the_prompts_of_a_failing_endpoint_go_to_the_other_and_it_is_left_alone(servers, monkeypatch):
    monkeypatch.setattr("halluc.models.balanced_endpoints._FIRST_PAUSE", 0.5)
    works = servers[0].behavior
    servers[0].behavior = lambda _body: error(503, "overloaded")
    with balanced(servers, max_concurrency=1) as model:
        assert texts(model.generate(["prompt"] * 6)) == ["prompt by 1"] * 6
        failed = len(servers[0].requests)
        assert failed < 6
        assert texts(model.generate(["prompt"] * 6)) == ["prompt by 1"] * 6
        assert len(servers[0].requests) <= failed + 1
        servers[0].behavior = works
        deadline = time.monotonic() + 20
        while "prompt by 0" not in texts(model.generate(["prompt"] * 4)):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_an_endpoint_that_is_down_from_the_start_is_no_failure(servers):
    servers[0].close()
    try:
        with balanced(servers) as model:
            assert texts(model.generate(["a", "b"])) == ["a by 1", "b by 1"]
    finally:
        servers[0] = Server()


def test_when_all_fail_each_is_named(servers):
    for server in servers:
        server.behavior = lambda _body: error(503, "overloaded")
    with balanced(servers) as model, pytest.raises(ModelUnavailable, match="none of 2 endpoints is available") as raised:
        model.generate(["a"])
    assert all(server.url in str(raised.value) for server in servers)


def test_what_another_endpoint_would_refuse_too_is_not_sent_there(servers):
    servers[0].behavior = servers[1].behavior = lambda _body: error(400, "maximum context length is 8 tokens")
    with balanced(servers) as model:
        with pytest.raises(ContextOverflow):
            model.generate(["a"])
        assert sum(len(server.requests) for server in servers) == 1
        with pytest.raises(InvalidInput, match="max_new_tokens"):
            model.generate(["a"], max_new_tokens=0)
        with pytest.raises(InvalidInput, match="max_new_tokens"):
            model.stream("a", max_new_tokens=0)
    assert sum(len(server.requests) for server in servers) == 1
    with pytest.raises(InvalidInput, match="closed"):
        model.generate(["a"])


def test_a_stream_comes_from_another_endpoint_if_the_first_fails_before_it_begins(servers):
    servers[0].behavior = lambda _body: error(503, "overloaded")
    servers[1].behavior = lambda _body: events(delta("one "), delta("two", "stop"))
    with balanced(servers) as model:
        for _ in range(3):
            *pieces, generation = model.stream("a")
            assert "".join(pieces) == generation.text == "one two"


def test_a_stream_that_is_interrupted_does_not_begin_again_elsewhere(servers):
    for server in servers:
        server.behavior = lambda _body: events(delta("one "), end=b"")
    with balanced(servers) as model:
        pieces = model.stream("a")
        assert next(pieces) == "one "
        with pytest.raises(HallucError, match="interrupted its stream"):
            list(pieces)
    assert sum(len(server.requests) for server in servers) == 1


@pytest.mark.parametrize("specs", [["http://a/v1#m"], ["http://a/v1#m", "http://a/v1#m"]])
def test_too_few_endpoints_are_refused(specs):
    with pytest.raises(InvalidInput, match="name at least two, each once"):
        BalancedEndpoints(specs)
