/* A token takes effect once (C5), and one participant decides by itself (C6): coordinator/clients.cc,
 * one_phase.cc, tokens.cc; participant/one_phase.cc; client/outcome.cc. A file of its own, since nothing
 * here votes.
 *
 * One token of one client, a coordinator group, and (without TWO_PHASE) the one shard that decides. With
 * TWO_PHASE the coordinator's Committed record decides, and how the votes come in is commit.pml's business.
 *
 * A group is its log: `app`, as the process applied it, and `rep`, what is replicated of it; the tail
 * between is kept or lost at a failover, as replicas happen to hold it. Each coordinator epoch is a process
 * of its own, and a deposed one lives on: it takes calls and answers, but replicates nothing. (It has no
 * lease either (R5), but nothing here needs that.)
 *
 * Network  Execute, CommitOnePhase, SettleToken and OnePhaseReply stay once sent: delivered any number of
 *          times, in any order, however late. An answer to the client is told when it leaves, which is the
 *          earliest it can be.
 * HORIZON  The group's horizon passes the token at any time, and some time later the shard's does: both forget what became
 *          of it.
 * Client   Sends an attempt to any epoch it may believe in, again and again; raises the attempt only when it
 *          was told ABORTED of all it sent; acknowledges only an outcome (client/outcome.cc).
 *
 * Checked: the token has at most one effect (G4, I-X1), none by an attempt of which ABORTED was told (I-A2),
 * COMMITTED is told only of one; and what Apply of either core would abort on.
 *
 * M_xxx removes one clause: checks.py lists them.
 */
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef EPOCHS
#define EPOCHS 2         /* of the coordinator group */
#endif
#ifndef FAILOVERS
#define FAILOVERS 1      /* of the shard */
#endif

typedef Row { byte refused; bit committed; bit expired };  /* TokenOutcome; below floor or horizon */

typedef Coordinator {
  bit  up;
  Row  app;
  byte live;             /* attempt of the live transaction; 0 = none */
  bit  settling;         /* it is kSettling, not kOnePhase */
  byte committing;       /* TWO_PHASE: attempt whose Committed is appended */
  byte pending;          /* pending_aborts_: ABORTED for attempts up to this one waits for its record */
  bit  floor             /* NoteFloor */
}
Coordinator co[EPOCHS + 1];
byte ce = 1;             /* current epoch */
Row rep;                 /* the coordinator group's, replicated */
bit note;                /* rep.committed is appended and may be replicated */

typedef Shard {
  Row app;
  Row rep;
  byte by;               /* attempt of the OnePhaseCommitted that is appended */
  byte running;          /* attempt of the live branch, kWorking; 0 = none */
  byte joined            /* highest attempt of its joiners */
}
Shard shard;

/* Sent so far; bit a is attempt a. */
byte execute[EPOCHS + 1];   /* Execute, by sent_to */
byte commit_one_phase, settle_token;
byte reply_no;
bit  reply_yes, reply_expired;

/* the client */
byte attempt = 1;
bit  acknowledges;       /* a later request carries acked_below above this token */
/* ghosts */
byte over;               /* ABORTED was told of attempts up to this one */
bit  told_committed;
byte effects, effect_of;
byte failovers = FAILOVERS;
byte n;                  /* scratch, 0 between steps */

#define has(set, a)   (((set) >> (a)) & 1)
#define most(a, b)    ((a) > (b) -> (a) : (b))
#define CO(e)         co[e]
#define CURRENT(e)    ((e) == ce)

inline take_effect(by_attempt) {
  effects++; effect_of = by_attempt;
  printf("attempt %d takes effect\n", by_attempt);
  assert(effects == 1);                            /* G4 */
  assert(by_attempt > over)                        /* I-A2 */
}

inline tell_aborted(upto) {
  printf("ABORTED is told of attempt %d\n", upto);
  over = most(over, upto);
  assert(effects == 0 || effect_of > over)         /* I-A2 */
}

inline tell_committed() {
  printf("COMMITTED is told\n");
  told_committed = 1;
  assert(effects == 1)
}

/* ---- coordinator ---- */

inline refuse_attempt(e, upto) {                      /* RefuseAttempt, AbortWaiters */
  printf("c%d appends AttemptRefused %d\n", e, upto);
  assert(!CO(e).app.committed || CO(e).app.expired);     /* Tokens::OnRefused */
  CO(e).app.refused = (CO(e).app.expired -> CO(e).app.refused : most(CO(e).app.refused, upto));
  CO(e).pending = most(CO(e).pending, upto)
}

#ifdef M_OLD_EPOCHS_ARE_TAKEN
#define SENT_HERE(e, a)  (has(execute[1], a) || has(execute[2], a))
#else
#define SENT_HERE(e, a)  has(execute[e], a)        /* C5: sent_to */
#endif
#ifdef M_FORGETS_BELOW_FLOOR
#define EXPIRED(e)  false
#else
#define EXPIRED(e)  (CO(e).app.expired || CO(e).floor)
#endif
#ifdef M_REFUSED_MAY_RUN
#define REFUSED(e, a)  false
#else
#define REFUSED(e, a)  ((a) <= CO(e).app.refused)
#endif
#ifdef M_RECORD_NOT_LOOKED_UP
#define RECORDED(e)  false
#else
#define RECORDED(e)  (CO(e).app.committed && !CO(e).app.expired)
#endif
#define FRESH(e, a) \
  (CO(e).up && SENT_HERE(e, a) && !EXPIRED(e) && !REFUSED(e, a) && !RECORDED(e) && CO(e).live == 0)

#ifdef M_ABORTED_BEFORE_REPLICATED
#define ABORT_IS_OUT(e)  true
#else
#define ABORT_IS_OUT(e)  (CURRENT(e) && rep.refused >= CO(e).pending)                          /* C5, R1 */
#endif

inline failover() {                                /* what was appended and not replicated is lost */
  printf("the coordinator fails over to epoch %d\n", ce + 1);
  ce++;
  co[ce].up = 1;
  co[ce].app.refused = rep.refused; co[ce].app.committed = rep.committed; co[ce].app.expired = rep.expired
}

/* The call of attempt a reaches the process of epoch e. */
#define CALL(e, a) \
  :: d_step { CO(e).up && SENT_HERE(e, a) && !EXPIRED(e) && REFUSED(e, a) && CO(e).pending < a -> \
              CO(e).pending = a } \
  :: d_step { CO(e).up && SENT_HERE(e, a) && !EXPIRED(e) && RECORDED(e) && CO(e).live == 0 && \
              COMMIT_IS_OUT(e) && !told_committed -> tell_committed() } \
  BEGIN(e, a)

#ifdef TWO_PHASE

#define COMMIT_IS_OUT(e)  (CURRENT(e) && rep.committed)
#define BEGIN(e, a) \
  :: d_step { FRESH(e, a) -> printf("c%d runs attempt %d\n", e, a); CO(e).live = a } \
  :: d_step { CO(e).up && SENT_HERE(e, a) && CO(e).live != 0 && CO(e).live < a -> CO(e).live = a }  /* Join */

#define RUN(e) \
  :: d_step { CO(e).live != 0 && CO(e).committing == 0 -> decide_commit(e) } \
  :: d_step { CO(e).live != 0 && MAY_ABORT(e) -> refuse_attempt(e, CO(e).live); CO(e).live = 0 } \
  :: d_step { CO(e).committing != 0 && COMMIT_IS_OUT(e) && CO(e).live != 0 -> \
              CO(e).live = 0; tell_committed() }

#ifdef M_ABORTS_AFTER_APPEND
#define MAY_ABORT(e)  true
#else
#define MAY_ABORT(e)  (CO(e).committing == 0)                                              /* C1 */
#endif

inline decide_commit(e) {
  printf("c%d appends Committed, attempt %d\n", e, CO(e).live);
  assert(!CO(e).app.committed || CO(e).app.expired);     /* Tokens::OnCommitted, I-X1 */
#ifndef M_REFUSED_MAY_RUN
  assert(CO(e).app.refused < CO(e).live || CO(e).app.expired);
#endif
  CO(e).app.committed = 1; CO(e).committing = CO(e).live
}

#else

/* The note that the shard committed is not waited for: the shard's record is the decision. */
#define COMMIT_IS_OUT(e)  true
#define BEGIN(e, a) \
  :: d_step { FRESH(e, a) -> printf("c%d asks the shard to commit attempt %d\n", e, a); \
              CO(e).live = a; CO(e).settling = 0; commit_one_phase = commit_one_phase | (1 << a) } \
  :: d_step { FRESH(e, a) -> printf("c%d asks the shard what became of attempt %d\n", e, a); \
              CO(e).live = a; CO(e).settling = 1; settle_token = settle_token | (1 << a) }

#define RUN(e) \
  :: d_step { CO(e).live != 0 && has(reply_no, CO(e).live) -> \
              refuse_attempt(e, CO(e).live); CO(e).live = 0 } \
  :: d_step { CO(e).live != 0 && reply_yes -> \
              CO(e).live = 0; CO(e).app.committed = 1; tell_committed() } \
  FORGOTTEN(e) \
  :: d_step { CO(e).live != 0 -> give_up(e) }

#ifdef HORIZON
#define FORGOTTEN(e)  :: d_step { CO(e).live != 0 && reply_expired -> forgotten(e) }
#else
#define FORGOTTEN(e)
#endif

inline forgotten(e) {                              /* the shard's kTokenExpired: UNKNOWN */
  printf("c%d hears that the shard may have forgotten attempt %d\n", e, CO(e).live);
#ifdef M_FORGOTTEN_IS_NOT_RUN
  assert(effects == 0);                            /* I-U1: the client would run it under another token */
#endif
  CO(e).live = 0
}

inline give_up(e) {                                /* GiveUpOnShard: UNKNOWN */
  printf("c%d gives attempt %d up: UNKNOWN\n", e, CO(e).live);
#ifdef M_SILENCE_IS_ABORTED
  refuse_attempt(e, CO(e).live);
#endif
  CO(e).live = 0
}

#endif

/* Records of the current process become replicated in their order: a refusal comes before a commit. */
inline replicate(e) {
  if
  :: CO(e).app.expired && !rep.expired -> rep.expired = 1
  :: !(CO(e).app.expired && !rep.expired) && CO(e).app.refused > rep.refused ->
     rep.refused = CO(e).app.refused
  :: !(CO(e).app.expired && !rep.expired) && CO(e).app.refused <= rep.refused ->
     rep.committed = 1;
#ifdef TWO_PHASE
     take_effect(CO(e).committing)
#endif
  fi
}

#define BEHIND(e) \
  (CO(e).app.refused > rep.refused || CO(e).app.committed != rep.committed || \
   CO(e).app.expired != rep.expired)

inline drop(row) {  /* outcomes below the floor go with the record that raises it */
  row.expired = 1; row.refused = 0; row.committed = 0
}

#if ATTEMPTS > 2
#define THIRD(steps)  steps
#else
#define THIRD(steps)
#endif

#ifdef HORIZON
#define PASSED(e) \
  :: d_step { CURRENT(e) && CO(e).up && !CO(e).app.expired && !BEHIND(e) -> \
              printf("the horizon passes the token\n"); drop(CO(e).app); drop(rep) }
#else
#define PASSED(e)
#endif
#ifdef M_HORIZON_PASSES_LIVE
#define TOLD_HORIZON  rep.expired
#else
#define TOLD_HORIZON  (rep.expired && co[ce].live == 0)                                   /* C5 */
#endif

#define COORDINATOR(e) \
  CALL(e, 1) \
  CALL(e, 2) \
  THIRD(CALL(e, 3)) \
  RUN(e) \
  :: d_step { CO(e).pending != 0 && CO(e).pending > over && ABORT_IS_OUT(e) -> tell_aborted(CO(e).pending) } \
  :: d_step { CURRENT(e) && CO(e).up && BEHIND(e) \
              -> replicate(e) } \
  /* C5: a later request of the client acknowledges this token; its record drops the row */ \
  :: d_step { CO(e).up && acknowledges && !CO(e).floor -> CO(e).floor = 1 } \
  :: d_step { CO(e).up && acknowledges && CO(e).floor && CO(e).live == 0 && CURRENT(e) && \
              !CO(e).app.expired && !BEHIND(e) -> drop(CO(e).app); drop(rep) } \
  PASSED(e)

/* ---- shard ---- */

#define SH  shard
#define COMMITTING  (SH.app.committed && !SH.rep.committed)

inline end_branch(upto) {                             /* RefuseAttempts, for all who asked */
  printf("the shard appends AttemptRefused %d\n", upto);
  assert(!SH.app.committed);                       /* ShardState::ApplyRefused */
#ifndef M_NO_WITHOUT_REFUSAL
  SH.app.refused = most(SH.app.refused, upto);
#endif
  SH.running = 0; SH.joined = 0; n = 0
}

inline commit_branch() {
  printf("the shard appends OnePhaseCommitted, attempt %d\n", SH.running);
#if !defined(M_SHARD_REFUSED_MAY_RUN) && !defined(M_SHARD_RECORD_NOT_LOOKED_UP)
  assert(!SH.app.committed && SH.app.refused < SH.running);      /* ShardState::ApplyOnePhase */
#endif
  SH.app.committed = 1; SH.by = SH.running; SH.running = 0; SH.joined = 0
}

inline shard_replicates() {
  if
  :: SH.app.refused > SH.rep.refused -> SH.rep.refused = SH.app.refused
  :: else -> SH.rep.committed = 1; take_effect(SH.by); SH.by = 0
  fi
}

inline shard_fails_over() {
  printf("the shard fails over\n");
  failovers--;
  SH.app.refused = SH.rep.refused; SH.app.committed = SH.rep.committed;
  SH.running = 0; SH.joined = 0; SH.by = 0
}

#ifdef M_SHARD_REFUSED_MAY_RUN
#define SHARD_REFUSED(a)  false
#else
#define SHARD_REFUSED(a)  ((a) <= SH.app.refused)
#endif
#ifdef M_SHARD_RECORD_NOT_LOOKED_UP
#define SHARD_RECORDED    false
#else
#define SHARD_RECORDED    SH.app.committed
#endif
#ifdef M_SHARD_FORGETS_BELOW_FLOOR
#define SHARD_EXPIRED     false
#else
#define SHARD_EXPIRED     SH.app.expired
#endif
#define UNKNOWN_HERE(a)   (SH.running == 0 && !SHARD_RECORDED && !SHARD_REFUSED(a) && !SHARD_EXPIRED)
#ifdef M_REFUSAL_NOT_REPLICATED
#define REFUSAL_IS_OUT(a) ((a) <= SH.app.refused)
#else
#define REFUSAL_IS_OUT(a) ((a) <= SH.rep.refused)                                       /* C6 */
#endif
#ifdef M_NO_WITHOUT_REFUSAL
#define NO_RECORD(a)      (UNKNOWN_HERE(a))
#else
#define NO_RECORD(a)      false
#endif
#ifdef M_YES_BEFORE_REPLICATED
#define YES_IS_OUT        SH.app.committed
#else
#define YES_IS_OUT        SH.rep.committed                                              /* C6 */
#endif
#ifdef M_SETTLE_LEAVES_IT_RUNNING
#define COVERED(a)        false
#define SETTLES(a)        (SH.running != 0 || UNKNOWN_HERE(a))
#else
#define COVERED(a)        (SH.running != 0 && SH.running <= (a))
#define SETTLES(a)        UNKNOWN_HERE(a)
#endif

#define ASKED(a)  (has(commit_one_phase, a) || has(settle_token, a))

#define SHARD_ASKED(a) \
  :: d_step { has(commit_one_phase, a) && UNKNOWN_HERE(a) -> \
              printf("the shard runs attempt %d\n", a); SH.running = a } \
  :: d_step { has(commit_one_phase, a) && SH.running != 0 && SH.joined < a && SH.running != a -> \
              SH.joined = a } \
  :: d_step { has(commit_one_phase, a) && UNKNOWN_HERE(a) -> end_branch(a) }            /* WhyNotOpen */ \
  :: d_step { has(settle_token, a) && COVERED(a) -> n = most(a, SH.joined); end_branch(n) } \
  :: d_step { has(settle_token, a) && SETTLES(a) -> settle(a) } \
  :: d_step { ASKED(a) && REFUSAL_IS_OUT(a) && !has(reply_no, a) && !SH.app.committed -> \
              reply_no = reply_no | (1 << a) } \
  :: d_step { ASKED(a) && NO_RECORD(a) && !has(reply_no, a) -> reply_no = reply_no | (1 << a) } \
  :: d_step { ASKED(a) && YES_IS_OUT && !reply_yes -> reply_yes = 1 }

inline settle(upto) {
#ifdef M_SETTLE_LEAVES_IT_RUNNING
  SH.app.refused = most(SH.app.refused, upto)
#else
  end_branch(upto)
#endif
}

#ifdef HORIZON
#define PASSED_HERE   TOLD_HORIZON
#define SAYS_EXPIRED \
  :: d_step { SH.app.expired && !reply_expired && (ASKED(1) || ASKED(2) || THIRD(ASKED(3) ||) false) -> \
              reply_expired = 1 }
#else
#define PASSED_HERE   false
#define SAYS_EXPIRED
#endif

#define SHARD \
  SHARD_ASKED(1) \
  SHARD_ASKED(2) \
  THIRD(SHARD_ASKED(3)) \
  :: d_step { SH.running != 0 -> commit_branch() } \
  :: d_step { SH.running != 0 -> \
              n = most(SH.running, SH.joined); end_branch(n) }  /* a check failed, wounded, ... */ \
  :: d_step { SH.app.refused > SH.rep.refused || COMMITTING -> shard_replicates() } \
  :: d_step { failovers > 0 -> shard_fails_over() } \
  :: d_step { (acknowledges || PASSED_HERE) && !SH.app.expired && SH.running == 0 && \
              SH.app.refused == SH.rep.refused && !COMMITTING -> drop(SH.app); drop(SH.rep) } \
  SAYS_EXPIRED

/* ---- client ---- */

#define CLIENT(e) \
  :: d_step { e <= ce && !told_committed && over < attempt && !has(execute[e], attempt) -> \
              printf("the client sends attempt %d to epoch %d\n", attempt, e); \
              execute[e] = execute[e] | (1 << attempt) }

active proctype system() {
  co[1].up = 1;
end:
  do
  CLIENT(1)
  CLIENT(2)
  :: d_step { over >= attempt && attempt < ATTEMPTS && !acknowledges -> attempt++ }
  :: d_step { (told_committed || over >= attempt) && !acknowledges -> acknowledges = 1 }
  COORDINATOR(1)
  COORDINATOR(2)
#if EPOCHS > 2
  CLIENT(3)
  COORDINATOR(3)
#endif
#ifndef TWO_PHASE
  SHARD
#endif
  :: d_step { ce < EPOCHS -> failover() }
  od
}
