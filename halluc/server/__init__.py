"""An HTTP server that speaks the OpenAI protocol and adds halluc's verdicts to each reply.

Needs the extra `serve`. Not covered: the command that starts it (cli/serve.py).
"""

from halluc.server.app import create_app
from halluc.server.connections import run_server
from halluc.server.options import ServerOptions, Wording
from halluc.server.proxy import create_proxy

__all__ = ["ServerOptions", "Wording", "create_app", "create_proxy", "run_server"]
