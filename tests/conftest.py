"""The real language model shared by all tests, and settings of hypothesis.

The default model is fetched and converted once, and comes from the cache afterwards.
"""

import pytest
from hypothesis import settings

# Two processes share two cores, and coverage slows Python down: how long an example takes says nothing about the code.
settings.register_profile("halluc", deadline=None)
settings.load_profile("halluc")


@pytest.fixture(scope="session")
def lm():
    from halluc import load_model

    return load_model("default")


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
