"""The `halluc` command in a process that dies while it trains."""

# The command, in a process that is killed while it writes a checkpoint: the weights are there and the rest is not.
KILLED_WHILE_WRITING = """
import os, signal
from transformers import Trainer
from halluc.cli.main import main
def kill(trainer, folder):
    if trainer.state.global_step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    save(trainer, folder)
save, Trainer._save_rng_state = Trainer._save_rng_state, kill
main()
"""
