"""An HTTP server that speaks the OpenAI protocol and adds halluc's verdicts to each reply.

Needs the extra `serve`. Not covered: the command that starts it (cli/serve.py).
"""

from halluc.server.app import create_app

__all__ = ["create_app"]
