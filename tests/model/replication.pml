/* Replication of one group's log: R1-R4 and R6 as backup/ does them. Leases (R5) are in lease.pml.
 *
 * Two replicas and a directory that knows compare-and-swap on `epoch`. One process; each `::` of its loop is
 * one Step of a ReplicationCore, or one deed of the log, the directory, the network or the weather.
 *
 * Log      One array, `last` and `durable`: TruncateLog is waited for, so the disk is always a prefix of the
 *          log. A crash keeps all that was forced and any part of the rest. Each epoch begins with
 *          EpochBegan, content BEGAN.
 * Network  Each way NSHIP Ships of one record and one ShipAck: sending overwrites (loss), delivery leaves it
 *          there (repeats), any of them may come next (reordering), at any time (delay, across epochs and
 *          restarts). A primary ships any record it has at any moment: which one it should is only a
 *          question of speed.
 * CAS      ProposeView lies in a slot until the directory applies it, even after its sender died, or is
 *          lost. Who proposed goes on being bound until a ViewRead shows a higher view; CasDone would only
 *          show it sooner.
 * Timers   A takeover, removal, admission, stall or resend may come at any moment. With leases left out,
 *          nothing here may depend on time.
 * Disks    WIPES times a replica that is down loses its data directory: another incarnation; not the last
 *          copy (G2). One that is put back from an older copy is refused by its register (R3), and is moved
 *          aside: the same. A member that did may take its own place, in one view.
 *
 * Checked, besides what the core itself would abort on:
 *   I-R1  one (epoch, LSN) is one record
 *   I-R2  an epoch has one leader, one life of it
 *   I-R3  each member of the directory's view holds, durably, all that was told (G2, I-D1)
 *   R4    nobody truncates at or below what it knew to be replicated
 *   R1    what was told stays what it is
 *
 * M_xxx removes one clause: checks.py lists them.
 */
#ifndef L
#define L 3            /* highest LSN, EpochBegan included */
#endif
#ifndef V
#define V 2            /* records that the role appends; their contents are 1..V */
#endif
#ifndef MAXE
#define MAXE 3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef WIPES
#define WIPES 0
#endif
#ifndef NSHIP
#define NSHIP 1
#endif
#define BEGAN (V + 1)

#define DOWN     0
#define STARTING 1
#define BACKUP   2
#define LEARNER  3
#define PRIMARY  4

typedef Replica {
  /* on disk */
  byte e[L + 1];         /* the log: epoch and content by LSN; 0 = none */
  byte v[L + 1];
  byte last;
  byte seen;             /* PersistView */
  bit  inc;              /* incarnation of the data directory */
  byte applied;          /* highest LSN it ever knew to be replicated: SQLite may have it (R13) */
  /* in memory */
  byte durable;
  byte role;
  byte epoch;            /* of the view acted in; STARTING: of the view to replace */
  byte life;
  byte members;          /* of that view, as bits */
  byte proposed;         /* members of the view epoch + 1 whose fate is not known; 0 = none */
  byte replicated;       /* 0 after a restart: SQLite may lag by any amount */
  byte matched;          /* follower: prefix compared with this epoch's primary */
  /* primary */
  bit  serving;
  byte serve_at;         /* its EpochBegan */
  byte acked;            /* by the other replica, in this epoch */
  bit  peer_inc;         /* whose acks count: the incarnation named, or the one being added */
  bit  required;         /* the learner's acks count already */
  bit  replacing;        /* the member's node acks under the other incarnation, which is to take its place */
  byte new_acked         /* by that */
}
Replica rep[2];

typedef Ship { byte epoch; byte lsn; byte prev; byte e; byte v; byte replicated };
typedef ShipAck { byte epoch; byte lsn; byte e; bit inc };
typedef Inbox { Ship ship[NSHIP]; ShipAck ack };
Inbox inbox[2];          /* by receiver */

/* The directory's view. Its own member's incarnation is named, too. */
byte dir_epoch = 1, dir_primary, dir_life = 1, dir_members = 3;
bit  dir_inc[2];

typedef Cas { byte expect; byte members; byte life; bit peer_inc };
Cas cas[2];              /* by proposer; expect = 0: none */

byte told[L + 1];        /* ghost: content that a client was told of, or shown, at this LSN */
byte leader[MAXE + 1];   /* ghost: 2 * life + replica */
byte next_v = 1, crashes = CRASHES, wipes = WIPES;
byte i, k, s;            /* scratch, 0 between steps */

#define other(r)     (1 - (r))
#define bitof(r)     (1 << (r))
#define IS(r, x)     (rep[r].role == x)
#define FOLLOWS(r)   (IS(r, BACKUP) || IS(r, LEARNER))
#define least(a, b)  ((a) < (b) -> (a) : (b))
#define IN_VIEW(r)   ((rep[r].members & bitof(other(r))) != 0)
#define PAIR         3
#define SHIP(r)      inbox[r].ship[s]
#define ACK(r)       inbox[r].ack

#ifdef M_NO_INCARNATION
#define NAMES(r)     ((dir_members & bitof(r)) != 0)
#define SAME_INC(a, b)  true
#else
#define NAMES(r)     ((dir_members & bitof(r)) != 0 && dir_inc[r] == rep[r].inc)     /* R3 */
#define SAME_INC(a, b)  ((a) == (b))
#endif
#define HOLDS_DISK(r)  ((dir_members & bitof(r)) != 0 && dir_inc[r] == rep[r].inc)

/* ---- what is checked ---- */

inline check_held() {                              /* I-R3 */
  for (i : 1 .. L) {
    assert(told[i] == 0 || !HOLDS_DISK(0) || (rep[0].durable >= i && rep[0].v[i] == told[i]));
    assert(told[i] == 0 || !HOLDS_DISK(1) || (rep[1].durable >= i && rep[1].v[i] == told[i]))
  }
  i = 0
}

inline check_same() {                              /* I-R1 */
  for (i : 1 .. L) {
    assert(rep[0].e[i] == 0 || rep[0].e[i] != rep[1].e[i] || rep[0].v[i] == rep[1].v[i])
  }
  i = 0
}

inline tell(r, upto) {
  for (i : 1 .. L) {
    if
    :: i <= upto ->
       assert(told[i] == 0 || told[i] == rep[r].v[i]);
       told[i] = rep[r].v[i]
    :: else
    fi
  }
  i = 0;
  check_held()
}

/* ---- the log ---- */

inline cut(r, after) {                             /* what is above `after` goes */
  for (i : 1 .. L) {
    if
    :: i > after -> rep[r].e[i] = 0; rep[r].v[i] = 0
    :: else
    fi
  }
  i = 0;
  rep[r].last = after; rep[r].durable = least(rep[r].durable, after)
}

inline put(r, epoch_of, what) {
  rep[r].last++;
  rep[r].e[rep[r].last] = epoch_of; rep[r].v[rep[r].last] = what;
  check_same()
}

/* ---- views (views.cc) ---- */

inline leave_role(r) {
  rep[r].proposed = 0; rep[r].serving = 0; rep[r].serve_at = 0; rep[r].acked = 0; rep[r].peer_inc = 0;
  rep[r].required = 0; rep[r].replacing = 0; rep[r].new_acked = 0;
#ifndef M_MATCHING_GOES_ON
  rep[r].matched = 0                               /* R4 */
#endif
}

inline propose(r, who) {
  printf("r%d (epoch %d) proposes epoch %d, members %d\n", r, rep[r].epoch, rep[r].epoch + 1, who);
  rep[r].proposed = who
}

inline follow(r, as) {
  printf("r%d follows in epoch %d (2 backup, 3 learner): %d\n", r, dir_epoch, as);
  rep[r].role = as; rep[r].seen = dir_epoch
}

inline lead(r) {
  printf("r%d leads epoch %d\n", r, dir_epoch);
#ifndef M_RESTART_KEEPS_EPOCH
  assert(leader[dir_epoch] == 0 || leader[dir_epoch] == 2 * rep[r].life + r);          /* I-R2 */
  assert(rep[r].last == 0 || rep[r].e[rep[r].last] < dir_epoch);
#endif
  leader[dir_epoch] = 2 * rep[r].life + r;
  rep[r].role = PRIMARY; rep[r].seen = dir_epoch; rep[r].peer_inc = dir_inc[other(r)];
  put(r, dir_epoch, BEGAN);
  rep[r].serve_at = rep[r].last
}

#ifdef M_RESTART_KEEPS_EPOCH
#define MY_LIFE(r)  true
#else
#define MY_LIFE(r)  (dir_life == rep[r].life)      /* R3: an epoch belongs to one life */
#endif

inline forget_stale(r) {                           /* R2: it would be dropped; so there are fewer states */
  for (i : 0 .. NSHIP - 1) {
    if
    :: inbox[r].ship[i].epoch < dir_epoch ->
       inbox[r].ship[i].epoch = 0; inbox[r].ship[i].lsn = 0; inbox[r].ship[i].prev = 0;
       inbox[r].ship[i].e = 0; inbox[r].ship[i].v = 0; inbox[r].ship[i].replicated = 0
    :: else
    fi
  }
  if
  :: ACK(r).epoch < dir_epoch -> ACK(r).epoch = 0; ACK(r).lsn = 0; ACK(r).e = 0; ACK(r).inc = 0
  :: else
  fi;
  i = 0
}

inline adopt(r) {                                  /* ViewRead */
  assert(dir_epoch >= rep[r].seen);                /* I-R4 */
  leave_role(r);
#if !defined(M_SHIP_OF_ANY_EPOCH) && !defined(M_ACK_OF_ANY_EPOCH)
  forget_stale(r);
#endif
  rep[r].epoch = dir_epoch; rep[r].members = dir_members;
  if
  :: dir_primary == r && NAMES(r) && MY_LIFE(r) -> lead(r)
  :: dir_primary == r && NAMES(r) && !MY_LIFE(r) ->
     rep[r].role = STARTING; propose(r, dir_members)
  :: dir_primary != r && NAMES(r) -> follow(r, BACKUP)
  :: !NAMES(r) -> follow(r, LEARNER)
  fi
}

/* The incarnation that a proposal of r names for the other: the one in the view, the learner's, or that which
   takes its own place. */
inline send_cas(r) {
  cas[r].expect = rep[r].epoch; cas[r].members = rep[r].proposed; cas[r].life = rep[r].life;
  cas[r].peer_inc = (rep[r].required -> rep[r].peer_inc : dir_inc[other(r)]);
  cas[r].peer_inc = (rep[r].replacing -> 1 - rep[r].peer_inc : cas[r].peer_inc)
}

inline cas_done(whose) {
  cas[whose].expect = 0; cas[whose].members = 0; cas[whose].life = 0; cas[whose].peer_inc = 0
}

inline directory_applies(r) {
  if
  :: cas[r].expect == dir_epoch && dir_epoch < MAXE ->
     dir_epoch++; dir_primary = r; dir_life = cas[r].life; dir_members = cas[r].members;
     dir_inc[other(r)] = cas[r].peer_inc;
     cas_done(other(r));                           /* it has lost */
     printf("the directory makes r%d's view: epoch %d, members %d\n", r, dir_epoch, dir_members);
     check_held()
  :: else
  fi;
  cas_done(r)
}

/* ---- stops and losses ---- */

inline crash(r) {
  crashes--;
  k = rep[r].durable;
  do
  :: k < rep[r].last -> k++
  :: break
  od;
  printf("r%d crashes, LSN %d and below survive\n", r, k);
  rep[r].durable = k; cut(r, k);
  k = 0;
  leave_role(r);
  rep[r].role = DOWN; rep[r].epoch = 0; rep[r].members = 0; rep[r].replicated = 0; rep[r].matched = 0;
  check_held()
}

inline lose_disk(r) {
  wipes--;
#ifdef M_OLD_DISK_TAKEN
  k = 0;
  do
  :: k < rep[r].last -> k++
  :: break
  od;
  printf("r%d gets an older copy of its disk, which ends at LSN %d\n", r, k);
  cut(r, k);
  rep[r].applied = least(rep[r].applied, k);
  k = 0
#else
  printf("r%d loses its disk\n", r);
  cut(r, 0);
  rep[r].inc = 1 - rep[r].inc; rep[r].seen = 0; rep[r].applied = 0                      /* R3 */
#endif
}

inline restart(r) {
  printf("r%d restarts\n", r);
  rep[r].role = STARTING; rep[r].life++
}

/* ---- shipping (primary.cc, follower.cc) ---- */

inline send_ship(r, n) {
  printf("r%d ships (e%d, %d) = %d\n", r, rep[r].e[n], n, rep[r].v[n]);
  SHIP(other(r)).epoch = rep[r].epoch; SHIP(other(r)).lsn = n;
  SHIP(other(r)).prev = rep[r].e[n - 1];
  SHIP(other(r)).e = rep[r].e[n]; SHIP(other(r)).v = rep[r].v[n];
  SHIP(other(r)).replicated = rep[r].replicated
}

#ifdef M_SHIP_OF_ANY_EPOCH
#define OF_THIS_EPOCH(r)  (SHIP(r).epoch != 0)
#else
#define OF_THIS_EPOCH(r)  (SHIP(r).epoch != 0 && SHIP(r).epoch == rep[r].epoch)         /* R2 */
#endif
#ifdef M_COMPARES_LENGTHS
#define HELD(r)     (SHIP(r).lsn <= rep[r].last)
#define FOLLOWS_ON(r)  (SHIP(r).lsn <= rep[r].last + 1)
#else
#define HELD(r)     (SHIP(r).lsn <= rep[r].last && rep[r].e[SHIP(r).lsn] == SHIP(r).e)  /* R4 */
#define FOLLOWS_ON(r)  (SHIP(r).lsn <= rep[r].last + 1 && rep[r].e[SHIP(r).lsn - 1] == SHIP(r).prev)
#endif

inline learn_replicated(r, upto) {
  k = least(least(upto, rep[r].matched), rep[r].durable);
  rep[r].replicated = (k > rep[r].replicated -> k : rep[r].replicated);
  rep[r].applied = (k > rep[r].applied -> k : rep[r].applied);
  k = 0
}

inline take_ship(r) {
  printf("r%d takes (e%d, %d) = %d\n", r, SHIP(r).e, SHIP(r).lsn, SHIP(r).v);
  if
  :: HELD(r)
  :: else ->
     if
     :: SHIP(r).lsn <= rep[r].last ->              /* R4: what diverges goes */
        assert(SHIP(r).lsn > rep[r].applied);      /* else the replica would halt */
        k = SHIP(r).lsn - 1;
        cut(r, k)
     :: else
     fi;
     put(r, SHIP(r).e, SHIP(r).v);
     check_held()
  fi;
  rep[r].matched = (SHIP(r).lsn > rep[r].matched -> SHIP(r).lsn : rep[r].matched);
  learn_replicated(r, SHIP(r).replicated)
}

inline ack_ship(r) {
#if defined(M_ACK_BEFORE_FORCE)
  k = rep[r].matched;
#elif defined(M_ACK_OF_LENGTH)
  k = rep[r].durable;
#else
  k = least(rep[r].matched, rep[r].durable);       /* R4 */
#endif
  inbox[other(r)].ack.epoch = rep[r].epoch; inbox[other(r)].ack.lsn = k;
  inbox[other(r)].ack.e = rep[r].e[k]; inbox[other(r)].ack.inc = rep[r].inc;
  printf("r%d acks up to %d in epoch %d\n", r, k, rep[r].epoch);
  k = 0
}

#ifdef M_ACK_OF_ANY_EPOCH
#define ACK_OF_THIS_EPOCH(r)  (ACK(r).epoch != 0)
#else
#define ACK_OF_THIS_EPOCH(r)  (ACK(r).epoch != 0 && ACK(r).epoch == rep[r].epoch)       /* R2 */
#endif
/* Until it is proposed a learner may be given up for one with another incarnation: BeginAdding,
   IgnoreOtherIncarnation. */
#define FIXED_INC(r)  (IN_VIEW(r) || rep[r].proposed != 0)
#ifdef M_ACK_WITHOUT_POSITION
#define IS_OURS(r)    true
#else
#define IS_OURS(r)    (ACK(r).e == rep[r].e[ACK(r).lsn])                                /* R4 */
#endif
#define ACK_COUNTS(r) \
  (ACK_OF_THIS_EPOCH(r) && ACK(r).lsn <= rep[r].last && IS_OURS(r) && \
   (SAME_INC(ACK(r).inc, rep[r].peer_inc) -> ACK(r).lsn > rep[r].acked : !FIXED_INC(r)))

inline on_ack(r) {
  printf("r%d counts the ack of %d\n", r, ACK(r).lsn);
  if
  :: ACK(r).inc != rep[r].peer_inc && !FIXED_INC(r) -> rep[r].required = 0; rep[r].peer_inc = ACK(r).inc
  :: else
  fi;
  rep[r].acked = ACK(r).lsn
}

/* A member's node that acks as another than the view names (R3). */
#define ACK_OF_ANOTHER(r) \
  (IN_VIEW(r) && ACK_OF_THIS_EPOCH(r) && ACK(r).lsn <= rep[r].last && IS_OURS(r) && \
   ACK(r).inc != rep[r].peer_inc && \
   (rep[r].replacing -> ACK(r).lsn > rep[r].new_acked : rep[r].proposed == 0 && rep[r].epoch < MAXE))

inline on_ack_of_another(r) {
  printf("r%d counts the ack of %d of who is to take its own place\n", r, ACK(r).lsn);
  rep[r].replacing = 1; rep[r].new_acked = ACK(r).lsn
}

/* ---- what is replicated (primary.cc) ---- */

#if defined(M_LEARNER_NOT_REQUIRED)
#define REQUIRED(r)  IN_VIEW(r)
#elif defined(M_REMOVED_BEFORE_CAS)
#define REQUIRED(r)  (rep[r].required || (IN_VIEW(r) && rep[r].proposed == 0))
#else
#define REQUIRED(r)  (rep[r].required || IN_VIEW(r))                                    /* R1, R6 */
#endif
#ifdef M_OWN_FORCE_NOT_NEEDED
#define OWN(r)  rep[r].last
#else
#define OWN(r)  rep[r].durable
#endif
#define HELD_BY_PEER(r)  (rep[r].replacing -> least(rep[r].acked, rep[r].new_acked) : rep[r].acked)
#define HELD_BY_MEMBERS(r)  (REQUIRED(r) -> least(OWN(r), HELD_BY_PEER(r)) : OWN(r))
#ifdef M_SERVES_INHERITED_AT_ONCE
#define MAY_ADVANCE(r)  true
#else
#define MAY_ADVANCE(r)  (HELD_BY_MEMBERS(r) >= rep[r].serve_at)                         /* R4 */
#endif

inline advance_replicated(r) {
  k = HELD_BY_MEMBERS(r);
  rep[r].replicated = (k > rep[r].replicated -> k : rep[r].replicated);
  rep[r].applied = (k > rep[r].applied -> k : rep[r].applied);
#ifdef M_SERVES_INHERITED_AT_ONCE
  k = (k < rep[r].serve_at -> rep[r].serve_at - 1 : k);                                 /* it is read */
#endif
  rep[r].serving = 1;
  printf("r%d serves, and tells up to %d\n", r, k);
  tell(r, k);
  k = 0
}

/* ---- members (changes.cc, leases.cc) ---- */

#if defined(M_LEARNER_GAP)
#define LEARNER_HOLDS_ALL(r)  (rep[r].acked > 0)
#elif defined(M_LEARNER_WITHOUT_INHERITED)
#define LEARNER_HOLDS_ALL(r)  (rep[r].acked >= rep[r].replicated)
#else
#define LEARNER_HOLDS_ALL(r)  \
  (rep[r].acked >= rep[r].replicated && rep[r].acked >= rep[r].serve_at && \
   HELD_BY_MEMBERS(r) >= rep[r].serve_at)
#endif
/* The primary is a member, so it holds all that was ever replicated, though nothing more is, in this view. */
#ifdef M_REPLACER_WITHOUT_INHERITED
#define REPLACER_HOLDS_ALL(r)  (rep[r].new_acked >= rep[r].replicated)
#else
#define REPLACER_HOLDS_ALL(r)  \
  (rep[r].new_acked >= rep[r].replicated && rep[r].new_acked >= rep[r].serve_at && \
   OWN(r) >= rep[r].serve_at)
#endif
#ifdef M_LEARNER_DROPPED_ON_TIMEOUT
#define MAY_STALL(r)  true
#else
#define MAY_STALL(r)  (rep[r].proposed == 0)                                            /* R6 */
#endif

#define MAY_PROPOSE(r)  (rep[r].proposed == 0 && rep[r].epoch < MAXE)
#define ADDS(r)         (IS(r, PRIMARY) && !IN_VIEW(r))

#define STEPS(r) \
  :: d_step { IS(r, PRIMARY) && rep[r].serving && rep[r].last < L && next_v <= V -> \
              printf("r%d appends (e%d, %d) = %d\n", r, rep[r].epoch, rep[r].last + 1, next_v); \
              put(r, rep[r].epoch, next_v); next_v++ } \
  :: d_step { !IS(r, DOWN) && rep[r].durable < rep[r].last -> \
              printf("r%d has forced its log\n", r); rep[r].durable = rep[r].last } \
  :: atomic { IS(r, PRIMARY) && rep[r].last > 0 -> \
              k = 1; do :: k < rep[r].last -> k++ :: break od; \
              s = 0; do :: s < NSHIP - 1 -> s++ :: break od; \
              send_ship(r, k); k = 0; s = 0 } \
  :: atomic { FOLLOWS(r) -> \
              s = 0; do :: s < NSHIP - 1 -> s++ :: break od; \
              if :: OF_THIS_EPOCH(r) && FOLLOWS_ON(r) -> take_ship(r) :: else fi; s = 0 } \
  :: d_step { FOLLOWS(r) -> ack_ship(r) } \
  :: d_step { IS(r, PRIMARY) && ACK_COUNTS(r) -> on_ack(r) } \
  :: d_step { IS(r, PRIMARY) && ACK_OF_ANOTHER(r) -> on_ack_of_another(r) } \
  :: d_step { IS(r, PRIMARY) && MAY_ADVANCE(r) && \
              (HELD_BY_MEMBERS(r) > rep[r].replicated || !rep[r].serving) -> advance_replicated(r) } \
  /* R3: a silent primary, a silent backup */ \
  :: d_step { IS(r, BACKUP) && MAY_PROPOSE(r) -> propose(r, bitof(r)) } \
  :: d_step { IS(r, PRIMARY) && IN_VIEW(r) && MAY_PROPOSE(r) -> \
              rep[r].replacing = 0; rep[r].new_acked = 0; propose(r, bitof(r)) } \
  /* R6 */ \
  :: d_step { ADDS(r) && rep[r].proposed == 0 && !rep[r].required && rep[r].epoch < MAXE -> \
              rep[r].required = 1 } \
  :: d_step { ADDS(r) && rep[r].required && MAY_STALL(r) -> rep[r].required = 0 } \
  :: d_step { ADDS(r) && rep[r].required && MAY_PROPOSE(r) && LEARNER_HOLDS_ALL(r) -> propose(r, PAIR) } \
  :: d_step { IS(r, PRIMARY) && rep[r].replacing && MAY_PROPOSE(r) && REPLACER_HOLDS_ALL(r) -> \
              propose(r, PAIR) } \
  :: d_step { IS(r, PRIMARY) && rep[r].replacing && MAY_STALL(r) -> \
              rep[r].replacing = 0; rep[r].new_acked = 0 } \
  /* the directory */ \
  :: d_step { !IS(r, DOWN) && rep[r].epoch < dir_epoch && (rep[r].last < L || dir_primary != r) -> \
              adopt(r) } \
  :: d_step { rep[r].proposed != 0 && cas[r].expect == 0 && rep[r].epoch == dir_epoch -> send_cas(r) } \
  :: d_step { cas[r].expect != 0 -> directory_applies(r) } \
  :: d_step { cas[r].expect != 0 -> cas_done(r) } \
  /* the weather */ \
  :: atomic { !IS(r, DOWN) && crashes > 0 -> crash(r) } \
  :: atomic { IS(r, DOWN) && wipes > 0 && HOLDS_DISK(other(r)) -> lose_disk(r) } \
  :: d_step { IS(r, DOWN) -> restart(r) }

active proctype group() {
  d_step {
    rep[0].role = PRIMARY; rep[1].role = BACKUP; rep[0].serving = 1;
    for (i : 0 .. 1) { rep[i].epoch = 1; rep[i].seen = 1; rep[i].members = PAIR; rep[i].life = 1 }
    i = 0;
    leader[1] = 2
  }
end:
  do
  STEPS(0)
  STEPS(1)
  od
}
