"""Feed every target damaged input for a while: python -m fuzz MINUTES [TARGET…] [--seed N].

The first finding ends the run: it prints the seed, the target and the smallest input found that fails in the same
way, in hex, and the status is 1. ``--input HEX`` feeds one target that input alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from random import Random

from fuzz.finding import Finding, judge, minimised
from fuzz.target import Target

TARGETS = (
    "attribute",
    "communities",
    "exabgp_lines",
    "dialogue",
    "hook_protocol",
    "routes",
    "vici",
    "vici_client",
    "listings",
    "configuration",
    "key_files",
    "saved_files",
    "control_server",
    "control_client",
)
_POOL = 500
_MEMORY_EVERY = 64


def load(name: str) -> Target:
    """The target of a name."""
    target = import_module(f"fuzz.{name}").TARGET
    assert isinstance(target, Target)  # noqa: S101
    return target


def run(
    target: Target, chance: Random, *, until: float = float("inf"), inputs: float = float("inf")
) -> tuple[Counter[str], tuple[bytes, Finding] | None]:
    """Feed a target until a time (monotonic seconds), a number of inputs, or a finding.

    Returns how often each outcome came, and the finding with its input.
    """
    outcomes: Counter[str] = Counter()
    corpus, found = list(target.corpus), list[bytes]()
    while outcomes.total() < inputs and time.monotonic() < until:
        number = outcomes.total()
        # What the encoders wrote comes first, and as it is.
        data = corpus[number] if number < len(corpus) else target.mutate(_chosen(corpus, found, chance), chance)
        outcome = judge(target, data, memory=number % _MEMORY_EVERY == 0)
        if isinstance(outcome, Finding):
            return outcomes, (data, outcome)
        # Damage upon damage reaches further, and what came to something new most of all.
        if (outcome not in outcomes or chance.random() < 0.01) and len(data) < 4096:
            found = [*found, data][-_POOL:]
        outcomes[outcome] += 1
    return outcomes, None


def _chosen(corpus: Sequence[bytes], found: Sequence[bytes], chance: Random) -> bytes:
    return chance.choice(found if found and chance.random() < 0.5 else corpus)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", type=float, help="how long, all targets together")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="to repeat a run")
    parser.add_argument("--input", type=bytes.fromhex, metavar="HEX", help="one input, fed to one target")
    args = parser.parse_args(argv)
    if unknown := set(args.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    names = args.targets or TARGETS
    print(f"seed {args.seed}, {args.minutes:g} minutes", flush=True)
    share = args.minutes * 60 / len(names)
    for name in names:
        target = load(name)
        if args.input is not None:
            one = judge(target, args.input)
            print(f"{name}: {one.told if isinstance(one, Finding) else one}")
            return int(isinstance(one, Finding))
        outcomes, found = run(target, Random(f"{args.seed} {name}"), until=time.monotonic() + share)
        if found is not None:
            data, finding = found
            smallest = minimised(target, data, finding.kind)
            last = judge(target, smallest)
            print(f"{name}: finding after {outcomes.total()} inputs, seed {args.seed}")
            print((last if isinstance(last, Finding) else finding).told)
            print(f"python -m fuzz 0 {name} --input {smallest.hex()}")
            return 1
        shown = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common(4))
        print(f"{name}: {outcomes.total()} inputs, {len(outcomes)} outcomes: {shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
