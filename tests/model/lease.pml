/* Leases (R5) and the views that end them (R3, R6): backup/leases.cc, backup/views.cc, backup/changes.cc,
 * backup/handover.cc.
 *
 * A file of its own: joined to replication.pml the states multiply, and neither needs the other's. Here
 * there is no log: "the whole log is replicated in this view" (R4) is `joined`, who has entered an epoch as
 * a follower.
 *
 * Three replicas, r0 leading epoch 1, and a directory that knows compare-and-swap on `epoch`.
 *
 * Time     `Tick` makes everything one older: beacons on their way, what was asked, what was promised. Ages
 *          stop at the point from which on they count for nothing, so the states are finite. A lease counts
 *          for LEASE on the clock of the primary, which may be slow: LEASE + DRIFT ticks. A backup's grace
 *          period is GRACE ticks on a fast clock. GRACE = LEASE + DRIFT is the least that is safe, so it is
 *          what is checked. Any other timeout (removal, a proposal sent again, a read of the directory, a
 *          handover taken back) may come at any moment.
 * Network  One Beacon to and one BeaconAck from each replica is on its way: sending overwrites (loss),
 *          delivery leaves it there (repeats), nothing has to be delivered (delay, partition). HandOver
 *          likewise.
 * CAS      ProposeView lies in a slot until the directory applies it, at any time, even after its sender
 *          died, or it is lost. The proposer learns its fate by reading; CasDone would tell it nothing else,
 *          but sooner.
 * Read     Any replica may read a new view at any moment, or never (a directory out of reach). Where a lease
 *          counts from a reading, asking, answering and taking in are three steps, since it counts from the
 *          first.
 *
 * What can have no effect any more (a message of an epoch that its receiver has left, a view that nobody is
 * in) is forgotten at once: fewer states, the same steps.
 *
 * I-S2  At most one replica holds a lease, and none does once a later epoch held one (G5): what leaves a
 *       primary leaves under its lease (Outbox::Leave), so this is "no deposed primary answers a read".
 *
 * M_xxx removes one clause: checks.py lists them.
 */
#ifndef MEMBERS
#define MEMBERS 3        /* of epoch 1, as bits: r0 and r1; r2 is a learner */
#endif
#ifndef MAXE
#define MAXE 4
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef LAST_HANDOVER
#define LAST_HANDOVER (MAXE - 2)               /* no lease above this epoch is handed over */
#endif
#ifndef LEASE
#define LEASE 1
#endif
#ifndef DRIFT
#define DRIFT 1
#endif
#define OVER  (LEASE + DRIFT)                  /* as old as this, a word counts for nothing */
#ifdef M_GRACE_IGNORES_DRIFT
#define GRACE LEASE
#else
#define GRACE (LEASE + DRIFT)
#endif

#define STARTING 0       /* leads nothing, follows nobody */
#define FOLLOWER 1       /* backup, or learner if the view does not name it */
#define PRIMARY  2

typedef Beacon { byte epoch; byte age };       /* BeaconAck likewise: the age of the beacon it answers */

typedef Replica {
  byte role = STARTING;
  byte epoch;            /* view acted in; STARTING: view to replace */
  byte seen;             /* highest epoch entered, persisted */
  byte life;             /* of the process */
  bit  serving;          /* primary: R4 done */
  byte proposed;         /* members of a view epoch + 1 whose fate is not known; 0: none */
  byte heard;  /* follower: since it took a beacon in, or entered; STARTING: since it began */
  byte word[3];          /* primary: since the latest beacon that this backup answered was sent */
  byte directory;  /* primary: since it asked the reading that last showed this epoch, or the proposal */
  byte asked;            /* since the reading on its way was asked */
  byte reading;          /* 0: none; 1: asked; 2: answered, this epoch is the newest */
  bit  handed_over       /* primary: has no lease any more in this epoch, for good */
}
Replica rep[3];

typedef View { byte primary; byte life; byte members; byte joined };
View view[MAXE + 1];     /* views are never changed once made (I-R2); `joined`: R4, see above */
byte newest = 1;         /* epoch of the directory */

typedef Cas { byte expect; byte members; byte life };
Cas cas[3];              /* ProposeView on its way, by sender; expect = 0: none */

Beacon to[3];            /* Beacon on its way to this replica */
Beacon from[3];          /* BeaconAck on its way from it */
byte hand_over[3];       /* HandOver on its way to it: of which epoch; 0: none */

byte restarts = RESTARTS;
byte told = 1;           /* ghost: highest epoch in which somebody held a lease */
byte i;                  /* scratch, 0 between steps */

#define bitof(r)      (1 << (r))
#define V(r)          view[rep[r].epoch]
#define IS(r, x)      (rep[r].role == x)
#define NAMED(r)      (V(r).members & bitof(r))
#define BACKUP(r, m)  ((m) != (r) && (V(r).members & bitof(m)))
#define LONE(r)       (V(r).members == bitof(r))
#define older(age, most)  age = (age < (most) -> age + 1 : age)

/* ---- the lease ---- */

/* R5: the word of every backup, each given when its beacon was sent. */
#define WORD(r, m)    (!BACKUP(r, m) || rep[r].word[m] < OVER)
#ifdef M_LEASE_OF_ONE_BACKUP
#define GAVE(r, m)    (BACKUP(r, m) && WORD(r, m))
#define WORDS(r)      (GAVE(r, 0) || GAVE(r, 1) || GAVE(r, 2))
#else
#define WORDS(r)      (WORD(r, 0) && WORD(r, 1) && WORD(r, 2))
#endif
#ifdef M_LONE_NEEDS_NO_DIRECTORY
#define LONE_WORD(r)  true
#else
#define LONE_WORD(r)  (rep[r].directory < OVER)
#endif
/* R3: bound by the view that it proposed, too. One who joins by it gave no word, and may lead the view after
   it. So the directory's word is needed as well, that the view acted in is still the current one. */
#define ADMITS(r)     (rep[r].proposed & ~V(r).members)
#ifdef M_LEARNER_GIVES_NO_WORD
#define BOUND(r)      true
#else
#define BOUND(r)      (!ADMITS(r) || rep[r].directory < OVER)
#endif
/* R5: over before the backup is told to lead, which waits for nothing; and for good, since it may take its
   time. The next view has the same members, so its primary would lead by the old one's word, and both clauses
   would be redundant, were the old one never removed from it (NO_REMOVAL). But an operator may remove it at
   any moment, and then it is not asked. */
#ifdef M_LEASE_KEPT_AFTER_HANDOVER
#define GIVEN_UP(r)   false
#else
#define GIVEN_UP(r)   rep[r].handed_over
#endif
#define HOLDS(r)      (IS(r, PRIMARY) && rep[r].serving && !GIVEN_UP(r) && \
                       (LONE(r) -> LONE_WORD(r) : WORDS(r) && BOUND(r)))

/* I-S2, G5; looked at wherever a lease can begin or be prolonged */
inline check_leases() {
  for (i : 0 .. 2) {
    if
    :: HOLDS(i) && rep[i].epoch > told -> told = rep[i].epoch
    :: else
    fi
  }
  for (i : 0 .. 2) { assert(!HOLDS(i) || rep[i].epoch == told) }
  i = 0
}

/* ---- time ---- */

inline pass(beacon) {                     /* too old to prolong a lease: as good as lost */
  if
  :: beacon.epoch != 0 && beacon.age + 1 >= OVER -> beacon.epoch = 0; beacon.age = 0
  :: beacon.epoch != 0 && beacon.age + 1 < OVER -> beacon.age++
  :: else
  fi
}

inline tick() {
  for (i : 0 .. 2) {
    rep[i].heard = (!IS(i, PRIMARY) && NAMED(i) && rep[i].heard < GRACE -> rep[i].heard + 1 : rep[i].heard);
    older(rep[i].word[0], OVER); older(rep[i].word[1], OVER); older(rep[i].word[2], OVER);
    older(rep[i].directory, OVER);
    rep[i].asked = (rep[i].reading != 0 && rep[i].asked < OVER -> rep[i].asked + 1 : rep[i].asked);
    pass(to[i]); pass(from[i])
  }
  i = 0
}

/* ---- roles (views.cc) ---- */

inline forget(beacon) { beacon.epoch = 0; beacon.age = 0 }

inline leave_role(r, next) {
  if
  :: IS(r, PRIMARY) ->
     for (i : 0 .. 2) { if :: from[i].epoch == rep[r].epoch -> forget(from[i]) :: else fi }
     V(r).joined = 0
  :: else
  fi;
  forget(to[r]);
  rep[r].role = STARTING; rep[r].serving = 0; rep[r].proposed = 0; rep[r].heard = 0; rep[r].directory = OVER;
  rep[r].word[0] = OVER; rep[r].word[1] = OVER; rep[r].word[2] = OVER; rep[r].reading = 0; rep[r].asked = 0;
  rep[r].handed_over = 0;
  i = rep[r].epoch; rep[r].epoch = next;
  if
  :: i != newest && rep[0].epoch != i && rep[1].epoch != i && rep[2].epoch != i ->
     view[i].primary = 0; view[i].life = 0; view[i].members = 0; view[i].joined = 0
  :: else
  fi;
  i = 0
}

/* Adopt: the directory's view is above the one acted in. */
inline adopt(r) {
  leave_role(r, newest);
  if
  :: V(r).primary == r && V(r).life == rep[r].life ->
     printf("r%d leads epoch %d\n", r, newest);
     rep[r].role = PRIMARY; rep[r].seen = newest
  :: V(r).primary == r && V(r).life != rep[r].life ->      /* R3: an epoch of this life first */
     printf("r%d reads epoch %d, of an earlier life\n", r, newest);
     rep[r].proposed = V(r).members
  :: else ->
     printf("r%d follows in epoch %d\n", r, newest);
     rep[r].role = FOLLOWER; rep[r].seen = newest;
     V(r).joined = V(r).joined | bitof(r);
#ifdef M_NO_GRACE_AFTER_START
     rep[r].heard = GRACE
#endif
  fi
}

/* ViewRead that shows the epoch acted in. */
inline view_read(r) {
  printf("r%d reads that epoch %d holds, as of %d ago\n", r, rep[r].epoch, rep[r].asked);
#ifdef M_LONE_FROM_ANSWER
  rep[r].directory = 0;
#else
  rep[r].directory = rep[r].asked;
#endif
  rep[r].reading = 0; rep[r].asked = 0;
  check_leases()
}

inline propose(r, who) {
  printf("r%d (epoch %d) proposes epoch %d, members %d\n", r, rep[r].epoch, rep[r].epoch + 1, who);
  rep[r].proposed = who;
  /* Until it was made the proposal cannot hold, so its maker's own word is as good as a reading's. */
  rep[r].directory = (IS(r, PRIMARY) && !LONE(r) -> (ADMITS(r) -> 0 : OVER) : rep[r].directory)
}

inline restart(r) {
  printf("r%d restarts\n", r);
  leave_role(r, 0);
  rep[r].life++; restarts--
}

/* ---- directory ---- */

inline cas_done(whose) { cas[whose].expect = 0; cas[whose].members = 0; cas[whose].life = 0 }

inline directory_applies(r) {
  if
  :: cas[r].expect == newest && newest < MAXE ->
     newest++;
     printf("the directory makes r%d's view: epoch %d, members %d\n", r, newest, cas[r].members);
     view[newest].primary = r; view[newest].life = cas[r].life; view[newest].members = cas[r].members;
     for (i : 0 .. 2) {
       if :: i != r -> cas_done(i) :: else fi;                        /* they have lost */
#ifndef M_HANDOVER_OF_ANY_EPOCH
       hand_over[i] = 0                                               /* who takes it in now will lose */
#endif
     }
     i = 0
  :: else
  fi;
  cas_done(r)
}

/* ---- beacons ---- */

/* R3: not once it proposed itself, nor while it enters the view that it won (to persist the epoch, or to end
   a truncation, takes its time; it is one step here, since nothing else is done meanwhile). */
#ifdef M_PROPOSER_ANSWERS
#define FREE(r)  true
#else
#ifdef M_ANSWERS_WHILE_ENTERING
#define FREE(r)  (rep[r].proposed == 0 || rep[r].epoch < newest)
#else
#define FREE(r)  (rep[r].proposed == 0)
#endif
#endif

inline on_beacon(m) {
  printf("r%d answers a beacon of %d ago in epoch %d\n", m, to[m].age, to[m].epoch);
  rep[m].heard = 0;
  from[m].epoch = to[m].epoch; from[m].age = to[m].age
}

inline on_beacon_ack(r, m) {
#ifdef M_LEASE_FROM_ANSWER
  rep[r].word[m] = 0;
#else
  rep[r].word[m] = (from[m].age < rep[r].word[m] -> from[m].age : rep[r].word[m]);
#endif
  printf("r%d has r%d's word, of %d ago\n", r, m, rep[r].word[m]);
  check_leases()
}

/* ---- handing over (handover.cc) ---- */

inline give_up_lease(r, m) {
  printf("r%d gives up its lease and tells r%d to lead\n", r, m);
  rep[r].handed_over = 1; hand_over[m] = rep[r].epoch;
  if
  :: GIVEN_UP(r) -> rep[r].word[0] = OVER; rep[r].word[1] = OVER; rep[r].word[2] = OVER
  :: else
  fi
}

inline tick_hand_over(r) {
#ifdef M_TAKEN_BACK_IN_THE_SAME_EPOCH
  printf("r%d goes on in epoch %d\n", r, rep[r].epoch);
  rep[r].handed_over = 0
#else
  propose(r, V(r).members)
#endif
}

#ifdef M_HANDOVER_OF_ANY_EPOCH
#define TOLD_TO_LEAD(m)  (hand_over[m] != 0)
#else
#define TOLD_TO_LEAD(m)  (hand_over[m] != 0 && hand_over[m] == rep[m].epoch)            /* R2 */
#endif

#define SAME_EPOCH(b, r)  (b.epoch != 0 && b.epoch == rep[r].epoch)   /* R2 */
#ifdef M_TAKEOVER_AT_ONCE
#define SILENT(r)  true
#else
#define SILENT(r)  (rep[r].heard >= GRACE)
#endif
#ifdef M_SERVE_WITHOUT_BACKUPS
#define JOINED(r)  true
#else
#define JOINED(r)  (((V(r).joined | bitof(r)) & V(r).members) == V(r).members)       /* R4 */
#endif

/* Whose lease hangs on the directory. */
#define BY_DIRECTORY(r)  (IS(r, PRIMARY) && (LONE(r) || ADMITS(r)))
/* A view of an earlier life that none of its lives entered: its compare-and-swap was on its way while a later
   life gave its word as a backup. That life's word binds this one. */
#ifdef M_RESTARTED_LEADS_AT_ONCE
#define WAITED(r)  true
#else
#define WAITED(r)  (!IS(r, STARTING) || rep[r].seen == rep[r].epoch || rep[r].heard >= GRACE)
#endif
#define MAY_PROPOSE(r)  (rep[r].proposed == 0 && !rep[r].handed_over && rep[r].epoch < MAXE)

/* One that is deposed may, too, but nobody heeds it. */
#define MAY_HAND_OVER(r)  (MAY_PROPOSE(r) && rep[r].serving && rep[r].epoch == newest && \
                           rep[r].epoch <= LAST_HANDOVER)

#ifdef NO_REMOVAL
#define MAY_REMOVE  false
#else
#define MAY_REMOVE  true
#endif

/* What primary r does with m. */
#define WITH(r, m) \
  :: d_step { IS(r, PRIMARY) && BACKUP(r, m) && !GIVEN_UP(r) && rep[m].epoch <= rep[r].epoch -> \
              to[m].epoch = rep[r].epoch; to[m].age = 0 } \
  :: d_step { IS(r, PRIMARY) && BACKUP(r, m) && !GIVEN_UP(r) && SAME_EPOCH(from[m], r) && \
              from[m].age < rep[r].word[m] -> on_beacon_ack(r, m) } \
  :: d_step { IS(r, PRIMARY) && BACKUP(r, m) && MAY_HAND_OVER(r) -> give_up_lease(r, m) } \
  :: d_step { IS(r, PRIMARY) && BACKUP(r, m) && MAY_PROPOSE(r) && MAY_REMOVE -> \
              propose(r, V(r).members & ~bitof(m)) } \
  :: d_step { IS(r, PRIMARY) && !BACKUP(r, m) && MAY_PROPOSE(r) && rep[r].serving && \
              (V(r).joined & bitof(m)) -> propose(r, V(r).members | bitof(m)) }

#define STEPS(r, m, n) \
  WITH(r, m) \
  WITH(r, n) \
  :: d_step { IS(r, PRIMARY) && !rep[r].serving && JOINED(r) -> \
              printf("r%d serves in epoch %d\n", r, rep[r].epoch); rep[r].serving = 1; check_leases() } \
  :: d_step { IS(r, FOLLOWER) && SAME_EPOCH(to[r], r) && FREE(r) -> on_beacon(r) } \
  :: d_step { IS(r, FOLLOWER) && NAMED(r) && SILENT(r) && MAY_PROPOSE(r) -> \
              propose(r, V(r).members & ~bitof(V(r).primary)) } \
  :: d_step { IS(r, FOLLOWER) && NAMED(r) && TOLD_TO_LEAD(r) && MAY_PROPOSE(r) -> propose(r, V(r).members) } \
  :: d_step { rep[r].handed_over && rep[r].proposed == 0 -> tick_hand_over(r) } \
  :: d_step { rep[r].proposed != 0 && cas[r].expect == 0 && rep[r].epoch == newest && WAITED(r) -> \
              cas[r].expect = rep[r].epoch; cas[r].members = rep[r].proposed; cas[r].life = rep[r].life } \
  :: d_step { cas[r].expect != 0 -> directory_applies(r) } \
  :: d_step { cas[r].expect != 0 -> cas_done(r) } \
  :: d_step { rep[r].epoch < newest -> adopt(r) } \
  :: d_step { BY_DIRECTORY(r) && rep[r].reading == 0 -> rep[r].reading = 1 } \
  :: d_step { rep[r].reading == 1 && rep[r].epoch == newest -> rep[r].reading = 2 } \
  :: d_step { rep[r].reading == 2 -> view_read(r) } \
  :: d_step { restarts > 0 && rep[r].epoch != 0 -> restart(r) }

active proctype group() {
  d_step {
    view[1].members = MEMBERS; view[1].joined = 6;
    rep[0].role = PRIMARY; rep[0].serving = 1;
    rep[1].role = FOLLOWER; rep[2].role = FOLLOWER;
    for (i : 0 .. 2) {
      rep[i].epoch = 1; rep[i].seen = 1; rep[i].directory = OVER;
      rep[i].word[0] = OVER; rep[i].word[1] = OVER; rep[i].word[2] = OVER
    }
    i = 0
  }
end:
  do
  :: d_step { true -> tick() }
  STEPS(0, 1, 2)
  STEPS(1, 2, 0)
  STEPS(2, 0, 1)
  od
}
