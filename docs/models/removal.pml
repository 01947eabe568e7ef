/* Dealing, removal and release with crash and loss: who can open what, at every step.
 *
 * Three nodes; node 2 is being removed while 0 and 1 stay. The replicated log is abstract: a
 * committed sequence of entries, of which each node has applied (and synced) a prefix. A node that
 * is down does nothing; what it had synced stays. Attempt k makes generation k, at most ATTEMPTS
 * times; generation 0 is that of the deal in force at the start, which names all three.
 *
 *   BEGIN k      an attempt; members that applied it and are up may write generation k
 *   DEAL k       the record of 0 and 1: for each its generation k, or, if it was away, the newest
 *                one that the keyring holds for it
 *   FINAL k      every member has acked DEAL k
 *
 * The thief holds node 2's whole disk, with D and P of generation 0, and the old record. A slot of
 * the old record opens for it with a release of a peer that still holds P of generation 0
 * (whatever that peer's code decides: a buggy peer counts).
 *
 * Checked:
 *   revoked   when `node remove` says done, neither 0 nor 1 holds P of generation 0;
 *   open      0 and 1, both up, can open each other at every moment: with the newest record that
 *             either of them has applied, each holds the generation that it names for it;
 *   (no removed pair: one peer's disk stolen after done, plus node 2's, opens nothing, follows from
 *   the first, since the old record's generations are then gone from both.)
 *
 * Rules broken on purpose, each of which must be found:
 *   -DERASE_AT_BEGIN  ... as soon as it made the new one
 *   -DDONE_AT_DEAL    `node remove` says done when DEAL is committed
 *   -DDONE_WITH_OLD   done at FINAL although the record names a member's old generation
 *   -DDROP_UNSYNCED   a generation of an uncommitted attempt is dropped without a newer BEGIN
 */
#define ATTEMPTS 2
#define NONE 255

byte gens[2] = 1;      /* bit g: node holds D and P of generation g, synced */
byte applied[2];       /* log entries applied and synced */
bool up[2] = true;
byte log_kind[8];      /* 1 BEGIN, 2 DEAL, 3 FINAL */
byte log_k[8];
byte log_gen0[8];      /* DEAL: generation named for node 0 */
byte log_gen1[8];
byte length;
byte begun;            /* newest attempt */
byte part[2] = NONE;   /* generation handed to the leader for the newest attempt */
byte dealt;            /* newest DEAL: 0 is the one at the start */
byte final;
bool acked[2];
bool done;

inline append(kind, k, a, b)
{
    log_kind[length] = kind;
    log_k[length] = k;
    log_gen0[length] = a;
    log_gen1[length] = b;
    length++
}

/* What the newest DEAL applied by a node names for node 0 and 1; the start's names 0 and 0. */
inline newest_record(who, ret_at)
{
    ret_at = NONE;
    scan = 0;
    do
    :: scan < applied[who] ->
        if
        :: log_kind[scan] == 2 -> ret_at = scan
        :: else
        fi;
        scan++
    :: else -> break
    od
}

/* The leader: any member that is up, so one process; it goes on from the log after any crash. */
proctype leader()
{
    byte scan;
    do
    :: atomic { begun < ATTEMPTS && (begun == dealt && final == dealt && !done || begun > dealt) && length < 8 ->
           begun++; part[0] = NONE; part[1] = NONE; append(1, begun, 0, 0) }
    :: atomic { begun > dealt && final == dealt && (part[0] != NONE || part[1] != NONE) && length < 8 ->
           /* a member that is away: the generation that the record in force names for it */
           byte at; byte g0; byte g1;
           g0 = 0; g1 = 0;
           scan = 0;
           do
           :: scan < length ->
               if
               :: log_kind[scan] == 2 -> g0 = log_gen0[scan]; g1 = log_gen1[scan]
               :: else
               fi;
               scan++
           :: else -> break
           od;
           if :: part[0] != NONE -> g0 = part[0] :: else fi;
           if :: part[1] != NONE -> g1 = part[1] :: else fi;
           dealt = begun; acked[0] = false; acked[1] = false;
           append(2, dealt, g0, g1);
#ifdef DONE_AT_DEAL
           done = true;
#endif
           at = 0 }
    :: atomic { dealt > final && acked[0] && acked[1] && length < 8 -> final = dealt; append(3, final, 0, 0) }
    :: atomic { final > 0 && !done ->
           /* done: FINAL and older generations erased at both, both named with a new generation */
           byte last;
           scan = 0; last = NONE;
           do
           :: scan < length ->
               if
               :: log_kind[scan] == 2 -> last = scan
               :: else
               fi;
               scan++
           :: else -> break
           od;
           if
#ifdef DONE_WITH_OLD
           :: applied[0] == length && applied[1] == length -> done = true
#else
           :: log_gen0[last] > 0 && log_gen1[last] > 0 && final == dealt && (gens[0] & 1) == 0 &&
              (gens[1] & 1) == 0 -> done = true
#endif
           :: else -> skip
           fi }
    :: done -> break
    :: length == 8 -> break
    :: true -> break /* the run may end anywhere */
    od
}

proctype member(byte me)
{
    byte scan;
    byte at;
    byte mine;
    byte k;
    do
    /* crash and start: only what was synced was ever counted */
    :: atomic { up[me] -> up[me] = false }
    :: atomic { !up[me] -> up[me] = true }
    /* applies the next committed entry */
    :: atomic { up[me] && applied[me] < length -> applied[me]++ }
    /* writes a generation for the newest attempt it has applied, and hands it over */
    :: atomic { up[me] && begun > dealt && part[me] == NONE ->
           scan = 0; k = 0;
           do
           :: scan < applied[me] ->
               if
               :: log_kind[scan] == 1 -> k = log_k[scan]
               :: else
               fi;
               scan++
           :: else -> break
           od;
           if
           :: k == begun && k > 0 ->
               gens[me] = gens[me] | (1 << k);
#ifdef ERASE_AT_BEGIN
               gens[me] = 1 << k;
#endif
               part[me] = k
           :: else -> skip
           fi }
#ifdef DROP_UNSYNCED
    /* the attempt looks lost: its generation is dropped though its DEAL may still come */
    :: atomic { up[me] && part[me] != NONE && begun > dealt -> gens[me] = gens[me] & ~(1 << part[me]) }
#endif
    /* acks a DEAL that it has applied and can open */
    :: atomic { up[me] && dealt > final && !acked[me] ->
           newest_record(me, at);
           if
           :: at != NONE && log_k[at] == dealt ->
               mine = (me == 0 -> log_gen0[at] : log_gen1[at]);
               acked[me] = ((gens[me] & (1 << mine)) != 0)
           :: else -> skip
           fi }
    /* erases generations older than the record's, once the record and FINAL are synced here */
    :: atomic { up[me] ->
           newest_record(me, at);
           if
           :: at != NONE ->
               mine = (me == 0 -> log_gen0[at] : log_gen1[at]);
               k = log_k[at];
               scan = at;
               do
               :: scan < applied[me] && !(log_kind[scan] == 3 && log_k[scan] == k) -> scan++
               :: else -> break
               od;
               if
               :: scan < applied[me] -> gens[me] = gens[me] & ~((1 << mine) - 1)
               :: else -> skip
               fi
           :: else -> skip
           fi }
    :: true -> break
    od
}

/* The record that the two would use: the newer of the two applied ones (records are exchanged). */
proctype monitor()
{
    byte scan;
    byte a;
    byte b;
    byte use;
    atomic {
        if
        :: done -> assert((gens[0] & 1) == 0 && (gens[1] & 1) == 0) /* revoked */
        :: else
        fi;
        newest_record(0, a);
        newest_record(1, b);
        use = (a == NONE -> b : (b == NONE -> a : (a > b -> a : b)));
        if
        :: use == NONE -> assert((gens[0] & 1) != 0 && (gens[1] & 1) != 0)
        :: else ->
            assert((gens[0] & (1 << log_gen0[use])) != 0);
            assert((gens[1] & (1 << log_gen1[use])) != 0)
        fi
    }
}

init
{
    atomic {
        run leader();
        run member(0);
        run member(1);
        run monitor()
    }
}
