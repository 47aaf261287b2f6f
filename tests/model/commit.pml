/* Atomic commit over two shards: C1, C3, C4, C8, P1, P3-P6, P8, and P2's wound, as coordinator/ and
 * participant/ do them.
 *
 * One coordinator group, two writing shards, NT transactions over both; ids are 0..NT-1, in the order they
 * were begun. Replication is replication.pml's business. Here a group is a log whose records are first
 * appended, then replicated; of the tail between, a failover keeps as much as it likes. Each coordinator
 * epoch is a process of its own, and deposed ones live on: they time out, abort, resend, answer what they
 * decided themselves; but they replicate nothing, and have no lease.
 *
 * Network  Each kind of message, once sent, stays: delivered any number of times, in any order, however
 *          late; unless it is one of the LOSSES that are lost, and sent again.
 * Timers   Any vote timeout, wound, resend, inquiry or mark may come at any moment.
 *
 * Each step adds something (a message, a record, an epoch), so all runs end. They may end only with each
 * transaction over, each COMMIT ended and each record forgotten: that is the check of G6 and I-A5.
 *
 * Checked besides: no two shards, and no shard and client, end a transaction differently (G1, I-A1, I-A2,
 * I-U1); no decision is reversed; no commit arrives where it is damage (P6, G7); nothing is committed by
 * half (P3).
 *
 * M_xxx removes one clause: checks.py lists them.
 */
#ifndef NT
#define NT 1
#endif
#ifndef EPOCHS
#define EPOCHS 2         /* of the coordinator group */
#endif
#ifndef FAILOVERS
#define FAILOVERS 1      /* of the shards, together; a restart is one */
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#define TAIL 3           /* records of a shard not yet replicated */

#define NONE      0      /* of a transaction at a shard: nothing known, or forgotten */
#define PREPARED  1
#define COMMITTED 2
#define ABORTED   3      /* by decision, tombstone or refusal */
#define REFUSAL   0      /* as a record: an abort that answers a PeerInquire once it is replicated */

/* of a transaction at a coordinator process: TxnState */
#define PREPARING  1
#define COMMITTING 2     /* COMMIT is appended */
#define PHASE_TWO  3     /* and replicated */
#define ABORTING   4
#define ENDING     5     /* END is appended; out of memory but for ending_ */

typedef Transaction { byte state; byte acks };
typedef Coordinator { bit replaying; bit serving; Transaction txn[NT] };
Coordinator co[EPOCHS + 1];
byte ce = 1;             /* current epoch */
byte id[NT];             /* epoch of the id; 0 = not begun */
bit  committed[NT];      /* COMMIT is replicated (and the token's outcome with it) */
bit  ended[NT];          /* END is */

typedef Branch {         /* of one transaction at one shard */
  byte done;             /* operations done, as bits; in memory */
  byte sent;             /* operations sent and known done, as bits */
#ifdef OPS
  bit  again;            /* the branch was ended, forgotten, and opened anew: not the one that `sent` is of */
#endif
  bit  half;             /* ghost: PREPARED lacks an operation */
  bit  refused;          /* the answer to a PeerInquire, withheld, may leave */
#ifdef M_ACKS_UNKNOWN_COMMITS
  bit  blank;            /* ghost: a deposed primary that knows nothing of it lives on */
#endif
  byte outcome;          /* ghost */
  /* messages to this shard, and from it */
  bit  prepare, commit, abort, yes, ack_commit, inquire, peer_inquire, peer_commit, peer_abort
}
typedef Tables { byte txn[NT]; byte mark };     /* mark n: ids below n are over (C8) */
typedef Shard {
  Tables app;            /* as applied */
  Tables rep;            /* as replicated */
  byte tail[TAIL];       /* what is between: 4 * txn + state, or 4 * NT + mark */
  byte n;
  byte seen;             /* highest mark heard of; in memory */
  byte sent_mark;        /* highest that a message carried */
#ifdef M_SERVES_BEFORE_RESTORED
  bit  unread;           /* serves, and has not looked at its tables */
#endif
  Branch b[NT]
}
Shard sh[2];
byte told[NT];           /* ghost */
byte failovers = FAILOVERS, losses = LOSSES;
byte j, u;               /* scratch, 0 between steps */

/* e, t and i are parameters of the inline in which these stand */
#define CURRENT  (e == ce)
#define T        co[e].txn[t]
#define UP       co[e].serving
#define S        sh[i]
#define B        sh[i].b[t]
#define O        sh[1 - i].b[t]
#ifdef M_SERVES_BEFORE_RESTORED
#define HERE     (sh[i].unread -> NONE : sh[i].app.txn[t])
#else
#define HERE     sh[i].app.txn[t]                                /* P1: all is back before anything is served */
#endif
#define REP      sh[i].rep.txn[t]

/* ---- what is checked ---- */

inline check(t) {
  assert(!(sh[0].b[t].outcome == COMMITTED && sh[1].b[t].outcome == ABORTED));
  assert(!(sh[0].b[t].outcome == ABORTED && sh[1].b[t].outcome == COMMITTED));
  assert(told[t] != COMMITTED || (sh[0].b[t].outcome != ABORTED && sh[1].b[t].outcome != ABORTED));
  assert(told[t] != ABORTED || (sh[0].b[t].outcome != COMMITTED && sh[1].b[t].outcome != COMMITTED))
}
inline end_as(t, i, what) {
  assert(B.outcome == NONE || B.outcome == what);
  B.outcome = what;
  check(t)
}
inline tell(t, what) {
  printf("the client is told of %d: %d (2 committed, 3 aborted)\n", t, what);
  told[t] = what;
  check(t)
}

/* ---- coordinator ---- */

#ifdef M_ABORTS_AFTER_APPEND
#define MAY_ABORT  (T.state == PREPARING || T.state == COMMITTING)
#else
#define MAY_ABORT  (T.state == PREPARING)                        /* C1, P2 */
#endif
#ifdef M_TOLD_BEFORE_REPLICATED
#define DECIDED    (T.state == PHASE_TWO || T.state == COMMITTING)
#else
#define DECIDED    (T.state == PHASE_TWO)                        /* C1 */
#endif

/* OnInquire, C3 */
#ifdef M_ANSWERS_WHILE_REPLAYING
#define READY      (UP || co[e].replaying)
#else
#define READY      UP
#endif
#ifdef M_PRESUMES_WITHOUT_LEASE
#define LEASED     true
#else
#define LEASED     CURRENT
#endif
#ifdef M_PRESUMES_OF_HIGHER_EPOCHS
#define OF_OURS    (id[t] != 0)
#else
#define OF_OURS    (id[t] != 0 && id[t] <= e)
#endif
#ifdef M_PRESUMES_OF_LIVE
#define NOT_HERE   (T.state == NONE || T.state == PREPARING)
#else
#define NOT_HERE   (T.state == NONE)
#endif
#ifdef M_PRESUMES_BEFORE_END_IS_REPLICATED
#define PRESUMED   (NOT_HERE || T.state == ENDING)
#else
#define PRESUMED   NOT_HERE
#endif

#ifdef M_END_AFTER_ONE_ACK
#define ALL_ACKED  (T.acks != 0)
#else
#define ALL_ACKED  (T.acks == 3)                                 /* C4 */
#endif

/* Marks::MarkFor, C8: is u below shard i's mark, if all before it are? */
#ifdef M_MARK_PASSES_LIVE
#define LIVE(n)    false
#else
#define LIVE(n)    (co[e].txn[n].state == PREPARING || co[e].txn[n].state == COMMITTING)
#endif
#ifdef M_MARK_PASSES_OWED
#define OWED(n)    false
#else
#define OWED(n)    (co[e].txn[n].state == PHASE_TWO && !(co[e].txn[n].acks & (1 << i)))
#endif
#define PASSED(n)  (id[n] != 0 && id[n] <= e && !LIVE(n) && !OWED(n))
#if NT == 1
#define PASSED_UPTO  PASSED(t)
#else
#define PASSED_UPTO  (PASSED(0) && (t == 0 || PASSED(1)))
#endif

inline fails_over(keep) {
  for (u : 0 .. NT - 1) {
    committed[u] = (committed[u] || (keep && co[ce].txn[u].state == COMMITTING));
    ended[u] = (ended[u] || (keep && co[ce].txn[u].state == ENDING))
  }
  u = 0;
  ce++; co[ce].replaying = 1;
  printf("the coordinator fails over to epoch %d\n", ce)
}
inline serves() {
  for (u : 0 .. NT - 1) { co[ce].txn[u].state = (committed[u] && !ended[u] -> PHASE_TWO : NONE) }
  u = 0;
  co[ce].replaying = 0; co[ce].serving = 1;
  printf("the coordinator of epoch %d serves\n", ce)
}

#ifdef M_FORGETS_OUTCOMES_AT_END
#define RECORDED   (committed[t] && !ended[t])
#else
#define RECORDED   committed[t]                                  /* C5: the outcome outlives END */
#endif

inline coordinator(e, t) {
  if
  :: d_step { UP && CURRENT && id[t] == 0 && (t == 0 || id[0] != 0) ->
       printf("c%d begins %d\n", e, t);
       id[t] = e; T.state = PREPARING
#ifndef OPS
       ; sh[0].b[t].prepare = 1; sh[1].b[t].prepare = 1
#endif
     }
#ifdef OPS
  :: d_step { UP && T.state == PREPARING && sh[0].b[t].sent == 3 && sh[1].b[t].sent == 3 &&
              !sh[0].b[t].prepare ->
       sh[0].b[t].prepare = 1; sh[1].b[t].prepare = 1 }
#endif
  :: d_step { UP && T.state == PREPARING && sh[0].b[t].yes && sh[1].b[t].yes ->
       printf("c%d appends COMMIT of %d\n", e, t); T.state = COMMITTING }
  :: d_step { CURRENT && T.state == COMMITTING -> committed[t] = 1; T.state = PHASE_TWO }
  :: d_step { UP && MAY_ABORT -> printf("c%d aborts %d\n", e, t); T.state = ABORTING }
  :: d_step { UP && T.state == ABORTING && told[t] == NONE -> tell(t, ABORTED) }
  :: d_step { UP && DECIDED && told[t] == NONE -> tell(t, COMMITTED) }
#ifdef M_SILENCE_IS_ABORTED
  :: d_step { UP && T.state == PREPARING && told[t] == NONE -> tell(t, ABORTED) }
#endif
  /* CommitOfUnknown: a client asks a later epoch. ABORTED waits for a record: the current one says it. */
  :: d_step { UP && CURRENT && id[t] != 0 && id[t] < e && told[t] == NONE && RECORDED -> tell(t, COMMITTED) }
  :: d_step { UP && CURRENT && id[t] != 0 && id[t] < e && told[t] == NONE && !RECORDED -> tell(t, ABORTED) }
  :: d_step { UP && T.state == PHASE_TWO && ALL_ACKED ->
       printf("c%d appends END of %d\n", e, t); T.state = ENDING; T.acks = 0 }
  :: d_step { CURRENT && T.state == ENDING -> ended[t] = 1; T.state = NONE }
  fi
}

inline exchange(e, t, i) {
  if
  :: d_step { UP && DECIDED && !(T.acks & (1 << i)) && !B.commit -> B.commit = 1 }
  :: d_step { UP && T.state == ABORTING && !B.abort -> B.abort = 1 }
  :: d_step { B.inquire && READY && LEASED && OF_OURS && PRESUMED && !B.abort ->
       printf("c%d presumes %d aborted\n", e, t); B.abort = 1 }
  :: d_step { UP && B.ack_commit && T.state == PHASE_TWO && !(T.acks & (1 << i)) ->
              T.acks = T.acks | (1 << i) }
  :: d_step { UP && S.sent_mark == t && PASSED_UPTO ->
              printf("c%d tells shard %d the mark %d\n", e, i, t + 1);
       S.sent_mark = t + 1 }
  fi
}

/* ---- shards ---- */

inline apply_to(state, record) {                                 /* ShardState::Apply */
  if
  :: record < 4 * NT ->
     state.txn[record / 4] = (record % 4 == REFUSAL -> ABORTED : record % 4);
     if                                                          /* C8: below it nothing is kept */
     :: record % 4 != PREPARED && record / 4 < state.mark -> state.txn[record / 4] = NONE
     :: else
     fi
  :: else ->
     state.mark = record - 4 * NT;
     for (u : 0 .. NT - 1) {
       if
       :: u < state.mark && state.txn[u] != PREPARED -> state.txn[u] = NONE
       :: else
       fi
     }
     u = 0
  fi
}

inline append(i, record) {
  S.tail[S.n] = record; S.n++;
  apply_to(S.app, record)
}

/* A tombstone or refusal binds once it is replicated. */
inline replicate_first(i) {
  if
  :: S.tail[0] < 4 * NT && (S.tail[0] % 4 == ABORTED || S.tail[0] % 4 == REFUSAL) ->
     j = S.tail[0] / 4;
     if
     :: S.b[j].outcome == NONE -> end_as(j, i, ABORTED)
     :: else
     fi;
     if
     :: S.tail[0] % 4 == REFUSAL -> S.b[j].refused = 1
     :: else
     fi
  :: else
  fi;
  j = S.tail[0];
  apply_to(S.rep, j);
  S.tail[0] = S.tail[1]; S.tail[1] = S.tail[2]; S.tail[2] = 0; S.n--;
  j = 0
}

inline shard_fails_over(i) {
  failovers--;
  printf("shard %d fails over, and keeps what was replicated\n", i);
  S.app.mark = S.rep.mark;
  for (u : 0 .. NT - 1) {
#ifdef M_ACKS_UNKNOWN_COMMITS
    S.b[u].blank = (S.b[u].blank || S.app.txn[u] == NONE);
#endif
    S.app.txn[u] = S.rep.txn[u];
    S.b[u].done = 0; S.b[u].refused = 0
  }
  u = 0;
  S.tail[0] = 0; S.tail[1] = 0; S.tail[2] = 0; S.n = 0; S.seen = S.app.mark
#ifdef M_SERVES_BEFORE_RESTORED
  ; S.unread = 1
#endif
#ifdef M_MARK_IS_FORGOTTEN
  ; S.app.mark = 0; S.rep.mark = 0; S.seen = 0
#endif
}

#define decision(what)  (4 * t + what)
#define ROOM       (S.n < TAIL)
#define BELOW      (t < S.app.mark)
#ifdef M_PREPARES_BELOW_MARK
#define MAY_OPEN   (HERE == NONE)
#else
#define MAY_OPEN   (HERE == NONE && !BELOW && t >= S.seen)       /* C8 */
#endif
#ifdef M_REFUSES_BELOW_MARK
#define MAY_REFUSE (HERE == NONE)
#else
#define MAY_REFUSE (HERE == NONE && !BELOW && t >= S.seen)       /* P8, C8 */
#endif
#ifdef M_OTHER_BRANCH_PASSES
#define SAME       true
#else
#define SAME       (!B.again)                                    /* P3: messages name the branch */
#endif
#if defined(OPS) && !defined(M_PREPARES_HALF)
#define COMPLETE   (B.done == 3 && SAME)                         /* P3 */
#elif defined(OPS)
#define COMPLETE   (B.done != 0)
#else
#define COMPLETE   true
#endif
#ifdef M_VOTES_BEFORE_REPLICATED
#define VOTES      (HERE == PREPARED)
#else
#define VOTES      (HERE == PREPARED && REP == PREPARED)         /* P3, R1 */
#endif
#ifdef M_ACKS_BEFORE_REPLICATED
#define IS_OUT(what)  (HERE == what)
#else
#define IS_OUT(what)  (HERE == what && REP == what)              /* P5 */
#endif
#ifdef M_REFUSAL_NOT_REPLICATED
#define REFUSED    (HERE == ABORTED || B.refused)
#else
#define REFUSED    ((HERE == ABORTED && REP == ABORTED) || B.refused)    /* P8 */
#endif
#ifdef M_ACKS_UNKNOWN_COMMITS
#define IS_DAMAGE  false  /* and a deposed primary answers, lease or not */
#define IS_OVER    (HERE == NONE || B.blank)
#else
#define IS_DAMAGE  (HERE == NONE && !BELOW)                      /* P6 */
#define IS_OVER    (HERE == NONE && t < S.rep.mark)
#endif

inline shard(t, i) {
  if
#ifdef OPS
  /* Operate, twice: the second finds the branch of the first, in the same epoch (P3) */
  :: d_step { id[t] != 0 && MAY_OPEN && B.sent == 0 -> B.done = 1; B.sent = 1 }
  /* P2: wounded, which nobody hears of and nobody remembers; then the first message comes again */
  :: d_step { B.done != 0 && !B.again && HERE == NONE -> B.done = 0 }
  :: d_step { MAY_OPEN && B.sent != 0 && B.done == 0 && !B.again -> B.done = 1; B.again = 1 }
#ifdef M_PREPARES_HALF
  :: d_step { MAY_OPEN && B.sent == 1 -> B.done = B.done | 2; B.sent = 3 }
#else
  :: d_step { MAY_OPEN && B.sent == 1 && B.done == 1 && SAME -> B.done = 3; B.sent = 3 }
#endif
#endif
  :: d_step { B.prepare && MAY_OPEN && COMPLETE && ROOM ->
       printf("shard %d appends PREPARED of %d\n", i, t);
       append(i, decision(PREPARED));
#ifdef OPS
       B.half = (B.done != 3 || B.again); B.done = 0
#endif
     }
  :: d_step { B.prepare && VOTES && !B.yes -> printf("shard %d votes yes on %d\n", i, t); B.yes = 1 }
  :: d_step { B.commit && HERE == PREPARED && ROOM ->
       printf("shard %d commits %d\n", i, t);
       assert(!B.half); append(i, decision(COMMITTED)); end_as(t, i, COMMITTED) }
  :: d_step { B.commit && HERE == ABORTED -> assert(false) }     /* I-A2 */
  :: d_step { B.commit && IS_DAMAGE -> assert(false) }           /* P6, G7 */
  :: d_step { B.commit && IS_OUT(COMMITTED) && !B.ack_commit -> B.ack_commit = 1 }
#ifndef M_NO_ACK_BELOW_MARK
  :: d_step { B.commit && IS_OVER && !B.ack_commit -> B.ack_commit = 1 }
#endif
  :: d_step { B.abort && HERE == PREPARED && ROOM ->
       printf("shard %d aborts %d\n", i, t);
       append(i, decision(ABORTED)); end_as(t, i, ABORTED) }
#ifndef M_NO_TOMBSTONE
  :: d_step { B.abort && HERE == NONE && !BELOW && ROOM ->
       printf("shard %d appends a tombstone of %d\n", i, t); B.done = 0; append(i, decision(ABORTED)) }
#endif
  /* P8 */
#ifndef M_NEVER_ASKS
  :: d_step { REP == PREPARED && HERE == PREPARED && !B.inquire -> B.inquire = 1 }
#endif
  :: d_step { REP == PREPARED && HERE == PREPARED && !B.peer_inquire -> B.peer_inquire = 1 }
  :: d_step { O.peer_inquire && IS_OUT(COMMITTED) && !O.peer_commit -> O.peer_commit = 1 }
  :: d_step { O.peer_inquire && REFUSED && !O.peer_abort -> O.peer_abort = 1 }
#ifdef M_NO_MEMORY_IS_ABORT
  :: d_step { O.peer_inquire && HERE == NONE && !O.peer_abort -> O.peer_abort = 1 }
#endif
  :: d_step { O.peer_inquire && MAY_REFUSE && ROOM ->
       printf("shard %d refuses %d for good\n", i, t); B.done = 0; append(i, decision(REFUSAL)) }
  :: d_step { B.peer_commit && HERE == PREPARED && ROOM ->
       printf("shard %d commits %d on the other's word\n", i, t);
       assert(!B.half); append(i, decision(COMMITTED)); end_as(t, i, COMMITTED) }
  :: d_step { B.peer_abort && HERE == PREPARED && ROOM ->
       printf("shard %d aborts %d on the other's word\n", i, t);
       append(i, decision(ABORTED)); end_as(t, i, ABORTED) }
  /* C8: NoteMark, LogMark */
  :: d_step { S.sent_mark == t + 1 && S.seen <= t -> S.seen = t + 1 }
  :: d_step { S.seen == t + 1 && S.app.mark <= t && ROOM ->
       printf("shard %d appends the mark %d\n", i, t + 1); append(i, (4 * NT + t + 1)) }
  /* loss */
  :: d_step { losses > 0 && B.prepare -> losses--; B.prepare = 0 }
  :: d_step { losses > 0 && B.commit -> losses--; B.commit = 0 }
  :: d_step { losses > 0 && B.abort -> losses--; B.abort = 0 }
  :: d_step { losses > 0 && B.ack_commit -> losses--; B.ack_commit = 0 }
  fi
}

inline group(i) {
  if
  :: d_step { S.n > 0 -> replicate_first(i) }
  :: d_step { failovers > 0 -> shard_fails_over(i) }
#ifdef M_SERVES_BEFORE_RESTORED
  :: d_step { S.unread -> S.unread = 0 }
#endif
  fi
}

#define OVER(n) \
  (id[n] != 0 && (!committed[n] || ended[n]) && sh[0].app.txn[n] == NONE && sh[1].app.txn[n] == NONE)

active proctype system() {
  co[1].serving = 1;
  do
  :: coordinator(1, 0)
  :: exchange(1, 0, 0)
  :: exchange(1, 0, 1)
#if EPOCHS > 1
  :: coordinator(2, 0)
  :: exchange(2, 0, 0)
  :: exchange(2, 0, 1)
#endif
#if EPOCHS > 2
  :: coordinator(3, 0)
  :: exchange(3, 0, 0)
  :: exchange(3, 0, 1)
#endif
  :: shard(0, 0)
  :: shard(0, 1)
#if NT > 1
  :: coordinator(1, 1)
  :: exchange(1, 1, 0)
  :: exchange(1, 1, 1)
#if EPOCHS > 1
  :: coordinator(2, 1)
  :: exchange(2, 1, 0)
  :: exchange(2, 1, 1)
#endif
  :: shard(1, 0)
  :: shard(1, 1)
#endif
  :: group(0)
  :: group(1)
#if EPOCHS > 1
  :: d_step { ce < EPOCHS && co[ce].serving -> fails_over(0) }
  :: d_step { ce < EPOCHS && co[ce].serving -> fails_over(1) }
  :: d_step { co[ce].replaying -> serves() }
#endif
  :: timeout ->                          /* nothing more can happen */
       assert(OVER(0) && OVER(NT - 1)); break
  od
}
