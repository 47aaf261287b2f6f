"""Client ids that the cluster hands out, their tokens, and what it may forget of them."""

from __future__ import annotations

import threading
import time

from ._connection import Lost, NotSent
from ._leader import Backoff, Leader
from ._wire import ttypes
from .errors import InvalidRequest
from .tokens import Token

KEPT_TOKENS_MAX = 1024  # of Cluster.new_token; each holds up what the cluster may forget
FRESH_S = 300.0  # a kept token counts as born when its session last heard the group's time; outcomes are kept an hour


class Session:
    """A client id and its tokens. Any thread."""

    def __init__(self, coordinator: int, client: int, birth_us: int) -> None:
        self._coordinator, self._client, self._birth_us = coordinator, client, birth_us
        self._lock, self._next = threading.Lock(), 1
        self._held: dict[int, bool] = {}  # by sequence: whether it was sent. Somebody may ask about these still
        self._heard = time.monotonic()

    def draw(self) -> Token:
        with self._lock:
            token = Token(self._coordinator, self._client, self._next, self._birth_us)
            self._held[token.seq] = False
            self._next += 1
            return token

    def sending(self, token: Token) -> int:
        """The lowest sequence that is asked about still, `token`'s at most."""
        with self._lock:
            if token.seq in self._held:
                self._held[token.seq] = True
            return min(min(self._held, default=self._next), token.seq)

    def surely_unsent(self, token: Token) -> bool:
        with self._lock:
            return self._held.get(token.seq) is False

    def settle(self, token: Token) -> None:
        """Nobody will ask about it again."""
        with self._lock:
            self._held.pop(token.seq, None)

    def note_birth(self, birth_us: int | None) -> None:
        with self._lock:
            if birth_us:
                self._birth_us, self._heard = max(self._birth_us, birth_us), time.monotonic()

    def is_fresh(self) -> bool:
        with self._lock:
            return time.monotonic() - self._heard < FRESH_S


class Sessions:
    """One for the tokens that are drawn for each call, which is left where a token's outcome stays unknown; and others
    for those that the application keeps."""

    def __init__(self, leader: Leader) -> None:
        self._leader, self._lock = leader, threading.Lock()
        self._current: Session | None = None
        self._for_kept: Session | None = None
        self._kept: dict[Token, Session] = {}

    def draw(self, deadline: float) -> tuple[Session, Token]:
        """Raises NotSent, InvalidRequest."""
        with self._lock:
            if self._current is None:
                self._current = self._open(deadline)
            return self._current, self._current.draw()

    def draw_kept(self, deadline: float) -> Token:
        """As draw."""
        with self._lock:
            if len(self._kept) >= KEPT_TOKENS_MAX:
                raise InvalidRequest(f"{KEPT_TOKENS_MAX:,} tokens are not released: call cluster.release(token) once "
                                     "its outcome is stored")
            if self._for_kept is None or not self._for_kept.is_fresh():
                self._for_kept = self._open(deadline)
            token = self._for_kept.draw()
            self._kept[token] = self._for_kept
            return token

    def session_of(self, kept: Token) -> Session | None:
        """None: not drawn here, or released."""
        with self._lock:
            return self._kept.get(kept)

    def release(self, kept: Token) -> None:
        with self._lock:
            session = self._kept.pop(kept, None)
        if session is not None:
            session.settle(kept)

    def leave(self, session: Session | None) -> None:
        with self._lock:
            if self._current is session:
                self._current = None

    def _open(self, deadline: float) -> Session:
        backoff = Backoff()
        while True:
            try:
                # One that was opened and never heard of costs the group a number.
                reply = self._leader.send(
                    "open_session",
                    lambda: ttypes.OpenSessionRequest(cluster=self._leader.cluster, group=self._leader.group),
                    lambda reply: reply.refusal is not None or bool(reply.client), deadline)
            except Lost as error:
                raise NotSent(f"no session: {error}") from error
            if reply.refusal is None:
                return Session(self._leader.group & 0xFFFF, reply.client, reply.birth_us)
            if reply.refusal.code == ttypes.RefusalCode.INVALID:
                raise InvalidRequest(reply.refusal.detail)
            if reply.refusal.code != ttypes.RefusalCode.STALE_EPOCH:
                raise NotSent(f"no session: {reply.refusal.detail}")
            backoff.pause(deadline)
