"""The workload of idl_client_test: what many clients do at once, and what must be true of what they were told."""

import collections
import random
import threading

from assent_wire.ttypes import AbortReason, Outcome
from idl_client import (TRANSIENT, Client, Commit, Over, Refused, Stopped, absent, add, exists, get, has_value,
                        has_version, put, remove, scan)

COMMITTED, ABORTED, UNKNOWN = Outcome.COMMITTED, Outcome.ABORTED, Outcome.UNKNOWN
ACCOUNTS, OPENING = 40, 100
CONTENDED, FLAGS = 6, 4
S1, S2 = 131073, 131074
KEPT = 12  # tokens of a session that are not acknowledged though their outcome is known, to be asked about again


def account(i):
    return b"acct/%02d" % i


class Record:
    """A token, and what each of its attempts does if it takes effect: a row of its own, and sums."""

    def __init__(self, name, commit, tag=b""):
        self.name, self.commit, self.tag = name, commit, tag
        self.effects = {}  # attempt to {key: what it adds}
        self.told = {}     # attempt to COMMITTED or ABORTED
        self.txn = None    # that committed it

    def reads_only(self):
        return not self.effects

    def row(self, attempt):
        return self.tag + b"row/%s/%d" % (self.name.encode(), attempt)

    def mark(self, effects):
        """To be part of this attempt: exactly one application leaves the row at 1."""
        self.effects[self.commit.attempt] = effects
        return add(self.row(self.commit.attempt), 1)


class Book:
    """Everything that was told, held against itself. Any thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.records = []
        self.unsettled = collections.defaultdict(collections.deque)  # by coordinator group
        self.versions = {}
        self.problems = []
        self.count = collections.Counter()

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    def told(self, record, attempt, ending):
        """ABORTED: of this attempt and of all before it. COMMITTED: of this one, so of none before."""
        outcome = ending.outcome
        with self.lock:
            self.count[Outcome._VALUES_TO_NAMES[outcome]] += 1
            if record.reads_only():
                return  # sent again they are read again, and may end otherwise
            for other, before in record.told.items():
                if before == outcome and other == attempt:
                    self.count["told the same again"] += 1
                elif COMMITTED in (before, outcome):
                    committed, aborted = (other, attempt) if before == COMMITTED else (attempt, other)
                    if before == outcome or aborted >= committed:
                        self.problems.append(f"{record.name} {record.commit.token}: attempt {other} was told "
                                             f"{Outcome._VALUES_TO_NAMES[before]}, then attempt {attempt} "
                                             f"{Outcome._VALUES_TO_NAMES[outcome]}")
            record.told[attempt] = outcome
            if outcome == COMMITTED:
                record.txn = record.txn or ending.txn
                if ending.txn != record.txn:
                    self.problems.append(f"{record.name} was committed by {record.txn}, then by {ending.txn}")

    def versions_known(self):
        with self.lock:
            return dict(self.versions)

    def note_versions(self, results, known):
        """Of reads that began after `known` was noted: none is older than what was known then."""
        with self.lock:
            for result in results:
                for row in result.rows or ():
                    if row.version == 0:
                        continue
                    if row.version < known.get(row.key, 0):
                        self.problems.append(f"{row.key} was read at version {row.version} after {known[row.key]}")
                    self.versions[row.key] = max(row.version, self.versions.get(row.key, 0))
                    self.count["versions read"] += 1


class Worker(threading.Thread):
    def __init__(self, number, book, addresses, group, dial, stop, abandon, seed):
        super().__init__(name=f"w{number}")
        self.book, self.stop, self.abandon = book, stop, abandon
        self.random = random.Random(seed)
        self.tag = b"{w%d}" % number
        self.made = 0
        self.own = {}  # commit to its record, of those that this thread asks about
        self.kept = collections.deque()
        self.clients = [Client(addresses, group, dial, self.told, abandon.is_set) for _ in range(2)]
        self.client = self.clients[0]

    def told(self, commit, ending):
        self.book.told(self.own[commit], commit.attempt, ending)

    def run(self):
        try:
            self.session = self.client.open_session()
            jobs = [self.transfer] * 4 + [self.tagged] * 4 + [self.compare_and_set] * 3 + [self.interactive] * 3 + \
                [self.read, self.read_in_transaction, self.sum_up, self.sum_up_in_pages, self.flag, self.give_up,
                 self.hopeless] + [self.ask_again] * 4 + [self.settle_another] * 2
            epoch = 0
            while not self.stop.is_set():
                if epoch != self.client.epoch:
                    epoch = self.client.epoch
                    self.ask_again(newest=True)  # of what the leader before had told last
                self.random.choice(jobs)()
                if self.random.random() < 0.01:
                    self.session = self.client.open_session()
            while self.settle_another():
                pass
        except Stopped:
            pass
        except Exception as error:
            self.book.problem(f"{self.name} ended: {type(error).__name__}: {error}")
            raise
        finally:
            for client in self.clients:
                client.close()

    # ---- Tokens

    def record(self, tag=b""):
        self.made += 1
        record = Record(f"{self.name}-{self.made}", Commit(self.session), tag)
        self.own[record.commit] = record
        with self.book.lock:
            self.book.records.append(record)
        return record

    def done(self, record):
        """Its outcome is known. It is acknowledged later, when nobody means to ask again."""
        if record.reads_only():
            return self.forget(record)
        self.kept.append(record)
        if len(self.kept) > KEPT:
            self.forget(self.kept.popleft())

    def forget(self, record):
        record.commit.session.settle(record.commit.token)
        del self.own[record.commit]

    def settle(self, record):
        """The outcome of this attempt; sometimes the client gives up at the first lost answer, as one that crashed, and
        leaves it to another one to find out: None."""
        sends = 1 if self.random.random() < 0.3 else None
        outcome, ending = self.client.settle(record.commit, sends)
        if outcome == UNKNOWN:
            self.book.count["given up unknown"] += 1
            if ending is not None and ending.reason == AbortReason.TOKEN_EXPIRED:
                self.book.problem(f"{record.name}: forgotten though it was never acknowledged")
            with self.book.lock:
                self.book.unsettled[record.commit.token.group].append(record)
            del self.own[record.commit]
            return None, None
        return outcome, ending

    def settle_another(self):
        """Asks about a token whose client gave up, over another connection. False: there is none."""
        with self.book.lock:
            unsettled = self.book.unsettled[self.client.group]
            if not unsettled:
                return False
            record = unsettled.popleft()
        self.own[record.commit] = record
        outcome, _ = self.clients[1].settle(record.commit)
        if outcome == UNKNOWN:
            self.book.problem(f"{record.name}: unknown for good")
        else:
            self.book.count["unknown, found out later"] += 1
        self.done(record)
        return True

    def any_shards(self):
        return self.random.choice([[], [S1], [S2], [S1, S2]])

    def ask_again(self, newest=False):
        """What was told stays so, whoever asks, and whatever shards a commit sent again names."""
        some = list(self.kept)[-3:] if newest else self.random.sample(self.kept, min(3, len(self.kept)))
        for record in some:
            commit = record.commit
            if commit.method == "commit":
                commit.mistakes = self.any_shards
            before = record.told[commit.attempt]
            try:
                outcome, ending = self.random.choice(self.clients).settle(commit)
            except Refused as error:
                self.book.problem(f"{record.name}: told {before}, and then {error}")
                continue
            self.book.count["asked again"] += 1
            if outcome == UNKNOWN:
                self.book.problem(f"{record.name}: told {before}, and then unknown for good")
            elif outcome == COMMITTED and not ending.repeated:
                self.book.problem(f"{record.name}: committed again, and not as a repetition")

    def run_one_shot(self, record, make_operations, attempts=20):
        """make_operations() says what the next attempt is. The Ending if it committed."""
        commit = record.commit
        for _ in range(attempts):
            made = make_operations()
            if made is None:
                break
            operations, effects = made
            known = self.book.versions_known()
            commit.execute(operations if effects is None else operations + [record.mark(effects)])
            outcome, ending = self.settle(record)
            if outcome is None:
                return None
            if outcome == COMMITTED:
                self.book.note_versions(ending.results, known)
                self.done(record)
                return ending
            if ending.reason not in TRANSIENT and ending.reason != AbortReason.CHECK_FAILED:
                break
            commit.attempt += 1
        self.done_unsent(record)
        return None

    def done_unsent(self, record):
        """All attempts that were sent were told ABORTED; a higher one was not sent."""
        record.commit.attempt = max(record.told, default=0)
        self.done(record) if record.commit.attempt > 0 else self.forget(record)

    # ---- Jobs

    def pick_two(self):
        return [account(i) for i in self.random.sample(range(ACCOUNTS), 2)]

    def transfer(self):
        record, (source, target) = self.record(), self.pick_two()
        counter = b"count/" + self.name.encode()

        def operations():
            amount = self.random.randint(1, 9)  # another content in each attempt
            effects = {source: -amount, target: amount, counter: 1}
            return [add(source, -amount, floor=0), add(target, amount), add(counter, 1)], effects
        self.run_one_shot(record, operations)

    def compare_and_set(self):
        """Reads in one transaction, and writes in another if nothing has changed."""
        record, key = self.record(), b"set/%d" % self.random.randrange(CONTENDED)

        def operations():
            rows = self.read_rows([key])
            if rows is None:
                return None
            value = int(rows[key].value) if key in rows else 0
            if key not in rows:
                check = absent(key)
            elif self.random.random() < 0.5:
                check = has_version(key, rows[key].version)
            else:
                check = has_value(key, rows[key].value)
            return [check, put(key, b"%d" % (value + 1))], {key: 1}
        self.run_one_shot(record, operations)

    def flag(self):
        record, key = self.record(), b"flag/%d" % self.random.randrange(FLAGS)
        if self.random.random() < 0.5:
            self.run_one_shot(record, lambda: ([absent(key), put(key, b"1")], {key: 1}), attempts=1)
        else:
            self.run_one_shot(record, lambda: ([exists(key), remove(key)], {key: -1}), attempts=1)

    def hopeless(self):
        record, (source, target) = self.record(), self.pick_two()
        if self.run_one_shot(record, lambda: ([add(source, -1_000_000, floor=0), add(target, 1)], {target: 1})):
            self.book.problem(f"{record.name} committed below a floor")

    def read_rows(self, keys):
        """{key: row} by a read-only execute; None: not known."""
        record = self.record()
        ending = self.run_one_shot(record, lambda: ([get(key) for key in keys], None))
        if ending is None:
            return None
        return {row.key: row for result in ending.results for row in result.rows or ()}

    def read(self):
        self.read_rows(self.pick_two() + [b"set/%d" % i for i in range(CONTENDED)])

    def check_sum(self, rows, what):
        total = sum(int(row.value) for row in rows)
        if (len(rows), total) != (ACCOUNTS, ACCOUNTS * OPENING):
            self.book.problem(f"{what} shows {len(rows)} accounts with {total} in all")
        self.book.count["sums"] += 1

    def sum_up(self):
        ending = self.run_one_shot(self.record(), lambda: ([scan(b"acct/")], None))
        if ending is not None:
            self.check_sum(ending.results[0].rows or [], "a scan")

    def in_transaction(self, record, steps, mistakes=False, attempts=20):
        """steps(work) does the work and returns what the transaction adds. True if it committed."""
        commit = record.commit
        for _ in range(attempts):
            known, reads = self.book.versions_known(), []
            transaction = self.client.begin(commit.age)
            commit.note_age(transaction.age)

            def work(*operations):
                results = self.client.work(transaction, list(operations))
                reads.extend(results)
                return results
            try:
                effects = steps(work)
                if effects is not None:
                    work(record.mark(effects))
            except Over as over:
                if over.ending is not None:
                    commit.note_age(over.ending.age)
                    if over.ending.outcome == ABORTED and over.ending.reason not in TRANSIENT:
                        break
                continue
            commit.commit(transaction, self.any_shards if mistakes else None)
            try:
                outcome, ending = self.settle(record)
            except Refused:
                continue  # NO_SUCH_TXN, of a first send: it was not committed, and never will be
            if outcome is None:
                return False
            if outcome == COMMITTED:
                self.book.note_versions(reads, known)
                self.done(record)
                return True
            commit.attempt += 1
            if ending.reason not in TRANSIENT:
                break
        self.done_unsent(record)
        return False

    def interactive(self):
        source, target = self.pick_two()

        def steps(work):
            amount = self.random.randint(1, 9)
            read = [int(result.rows[0].value) for result in work(get(source), get(target))]
            amount = min(amount, read[0])
            work(put(source, b"%d" % (read[0] - amount)), put(target, b"%d" % (read[1] + amount)))
            return {source: -amount, target: amount}
        self.in_transaction(self.record(), steps, mistakes=self.random.random() < 0.3)

    def tagged(self):
        """On one shard, so committed in one phase."""
        key = self.tag + b"count"

        def steps(work):
            work(add(key, 1))
            return {key: 1}
        self.in_transaction(self.record(self.tag), steps, mistakes=self.random.random() < 0.3)

    def read_in_transaction(self):
        def steps(work):
            for key in self.pick_two():
                work(get(key))
        self.in_transaction(self.record(), steps)

    def sum_up_in_pages(self):
        rows = []

        def steps(work):
            rows.clear()
            more, after = True, None
            while more:
                page = work(scan(b"acct/", limit=7, after=after))[0]
                rows.extend(page.rows or ())
                more, after = page.truncated, rows[-1].key
        if self.in_transaction(self.record(), steps):
            self.check_sum(rows, "a scan in pages")

    def give_up(self):
        """Rolled back, told so, it has no effect; nor has a commit that is sent all the same."""
        record = self.record(self.tag)
        transaction = self.client.begin()
        try:
            self.client.work(transaction, [record.mark({self.tag + b"count": 1}), add(self.tag + b"count", 1)])
        except Over:
            return self.done_unsent(record)
        self.client.rollback(transaction)
        record.told[1] = ABORTED
        record.commit.commit(transaction)
        if self.settle(record)[0] is not None:
            self.done_unsent(record)


def audit(book, client):
    """With nothing running: every token's effect, and every sum."""
    rows = {}
    more, after = True, None
    while more:
        page = read_alone(client, scan(b"", after=after))
        rows.update((row.key, row.value) for row in page.rows)
        more, after = page.truncated, page.rows[-1].key
    expected = collections.Counter({account(i): OPENING for i in range(ACCOUNTS)})
    marks = {}
    for record in book.records:
        for attempt, effects in record.effects.items():
            told = record.told.get(attempt)  # None: never sent, or refused
            marks[record.row(attempt)] = told
            if told == COMMITTED:
                expected.update(effects)
                if rows.get(record.row(attempt)) != b"1":
                    book.problem(f"{record.name}, attempt {attempt}: told COMMITTED, and its row is "
                                 f"{rows.get(record.row(attempt))}")
            elif record.row(attempt) in rows:
                book.problem(f"{record.name}, attempt {attempt}: told {told}, and its row is "
                             f"{rows[record.row(attempt)]}")
    for key, value in rows.items():
        if b"row/" in key:
            if key not in marks:
                book.problem(f"{key} is there, and nobody wrote it")
        elif int(value) != expected[key]:
            book.problem(f"{key} is {value}, and {expected[key]} were committed")
    for key, value in expected.items():
        if value and key not in rows:
            book.problem(f"{key} is gone: {value}")
    return len(rows)


def read_alone(client, operation):
    commit = Commit(client.open_session()).execute([operation])
    outcome, ending = client.settle(commit)
    while outcome == ABORTED:
        commit.attempt += 1
        outcome, ending = client.settle(commit)
    return ending.results[0]
