"""Judges of sets (documents created, listed by _all_docs) and of the feed of changes.

A set only grows. A history of it is linearizable exactly if its listings can be put in a chain by
inclusion that agrees with time, every listing holds what was acknowledged before it was asked for,
and none holds what was not even asked for before it was answered, or was refused.
"""


# A longer list is read in several turns, each a moment of its own, so that no reader pins the file.
ONE_MOMENT_ROWS = 500


class SetHistory:
    """Members are bits of one integer, so that a listing of a thousand costs 125 bytes."""

    def __init__(self):
        self.bits, self.called, self.acknowledged, self.refused = {}, {}, {}, set()
        self.listings = []

    def bit(self, name):
        return self.bits.setdefault(name, len(self.bits))

    def add_called(self, name, called):
        self.called[name] = called
        self.bit(name)

    def add_acknowledged(self, name, returned):
        self.acknowledged[name] = returned

    def add_refused(self, name):
        self.refused.add(name)

    def listed(self, names, called, returned, who=""):
        mask = 0
        for name in names:
            mask |= 1 << self.bit(name)
        self.listings.append((called, returned, mask, who))

    def names(self, mask):
        return sorted(name for name, bit in self.bits.items() if mask >> bit & 1)

    def _moving(self, times):
        """The members in the order of `times`, to sweep over."""
        return sorted((time, 1 << self.bits[name]) for name, time in times.items())

    def _against_members(self):
        faults = []
        acknowledged = self._moving(self.acknowledged)
        due = position = 0
        for called, _, mask, who in sorted(self.listings):
            while position < len(acknowledged) and acknowledged[position][0] < called:
                due |= acknowledged[position][1]
                position += 1
            if due & ~mask:
                faults.append(f"lost: {self.names(due & ~mask)[:5]} not listed at {called:.4f} {who}")
        asked = self._moving(self.called)
        may = position = 0
        for _, returned, mask, who in sorted(self.listings, key=lambda listing: listing[1]):
            while position < len(asked) and asked[position][0] <= returned:
                may |= asked[position][1]
                position += 1
            if mask & ~may:
                faults.append(f"from nowhere: {self.names(mask & ~may)[:5]} at {returned:.4f} {who}")
        refused = sum(1 << self.bits[name] for name in self.refused if name in self.bits)
        for called, _, mask, who in self.listings:
            if mask & refused:
                faults.append(f"refused, yet there: {self.names(mask & refused)[:5]} {called:.4f} {who}")
        return faults

    def _against_each_other(self):
        faults = []
        sized = sorted((bin(listing[2]).count("1"), *listing) for listing in self.listings)
        chain = [listing for size, *listing in sized if size <= ONE_MOMENT_ROWS]
        for one, other in zip(chain, chain[1:]):
            if one[2] & ~other[2]:
                faults.append(f"no order: {self.names(one[2] & ~other[2])[:5]} listed at {one[0]:.4f} "
                              f"{one[3]}, not among more at {other[0]:.4f} {other[3]}")
        # In time: what a listing that was answered showed, a later one must show.
        answered = sorted(self.listings, key=lambda listing: listing[1])
        shown = position = 0
        for called, _, mask, who in sorted(self.listings):
            while position < len(answered) and answered[position][1] < called:
                shown |= answered[position][2]
                position += 1
            if shown & ~mask:
                faults.append(f"gone again: {self.names(shown & ~mask)[:5]} at {called:.4f} {who}")
        return faults

    def check(self):
        """What is wrong, a sentence each; nothing wrong: an empty list."""
        return self._against_members() + self._against_each_other()


def number(seq):
    return int(str(seq).split("-")[0])


def generation(rev):
    return int(rev.split("-")[0])


class FeedHistory:
    """What readers of one database's _changes saw, against what writers were told.

    A reader goes on from the last_seq that it was given. What must hold: sequences rise and lie past
    `since`; a sequence names one revision for ever; a change acknowledged before a reader asked is
    among what the reader knows then, itself or a later revision of the document; of two changes, the
    one acknowledged before the other was asked for has the lower sequence."""

    def __init__(self):
        self.written = []  # (called, returned, id, generation)
        self.answers = []  # (called, whole, reader, since, last_seq, rows)

    def wrote(self, name, rev, called, returned):
        self.written.append((called, returned, name, generation(rev)))

    def answered(self, reader, since, body, called, returned, whole=True):
        """`whole` is False where a limit cut the answer: it says nothing about what is not in it."""
        rows = [(number(row["seq"]), row["id"], row["changes"][0]["rev"]) for row in body["results"]]
        self.answers.append((called, whole, reader, number(since), number(body["last_seq"]), rows))

    def _shapes(self):
        faults, named = [], {}
        for called, _, reader, since, last, rows in self.answers:
            before = since
            for seq, name, rev in rows:
                if seq <= before:
                    faults.append(f"{reader}: sequence {seq} of {name} after {before} at {called:.4f}")
                before = seq
                if named.setdefault(seq, (name, rev)) != (name, rev):
                    faults.append(f"{reader}: sequence {seq} is {name} {rev}, was {named[seq]}")
            if last < before:
                faults.append(f"{reader}: last_seq {last} below {before} at {called:.4f}")
        return faults, named

    def _missing(self):
        """Readers in the order in which they asked, each against what was acknowledged by then."""
        faults, known, due, position = [], {}, {}, 0
        written = sorted(self.written, key=lambda write: write[1])
        for called, whole, reader, _, _, rows in sorted(self.answers, key=lambda answer: answer[0]):
            mine = known.setdefault(reader, ({}, {}))
            for _, name, rev in rows:
                mine[0][name] = max(mine[0].get(name, 0), generation(rev))
            while position < len(written) and written[position][1] < called:
                _, returned, name, gen = written[position]
                due[name] = max(due.get(name, 0), gen)
                position += 1
            for name, gen in due.items() if whole else ():
                if mine[1].get(name) != gen and mine[0].get(name, 0) < gen:
                    faults.append(f"{reader}: {name} generation {gen} missing at {called:.4f}")
                mine[1][name] = gen
        return faults

    def _order(self, named):
        """By time of the return, with the highest sequence so far: no later call may lie below."""
        faults = []
        sequence = {(name, generation(rev)): seq for seq, (name, rev) in named.items()}
        known = [(called, returned, sequence[name, gen], name) for called, returned, name, gen
                 in self.written if (name, gen) in sequence]
        ended = sorted(known, key=lambda write: write[1])
        highest, position = (0, ""), 0
        for called, _, seq, name in sorted(known):
            while position < len(ended) and ended[position][1] < called:
                highest = max(highest, ended[position][2:])
                position += 1
            if seq < highest[0]:
                faults.append(f"order: {name} has {seq}, {highest[1]} before it has {highest[0]}")
        return faults

    def check(self):
        faults, named = self._shapes()
        return faults + self._missing() + self._order(named)
