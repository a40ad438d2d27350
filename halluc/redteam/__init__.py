"""Red teaming: attacks on a model, an endpoint or a grounded model, and how often they succeed.

Five families of attacks, one file of generators each: jailbreak, injection, multilingual, encoding and multi-step. They have
no harmful text of their own: harmful requests come from the rows of benchmarks. `run_attacks` (run.py) runs them. The public
names are listed in `__init__.pyi`, and are loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
