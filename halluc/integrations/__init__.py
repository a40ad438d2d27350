"""Adapters to other libraries and protocols: each module needs the extra of its name.

`mcp` serves tools to language models, `langchain`, `llama_index` and `haystack` are components of these frameworks, `pandas`
checks the rows of a data frame, and `pytest_plugin` asserts in tests. Import the module that you need; this package imports
none of them. Not covered: the HTTP server (halluc.server) and training with TRL (training).
"""
