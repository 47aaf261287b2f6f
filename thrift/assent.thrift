/**
 * Assent's wire interfaces.
 *
 * Transport: TCP, Thrift's framed transport, strict binary protocol, multiplexed by service name
 * ("TransactionManager", "Participant", "Peer", "Admin"). Frames: 2 MiB for TransactionManager, Participant and
 * Admin, 4 MiB for Peer; structures nest at most 16 deep. Larger ones end the connection.
 *
 * Conventions
 *  - Each request names the cluster, so that a node or resource manager of another one refuses it.
 *  - Outcomes, votes and refusals are enums in results. No method throws. 0 is UNSPECIFIED in each enum and never a
 *    valid answer: a peer that knows an enum's later value not at all must not take it for an earlier one.
 *  - Replies echo transaction ids and epochs, so that a caller can tell an answer that is not its own (Thrift's
 *    generated clients do not check sequence ids: close the connection after any transport error or timeout).
 *  - A node closes a connection that names no service within 5 s, and may close one that idles for 5 s: connect again.
 *  - A connection is served strictly in order. Do not share one between calls that may wait for each other.
 *  - No field is `required`. A field that must be there says so; without it the request is refused as INVALID.
 *  - Times are microseconds since 1970 by the wall clock of a coordinator, but births (see Token) by a clock of the
 *    group's own, which may differ from it; durations carry their unit in the name.
 *  - Keys and values are bytes. Text is UTF-8.
 *  - Placement: a key lies on the shard of its slot, SlotOf(key) = h(FNV-1a of 64 bits over the key) with
 *    h(x) = (x xor x >> 32) mod 1024. Where a key has a tag only that counts: the bytes between its first '{' and the
 *    next '}', if there are any between them. So `{alice}/cart` and `{alice}/orders` lie on one shard, and that shard
 *    alone commits a transaction over them, in one phase. Admin.placement tells which shard has which slot. No client
 *    needs to know.
 */

namespace cpp assent.wire
namespace py assent_wire
namespace java org.assent.wire
namespace go assent
namespace js assent

// ------------------------------------------------------------------------------------------------ Ids and limits

const i32 KEY_BYTES_MAX = 1024             // at least 1
const i32 VALUE_BYTES_MAX = 262144
const i32 BRANCH_BYTES_MAX = 1048576       // keys and values of a transaction's operations on one shard
const i32 BRANCH_OPERATIONS_MAX = 4096
const i32 SCAN_ROWS_MAX = 4096
const i32 FOREIGN_PAYLOAD_BYTES_MAX = 65536
const i32 NAME_BYTES_MAX = 128             // resource managers, cluster ids
const i32 DETAIL_BYTES_MAX = 1024          // texts for people; longer ones are cut

// Times that a client plans by. Milliseconds.
const i32 ANSWER_MS_MAX = 12000            // a node answers each call within this, or it hangs (or the network does)
const i32 IDLE_MS = 10000                  // an interactive transaction without a call is rolled back; unless
const i32 FINISHED_WAIT_MS_MAX = 5000
const i32 LIFE_MS = 60000                  // BeginReply says otherwise. And so long after its begin in any case
const i32 RETENTION_MS = 3600000           // outcomes are kept for so long after a token's birth, unless
                                           // configured otherwise

/**
 * A replicated group: kind * 65536 + number. Kind 1: coordinator group ("c1" = 65537),
 * kind 2: shard ("s1" = 131073).
 */
typedef i32 GroupId
/** A view's number, from the second (since 2020) of the cluster's birth on; rises by one with each view. 0: unknown. */
typedef i64 Epoch
/** Number of a record in a group's log; the first is 1. */
typedef i64 Lsn
/** A process of the cluster, from 1. */
typedef i32 NodeId

/** Unique for ever within a cluster, also if that is made anew. Text form: c<number>.<epoch>.<seq in hex>. */
struct TxnId {
  1: GroupId group    // the coordinator group that made it
  2: Epoch epoch      // in which it was made; from 1
  3: i64 seq          // from 1 within the epoch
}

/**
 * Names one commit request of one client for ever: whatever is retried under it takes effect once. All
 * four fields are the token: who stores one stores all of them, and sends them unchanged each time.
 * The same client and seq with another birth is another use of the token (TOKEN_MISMATCH). A client id
 * is a secret of its client: who knows it can acknowledge, and so use up, the client's tokens. Ids are
 * drawn at random by the cluster. One that no open_session gave is taken as it is; whoever invents the
 * same one shares its tokens.
 */
struct Token {
  1: GroupId group    // coordinator group that handed out `client`; the only one to send it to
  2: i64 client       // from open_session
  3: i64 seq          // from 1, rising by one with each new request of the client
  4: i64 birth_us     // from the latest reply of that group that carried one (open_session, or an Ending). Not to be
                      // invented: an old one is refused (TOKEN_EXPIRED), and so is one more than a week ahead
}

/** Where a log record stands: the epoch that wrote it, and its number. (0, 0) stands before the first. */
struct LogPosition {
  1: Epoch epoch
  2: Lsn lsn
}

// -------------------------------------------------------------------------------------------- Operations on data

enum OperationKind {
  UNSPECIFIED = 0
  GET = 1             // key
  PUT = 2             // key, value
  REMOVE = 3          // key: deletes it, if it is there
  CHECK_EXISTS = 4    // key. The checks abort the transaction (CHECK_FAILED) where they do not hold
  CHECK_ABSENT = 5    // key
  CHECK_VALUE = 6     // key, value: exactly this value
  CHECK_VERSION = 7   // key, version: as a read returned it
  ADD = 8             // key, delta, floor?: adds to the decimal integer that leads the value (absent key: 0)
  SCAN = 9            // key = prefix (may be empty), limit?, after?: the rows whose keys start with it, in order
}

/** One operation. Fields that its kind does not name must not be set. */
struct Operation {
  1: OperationKind kind
  2: binary key
  3: optional binary value
  4: optional i64 delta       // ADD
  5: optional i64 floor       // ADD: abort (BELOW_FLOOR) if the sum is below it
  6: optional i64 version     // CHECK_VERSION
  7: optional i32 limit       // SCAN: 1..SCAN_ROWS_MAX; unset: SCAN_ROWS_MAX
  8: optional binary after    // SCAN: only keys behind this one, which starts with the prefix; to go on where one ended
}

struct ResultRow {
  1: binary key
  2: binary value
  3: i64 version      // for CHECK_VERSION; rises with each change of the key, also where it was removed in between.
                      // 0: written by this transaction itself
}

/** The result of one operation. GET: the row, if found. SCAN: its rows. ADD: the sum; unset: 0. Others: nothing set. */
struct OperationResult {
  1: optional list<ResultRow> rows
  2: optional i64 number
  3: optional bool truncated   // SCAN: there may be more rows behind the last; scan on with `after` = its key
}

// ------------------------------------------------------------------------------------------- Transaction manager

enum Outcome {
  UNSPECIFIED = 0
  COMMITTED = 1
  ABORTED = 2         // this attempt of the token, and all before it, had no effect and never will
  UNKNOWN = 3         // either may be. Send the same request again: same token, same attempt. But where the reason is
                      // TOKEN_EXPIRED the outcome is forgotten: asking again brings nothing
}

enum AbortReason {
  UNSPECIFIED = 0     // none was recorded, or not aborted
  CHECK_FAILED = 1
  BELOW_FLOOR = 2
  NOT_A_NUMBER = 3    // ADD on a value that does not lead with an integer, or overflow
  WOUNDED = 4         // an older transaction needed a lock. Transient
  LOCK_TIMEOUT = 5    // transient
  BRANCH_LOST = 6     // a shard, or the coordinator, restarted or failed over in mid-transaction. Transient
  VOTE_TIMEOUT = 7    // a participant did not vote in time: `detail` says which, and what came instead. Transient
  EXPIRED = 8         // lived too long, or idled. Transient
  ROLLED_BACK = 9     // by the client
  FOREIGN_REFUSED = 10  // a foreign resource manager voted no: `detail` says which, and why
  TOO_LARGE = 11      // a branch is over its limits
  BELOW_MARK = 12     // the shard may have forgotten this id. Transient
  REFUSED_ATTEMPT = 13  // this attempt of the token was ended before: raise it. Transient
  OVERLOADED = 14     // a bound of a participant was reached. Transient
  TOKEN_EXPIRED = 15  // with UNKNOWN only: what became of the token is forgotten
}

/** Why a request was not run: nothing was done for it, and nothing will be. */
enum RefusalCode {
  UNSPECIFIED = 0
  INVALID = 1         // bad operations, unknown resource manager, over a limit, shards of a commit that
                      // are not those of the transaction: `detail` says what to change. An open
                      // transaction stays open
  NO_SUCH_TXN = 2     // of work, commit, rollback: not, or no longer, live at this coordinator, never begun here, or
                      // another key than its own
  TOKEN_EXPIRED = 3   // acknowledged before, or born before what the group remembers, or too far ahead. (A token that
                      // was acknowledged may still be answered with its recorded outcome)
  TOKEN_MISMATCH = 4  // the token was used with other content
  STALE_EPOCH = 5     // `sent_to` is not `epoch`, the one that this node leads in. Lower than `epoch`: send again with
                      // that, as the same attempt. Higher: this node is behind; ask where_is for the leader
  OVERLOADED = 6      // retry later
  NOT_SERVING = 7     // this node does not lead the group (now): ask where_is
  WRONG_CLUSTER = 8   // this node belongs to another cluster: `detail` names it
  BUSY = 9            // another call of the transaction has not been answered. It stays open, with its locks: wait for
                      // that answer, or roll back
}

struct Refusal {
  1: RefusalCode code
  2: string detail          // for people
  3: optional Epoch epoch   // the group's current one; always with STALE_EPOCH
}

/**
 * Age of a transaction: the older goes first where two need the same lock. Opaque: copy it from a reply. Where attempts
 * at the same thing gave several, keep the one with the least begin_us: that is its place in line.
 */
struct Age {
  1: i64 begin_us
  2: TxnId txn
}

enum Vote {
  UNSPECIFIED = 0
  YES = 1
  NO = 2
  READ_ONLY = 3       // nothing was changed: the branch is over, no commit or rollback will come
}

/**
 * The part of a resource manager outside Assent in the transaction. Either the coordinator asks it to prepare, with
 * `payload`; or the application has enlisted it, worked and prepared there itself, and reports the vote: `voted`.
 */
struct ForeignWork {
  1: string resource_manager   // its configured name
  2: binary payload            // handed to its prepare; up to FOREIGN_PAYLOAD_BYTES_MAX. Not with `voted`
  3: optional Vote voted       // of an enlisted one. YES: the branch is prepared, durably, under the xid that enlist gave.
                               // READ_ONLY: it has ended, and changed nothing. NO: the transaction is rolled back
  4: optional i32 branch       // with `voted`: as enlist gave it
  5: optional string holder    // with YES: the session that prepared, where it keeps hold of the branch while it lives
                               // (MariaDB: its connection id), up to NAME_BYTES_MAX. Not content (see CommitTag)
  6: optional string evidence  // with YES: by which the end of the branch can be looked up later, up to
                               // NAME_BYTES_MAX (PostgreSQL: "pg <system identifier> <timeline> <xid8>"). Not content
}

/** The global id of a branch, as X/Open XA has it (The XA Specification, 1991, 4.2). */
struct Xid {
  1: i32 format_id      // 1095978580, "ASNT"
  2: binary gtrid       // printable, at most 64 bytes: cluster, group, epoch, sequence
  3: binary bqual       // printable, at most 64 bytes: resource manager, branch
  4: string text        // <format_id>_<base64 of gtrid>_<base64 of bqual>: what PREPARE TRANSACTION takes
}

/** A resource manager that may hold a branch of the transaction from now on. */
struct Enlisted {
  1: string resource_manager
  2: i32 branch         // from 1
  3: Xid xid            // prepare the branch under this one, and no other
  4: string kind        // as configured: "postgresql", "mariadb", "thrift"
}

/** What is known to have gone another way than the transaction, because somebody else decided. */
enum HeuristicKind {    // with XA's numbers
  UNSPECIFIED = 0
  MIX = 5               // XA_HEURMIX: parts were committed, parts rolled back
  ROLLED_BACK = 6       // XA_HEURRB
  COMMITTED = 7         // XA_HEURCOM
  HAZARD = 8            // XA_HEURHAZ: it may have gone another way; nobody can tell
}

struct Heuristic {
  1: string resource_manager
  2: HeuristicKind kind
  3: string evidence    // for people
}

/**
 * Makes a commit request safe to repeat. It may be repeated as long as its content is the same: for execute,
 * `operations`, in their order, and `foreign`; for commit, `txn` and `foreign`. `sent_to`, `acked_below`, `retry_of`,
 * `shards` and `key` are not content. After ABORTED a new attempt may have other content; the token then stands for
 * that, and an older attempt with the old content is refused as TOKEN_MISMATCH once the new one has committed.
 */
struct CommitTag {
  1: Token token            // must be set
  2: Epoch sent_to          // the epoch of the coordinator group that the client believes current; from 1
  3: i32 attempt            // from 1. Higher only after ABORTED was answered for the one before. A first send may be a
                            // higher one: an ABORTED of it ends those below it, too
  4: i64 acked_below        // the client will never again ask about its tokens with a lower sequence; 0 or 1: none. At
                            // most the sequence of `token` itself: the least that is to be asked about still, say
}

struct WhereIsRequest {
  1: string cluster         // empty: any; the reply names it
}

/** The primary of a coordinator group. Nodes may be behind, and name different ones: the higher epoch is the later. */
struct Leader {
  1: GroupId group
  2: Epoch epoch
  3: NodeId node
  4: string address         // host:port of its TransactionManager
}

struct WhereIsReply {
  1: optional Refusal refusal
  2: string cluster
  3: list<Leader> leaders       // of the coordinator groups whose primary is known here; a client picks one
  4: list<string> addresses     // host:port of all nodes: other places to ask
}

struct OpenSessionRequest {
  1: string cluster         // must be set, here and in all requests below
  2: GroupId group          // the coordinator group addressed, here and in all requests below
}

struct OpenSessionReply {
  1: optional Refusal refusal   // set: nothing else is
  2: i64 client                 // for the tokens of this client
  3: i64 birth_us               // for its first token
  4: Epoch epoch                // of the coordinator group
}

struct ExecuteRequest {
  1: string cluster
  2: GroupId group
  3: CommitTag tag
  4: list<Operation> operations
  5: list<ForeignWork> foreign
  6: optional Age retry_of      // of the aborted attempt that this one repeats: it keeps that one's place in line
}

/** How a commit request ended (ABORTED, UNKNOWN: of work as well). */
struct Ending {
  1: Outcome outcome
  2: optional TxnId txn
  3: optional Age age               // for retry_of; unset where it is not known (after a failover): keep what you have
  4: optional AbortReason reason    // ABORTED; or UNKNOWN for TOKEN_EXPIRED
  5: string detail                  // for people
  6: list<OperationResult> results  // of execute, in the order of its operations; empty if `repeated`
  7: bool repeated                  // the outcome was recorded by an earlier send of the same token. Reads
                                    // alone leave no record: execute sent again reads again, and this is
                                    // false; commit sent again, after a failover, may be answered ABORTED:
                                    // there was nothing to do
  8: i64 birth_us                   // for the client's next tokens; 0: keep the last
  9: optional bool finished         // of COMMITTED: all participants are known to have committed. Unset: not waited for
  10: list<Heuristic> heuristics    // of COMMITTED: what is known, so far, to have ended otherwise
}

struct ExecuteReply {
  1: optional Refusal refusal
  2: optional Ending ending
  3: optional Token token           // echoed
  4: i32 attempt                    // echoed
}

struct BeginRequest {
  1: string cluster
  2: GroupId group
  3: optional Age retry_of
  4: optional i32 idle_ms   // wished for, instead of the configured times; cut to the configured life
  5: optional i32 life_ms
  6: list<string> enlist    // resource managers to enlist at once, in this order (see enlist)
}

struct BeginReply {
  1: optional Refusal refusal
  2: TxnId txn
  3: Age age
  4: i64 key                // the owner's: work, commit and rollback of `txn` must bring it. Not 0
  5: i32 idle_ms            // without a call for so long the transaction is rolled back,
  6: i32 life_ms            // and so long after it began in any case, unless its commit was decided
  7: list<Enlisted> enlisted  // in the order asked for
}

struct EnlistRequest {
  1: string cluster
  2: TxnId txn
  3: i64 key                // as BeginReply gave it
  4: string resource_manager
}

struct EnlistReply {
  1: optional Refusal refusal       // as of work. INVALID: not configured; too many
  2: optional Ending ending         // as of work
  3: TxnId txn                      // echoed
  4: optional Enlisted enlisted
}

struct KeepAliveRequest {
  1: string cluster
  2: TxnId txn
  3: i64 key                // as BeginReply gave it
}

struct KeepAliveReply {
  1: optional Refusal refusal       // as of work
  2: optional Ending ending         // as of work
  3: TxnId txn                      // echoed
}

enum Decision {
  UNSPECIFIED = 0
  COMMIT = 1
  ABORT = 2
}

struct FinishedRequest {
  1: string cluster
  2: TxnId txn
  3: i64 key                // as BeginReply gave it
  4: string resource_manager
  5: i32 branch
  6: Decision decision      // how the application ended the branch: COMMIT only after COMMITTED was answered
}

struct FinishedReply {
  1: optional Refusal refusal       // NO_SUCH_TXN: it has ended, or is not remembered; there is nothing to do
  2: TxnId txn                      // echoed
}

struct WorkRequest {
  1: string cluster
  2: TxnId txn
  3: list<Operation> operations     // at least one
  4: i64 key                        // as BeginReply gave it
}

/**
 * One of three. `ending`: the transaction aborted on the way, or (UNKNOWN) whether this ran is not known: roll back.
 * `refusal`: nothing of this was run. After NO_SUCH_TXN the transaction is over. NOT_SERVING, WRONG_CLUSTER: ask the
 * leader, if its epoch still is `txn.epoch`; else the transaction is over. After any other it stays open as it was.
 */
struct WorkReply {
  1: optional Refusal refusal
  2: optional Ending ending
  3: TxnId txn                      // echoed
  4: list<OperationResult> results
  5: list<GroupId> shards           // all that the transaction touched so far, in a refusal as well: for commit. Empty
                                    // in a refusal that does not know them: those of the reply before hold
}

/**
 * Repeated, it is the same request only with the same token: under another one the answer may be ABORTED, of
 * that token, though the transaction is committed.
 */
struct CommitRequest {
  1: string cluster
  2: TxnId txn
  3: CommitTag tag
  4: list<ForeignWork> foreign
  5: list<GroupId> shards           // must be those that the replies to work named, in any order. Where they are not,
                                    // an open transaction is not committed (INVALID)
  6: i64 key                        // as BeginReply gave it
  7: optional i32 wait_finished_ms  // COMMITTED is answered once all participants have committed, or so long after the
                                    // decision: for who wants to read its own writes elsewhere at once. At most
                                    // FINISHED_WAIT_MS_MAX. Not content
}

struct CommitReply {
  1: optional Refusal refusal
  2: optional Ending ending
  3: optional Token token           // echoed
  4: i32 attempt                    // echoed
}

struct RollbackRequest {
  1: string cluster
  2: TxnId txn
  3: i64 key                        // as BeginReply gave it
}

struct RollbackReply {
  1: optional Refusal refusal       // NO_SUCH_TXN: it has ended; nothing to roll back
  2: TxnId txn                      // echoed
}

/**
 * For applications. Any node answers where_is; the rest is for the leader of a coordinator group.
 *
 * Outcome rules for a client. A reply lost (any error after the request began to be sent): the outcome is unknown.
 *
 *  - execute, commit: repeat the request, same token and same attempt, to the current leader: it joins a run that is
 *    under way, returns a recorded outcome, or runs what never ran. A Refusal means that *this send* did nothing; an
 *    earlier, unanswered send of the same attempt may still have done something, which only COMMITTED or ABORTED can
 *    tell: a request that is refused for good after an unanswered send has ended as UNKNOWN. For good are INVALID,
 *    NO_SUCH_TXN, TOKEN_EXPIRED, TOKEN_MISMATCH, WRONG_CLUSTER; after the others the same request is sent again.
 *  - open_session, begin_txn: call again. A session or transaction opened unheard costs nothing, and idles out.
 *  - work: it may have run, so do not repeat it, nor commit: roll back, and begin anew. The same after UNKNOWN.
 *  - rollback: repeat it, to the current leader, until it is answered, RollbackReply or NO_SUCH_TXN; or leave it: the
 *    locks of the transaction are then held until it idles out.
 *
 * A call waits for locks, so a long silence says nothing by itself. A client should wait for an answer for a
 * little longer than ANSWER_MS_MAX, then close the connection and treat the reply as lost. Meanwhile it may
 * ask other nodes, once a second say, where the leader is: once one of them names a higher epoch the old
 * leader's answer is not worth waiting for.
 *
 * An interactive transaction belongs to one leader's epoch. Once the group has a higher one it can no longer
 * be worked on, and is gone unless its commit was decided, which a commit sent again, with its `sent_to`
 * raised, finds out: the new leader asks the shards, those of `shards` first. All have to answer before it
 * can say ABORTED; until then UNKNOWN. Work or commit of a transaction that was aborted is answered ABORTED
 * for as long as that is remembered, then NO_SUCH_TXN (work), or ABORTED (commit).
 */
service TransactionManager {
  WhereIsReply where_is(1: WhereIsRequest request)
  /** A client id, for any number of tokens. Sessions need no closing. */
  OpenSessionReply open_session(1: OpenSessionRequest request)
  /** A whole transaction in one round trip. */
  ExecuteReply execute(1: ExecuteRequest request)
  /** Opens an interactive transaction. It is rolled back if left idle, or if it lives too long. */
  BeginReply begin_txn(1: BeginRequest request)
  /** Reads and writes. Answered once the locks are held and the reads done. One call of a transaction at a time. */
  WorkReply work(1: WorkRequest request)
  /** Ends an interactive transaction. Sent while its work is unanswered it is refused as BUSY. */
  CommitReply commit(1: CommitRequest request)
  /**
   * Says that a resource manager may hold a branch of an interactive transaction from now on: before any work is done
   * there. A commit then has to report the vote of each that was enlisted; where one is missing, the transaction is
   * ABORTED (FOREIGN_REFUSED). Whatever becomes of the transaction, its branches under these xids are ended
   * accordingly, by the application, or by the coordinator where that does not. Repeated, it gives the same xid.
   */
  EnlistReply enlist(1: EnlistRequest request)
  /** The application works elsewhere: the transaction does not idle out meanwhile. */
  KeepAliveReply keep_alive(1: KeepAliveRequest request)
  /**
   * The application has ended a branch that it prepared, on its own connection, as was decided. Not needed: the
   * coordinator ends each branch that it hears nothing of, after a while.
   */
  FinishedReply finished(1: FinishedRequest request)
  /** Gives an interactive transaction up, also one whose work is unanswered. BUSY once its commit is under way. */
  RollbackReply rollback(1: RollbackRequest request)
}

// --------------------------------------------------------------------------------------------------- Participant

enum ParticipantStatus {
  UNSPECIFIED = 0
  OK = 1
  WRONG_CLUSTER = 2   // this resource manager belongs to another cluster: nothing was done
  INVALID = 3         // the request lacks something: nothing was done
  UNAVAILABLE = 4     // cannot say or do it now: ask again
}

struct PrepareRequest {
  1: string cluster
  2: TxnId txn
  3: binary payload         // what the client gave for this resource manager
}

// OK with YES or READ_ONLY is that vote. UNAVAILABLE is no answer, nor is one that echoes another transaction (it also
// ends the connection): prepare is called again, until the vote timeout. Everything else is a no, at once: NO, a vote
// or a status that is missing or not known, INVALID, WRONG_CLUSTER.
struct PrepareReply {
  1: ParticipantStatus status
  2: string detail          // for people: why not. Clients and operators are shown it
  3: TxnId txn              // echoed
  4: Vote vote              // if OK
}

struct FinishRequest {
  1: string cluster
  2: TxnId txn
}

// Anything but OK with `done`, about the transaction asked for: the call is repeated, after a commit for ever.
struct FinishReply {
  1: ParticipantStatus status
  2: string detail          // for people: why not. Operators are shown it
  3: TxnId txn              // echoed
  4: bool done              // if OK: the branch has ended so, durably. false: repeat later
}

struct RecoverRequest {
  1: string cluster
  2: GroupId group          // only transactions of this coordinator group
  3: optional TxnId after   // go on after this one
}

struct RecoverReply {
  1: ParticipantStatus status
  2: string detail
  3: list<TxnId> prepared   // ascending by (epoch, seq); at most 4,096
  4: bool more              // ask again, after the last of these
}

/**
 * Implemented by any resource manager that takes part in Assent's transactions; not by Assent's own shards, whose core
 * lies in participant/ and speaks Peer. Presumed abort. Resource managers are
 * asked to prepare when all of the transaction's shards have voted yes, one after the other, in the order of their
 * names: so no two transactions wait for each other through locks that Assent does not see, as long as a branch takes
 * its locks when it is prepared. An implementer guarantees:
 *
 *  1. Durable before yes. YES is answered only when the branch can be committed *and* rolled back after any crash,
 *     kill -9 and power loss included. It stays so until commit or rollback: no timeout of its own ends it.
 *  2. Isolation. Changes of a prepared branch are not seen, nor can anything else change the same, until it ends.
 *  3. Idempotence. A repeated prepare of a prepared branch is YES again; of a committed one YES; a repeated commit
 *     or rollback is done. Requests may be repeated, and come late or out of order.
 *  4. A rollback that comes before its prepare, or for a transaction that is not known, is done, and leaves a durable
 *     mark: a prepare of that transaction that comes later is NO.
 *  5. Commit of a transaction that is not known here: done only if it is recorded as committed here. Otherwise
 *     done = false with a detail: it is a contradiction that an operator must see, never to be guessed away.
 *  6. commit after rollback, or rollback after commit, of the same transaction: done = false, with a detail.
 *  7. recover lists every prepared branch of that cluster and coordinator group, and no others. Outcomes are kept
 *     for as long as a late request may come: at least a day.
 *  8. Ids are compared whole (cluster, group, epoch, seq). Another cluster's branches are never touched.
 *  9. Calls come on separate connections: prepares on some, commits and rollbacks on as many others, recover on one
 *     more. A prepare that waits (for a lock, say) must hold up none of the others. The votes of a transaction, its
 *     shards' included, must all be in within the vote timeout (10 s unless configured otherwise), and each answer
 *     within 5 s, or the call is repeated; after the timeout the transaction is aborted, and rollback follows. Where
 *     nobody listens the transaction is aborted within 2 s.
 * 10. It never goes back. One that was restored from an older copy has forgotten votes and commits, or lists as
 *     prepared what it had committed. A coordinator notices the latter, and commits again, only of recent
 *     transactions; others are rolled back by presumption, and what was forgotten altogether nobody can notice.
 */
service Participant {
  PrepareReply prepare(1: PrepareRequest request)
  FinishReply commit(1: FinishRequest request)
  FinishReply rollback(1: FinishRequest request)
  RecoverReply recover(1: RecoverRequest request)
}

// ---------------------------------------------------------------------------------- Peer: messages between nodes

struct DeliverRequest {
  1: string cluster
  2: NodeId from_node
  3: NodeId to_node              // a node that is another one takes none of it
  5: i32 format                  // of the messages; a node that speaks another one takes none of them
  6: list<binary> messages       // at most 4,096, in the order sent; common/messages.h gives their fields
}

enum DeliverStatus {
  UNSPECIFIED = 0
  OK = 1                         // taken
  WRONG_CLUSTER = 2
  WRONG_NODE = 3
  INVALID = 4                    // some of it was malformed and dropped; `detail` says what. The rest was taken
  OVERLOADED = 5                 // dropped; the sender's timers repeat it
  WRONG_FORMAT = 6               // the two nodes run versions that do not understand each other
}

struct DeliverReply {
  1: DeliverStatus status
  2: optional string detail
}

/**
 * Between nodes, and between nobody else: its messages are of this version, as bytes. Pipelined; delivery promises
 * nothing: the protocols repeat by timer.
 */
service Peer {
  DeliverReply deliver(1: DeliverRequest request)
}

// --------------------------------------------------------------------------------------------------------- Admin

enum AdminStatus {
  UNSPECIFIED = 0
  OK = 1
  WRONG_CLUSTER = 2
  INVALID = 3           // `detail` says what to change
  NOT_FOUND = 4         // no such group or transaction here
  NOT_SERVING = 5       // this node does not lead the group (now)
  CONFLICT = 6          // the view changed meanwhile: look again
  UNAVAILABLE = 7       // the directory or the loop did not answer in time: retry
}

/** First in each reply of Admin. */
struct AdminResult {
  1: AdminStatus status
  2: string detail
}

struct AdminRequest {
  1: string cluster     // empty: any
}

enum ReplicaRole {
  UNSPECIFIED = 0
  PRIMARY = 1
  BACKUP = 2
  LEARNER = 3           // catching up; not in the view
  HALTED = 4            // stopped itself: `detail` says why
}

/** A group's view: who replicates it. */
struct View {
  1: GroupId group
  2: Epoch epoch
  3: NodeId primary
  4: list<NodeId> backups
}

/** One replica, as its node sees it. */
struct ReplicaStatus {
  1: View view
  2: ReplicaRole role
  3: bool serving               // primary, ready for requests, and under its lease: nobody else can lead now
  4: LogPosition last           // last record appended
  5: Lsn durable
  6: Lsn replicated
  7: Lsn applied                // in SQLite
  8: i64 lag_records            // a primary: of its slowest backup; a backup: behind the primary, as far as known
  9: i32 live                   // transactions, or branches, that have not ended
  10: i32 in_doubt              // prepared without a decision (shard); decided, not ended (coordinator)
  11: i64 oldest_in_doubt_us    // age of the oldest; 0: none
  12: i64 log_bytes             // on disk
  13: string detail             // for people
  14: i64 forces                // of the log since this process started: waits for a record to be durable
  15: i64 serving_age_us        // how long `serving` has been what it is
}

/** As the configuration of a node has it. */
struct ConfiguredNode {
  1: NodeId node
  2: string address
}
struct ConfiguredGroup {
  1: GroupId group
  2: list<NodeId> replicas      // the nodes that are to hold one
}

struct NodeStatusReply {
  1: AdminResult result
  2: string cluster
  3: NodeId node
  4: string address
  5: string version             // of the program
  6: i64 uptime_ms
  7: list<ReplicaStatus> replicas
  8: i64 pid                    // of the process that answers
  // Its configuration; one that differs between nodes is a mistake.
  9: list<ConfiguredNode> nodes
  10: list<ConfiguredGroup> groups
  11: list<string> resource_managers   // names
}

enum TxnFilter {
  UNSPECIFIED = 0               // as ALL
  ALL = 1
  LIVE = 2                      // not ended
  IN_DOUBT = 3                  // prepared somewhere, or decided and not ended
}

enum TxnState {
  UNSPECIFIED = 0
  ACTIVE = 1                    // running operations
  PREPARING = 2                 // asked for votes, or waiting for its PREPARED record to be replicated
  PREPARED = 3                  // a branch in doubt
  COMMITTING = 4                // decided; participants are being told
  ABORTING = 5
}

struct TransactionsRequest {
  1: string cluster
  2: TxnFilter filter
  3: i32 limit                  // 0: 1,000, which is also the most
}

struct Branch {
  1: optional GroupId group      // one of ours
  2: optional string foreign     // or a resource manager by its configured name
  3: bool writing                // it has something to commit
}

/** A transaction as one group of this node knows it. */
struct TxnSummary {
  1: TxnId txn
  2: GroupId at                 // who says so: its coordinator group, or a shard with a branch
  3: TxnState state
  4: optional i64 age_us        // since it began, or, in doubt at a shard, since it voted; unset: not known
  5: optional Decision decision
  6: list<Branch> participants
  7: string waiting_on          // for people
}

struct TransactionsReply {
  1: AdminResult result
  2: list<TxnSummary> transactions
  3: bool truncated
}

struct TransactionRequest {
  1: string cluster
  2: TxnId txn
}

struct TxnDetail {
  1: TxnSummary summary
  2: optional Token token
  3: list<string> notes         // for people: votes and acknowledgements by participant, locks, writes
}

struct TransactionReply {
  1: AdminResult result
  2: list<TxnDetail> at         // one for each group of this node that knows it
}

struct GroupViewsReply {
  1: AdminResult result
  2: list<View> views           // as the directory has them
}

struct ChangeReplicaRequest {
  1: string cluster
  2: GroupId group
  3: NodeId node
  4: Epoch epoch                // the view that the operator looked at: refused with CONFLICT if it is another by now
}

struct PromoteRequest {
  1: string cluster
  2: GroupId group
  3: NodeId node                // the backup that is to lead
  4: Epoch epoch                // as in ChangeReplicaRequest
  5: i64 drain_us               // how long open transactions may take to end
  6: bool force                 // then end them; otherwise the call fails, and nothing changes
}

struct ChangeReplicaReply {
  1: AdminResult result
  2: optional View view         // the new one
}

struct DigestRequest {
  1: string cluster
  2: GroupId group
}

/** Hash over a replica's whole committed state at `applied`: equal positions must have equal hashes. */
struct DigestReply {
  1: AdminResult result
  2: LogPosition applied
  3: i64 hash
  4: i64 rows
}

/** Slots first..last, both included, lie on `shard`. */
struct SlotRange {
  1: i32 first
  2: i32 last
  3: GroupId shard
}

struct PlacementReply {
  1: AdminResult result
  2: list<SlotRange> ranges     // all 1,024 slots, in order
}

/**
 * A named place between two effects of the protocol, at which the node kills itself as kill -9 would: for drills. Or a
 * named fault of the directory, as this node sees it, from now on: directory.no-answer, directory.lost-answer, and
 * directory.answers, which ends them.
 */
struct ArmCrashRequest {
  1: string cluster
  2: string point
  3: i64 count                  // a place: it fires at the count-th time from now, 1 = the next; a fault: so many calls
}

struct ArmCrashReply {
  1: AdminResult result         // INVALID: no such point, or the node was not started with --allow-crash-points
}

/** For operators and tools. Every node answers for itself; changes go to the group's primary. */
service Admin {
  NodeStatusReply node_status(1: AdminRequest request)
  TransactionsReply transactions(1: TransactionsRequest request)
  TransactionReply transaction(1: TransactionRequest request)
  GroupViewsReply group_views(1: AdminRequest request)
  ChangeReplicaReply add_replica(1: ChangeReplicaRequest request)
  ChangeReplicaReply remove_replica(1: ChangeReplicaRequest request)
  ChangeReplicaReply promote(1: PromoteRequest request)
  DigestReply digest(1: DigestRequest request)
  PlacementReply placement(1: AdminRequest request)
  ArmCrashReply arm_crash(1: ArmCrashRequest request)
}
