"""The example resource manager: its journal, its promises as a Participant, and both over the wire across kill -9."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LEDGER = os.path.join(ROOT, "examples", "ledger")
sys.path.insert(0, LEDGER)
sys.dont_write_bytecode = True

from journal import Damaged, Journal  # noqa: E402
from ledger import Ledger, Refused  # noqa: E402

GROUP = 65537
PAYLOAD = b'{"moves": [{"account": "a", "delta": 5}]}'


class WithJournal(unittest.TestCase):
    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._directory.name, "journal")
        self._journals = []

    def tearDown(self):
        for journal in self._journals:
            os.close(journal._fd)
        self._directory.cleanup()

    def journal(self):
        """As after kill -9: whatever the last one held in memory is gone."""
        self.close()
        self._journals.append(Journal(self.path))
        return self._journals[-1]

    def close(self):
        while self._journals:
            os.close(self._journals.pop()._fd)

    def ledger(self):
        return Ledger(self.journal(), "c", lock_timeout=0.05)


class JournalTest(WithJournal):
    def test_every_torn_tail_is_cut_and_every_flipped_bit_before_it_reported(self):
        journal = self.journal()
        for number in range(3):
            journal.append({"n": number})
        self.close()
        with open(self.path, "rb") as file:
            whole = file.read()
        ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
        for size in range(len(whole) + 1):
            with open(self.path, "wb") as file:
                file.write(whole[:size])
            records = self.journal().records()
            self.assertEqual(records, [{"n": n} for n in range(sum(end <= size for end in ends))])
            self.assertEqual(os.path.getsize(self.path), max([end for end in ends if end <= size], default=0))
            self.close()
        for bit in range(8 * ends[-2]):
            spoiled = bytearray(whole)
            spoiled[bit // 8] ^= 1 << bit % 8
            with open(self.path, "wb") as file:
                file.write(spoiled)
            with self.assertRaises(Damaged):
                self.journal()

    def test_second_process_is_refused(self):
        self.journal()
        with self.assertRaises(Damaged):
            Journal(self.path)


class LedgerTest(WithJournal):
    def test_prepared_survives_and_is_listed_and_locked_until_decided(self):
        self.ledger().prepare((GROUP, 1, 1), PAYLOAD)
        ledger = self.ledger()
        self.assertEqual(ledger.prepared(GROUP), [(GROUP, 1, 1)])
        self.assertEqual(ledger.prepared(GROUP + 1), [])
        self.assertEqual(ledger.balances, {})
        with self.assertRaises(Refused):
            ledger.prepare((GROUP, 1, 2), PAYLOAD)
        ledger.prepare((GROUP, 1, 1), PAYLOAD)  # a repetition is yes again
        self.assertIsNone(ledger.commit((GROUP, 1, 1)))
        ledger = self.ledger()
        self.assertEqual(ledger.balances, {"a": 5})
        self.assertIsNone(ledger.commit((GROUP, 1, 1)))  # once
        self.assertEqual(ledger.balances, {"a": 5})
        ledger.prepare((GROUP, 1, 1), PAYLOAD)
        self.assertIsNotNone(ledger.rollback((GROUP, 1, 1)))

    def test_rollback_before_prepare_refuses_it_even_after_a_restart(self):
        self.assertIsNone(self.ledger().rollback((GROUP, 1, 7)))
        with self.assertRaises(Refused):
            self.ledger().prepare((GROUP, 1, 7), PAYLOAD)

    def test_rollback_frees_and_commit_after_it_is_not_done(self):
        ledger = self.ledger()
        ledger.prepare((GROUP, 1, 1), PAYLOAD)
        self.assertIsNone(ledger.rollback((GROUP, 1, 1)))
        self.assertIsNotNone(ledger.commit((GROUP, 1, 1)))
        ledger.prepare((GROUP, 1, 2), PAYLOAD)

    def test_commit_of_the_unknown_is_not_done(self):
        self.assertIsNotNone(self.ledger().commit((GROUP, 1, 9)))

    def test_waiting_prepare_goes_on_when_the_lock_is_freed(self):
        ledger = Ledger(self.journal(), "c", lock_timeout=30)
        ledger.prepare((GROUP, 1, 1), PAYLOAD)
        waiting = threading.Thread(target=ledger.prepare, args=((GROUP, 1, 2), PAYLOAD))
        waiting.start()
        self.assertIsNone(ledger.commit((GROUP, 1, 1)))
        waiting.join()
        self.assertEqual(ledger.prepared(GROUP), [(GROUP, 1, 2)])

    def test_bad_payloads_and_overdrafts_are_refused(self):
        ledger = self.ledger()
        for payload in (b"", b"\xff", b"[]", b'{"moves": []}', b'{"moves": [{"account": "a", "delta": 1.5}]}',
                        b'{"moves": [{"account": "", "delta": 1}]}', b'{"moves": [{"account": "a", "delta": -1}]}',
                        b'{"moves": [{"account": "a", "delta": true}]}', b"[" * 100000):
            with self.assertRaises(Refused):
                ledger.prepare((GROUP, 1, 1), payload)
        self.assertEqual(ledger.prepared(GROUP), [])

    def test_journal_of_another_cluster_is_refused(self):
        self.ledger()
        with self.assertRaises(Damaged):
            Ledger(self.journal(), "other")


class OverTheWire(WithJournal):
    def start(self):
        process = subprocess.Popen([sys.executable, "-B", os.path.join(LEDGER, "ledger.py"), "serve", "--journal",
                                    self.path, "--cluster", "c", "--port", "0"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        port = int(re.search(r":(\d+)$", process.stdout.readline().strip()).group(1))
        from assent_wire import Participant
        from thrift.protocol.TBinaryProtocol import TBinaryProtocol
        from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
        from thrift.transport import TSocket, TTransport
        transport = TTransport.TFramedTransport(TSocket.TSocket("127.0.0.1", port))
        transport.open()
        self.addCleanup(transport.close)
        return process, port, Participant.Client(TMultiplexedProtocol(TBinaryProtocol(transport), "Participant"))

    def test_kill_between_the_phases(self):
        from assent_wire.ttypes import (FinishRequest, ParticipantStatus, PrepareRequest, RecoverRequest, TxnId, Vote)
        txn = TxnId(GROUP, 1, 1)
        process, _, client = self.start()
        reply = client.prepare(PrepareRequest("c", txn, PAYLOAD))
        self.assertEqual((reply.status, reply.vote, reply.txn), (ParticipantStatus.OK, Vote.YES, txn))
        self.assertEqual(client.prepare(PrepareRequest("other", txn, PAYLOAD)).status,
                         ParticipantStatus.WRONG_CLUSTER)
        self.assertEqual(client.prepare(PrepareRequest("c", None, PAYLOAD)).status, ParticipantStatus.INVALID)
        process.kill()
        process.wait()
        process, port, client = self.start()
        self.assertEqual(client.recover(RecoverRequest("c", GROUP)).prepared, [txn])
        self.assertEqual(client.recover(RecoverRequest("c", GROUP, after=txn)).prepared, [])
        self.assertTrue(client.commit(FinishRequest("c", txn)).done)
        self.assertEqual(client.recover(RecoverRequest("c", GROUP)).prepared, [])
        # A frame that announces 2 GiB costs its sender the connection, and others nothing.
        import socket
        with socket.create_connection(("127.0.0.1", port), timeout=10) as hostile:
            hostile.sendall(b"\x7f\xff\xff\xff")
            self.assertEqual(hostile.recv(1), b"")
        self.assertTrue(client.commit(FinishRequest("c", txn)).done)


if __name__ == "__main__":
    unittest.main()
