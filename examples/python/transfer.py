#!/usr/bin/python3
"""Moves money between two accounts of an Assent cluster, in one transaction, and says how it ended.

  apt-get install python3-thrift python3-six
  PYTHONPATH=build/python examples/python/transfer.py --node 127.0.0.1:7401 accounts/alice accounts/bob 10
  PYTHONPATH=build/python examples/python/transfer.py --node 127.0.0.1:7401 --deposit accounts/alice 100

build/python is what `thrift --gen py thrift/assent.thrift` makes; the build makes it too.
Exit code: 0 committed, 3 aborted (surely nothing was done), 4 outcome unknown (run again with the token printed).
"""

import argparse
import json
import sys
import time

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TException
from thrift.transport import TSocket, TTransport

from assent_wire import TransactionManager
from assent_wire.ttypes import (AbortReason, CommitTag, ExecuteRequest, ForeignWork, OpenSessionRequest, Operation,
                                OperationKind, Outcome, RefusalCode, Token, WhereIsRequest)

TRANSIENT = {AbortReason.WOUNDED, AbortReason.LOCK_TIMEOUT, AbortReason.BRANCH_LOST, AbortReason.VOTE_TIMEOUT,
             AbortReason.EXPIRED, AbortReason.BELOW_MARK, AbortReason.REFUSED_ATTEMPT, AbortReason.OVERLOADED}
AGAIN = {RefusalCode.STALE_EPOCH, RefusalCode.OVERLOADED, RefusalCode.NOT_SERVING, RefusalCode.WRONG_CLUSTER}


class Connection:
    """One connection, opened when needed and closed after any failure: Thrift does not check that an answer belongs to
    the question, so what comes late must find nobody."""

    def __init__(self, address, timeout_ms=15_000):
        self._address, self._timeout_ms, self._transport = address, timeout_ms, None

    def call(self, method, request):
        try:
            if self._transport is None:
                host, _, port = self._address.rpartition(":")
                socket = TSocket.TSocket(host.strip("[]"), int(port))
                socket.setTimeout(self._timeout_ms)
                self._transport = TTransport.TFramedTransport(socket)
                self._transport.open()
                protocol = TMultiplexedProtocol(TBinaryProtocol(self._transport), "TransactionManager")
                self._client = TransactionManager.Client(protocol)
            return getattr(self._client, method)(request)
        except (TException, OSError):
            self.close()
            raise

    def close(self):
        if self._transport is not None:
            self._transport.close()
        self._transport = None


def find_leader(nodes, deadline):
    """(connection, cluster, leader) of the coordinator group."""
    why = "no node given"
    while time.monotonic() < deadline:
        for node in nodes:
            try:
                connection = Connection(node, timeout_ms=2_000)
                reply = connection.call("where_is", WhereIsRequest(cluster=""))
                connection.close()
                if reply.leaders:
                    leader = reply.leaders[0]
                    return Connection(leader.address), reply.cluster, leader
                why = f"{node} knows no leader"
            except (TException, OSError) as error:
                why = f"{node}: {error}"
        time.sleep(0.1)
    raise TimeoutError(why)


def execute(nodes, operations, foreign, token, deadline):
    """(outcome, text, token). A token that was given may have been sent before, by an earlier run of this program."""
    maybe_sent = sent_before = token is not None
    attempt, age, why, leader = 1, None, "", None
    while time.monotonic() < deadline:
        try:
            if leader is None:
                connection, cluster, leader = find_leader(nodes, deadline)
                epoch = leader.epoch
            if token is None:
                session = connection.call("open_session", OpenSessionRequest(cluster=cluster, group=leader.group))
                if session.refusal is not None:
                    why, leader = session.refusal.detail, None
                    time.sleep(0.1)
                    continue
                token = Token(group=leader.group, client=session.client, seq=1, birth_us=session.birth_us)
            tag = CommitTag(token=token, sent_to=epoch, attempt=attempt, acked_below=0)
        except (TException, OSError, TimeoutError) as error:
            why, leader = str(error), None  # nothing of the request was sent
            continue
        try:
            reply = connection.call("execute", ExecuteRequest(cluster=cluster, group=leader.group, tag=tag,
                                                              operations=operations, foreign=foreign, retry_of=age))
        except (TException, OSError) as error:
            # The request may have been executed: only the cluster can tell. The same token, the same attempt, again.
            why, leader, maybe_sent = f"no answer: {error}", None, True
            time.sleep(0.1)
            continue
        if reply.token != token or reply.attempt != attempt:
            connection.close()
            why, leader, maybe_sent = "answer to something else", None, True
        elif reply.refusal is not None:
            why = reply.refusal.detail
            if reply.refusal.code not in AGAIN:
                # This send did nothing. An earlier one, whose answer was lost, may have.
                return (Outcome.UNKNOWN if maybe_sent else Outcome.ABORTED), why, token
            if reply.refusal.code == RefusalCode.STALE_EPOCH and (reply.refusal.epoch or 0) > epoch:
                epoch = reply.refusal.epoch
                continue
            if reply.refusal.code != RefusalCode.OVERLOADED:
                leader = None
            time.sleep(0.1)
        elif reply.ending is not None and reply.ending.outcome == Outcome.COMMITTED:
            return Outcome.COMMITTED, "", token
        elif reply.ending is not None and reply.ending.outcome == Outcome.ABORTED:
            ending, why = reply.ending, reply.ending.detail
            attempt = attempt + 1
            if ending.age is not None and (age is None or ending.age.begin_us < age.begin_us):
                age = ending.age  # the oldest is the place in line
            if ending.reason == AbortReason.REFUSED_ATTEMPT and sent_before:
                continue  # the earlier run may have sent the next attempt: ask about that one
            maybe_sent = sent_before = False
            if ending.reason not in TRANSIENT:
                reason = AbortReason._VALUES_TO_NAMES.get(ending.reason, "?").replace("_", " ").lower()
                return Outcome.ABORTED, f"{reason}: {why}", token
            time.sleep(0.01)
        else:
            maybe_sent = True
            if reply.ending is not None and reply.ending.reason == AbortReason.TOKEN_EXPIRED:
                return Outcome.UNKNOWN, reply.ending.detail, token  # forgotten: asking again brings nothing
            time.sleep(0.1)
    return (Outcome.UNKNOWN if maybe_sent else Outcome.ABORTED), f"no answer in time: {why}", token


def parse_token(text):
    group, client, seq, birth_us = (int(part) for part in text.split("/"))
    return Token(group=group, client=client, seq=seq, birth_us=birth_us)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="key of the account to take from")
    parser.add_argument("target", help="key of the account to give to")
    parser.add_argument("amount", type=int)
    parser.add_argument("--deposit", action="store_true", help="from nowhere: without a source")
    parser.add_argument("--node", action="append", help="host:port of a node; repeat for others", required=True)
    parser.add_argument("--ledger", metavar="NAME", help="book the move with this resource manager, too")
    parser.add_argument("--token", type=parse_token, help="as an earlier run printed it: finish that transfer")
    parser.add_argument("--timeout", type=float, default=30, help="seconds")
    arguments = parser.parse_args()
    if arguments.deposit == (arguments.source is not None):
        parser.error("name the account to take from, or --deposit, and not both")
    moves = [(arguments.target, arguments.amount)]
    if not arguments.deposit:
        moves.insert(0, (arguments.source, -arguments.amount))
    operations = [Operation(kind=OperationKind.ADD, key=account.encode(), delta=delta, floor=0 if delta < 0 else None)
                  for account, delta in moves]
    foreign = []
    if arguments.ledger:
        moves = [{"account": account, "delta": delta} for account, delta in moves]
        foreign.append(ForeignWork(resource_manager=arguments.ledger, payload=json.dumps({"moves": moves}).encode()))
    outcome, text, token = execute(arguments.node, operations, foreign, arguments.token,
                                   time.monotonic() + arguments.timeout)
    if outcome == Outcome.COMMITTED:
        print("committed")
        return 0
    if outcome == Outcome.ABORTED:
        print(f"aborted: {text}")
        return 3
    print(f"unknown: {text}\nrun again with --token {token.group}/{token.client}/{token.seq}/{token.birth_us}")
    return 4


if __name__ == "__main__":
    sys.exit(main())
