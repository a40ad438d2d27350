"""What training with factuality costs, what it gains, and what can be gamed. Prints one JSON line per figure.

- `--part speed`: step time of each trainer of this package as a multiple of that of TRL's nearest, PPO's as a multiple of
  GRPO's on equal tokens, the share of an online step that scoring takes, and the memory of a reward model beside its policy
  (training_speed.py). The model is SmolLM2-135M, with LoRA.
- `--part proof`: right, wrong and abstained answers on held-out entities, and side effects, before and after nine ways of
  training (training_proof.py). With `--keep` the same command resumes.
- `--part gaming`: what policies learn from each kind of reward if a verifier judges them (training_gaming.py).

    python benchmarks/training.py --data DATA --part speed
    python benchmarks/training.py --data DATA --part proof --keep PROOF
    python benchmarks/training.py --data DATA --part gaming --keep PROOF
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from training_gaming import gaming
from training_proof import STAGES, WRONG, proof
from training_speed import ONLINE_TRAINERS, PAIR_TRAINERS, grpo_scoring, online_steps, pair_steps, shared_memory

# This script has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

AFTER_SFT = [name for name in STAGES if name != "sft"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--part", choices=["speed", "proof", "gaming"], default="speed")
    parser.add_argument("--rounds", type=int, default=20, help="steps per trainer; 0 for none")
    trainers = [*PAIR_TRAINERS, *ONLINE_TRAINERS, "memory of reward models"]
    parser.add_argument("--trainers", nargs="*", choices=trainers, default=trainers, help="of the part speed")
    parser.add_argument("--steps", type=int, default=8, help="GRPO steps with scoring; 0 for none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the proof")
    parser.add_argument("--cities", type=int, default=170, help="cities in the reward training of the proof")
    parser.add_argument("--stages", nargs="+", choices=AFTER_SFT, default=AFTER_SFT, help="of the proof, after SFT")
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampling in PPO, GRPO and RLOO of the proof")
    parser.add_argument("--wrong", type=float, default=WRONG, help="reward of wrong answers in PPO, GRPO, RLOO of the proof")
    parser.add_argument("--after", choices=["sft", "r-tuning"], default="sft", help="what PPO, GRPO and RLOO continue")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which the proof begins no other stage")
    parser.add_argument("--keep", type=Path, help="folder for models and results, which a second run resumes from")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        if arguments.part == "proof":
            options = {name: getattr(arguments, name) for name in ("stages", "temperature", "wrong", "after", "minutes")}
            proof(arguments.data, folder, arguments.seeds, arguments.cities, **options)
        elif arguments.part == "gaming":
            gaming(folder, arguments.seeds[0], arguments.cities, minutes=arguments.minutes)
        else:
            if arguments.rounds:
                _steps(arguments, Path(temporary))
            if arguments.steps:
                grpo_scoring(arguments.data, Path(temporary), arguments.steps)


def _steps(arguments: argparse.Namespace, folder: Path) -> None:
    pairs, online = ([name for name in names if name in arguments.trainers] for names in (PAIR_TRAINERS, ONLINE_TRAINERS))
    if "memory of reward models" in arguments.trainers:
        shared_memory(folder)
    if pairs:
        pair_steps(arguments.data, folder, arguments.rounds, pairs)
    if online:
        online_steps(arguments.data, folder, arguments.rounds, online)


if __name__ == "__main__":
    main()
