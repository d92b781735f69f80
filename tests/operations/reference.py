#!/usr/bin/env python3
"""Does CPython's asyncio come to what the model of tests/operations comes to?

Usage: reference.py SEQUENCES      (needs CPython 3.13; `.ci/operations` makes the file)

Each line has a number, the bytes of a sequence in hex, and what the model says is there after each
deed. The bytes are read as in program.rs; the programs are run by asyncio's own tasks, groups,
timeouts, queues and semaphores, under a virtual clock. Only the semaphore that gives several
permits in one is not asyncio's: it is written as that one is, with counts.
"""
import asyncio
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/../conformance")

from oracle import VLoop

PROMISES, ROOM, PERMITS, TICK = 4, [1, 0], [2, 3], 1 << 20


# program.rs, `THEMES`.
THEMES = [
    ([*range(14)], [*range(14, 24)]),
    ([0, 1, 1, 1, 7, 11], [14, 17, 19, 22, 22, 22, 22, 23]),
    ([0, 1, 1, 4, 7, 8, 9, 11], [14, 17, 18, 19, 20, 20, 21, 21, 21, 23]),
    ([1, 5, 5, 6, 6, 7], [14, 16, 19, 20, 21]),
    ([1, 3, 3, 4, 4, 7, 8, 9, 10], [14, 16, 17, 18, 19, 23]),
]


class Bytes:
    """program.rs, `Bytes`: any bytes are a sequence."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def below(self, bound):
        if self.at == len(self.data):
            return 0
        self.at += 1
        return self.data[self.at - 1] % bound

    def time(self):
        return 1 + self.below(31)

    def sequence(self):
        self.theme = THEMES[self.below(len(THEMES))]
        deeds = []
        while self.at < len(self.data) and len(deeds) < 40:
            deeds.append(self.deed())
        return deeds

    def deed(self):
        kind = self.below(20)
        if kind < 8:
            return ("spawn", self.block(3))
        if kind < 11:
            return ("cancel" if kind < 10 else "uncancel", self.below(64))
        if kind < 13:
            return ("pass", self.time())
        if kind < 16:
            return (["set", "fail", "revoke"][kind - 13], self.below(PROMISES))
        if kind < 19:
            return (["try_put", "try_get", "done"][kind - 16], self.below(len(ROOM)))
        how = self.below(6)
        if how < 2:
            return ("shutdown", self.below(len(ROOM)), how == 1)
        return ("pass", self.time())

    def block(self, depth):
        return [self.op(depth) for _ in range(1 + self.below(4))]

    def op(self, depth):
        kinds = self.theme[0] + (self.theme[1] if depth else [])
        kind, inner = kinds[self.below(len(kinds))], max(depth - 1, 0)
        match kind:
            case 0 | 8 | 9 | 11:
                names = {0: "yield", 8: "cancel_self", 9: "uncancel", 11: "fail"}
                return (names[kind],)
            case 1 | 2:
                return ("sleep", self.time())
            case 3 | 10:
                return ("await" if kind == 3 else "set", self.below(PROMISES))
            case 4 | 7:
                return ("join" if kind == 4 else "cancel", self.below(64))
            case 5 | 6:
                return ("put" if kind == 5 else "get", self.below(len(ROOM)))
            case 12 | 13:
                return ("move", self.time() if kind == 12 else None)
            case 14 | 15:
                return ("timeout", self.time(), self.block(inner))
            case 16 | 17 | 18:
                return ("catch", ["raise", "swallow", "uncancel"][kind - 16], self.block(inner))
            case 22:
                how = self.below(6)
                which, count = (0, 1) if how < 3 else (1, how - 2)
                return ("permit", which, count, self.block(inner))
        return ({19: "try", 20: "group", 21: "child", 23: "spawn"}[kind], self.block(inner))


class Boom(Exception):
    pass


class Promise(Exception):
    pass


class InOrder(dict):
    """A set in the order of its members: whom a group cancels first is not left to chance."""

    add = dict.setdefault

    def discard(self, member):
        self.pop(member, None)


class Many:
    """asyncio.Semaphore, with as many permits at a time as somebody wants."""

    def __init__(self, value):
        self.value, self.line = value, []

    async def acquire(self, count):
        if self.value >= count and all(waiter.cancelled() for waiter, _ in self.line):
            self.value -= count
            return
        waiter = asyncio.get_running_loop().create_future()
        self.line.append((waiter, count))
        try:
            try:
                await waiter
            finally:
                self.line.remove((waiter, count))
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.value += count
            raise
        finally:
            while self.next():
                pass

    def release(self, count):
        for _ in range(count):
            self.value += 1
            self.next()

    def next(self):
        for waiter, count in self.line:
            if not waiter.done():
                if count > self.value:
                    return False
                self.value -= count
                waiter.set_result(True)
                return True
        return False


class Plain(asyncio.Semaphore):
    """asyncio.Semaphore as it is, with the names of `Many`."""

    value = property(lambda self: self._value)
    line = property(lambda self: self._waiters or [])

    async def acquire(self, _count):
        await super().acquire()

    def release(self, _count):
        super().release()


class World:
    def __init__(self):
        loop = asyncio.get_running_loop()
        self.tasks, self.log, self.items, self.timers = [], [], 0, 0
        self.promises = [loop.create_future() for _ in range(PROMISES)]
        self.queues = [asyncio.Queue(room) for room in ROOM]
        self.permits = [Plain(PERMITS[0]), Many(PERMITS[1])]

    def task(self, number, of):
        return self.tasks[number % of] if of else None

    def item(self):
        self.items += 1
        return self.items

    def later(self, time):
        self.timers += 1
        return (now() // TICK + time) * TICK + self.timers

    def say(self, who, what):
        self.log.append(f"{who} {what}")

    def made(self, create, number, joins, block, group):
        self.tasks.append(create(Me(self, number, joins).block(block, None, group)))

    def deed(self, what, *of):
        count, said = len(self.tasks), None
        match what:
            case "spawn":
                self.made(asyncio.create_task, count, count, *of, None)
                said = "spawned"
            case "cancel" | "uncancel":
                task = self.task(*of, count)
                said = f"Some({shown(getattr(task, what)())})" if task else "None"
            case "pass":
                said = "passed"
            case "set" | "fail" | "revoke":
                said = shown(end(self.promises[of[0]], what))
            case "try_put":
                put = attempt(lambda: self.queues[of[0]].put_nowait(self.item()))
                said = shown(put is not None)
            case "try_get":
                item = attempt(self.queues[of[0]].get_nowait)
                said = f"Some({item[0]})" if item else "None"
            case "done":
                said = shown(attempt(self.queues[of[0]].task_done) is not None)
            case "shutdown":
                self.queues[of[0]].shutdown(of[1])
                said = "shut down"
        self.say("driver", said)
        return of[0] if what == "pass" else 0

    def state(self):
        text = "; ".join(self.log) + " |"
        self.log.clear()
        for task in self.tasks:
            text += f" {ended(task)}/{task.cancelling()}"
        text += " |"
        for promise in self.promises:
            text += f" {ended(promise)}"
        for queue in self.queues:
            left = queue._unfinished_tasks
            text += f" | {queue.qsize()} {left} {len(queue._getters)} {len(queue._putters)}"
        for permits in self.permits:
            text += f" | {permits.value} {len(permits.line)}"
        return text


class Me:
    """The task that runs an operation."""

    def __init__(self, world, number, joins):
        self.world, self.number, self.joins = world, number, joins

    def say(self, what):
        self.world.say(self.number, what)

    async def block(self, block, deadline, group):
        for op in block:
            await self.op(*op, deadline=deadline, group=group)
            self.say("on")

    async def op(self, what, *of, deadline, group):
        world, around = self.world, (deadline, group)
        match what:
            case "yield":
                await asyncio.sleep(0)
            case "sleep":
                await sleep_until(world.later(*of))
            case "await":
                await world.promises[of[0]]
            case "join":
                task = world.task(*of, self.joins)
                if task is not None:
                    await task
            case "put":
                item = world.item()
                await world.queues[of[0]].put(item)
            case "get":
                self.say(f"got {await world.queues[of[0]].get()}")
            case "permit":
                permits = world.permits[of[0]]
                await permits.acquire(of[1])
                try:
                    await self.block(of[2], *around)
                finally:
                    permits.release(of[1])
            case "cancel":
                self.say(shown(world.task(*of, len(world.tasks)).cancel()))
            case "cancel_self":
                asyncio.current_task().cancel()
            case "uncancel":
                self.say(asyncio.current_task().uncancel())
            case "set":
                self.say(shown(end(world.promises[of[0]], "set")))
            case "fail":
                raise Boom
            case _:
                await self.scope(what, *of, around=around)

    async def scope(self, what, *of, around):
        deadline, group = around
        match what:
            case "timeout":
                async with asyncio.timeout_at(self.world.later(of[0])) as deadline:
                    await self.block(of[1], deadline, group)
            case "move":
                if deadline is not None:
                    to = None if of[0] is None else self.world.later(of[0])
                    self.say(shown(attempt(lambda: deadline.reschedule(to)) is not None))
            case "catch":
                try:
                    await self.block(of[1], *around)
                except asyncio.CancelledError:
                    self.say("caught")
                    if of[0] == "raise":
                        raise
                    if of[0] == "uncancel":
                        self.say(asyncio.current_task().uncancel())
            case "try":
                try:
                    await self.block(of[0], *around)
                except Exception as error:
                    self.say(f"tried {name(error)}")
            case "group":
                group = asyncio.TaskGroup()
                group._tasks = InOrder()
                async with group:
                    await self.block(of[0], deadline, group)
            case "child" | "spawn":
                create = group.create_task if what == "child" and group else asyncio.create_task
                made = (create, len(self.world.tasks), self.joins, of[0], group)
                self.say("made" if attempt(lambda: self.world.made(*made)) else "refused")


def now():
    return int(asyncio.get_running_loop().time())


async def sleep_until(at):
    loop = asyncio.get_running_loop()
    end = loop.create_future()
    handle = loop.call_at(at, lambda: end.done() or end.set_result(None))
    try:
        await end
    finally:
        handle.cancel()


def attempt(deed):
    """What it gives, in a tuple; or None, if it is refused."""
    try:
        return (deed(),)
    except (RuntimeError, ValueError, asyncio.QueueFull, asyncio.QueueEmpty, asyncio.QueueShutDown):
        return None


def end(promise, how):
    if how == "revoke" or promise.done():
        return how == "revoke" and promise.cancel()
    promise.set_result(7) if how == "set" else promise.set_exception(Promise())
    return True


def shown(value):
    return str(value).lower()


def name(error):
    if isinstance(error, BaseExceptionGroup):
        return "[" + ",".join(map(name, error.exceptions)) + "]"
    return {TimeoutError: "timeout", asyncio.QueueShutDown: "shutdown"}.get(
        type(error), type(error).__name__.lower()
    )


def ended(future):
    if not future.done():
        return "pending"
    if future.cancelled():
        return "cancelled"
    error = future.exception()
    return name(error) if error else "value"


async def run(deeds):
    world, steps = World(), []
    for deed in deeds:
        time = world.deed(*deed)
        await sleep_until((now() // TICK + time + 1) * TICK)
        steps.append(world.state())
    while not all(task.done() for task in world.tasks):
        for task in list(world.tasks):
            task.cancel()
        await sleep_until((now() // TICK + 1) * TICK)
        steps.append(world.state())
    return steps


def main():
    count = differ = 0
    for line in open(sys.argv[1], encoding="ascii"):
        number, data, *want = line.rstrip("\n").split("\t")
        loop = VLoop(lambda: None)
        loop.set_exception_handler(lambda *_: None)
        deeds = Bytes(bytes.fromhex(data)).sequence()
        got = loop.run_until_complete(run(deeds))
        loop.close()
        count += 1
        if got != want:
            differ += 1
            step = next(n for n, (a, b) in enumerate(zip(want + [""], got + [""])) if a != b)
            print(f"sequence {number} differs after deed {step}", deeds, sep="\n")
            print("model   " + (want + [""])[step], "CPython " + (got + [""])[step], sep="\n")
    print(f"{count - differ} of {count} sequences: CPython and the model come to the same")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
