"""The checks of the models: what `run` runs, and what each is expected to find."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    name: str
    model: str  # file, without .pml
    defines: str  # without -D
    why: str = ''  # for a clause that is removed: what it is; for one that is redundant: the reason, too
    # rules: no error. sample: none in the part looked at. mutant: one. redundant: none without the clause.
    kind: str = 'rules'
    quick: bool = False


def rules(name, model, defines='', quick=False):
    return Check(name, model, defines, quick=quick)


def sample(name, model, defines):
    return Check(name, model, defines, kind='sample')


def mutants(prefix, model, bounds, table, kind='mutant'):
    """`table`: lines 'M_xxx[ M_yyy][ BOUND=n]: what it removes', a later BOUND overriding an earlier one."""
    checks = []
    for line in filter(None, (line.strip() for line in table.splitlines())):
        words, why = line.split(': ', 1)
        clauses = [word for word in words.split() if word.startswith('M_')]
        own = [word for word in words.split() if not word.startswith('M_')]
        names = {word.split('=')[0] for word in own}
        kept = [word for word in bounds.split() if word.split('=')[0] not in names]
        name = prefix + '+'.join(clause[2:].lower() for clause in clauses)
        checks.append(Check(name, model, ' '.join(kept + own + clauses), why, kind, name in QUICK_MUTANTS))
    return checks


QUICK_MUTANTS = {'lease/proposer_answers', 'replication/learner_not_required'}

REPLICATION = [
    rules('replication', 'replication', 'L=3 V=2 MAXE=3', quick=True),
    rules('replication/two crashes', 'replication', 'L=3 V=2 MAXE=3 CRASHES=2'),
    rules('replication/lost disk', 'replication', 'L=3 V=2 MAXE=3 CRASHES=2 WIPES=1'),
    rules('replication/reordered', 'replication', 'L=2 V=2 MAXE=3 CRASHES=2 NSHIP=2'),
    rules('replication/four epochs', 'replication', 'L=4 V=1 MAXE=4'),
    sample('replication/wide', 'replication', 'L=4 V=3 MAXE=5 CRASHES=3 WIPES=1 NSHIP=2'),
] + mutants('replication/', 'replication', 'L=2 V=2 MAXE=2', '''
    M_OWN_FORCE_NOT_NEEDED: R1, the primary's own force counts, too
    M_ACK_BEFORE_FORCE: R1, a follower acks only what is durable
    M_REMOVED_BEFORE_CAS: R1, R3, a backup counts until the directory agreed to the view without it
    M_SHIP_OF_ANY_EPOCH NSHIP=2 V=1: R2, a Ship of another epoch has no effect
    M_RESTART_KEEPS_EPOCH: R3, an epoch belongs to one life of a process
    M_NO_INCARNATION L=3 V=1 MAXE=3 WIPES=1: R3, views and acks name the incarnation of a data directory
    M_OLD_DISK_TAKEN WIPES=1: R3, files that are older than what was confirmed of them are refused
    M_SERVES_INHERITED_AT_ONCE: R4, the inherited log is replicated before anything is served
    M_ACK_OF_LENGTH M_ACK_WITHOUT_POSITION: R4, an ack names what was matched, and by its epoch
    M_MATCHING_GOES_ON L=3 MAXE=3: R4, matching begins anew with each epoch
    M_COMPARES_LENGTHS L=3 MAXE=3: R4, logs are compared by (epoch, LSN)
    M_ACK_OF_ANY_EPOCH M_ACK_WITHOUT_POSITION: R2, an ack of another epoch does not count
    M_LEARNER_NOT_REQUIRED L=3 MAXE=3: R6, a learner's acks are needed before its view is proposed
    M_LEARNER_DROPPED_ON_TIMEOUT L=3 MAXE=3: R6, and until the proposal is known to have failed
    M_LEARNER_GAP L=3 MAXE=3: R6, it holds all that was replicated without it
    M_LEARNER_WITHOUT_INHERITED V=0 MAXE=4: R6, R4, and the log as its primary inherited it
    M_REPLACER_WITHOUT_INHERITED L=3 V=1 MAXE=3 CRASHES=2 WIPES=1: R3, R6, so does who takes its own place
''') + mutants('replication/', 'replication', 'L=3 V=2 MAXE=3', '''
    M_ACK_OF_LENGTH: R4; an ack names its last record by (epoch, LSN), so none of another log is counted
    M_ACK_OF_ANY_EPOCH: R2; likewise, with two replicas: nobody but the primary makes the other cut its log
    M_ACK_WITHOUT_POSITION: R4; only what was matched in this epoch is acked at all
''', 'redundant')

NO_REMOVAL = 'MAXE=4 RESTARTS=1 LAST_HANDOVER=1 NO_REMOVAL'

LEASE = [
    rules('lease', 'lease', 'MAXE=4 RESTARTS=1', quick=True),
    rules('lease/three members', 'lease', 'MEMBERS=7 MAXE=4 RESTARTS=1'),
    rules('lease/two restarts', 'lease', 'MAXE=4 RESTARTS=2 LAST_HANDOVER=1'),
    rules('lease/five epochs', 'lease', 'MAXE=5 RESTARTS=1 LAST_HANDOVER=1'),
    rules('lease/finer time', 'lease', 'MAXE=4 RESTARTS=1 LEASE=2 LAST_HANDOVER=1'),
    sample('lease/wide', 'lease', 'MEMBERS=7 MAXE=6 RESTARTS=3 LEASE=2'),
] + mutants('lease/', 'lease', 'MAXE=4 RESTARTS=1', '''
    M_GRACE_IGNORES_DRIFT: R5, grace is longer than a lease by more than two clocks drift apart
    M_LEASE_FROM_ANSWER: R5, a lease counts from when the beacon was sent
    M_LEASE_OF_ONE_BACKUP: R5, it needs the word of every backup
    M_TAKEOVER_AT_ONCE: R3, a backup proposes itself only after a grace period
    M_NO_GRACE_AFTER_START: R5, a full one after its own start
    M_PROPOSER_ANSWERS: R3, R5, who proposed itself answers no beacon
    M_ANSWERS_WHILE_ENTERING: R3, R5, nor while it enters the view that it won
    M_LONE_NEEDS_NO_DIRECTORY: R5, a primary without backups has the directory's word
    M_LONE_FROM_ANSWER: R5, as of when it was asked
    M_LEARNER_GIVES_NO_WORD: R3, R5, who proposed to admit a replica is bound by that view
    M_RESTARTED_LEADS_AT_ONCE: R3, R5, a view that an earlier life won is no end of what a later life promised
    M_LEASE_KEPT_AFTER_HANDOVER: R5, the lease is over before the backup is told to lead
    M_TAKEN_BACK_IN_THE_SAME_EPOCH: R3, R5, and for good: the backup may still act on what it was told
    M_HANDOVER_OF_ANY_EPOCH: R2, but not once that epoch is over
''') + mutants('lease/', 'lease', 'MAXE=4 RESTARTS=1', '''
    M_SERVE_WITHOUT_BACKUPS: R4; a backup's word, which the lease needs, says that it entered the epoch
''', 'redundant') + mutants('lease/without removal, ', 'lease', NO_REMOVAL, '''
    M_LEASE_KEPT_AFTER_HANDOVER: R5; in a view of the same members nobody leads without the old primary's word
    M_TAKEN_BACK_IN_THE_SAME_EPOCH: R5; likewise
''', 'redundant')

COMMIT = [
    rules('commit', 'commit', quick=True),
    rules('commit/lost messages', 'commit', 'LOSSES=1'),
    rules('commit/three epochs', 'commit', 'EPOCHS=3'),
    rules('commit/two shard failovers', 'commit', 'FAILOVERS=2'),
    rules('commit/interactive', 'commit', 'OPS'),
    sample('commit/two transactions', 'commit', 'NT=2 LOSSES=1'),
] + mutants('commit/', 'commit', '', '''
    M_ABORTS_AFTER_APPEND: C1, P2, no abort once COMMIT is appended
    M_TOLD_BEFORE_REPLICATED: C1, nobody is told before COMMIT is replicated
    M_SILENCE_IS_ABORTED: C1, no vote in time is not told as ABORTED before the transaction was aborted
    M_ANSWERS_WHILE_REPLAYING: C3, nothing is presumed before full replay
    M_PRESUMES_OF_LIVE: C3, nor of a live transaction
    M_PRESUMES_WITHOUT_LEASE M_PRESUMES_OF_HIGHER_EPOCHS: C3, nor by a deposed one of a higher epoch
    M_END_AFTER_ONE_ACK: C4, END waits for every acknowledgement
    M_FORGETS_OUTCOMES_AT_END: C5, the token's outcome outlives END
    M_MARK_PASSES_LIVE: C8, the mark stays below what is live
    M_MARK_PASSES_OWED: C8, and below what is committed and not acknowledged there
    M_MARK_IS_FORGOTTEN: C8, what was deleted by a mark is not deleted without it
    M_PREPARES_BELOW_MARK: C8, no prepare below the mark
    M_SERVES_BEFORE_RESTORED: P1, what is in doubt is back before anything is served
    M_VOTES_BEFORE_REPLICATED: P3, a yes leaves once PREPARED is replicated
    M_PREPARES_HALF OPS EPOCHS=1: P3, every operation is there, of one epoch
    M_OTHER_BRANCH_PASSES OPS EPOCHS=1: P3, and of one branch
    M_ACKS_BEFORE_REPLICATED: P5, an acknowledgement leaves once the decision is replicated
    M_ACKS_UNKNOWN_COMMITS: P6, a commit is acknowledged without a branch only below the mark
    M_REFUSAL_NOT_REPLICATED: P8, a refusal is replicated before it is told
    M_REFUSES_BELOW_MARK: P8, C8, nothing is refused below the mark
    M_NO_MEMORY_IS_ABORT: P8, no memory is no answer
    M_NEVER_ASKS FAILOVERS=0: P8, G6, who is in doubt asks (else it stays so)
    M_NO_ACK_BELOW_MARK FAILOVERS=0 LOSSES=1: P6, G6, else there is no END
''') + mutants('commit/', 'commit', '', '''
    M_PRESUMES_WITHOUT_LEASE: C3; what a deposed primary does not know is dead, or of a higher epoch
    M_PRESUMES_OF_HIGHER_EPOCHS: C3; only a deposed primary is asked of those, and it has no lease
    M_PRESUMES_BEFORE_END_IS_REPLICATED: R1; END follows every acknowledgement, so nobody is in doubt
    M_NO_TOMBSTONE: P6; a late prepare would leave a branch in doubt, which asks and hears of the same abort
''', 'redundant')

TOKEN = [
    rules('token/one-phase', 'token', quick=True),
    rules('token/one-phase, three attempts', 'token', 'ATTEMPTS=3'),
    rules('token/one-phase, two failovers', 'token', 'FAILOVERS=2'),
    rules('token/one-phase, horizon', 'token', 'HORIZON'),
    rules('token/one-phase, three epochs', 'token', 'EPOCHS=3'),
    sample('token/one-phase, wide', 'token', 'EPOCHS=3 ATTEMPTS=3 FAILOVERS=2'),
    rules('token/two-phase', 'token', 'TWO_PHASE', quick=True),
    rules('token/two-phase, wide', 'token', 'TWO_PHASE EPOCHS=3 ATTEMPTS=3'),
] + mutants('token/two-phase ', 'token', 'TWO_PHASE', '''
    M_ABORTED_BEFORE_REPLICATED: C5, ABORTED is told once its record is replicated
    M_REFUSED_MAY_RUN: C5, ABORTED ends that attempt, and all before it
    M_RECORD_NOT_LOOKED_UP: C5, a recorded outcome is returned
    M_FORGETS_BELOW_FLOOR: C5, what may be forgotten is refused
    M_ABORTS_AFTER_APPEND: C1, no abort once COMMIT is appended
''') + mutants('token/one-phase ', 'token', '', '''
    M_RECORD_NOT_LOOKED_UP: C5, what the shard committed, and the coordinator noted, is returned
    M_SILENCE_IS_ABORTED: C6, a shard that is silent has not said no
    M_NO_WITHOUT_REFUSAL: C6, a no ends the attempt
    M_REFUSAL_NOT_REPLICATED: C6, and follows a replicated record of that
    M_YES_BEFORE_REPLICATED: C6, so does a yes
    M_SHARD_REFUSED_MAY_RUN: C6, the shard looks up what it refused
    M_SHARD_RECORD_NOT_LOOKED_UP: C6, and what it committed
    M_SHARD_FORGETS_BELOW_FLOOR: C5, what it may have forgotten is refused
    M_SETTLE_LEAVES_IT_RUNNING: C6, SettleToken ends what still runs
    M_FORGOTTEN_IS_NOT_RUN HORIZON: C5, what a shard may have forgotten it may have committed
''') + mutants('token/two-phase ', 'token', 'TWO_PHASE', '''
    M_OLD_EPOCHS_ARE_TAKEN: C5; each ABORTED that was told has its record, which refuses a late duplicate
''', 'redundant') + mutants('token/one-phase ', 'token', '', '''
    M_OLD_EPOCHS_ARE_TAKEN: C5; likewise
    M_ABORTED_BEFORE_REPLICATED: C5; the shard's own refusal is replicated before, and binds
    M_REFUSED_MAY_RUN: C5; likewise: the shard says no again
    M_FORGETS_BELOW_FLOOR: C5; likewise: the shard has a floor of its own
    M_HORIZON_PASSES_LIVE HORIZON: C5; what is forgotten is UNKNOWN: the outcome is lost, no guarantee
''', 'redundant')

CHECKS = REPLICATION + LEASE + COMMIT + TOKEN
