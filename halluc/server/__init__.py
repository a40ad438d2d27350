"""An HTTP server that speaks the OpenAI protocol, with halluc's verdicts beside each reply.

Needs the extra `serve`. Not here: the command that starts it (cli/serve.py).
"""

from halluc.server.app import create_app

__all__ = ["create_app"]
