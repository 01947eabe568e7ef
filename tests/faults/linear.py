"""Is the history of one register linearizable? Wing & Gong's search with Lowe's memory of states.

The register holds a value or is absent (None). Every value is written at most once. Operations:

  Read(value)            saw the value, or None for a document that is not there
  Swap(old, new)         compare-and-set that was acknowledged: old was there, new is from then on
  Refused(old)           compare-and-set that found another value than `old`
  Unknown(old, new)      compare-and-set of which nobody knows: at any time after its call, or never

The search orders the known operations so that each stands between its call and its return and sees
what a register would show. It tries an operation only if no operation that returned before this one
was called is left out. What (which are done, value) was seen once is not tried again; that memory
is bounded, and a history that needs more is answered with UNDECIDED, never with a guess.
"""
from collections import namedtuple

LINEARIZABLE, BROKEN, UNDECIDED = "linearizable", "broken", "undecided"
READ, SWAP, REFUSED, UNKNOWN = "read", "swap", "refused", "unknown"
STATES_MAX = 300_000

Operation = namedtuple("Operation", "kind old new called returned who")


def read(value, called, returned, who=""):
    return Operation(READ, value, None, called, returned, who)


def swap(old, new, called, returned, who=""):
    return Operation(SWAP, old, new, called, returned, who)


def refused(old, called, returned, who=""):
    return Operation(REFUSED, old, None, called, returned, who)


def unknown(old, new, called, who=""):
    return Operation(UNKNOWN, old, new, called, float("inf"), who)


def step(operation, value):
    """(may it happen now, the value after)."""
    if operation.kind == READ:
        return operation.old == value, value
    if operation.kind == REFUSED:
        return operation.old != value, value
    return operation.old == value, operation.new


class Events:
    """Calls and returns in the order of time, as a doubly linked list that operations leave and
    come back to. Event 2i is the call of operation i, 2i+1 its return; the head is the last."""

    def __init__(self, operations):
        n = len(operations)
        times = []
        for i, operation in enumerate(operations):
            times.append((operation.called, 0, 2 * i))
            times.append((operation.returned, 1, 2 * i + 1))
        times.sort()  # a call at the very time of a return counts as concurrent with it
        self.head = 2 * n
        self.next, self.before = [self.head] * (2 * n + 1), [self.head] * (2 * n + 1)
        last = self.head
        for _, _, event in times:
            self.next[last], self.before[event] = event, last
            last = event
        self.next[last], self.before[self.head] = self.head, last

    def lift(self, i):
        for event in (2 * i, 2 * i + 1):
            self.next[self.before[event]] = self.next[event]
            self.before[self.next[event]] = self.before[event]

    def put_back(self, i):
        for event in (2 * i + 1, 2 * i):
            self.next[self.before[event]] = event
            self.before[self.next[event]] = event


def check(operations, first=None, states_max=STATES_MAX):
    """(verdict, index of the operation that could not be placed when most were, or None)."""
    events = Events(operations)
    left = sum(operation.kind != UNKNOWN for operation in operations)
    value, done, seen, path = first, 0, set(), []
    best, stuck = left, None
    event = events.next[events.head]
    while left > 0:
        if event != events.head and event % 2 == 0:
            i = event // 2
            operation = operations[i]
            may, after = step(operation, value)
            state = (done | 1 << i, after)
            if may and state not in seen:
                if len(seen) >= states_max:
                    return UNDECIDED, stuck
                seen.add(state)
                path.append((i, value, done))
                done, value = state
                left -= operation.kind != UNKNOWN
                events.lift(i)
                event = events.next[events.head]
            else:
                event = events.next[event]
            continue
        # The return of something that is not done yet: nothing further may come before it.
        if left < best or stuck is None:
            best, stuck = left, event // 2
        if not path:
            return BROKEN, stuck
        i, value, done = path.pop()
        events.put_back(i)
        left += operations[i].kind != UNKNOWN
        event = events.next[2 * i]
    return LINEARIZABLE, None


def explain(operations, stuck, around=8):
    """The operations near the one that fits nowhere, one a line."""
    near = sorted(operations, key=lambda operation: operation.called)
    at = near.index(operations[stuck]) if stuck is not None else 0
    lines = []
    for operation in near[max(0, at - around):at + around]:
        mark = "=>" if stuck is not None and operation is operations[stuck] else "  "
        lines.append(f"{mark} {operation.called:.4f} .. {operation.returned:.4f} {operation.kind} "
                     f"{operation.old} {operation.new or ''} {operation.who}")
    return "\n".join(lines)
