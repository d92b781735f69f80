#!/usr/bin/env python3
"""explain.py PROGRAMS EXPECTED ACTUAL SCENARIO: why the programs on which asyncio and the runtime differ do so.

asyncio runs what is ready within one instant turn by turn; the runtime keeps its rules, but not the number of its turns.
So what happens within one instant may come in another order, and everything after that may be different. For each program
that differs this prints the first event that does, with the instants of both sides, and looks for a proof that the order
within that instant is all there is to it:

- asyncio itself, run again and again, does what the runtime did (it keeps tasks in sets, whose order is not fixed); or
- asyncio does what the runtime did when the callbacks that are ready in that one instant are drawn in another order; or
- SCENARIO (the built example) does what asyncio did, in one of its other orders (`--seed`).

Ends with failure if there is a program without a proof."""
import json
import subprocess
import sys

sys.dont_write_bytecode = True

import compare
import oracle

ORDERS = 3000


def first_difference(want, got):
    """The instant of the first event that one side has and the other has not, the task, and both sides' events."""
    w, g = compare.per_task(want["trace"]), compare.per_task(got["trace"])
    found = []
    for task in w.keys() | g.keys():
        a, b = w.get(task, []), g.get(task, [])
        place = next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        here = [events[place] if place < len(events) else None for events in (a, b)]
        times = [event[0] for event in here if event is not None]
        if times and (want["outcome"] == "ok" or here[0] is not None):
            found.append((min(times), task, *here))
    return min(found, key=lambda one: one[:2], default=(0, "nobody", None, None))


def alike(got, run):
    """Is a run of the oracle what the runtime did?"""
    return run["outcome"] == got["outcome"] and compare.agree(run, got)


def proof(program, want, got, instant, scenario):
    for n in range(50):
        if alike(got, oracle.Program(program).run()):
            return f"asyncio differs from itself (run {n + 1})"
    for seed in range(ORDERS):
        if alike(got, oracle.Program(program).run((instant, seed))):
            return f"asyncio does it, too, in another order at {instant} (seed {seed})"
    line = json.dumps(program) + "\n"
    for seed in range(1, ORDERS):
        run = subprocess.run([scenario, "--seed", str(seed)], input=line, capture_output=True, text=True, check=True)
        if compare.agree(want, json.loads(run.stdout)):
            return f"the runtime does what asyncio did in another order (seed {seed})"
    return None


def main():
    programs, want, got = map(compare.load, sys.argv[1:4])
    sys.unraisablehook = lambda *_: None
    unexplained = 0
    for i, w in want.items():
        if w["outcome"] not in ("ok", "deadlock") or compare.agree(w, got[i]):
            continue
        instant, task, *events = first_difference(w, got[i])
        why = proof(programs[i], w, got[i], instant, sys.argv[4])
        unexplained += why is None
        ends = "" if w["outcome"] == got[i]["outcome"] else f", ends {w['outcome']} and {got[i]['outcome']}"
        print(f"{i}: at {instant} {task}: {events[0]} and {events[1]}{ends}: {why or 'UNEXPLAINED'}")
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
