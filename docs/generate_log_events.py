"""Write docs/reference/log-events.md from the registry of events; run it with PYTHONPATH=bridge."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from softmesh.log_events import EVENTS, STREAM_ONLY, LogEvent

TARGET = Path(__file__).parent / "reference" / "log-events.md"

INTRODUCTION = """\
# Log events

What `softmesh run` writes to standard error: one event, one line. In the journal and in a pipe a line is a JSON object,
on a terminal it is for people (`log.format`). In the journal it also has the level as its priority, so that
`journalctl -u softmesh -p warning` works. Every line has `timestamp` (UTC), `level` and `event`, and all the keys
listed here, always. Keys and passwords are never logged.

Events of level info and above are what `softmesh events` and the page show, too, whatever `log.level` is; there they
have a sequence number besides, `seq`.

This page is generated from `bridge/softmesh/log_events.py` by `docs/generate_log_events.py`; a test holds every log
call in the source to it.

## A softwire's whole life

What concerns one softwire has its key as `softwire`, as does `id` in `softmesh status --json`:

    journalctl -u softmesh -o cat | jq -c 'select(.softwire == "2001:db8:f::1/ipsec-tunnel-mode")'
    softmesh events --softwire 2001:db8:f::1/ipsec-tunnel-mode

A softwire is told of from when it is first wanted until nothing asks for it: `gone`. One that was never let in
(`pending-key`, `refused`) has no line, for a stranger could fill the log with them; status shows it. From a real run,
`tests/lab/test_events.py`, shortened to what changes:

    wanted      the peer initiates, having the lower endpoint
    connecting  attempt 1 is under way                              (it has waited long enough, and does it itself)
    up
    degraded    no CHILD SA for 10.2.1.0/24 - 10.1.0.0/24; …        (a second prefix, and nobody answers)
    up
    gone                                                            (the peer has withdrawn)

and one of these lines as it is:

    {example}

## Events

"""

EXAMPLE = {
    "timestamp": "2026-11-21T22:54:52.218352Z",
    "level": "info",
    "event": "softwire",
    "softwire": "2001:db8:f::3/ipsec-tunnel-mode",
    "remote": "2001:db8:f::3",
    "type": "IPsec in Tunnel-mode",
    "color": None,
    "state": "up",
    "was": "connecting",
    "reason": "",
    "spi_in": ["6d6dcaab"],
    "spi_out": ["841a37a9"],
}


def page() -> str:
    """Give the whole page."""
    introduction = INTRODUCTION.replace("{example}", json.dumps(EXAMPLE))
    return introduction + _table(EVENTS.items()) + "\n## Only in the stream\n\n" + _table(STREAM_ONLY.items())


def _table(events: Iterable[tuple[str, LogEvent]]) -> str:
    lines = ["| `event` | level | when | keys |", "| --- | --- | --- | --- |"]
    for name, event in events:
        keys = "<br>".join(f"`{key}`: {sentence}" for key, sentence in event.keys.items())
        lines.append(f"| `{name}` | {event.level} | {event.when} | {keys} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
