#!/usr/bin/env python3
"""Run scenario programs (one JSON object a line) on CPython's asyncio under a virtual clock and print their traces.

Usage: oracle.py < programs.jsonl > traces.jsonl      (needs CPython 3.13)
The language is described in SCENARIOS.md beside this file. Times are integer microseconds. The trace of a program that
ends in a deadlock goes up to there: what its tasks say when they are then torn down is left out.
"""
import asyncio
import collections
import json
import random
import selectors
import sys


class Deadlock(BaseException):
    pass


class VSelector(selectors.SelectSelector):
    loop = None
    turns = 0

    def select(self, timeout=None):
        self.turns += 1
        if timeout is None or self.turns > 50_000:
            self.loop.stuck()
            raise Deadlock("deadlock" if timeout is None else "runaway")
        if timeout > 0:
            self.loop.vt += timeout
        return []


class AnyOrder(collections.deque):
    """The callbacks that are ready. Within one instant the next one is drawn, at all others they keep their order."""

    def __init__(self, loop, instant, seed):
        super().__init__()
        self.loop, self.instant, self.random = loop, instant, random.Random(seed)

    def popleft(self):
        if int(self.loop.vt) != self.instant:
            return super().popleft()
        place = self.random.randrange(len(self))
        self.rotate(-place)
        drawn = super().popleft()
        self.rotate(place)
        return drawn


class VLoop(asyncio.SelectorEventLoop):
    def __init__(self, stuck, order=None):
        self.vt = 0.0
        self.stuck = stuck
        sel = VSelector()
        super().__init__(sel)
        sel.loop = self
        self._clock_resolution = 0.5
        if order is not None:
            self._ready = AnyOrder(self, *order)

    def time(self):
        return self.vt


class Boom(Exception):
    pass


def show(e):
    if isinstance(e, asyncio.CancelledError):
        return "Cancelled"
    if isinstance(e, BaseExceptionGroup):
        return "Group[" + ",".join(sorted(show(x) for x in e.exceptions)) + "]"
    if isinstance(e, TimeoutError):
        return "Timeout"
    if isinstance(e, Boom):
        return "Boom:" + str(e)
    return type(e).__name__


class Program:
    def __init__(self, prog):
        self.prog = prog
        self.tasks = {}
        self.trace = []
        self.res = {}

    def log(self, who, what):
        self.trace.append([int(asyncio.get_running_loop().time()), who, what])

    def make(self, name, block, create):
        t = create(self.body(name, block), name=name)
        self.tasks[name] = t
        t.add_done_callback(lambda t: self.done(name, t))
        return t

    def done(self, name, t):
        if t.cancelled():
            r = "cancelled"
        elif t.exception() is not None:
            r = "error " + show(t.exception())
        else:
            r = "value " + t.result()
        self.log(name, f"done {r}")

    async def body(self, name, block):
        await self.block(name, block, Frame())
        return "v:" + name

    async def block(self, me, block, f):
        for op in block:
            await self.op(me, op, f)

    def res_get(self, kind, key, make):
        k = (kind, key)
        if k not in self.res:
            self.res[k] = make()
        return self.res[k]

    async def op(self, me, op, f):
        k, *a = op
        log = lambda s: self.log(me, s)
        T = self.tasks
        if k == "log":
            log("log " + a[0])
        elif k == "sleep":
            await asyncio.sleep(a[0])
            log("slept")
        elif k == "spawn":
            self.make(a[0], a[1], asyncio.create_task)
            log("spawn " + a[0])
        elif k in ("cancel", "uncancel", "cancelling", "join", "shield") and a[0] not in T:
            log(f"{k} {a[0]} missing")
        elif k == "cancel":
            log(f"cancel {a[0]} {str(T[a[0]].cancel()).lower()}")
        elif k == "uncancel":
            log(f"uncancel {a[0]} {T[a[0]].uncancel()}")
        elif k == "cancelling":
            log(f"cancelling {a[0]} {T[a[0]].cancelling()}")
        elif k == "join":
            log(f"join {a[0]} {await T[a[0]]}")
        elif k == "shield":
            log(f"shield {a[0]} {await asyncio.shield(T[a[0]])}")
        elif k == "timeout":
            loop = asyncio.get_running_loop()
            async with asyncio.timeout_at(None if a[0] is None else loop.time() + a[0]) as cm:
                await self.block(me, a[1], Frame(cm, f.group))
            log(f"timeout expired={str(cm.expired()).lower()}")
        elif k == "resched":
            if f.timeout is not None:
                try:
                    f.timeout.reschedule(None if a[0] is None else asyncio.get_running_loop().time() + a[0])
                    log("resched")
                except RuntimeError:
                    log("resched refused")
        elif k == "group":
            async with asyncio.TaskGroup() as tg:
                await self.block(me, a[0], Frame(f.timeout, tg))
            log("group ok")
        elif k == "gspawn":
            if f.group is None:
                return
            coro = None
            try:
                self.make(a[0], a[1], f.group.create_task)
                log("gspawn " + a[0])
            except RuntimeError:
                log(f"gspawn {a[0]} refused")
        elif k == "gather":
            ts = [T[x] for x in a[0] if x in T]
            r = await asyncio.gather(*ts, return_exceptions=a[1])
            log("gather " + ",".join(show(x) if isinstance(x, BaseException) else x for x in r))
        elif k == "wait":
            ts = [T[x] for x in a[0] if x in T]
            if ts:
                d, p = await asyncio.wait(ts, timeout=a[2], return_when=a[1])
                log("wait done=" + ",".join(sorted(t.get_name() for t in d)) + " pending=" + ",".join(sorted(t.get_name() for t in p)))
        elif k == "wait_for":
            if isinstance(a[1], str):
                if a[1] in T:
                    log(f"wait_for {await asyncio.wait_for(T[a[1]], a[0])}")
            else:
                await asyncio.wait_for(self.block(me, a[1], Frame()), a[0])
                log("wait_for ok")
        elif k == "as_completed":
            ts = [T[x] for x in a[0] if x in T and not T[x].done()]  # what is done already comes in no set order
            for fut in asyncio.as_completed(ts, timeout=a[1]):
                try:
                    log("completed " + await fut)
                except (Boom, BaseExceptionGroup) as e:
                    log("completed " + show(e))
        elif k == "try":
            h = a[1]
            try:
                await self.block(me, a[0], f)
            except asyncio.CancelledError:
                if "cancelled" not in h:
                    raise
                log("caught Cancelled")
                await self.block(me, h["cancelled"][0], f)
                act = h["cancelled"][1]
                if act == "raise":
                    raise
                if act == "uncancel":
                    log(f"uncancel {me} {asyncio.current_task().uncancel()}")
            except Exception as e:
                if "error" not in h:
                    raise
                log("caught " + show(e))
                await self.block(me, h["error"][0], f)
                if h["error"][1] == "raise":
                    raise
            finally:
                if "finally" in h:
                    log("finally")
                    await self.block(me, h["finally"], f)
        elif k == "fail":
            raise Boom(a[0])
        elif k == "evt_wait":
            await self.res_get("evt", a[0], asyncio.Event).wait()
            log("evt " + a[0])
        elif k == "evt_set":
            self.res_get("evt", a[0], asyncio.Event).set()
        elif k == "evt_clear":
            self.res_get("evt", a[0], asyncio.Event).clear()
        elif k == "lock":
            async with self.res_get("lock", a[0], asyncio.Lock):
                log("locked " + a[0])
                await self.block(me, a[1], f)
            log("unlocked " + a[0])
        elif k == "sem":
            async with self.res_get("sem", a[0], lambda: asyncio.Semaphore(a[1])):
                log("acquired " + a[0])
                await self.block(me, a[2], f)
            log("released " + a[0])
        elif k == "qput":
            q = self.res_get("queue", a[0], lambda: asyncio.Queue(a[1]))
            await q.put(a[2])
            log(f"put {a[2]}")
        elif k == "qget":
            q = self.res_get("queue", a[0], lambda: asyncio.Queue(a[1]))
            log(f"got {await q.get()}")
        else:
            raise ValueError(k)

    def run(self, order=None):
        """Runs the program; `order`: an instant, and the seed of the order of what is ready within it."""
        async def root():
            self.make("main", self.prog["main"], asyncio.create_task)
            while left := [t for t in self.tasks.values() if not t.done()]:
                await asyncio.wait(left)

        told = []

        def stuck():
            told.append(len(self.trace))

        outcome = "ok"
        try:
            with asyncio.Runner(loop_factory=lambda: VLoop(stuck, order)) as r:
                r.get_loop().set_exception_handler(lambda *_: None)
                r.run(root())
        except Deadlock as e:
            outcome = str(e)
        except RecursionError:
            outcome = "recursion"
        trace = self.trace[: told[0]] if told else self.trace
        return {"id": self.prog.get("id"), "outcome": outcome, "trace": trace}


class Frame:
    """What is lexically around a block: the innermost timeout and the innermost group."""

    def __init__(self, timeout=None, group=None):
        self.timeout, self.group = timeout, group


if __name__ == "__main__":
    sys.unraisablehook = lambda *_: None
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(Program(json.loads(line)).run()))
