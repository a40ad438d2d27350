"""Retrieval-augmented answering: a language model that answers from the passages of an index."""
