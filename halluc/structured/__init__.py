"""Read tables, objects and lists of keys with values in texts: `readable` writes them as sentences.

Not covered: whole files in such formats, which the document loaders of `retrieval` read.
"""

from halluc.structured.record import Block, Field, Record
from halluc.structured.statements import readable, sentences, structured_blocks

__all__ = ["Block", "Field", "Record", "readable", "sentences", "structured_blocks"]
