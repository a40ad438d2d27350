"""Real models shared by all tests; the default language model is pulled once and then comes from the cache."""

import pytest


@pytest.fixture(scope="session")
def lm():
    from halluc import load_model

    return load_model("default")
