/*
 * Slots, rings and single-writer words (docs/decisions/0001) for spin.  `make model` runs it, see `check`.
 *
 * A source S owns the slots.  Readers take messages, use their slots for a while and give them back; a middle M passes
 * the slots of what it took on before it gives them back.  A supervisor kills processes at any step, mends their words
 * and starts them again with nothing but those words.  Every load and every store is a step of its own; stores wait in
 * a buffer of the processor (at most SB of them) and reach memory in order, at any later time, or at a fence.
 *
 * What must hold: a slot in use is never filled; a reader finds in a slot what the message says; a lossless edge loses
 * nothing but the message in hand of a killed reader; when nothing moves any more, all has been sent and read and all
 * slots are free (so nobody sleeps through a message, room in a ring, or a slot).
 */

/* ---- what is checked: set with -D ---- */

/* EDGE (default): S -> K.  FAN: S -> K, S -> L.  CHAIN: S -> M -> K.  DIAMOND: S -> M, M -> K, S -> K. */
#if defined(FAN)
#define E       2
#define P       3
#define from(e) 0
#define to(e)   ((e) + 1)
#elif defined(CHAIN)
#define E       2
#define P       3
#define from(e) (e)
#define to(e)   ((e) + 1)
#define PASSES  1               /* the edge on which M passes slots on */
#elif defined(DIAMOND)
#define E       3
#define P       3
#define from(e) ((e) == 1)
#define to(e)   ((e) == 0 -> 1 : 2)
#define PASSES  1
#else
#define E       1
#define P       2
#define from(e) 0
#define to(e)   1
#endif
#define SOURCE  0
#define MIDDLE  1               /* where there is one */

#ifndef RT
#define RT 0                    /* bit e is set: edge e is real-time, else it is lossless */
#endif
#define realtime(e) ((RT >> (e)) & 1)
#ifndef C
#define C 1                     /* capacity of every edge */
#endif
#ifndef CELLS
#define CELLS (C + 1)
#endif
#ifndef N
#define N 3                     /* messages on every edge that leaves S */
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef PER
#define PER 1                   /* slots a message refers to, 1 or 2 */
#endif
#ifndef LEASES
#define LEASES 1                /* messages a reader holds at once, 1 or 2; it gives them back in any order */
#endif
#ifndef SB
#define SB 1                    /* stores that a processor may hold back, 0 to 2 */
#endif
#ifndef KILLS
#define KILLS 0                 /* how many deaths there may be in a run */
#endif
#ifndef KILL
#define KILL 7                  /* bit p is set: process p may die */
#endif
/* TWICE: S may send a slot again without filling it anew.  SMALL: every second message refers to no slot.
   ANY: S does not always take the first free slot.
   DOWN: the owner looks at the edges downstream first.  SENDER_FIRST: a dead middle is mended as sender first.
   A negative configuration takes a piece of the protocol away, by the names below that begin with NO_ and the like. */

/* ---- memory ---- */

#define W(e)          (e)
#define R(e)          (E + (e))
#define WAKE_AT(e)    (2*E + (e))
#define SLEEPING(p)   (3*E + (p))
#define WAITING       (3*E + P)
#define GIVEN(e, s)   (3*E + P + 1 + (e)*SLOTS + (s))
#define HOLD(e, s)    (3*E + P + 1 + (E + (e))*SLOTS + (s))
#define CELL(e, n, k) (3*E + P + 1 + 2*E*SLOTS + ((e)*CELLS + (n)%CELLS)*PER + (k))
#define WORDS         (3*E + P + 1 + 2*E*SLOTS + E*CELLS*PER)

byte mem[WORDS];
bool bell[P];                   /* semaphores; counting posts would only wake more often, so one bit is harder */
byte content[SLOTS];            /* what lies in a slot: the number of the filling */

/* A cell holds places: a slot and the content it should have.  0 is none. */
#define place(s, tag) ((tag)*8 + (s) + 1)
#define slot(p)       ((p)%8 - 1)
#define tag(p)        ((p)/8)

#if SB
byte where[P*SB], what[P*SB], depth[P];         /* the store buffers, oldest first */
#define drained (depth[me] == 0)
#else
#define drained true
#endif

/* What only the checker knows. */
byte users[SLOTS];              /* uses of the slot by readers */
byte number[E*CELLS];           /* the message whose words lie in the cell, whole or half */
byte killed[P];
#define DYING 1                 /* takes no further step */
#define DEAD  2                 /* and all that it stored is in memory */
bool finished;                  /* S has sent everything */
#ifdef COUNT
byte received[E], dropped[E], lost[E];          /* counters of the receiver, the last one of the supervisor */
#endif

/* Every process is one atomic sequence that lets go before each thing that another could notice.  There it may die. */
chan turn = [0] of { bit };

proctype Turn() {
end:
    do
    :: turn?_
    od
}

inline step() {
    turn!0;
    if
    :: killed[me] -> goto dead
    :: else
    fi
}

inline commit(p) {              /* the oldest store reaches memory */
#if SB == 1
    mem[where[p]] = what[p]; where[p] = 0; what[p] = 0; depth[p] = 0
#elif SB == 2
    mem[where[p*2]] = what[p*2]; where[p*2] = where[p*2 + 1]; what[p*2] = what[p*2 + 1];
    where[p*2 + 1] = 0; what[p*2 + 1] = 0; depth[p]--
#else
    skip
#endif
}

proctype Processors() {
#if SB
end:
    do
    :: d_step { depth[0] > 0 -> commit(0) }
    :: d_step { depth[1] > 0 -> commit(1) }
#if P > 2
    :: d_step { depth[2] > 0 -> commit(2) }
#endif
    od
#else
    skip
#endif
}

inline store(addr, value) {
    step();
#if SB
    if
    :: depth[me] == SB -> commit(me)
    :: else
    fi;
    where[me*SB + depth[me]] = addr; what[me*SB + depth[me]] = value; depth[me]++
#else
    mem[addr] = value
#endif
}

inline load_own(addr, into) {   /* a word that no other process writes */
    into = mem[addr];
#if SB
    if
    :: depth[me] > 0 && where[me*SB] == addr -> into = what[me*SB]
    :: else
    fi;
#endif
#if SB == 2
    if
    :: depth[me] > 1 && where[me*SB + 1] == addr -> into = what[me*SB + 1]
    :: else
    fi;
#endif
}

inline load(addr, into) {
    step();
    load_own(addr, into)
}

inline fence() {
    if
    :: drained
    :: killed[me] -> goto dead
    fi
}

inline ring(p) {                /* system calls are fences */
    step();
    if
    :: drained -> bell[p] = true
    :: killed[me] -> goto dead
    fi
}

inline wait() {
    step();
    if
    :: bell[me] && drained -> bell[me] = false
    :: killed[me] -> goto dead
    fi
}

inline ring_if(addr, p) {
    load(addr, v);
    if
    :: v -> v = 0; ring(p)
    :: else
    fi
}

/* The fences, each by the place where a negative configuration leaves it out. */
#ifdef NO_FENCE_SEND
#define FENCE_SEND  skip
#else
#define FENCE_SEND  fence()
#endif
#ifdef NO_FENCE_TAKE
#define FENCE_TAKE  skip
#else
#define FENCE_TAKE  fence()
#endif
#ifdef NO_FENCE_ROOM
#define FENCE_ROOM  skip
#else
#define FENCE_ROOM  fence()
#endif
#ifdef NO_FENCE_BACK
#define FENCE_BACK  skip
#else
#define FENCE_BACK  fence()
#endif
#ifdef NO_FENCE_SLEEP
#define FENCE_SLEEP skip
#else
#define FENCE_SLEEP fence()
#endif

/* ---- sending ---- */

/* The message with places a and b over edge x.  Uses m, v and armed. */
inline send(x) {
    load_own(W(x), m);
    do
    :: realtime(x) -> break
    :: else ->
        load(R(x), v);
        if
        :: m - v < C -> v = 0; break
        :: m - v >= C && !armed -> v = 0; store(WAKE_AT(x), m - C + 1); FENCE_SLEEP; armed = true
        :: m - v >= C && armed -> v = 0; wait(); store(WAKE_AT(x), 0); armed = false
        fi
    od;
    if
    :: armed -> store(WAKE_AT(x), 0); armed = false
    :: else
    fi;
    m++;
    if
    :: a -> store(GIVEN(x, slot(a)), m)
    :: else
    fi;
#if PER == 2
    if
    :: b -> store(GIVEN(x, slot(b)), m)
    :: else
    fi;
#endif
    number[(x)*CELLS + m%CELLS] = m;
    store(CELL(x, m, 0), a);
#if PER == 2
    store(CELL(x, m, 1), b);
#endif
    store(W(x), m);
    m = 0;
    FENCE_SEND;
    ring_if(SLEEPING(to(x)), to(x));
#ifndef NO_RING_PASSED
    if
    :: realtime(x) && from(x) != SOURCE -> ring_if(WAITING, SOURCE)     /* what has passed may be what S waits for */
    :: else
    fi
#endif
}

/* ---- reading ---- */

#define leases(l, e, s) (via[l] == (e) + 1 && leased[(l)*PER] && slot(leased[(l)*PER]) == (s))  /* two leases: PER 1 */
#define held(e, p)      (leases(0, e, slot(p)) || leases(LEASES - 1, e, slot(p)))

/* hold is 1 from the first lease of ours on the slot to the end of the last. */
inline take_hold(p) {
    if
    :: p && !held(e, p) -> store(HOLD(e, slot(p)), 1)
    :: else
    fi
}

inline let_go(p) {
    if
    :: p && !held(e, p) -> store(HOLD(e, slot(p)), 0)
    :: else
    fi
}

inline ring_owner() {
    FENCE_BACK;
    ring_if(WAITING, SOURCE)
}

inline begin_use(p) {
    if
    :: p -> assert(content[slot(p)] == tag(p)); users[slot(p)]++
    :: else
    fi
}

inline end_use(p) {
    if
    :: p -> assert(content[slot(p)] == tag(p)); users[slot(p)]--
    :: else
    fi
}

/* Take the next message of edge e as lease l, its places into a and b; w is W, r is R. */
inline take() {
    do
    ::  n = r + 1;
        if
        :: realtime(e) && w + 1 > n + C -> n = w + 1 - C            /* the oldest that counts */
        :: else
        fi;
        load(CELL(e, n, 0), a);
#if PER == 2
        load(CELL(e, n, 1), b);
#endif
#ifndef NO_LOOK_BEFORE
        if
        :: realtime(e) -> load(W(e), w)
        :: else
        fi;
#endif
        if
        :: w >= n + C                           /* has passed, and nothing is to be undone */
        :: w < n + C ->
            take_hold(a);
#if PER == 2
            assert(tag(a) == tag(b));           /* not half of one message and half of another */
            take_hold(b);
#endif
            if
            :: realtime(e) -> FENCE_TAKE; load(W(e), w)
            :: else
            fi;
            if
            :: w >= n + C
            :: w < n + C -> break               /* ours */
            fi;
            let_go(a);
#if PER == 2
            let_go(b);
#endif
#ifndef NO_RING_MISSED
            ring_owner();
#endif
            load(W(e), w)
        fi
    od;
    assert(number[e*CELLS + n%CELLS] == n);
    via[l] = e + 1;
    leased[l*PER] = a; begin_use(a);
#if PER == 2
    leased[l*PER + 1] = b; begin_use(b);
#endif
    w = 0;
    assert(n > r && (realtime(e) || n == r + 1));
    store(R(e), n);
#ifdef COUNT
    step(); dropped[e] = dropped[e] + n - r - 1;
    step(); received[e]++;
#endif
    r = 0;
    if
    :: realtime(e)
    :: else ->
        FENCE_ROOM;
        load(WAKE_AT(e), v);
        if
        :: v && n >= v -> v = 0; ring(from(e))
        :: else -> v = 0
        fi
    fi;
    n = 0
}

inline give_back() {
    step();
    e = via[l] - 1; via[l] = 0;
    a = leased[l*PER]; leased[l*PER] = 0; end_use(a);
#if PER == 2
    b = leased[l*PER + 1]; leased[l*PER + 1] = 0; end_use(b);
#endif
    l = 0;
    let_go(a);
#if PER == 2
    let_go(b);
#endif
    if
    :: a || b -> a = 0; b = 0; e = 0; ring_owner()
    :: else -> e = 0
    fi
}

proctype Reader(byte me) {
    byte e, n, r, w, l, a, b, m, v, via[LEASES], leased[LEASES*PER];
    bool armed;
life:
    atomic {
    store(SLEEPING(me), 0);
#ifdef PASSES
    if
    :: me == MIDDLE -> store(WAKE_AT(PASSES), 0)
    :: else
    fi;
#endif
    do
    :: via[0] == 0 || via[LEASES - 1] == 0 ->
        do
        :: e == E -> break
        :: e < E && to(e) != me -> e++
        :: e < E && to(e) == me ->
            load(W(e), w); load_own(R(e), r);
            if
            :: w > r -> break
            :: else -> w = 0; r = 0; e++
            fi
        od;
        if
        :: e < E ->
            if
            :: armed -> armed = false; store(SLEEPING(me), 0)
            :: else
            fi;
            l = (via[0] -> LEASES - 1 : 0);
            take();
#ifdef PASSES
            if
            :: me == MIDDLE ->
#ifdef BACK_BEFORE_PASS
                via[l] = 0; leased[l] = 0; end_use(a); let_go(a); ring_owner();
#endif
                send(PASSES)
            :: else
            fi;
#endif
            a = 0; b = 0; e = 0; l = 0
        :: e == E && (via[0] || via[LEASES - 1]) -> e = 0; step()
        :: e == E && !armed && via[0] == 0 && via[LEASES - 1] == 0 ->
            e = 0; store(SLEEPING(me), 1); FENCE_SLEEP; armed = true
        :: e == E && armed ->
            e = 0; wait(); store(SLEEPING(me), 0); armed = false
        fi
    :: via[0] -> l = 0; give_back()
#if LEASES > 1
    :: via[1] -> l = 1; give_back()
#endif
    od;
dead:
#if SB
    do
    :: depth[me] > 0 -> commit(me)
    :: else -> break
    od;
#endif
    l = 0;
    do
    :: l == LEASES*PER -> break
    :: l < LEASES*PER ->
        if
        :: leased[l] -> users[slot(leased[l])]--; leased[l] = 0
        :: else
        fi;
        via[l/PER] = 0; l++
    od;
    e = 0; n = 0; r = 0; w = 0; l = 0; a = 0; b = 0; m = 0; v = 0; armed = false;
    killed[me] = DEAD;
    killed[me] != DEAD -> goto life
    }
}

/* ---- the source ---- */

/* Is slot s free?  ok says so. */
inline look() {
    do
    :: i == E -> ok = true; break
    :: i < E ->
#ifdef DOWN
        x = E - 1 - i;
#else
        x = i;
#endif
#ifdef HOLD_FIRST
        load(HOLD(x, s), h);
#endif
        if
        :: from(x) == SOURCE -> load_own(GIVEN(x, s), g); load_own(W(x), m)
        :: else ->
            load(GIVEN(x, s), g); seen = g;
            if
            :: realtime(x) -> load(W(x), m)
            :: else
            fi
        fi;
        if
        :: realtime(x) && g + C <= m
        :: else ->
            load(R(x), m);
            if
            :: g <= m
            :: else -> break
            fi
        fi;
#ifndef HOLD_FIRST
        load(HOLD(x, s), h);
#endif
        if
        :: h -> break
        :: else -> i++
        fi
    od;
    i = 0; g = 0; h = 0; m = 0; x = 0;
#if defined(PASSES) && !defined(ONE_LOOK)
    if
    :: ok -> load(GIVEN(PASSES, s), g); ok = (g == seen); g = 0
    :: else
    fi;
#endif
    seen = 0
}

/* A free slot other than that of place p, filled, as place q. */
inline get_slot(p, q) {
    do
    ::  do
        :: s == SLOTS -> break
        :: s < SLOTS && p && s == slot(p) -> s++
        :: s < SLOTS && !(p && s == slot(p)) ->
            look();
            if
            :: ok -> break
#ifdef ANY
            :: ok && !armed -> ok = false; s++
#endif
            :: !ok -> s++
            fi
        od;
        ok = false;
        if
        :: s < SLOTS -> break
        :: s == SLOTS && !armed -> s = 0; store(WAITING, 1); FENCE_SLEEP; armed = true
        :: s == SLOTS && armed -> s = 0; wait(); store(WAITING, 0); armed = false
        fi
    od;
    if
    :: armed -> store(WAITING, 0); armed = false
    :: else
    fi;
    /* The content goes to memory at once, not through the buffer: the earliest that it can harm. */
    step();
    load_own(W(0), m);
    assert(users[s] == 0);
    content[s] = m + 1;
    q = place(s, m + 1);
    s = 0; m = 0
}

proctype Source(byte me) {
    byte x, s, g, m, h, v, i, a, b, seen;
    bool ok, armed, again;
life:
    atomic {
    store(WAITING, 0);
    do
    :: x == E -> x = 0; break
    :: x < E && from(x) == SOURCE -> store(WAKE_AT(x), 0); x++
    :: x < E && from(x) != SOURCE -> x++
    od;
    do
    ::  do                                      /* is there an edge with messages to come? */
        :: x == E -> break
        :: x < E && from(x) != SOURCE -> x++
        :: x < E && from(x) == SOURCE ->
            load_own(W(x), m);
            if
            :: m < N -> break
            :: else -> x++
            fi
        od;
        m = 0;
        if
        :: x == E -> x = 0; break
        :: x < E -> x = 0
        fi;
#ifdef SMALL
        load_own(W(0), m);
        if
        :: m%2 == 1 -> m = 0; goto filled
        :: else -> m = 0
        fi;
#endif
#ifdef TWICE
        if
        :: again -> goto filled
        :: else
        fi;
#endif
        get_slot(0, a);
#if PER == 2
        get_slot(a, b);
#endif
filled:
        do
        :: x == E -> x = 0; break
        :: x < E && from(x) != SOURCE -> x++
        :: x < E && from(x) == SOURCE ->
            load_own(W(x), m);
            if
            :: m < N -> send(x)
            :: else -> m = 0
            fi;
            x++
        od;
#ifdef TWICE
        if
        :: a && !again -> again = true
        :: again = false; a = 0; b = 0
        fi
#else
        a = 0; b = 0
#endif
    od;
    step();
    finished = true;
    killed[me] == DYING;
dead:
#if SB
    do
    :: depth[me] > 0 -> commit(me)
    :: else -> break
    od;
#endif
    x = 0; s = 0; g = 0; m = 0; h = 0; v = 0; i = 0; a = 0; b = 0; seen = 0; ok = false; armed = false; again = false;
    killed[me] = DEAD;
    killed[me] != DEAD -> goto life
    }
}

/* ---- the supervisor ---- */

/* The dead process d as receiver.  R stays: what it has not taken is for its successor. */
inline mend_receiver() {
    do
    :: e == E -> e = 0; break
    :: e < E && to(e) != d -> e++
    :: e < E && to(e) == d ->
        do
        :: s == SLOTS -> s = 0; break
        :: s < SLOTS && mem[HOLD(e, s)] -> turn!0; mem[HOLD(e, s)] = 0; s++
        :: s < SLOTS && !mem[HOLD(e, s)] -> s++
        od;
#ifdef COUNT
        assert(mem[R(e)] >= received[e] + dropped[e] + lost[e]);
        lost[e] = mem[R(e)] - received[e] - dropped[e];
#endif
        e++
    od
}

/* As sender: what it gave with a message that it did not publish counts as given with the last one that it did. */
inline mend_sender() {
    do
    :: e == E -> e = 0; break
    :: e < E && from(e) != d -> e++
    :: e < E && from(e) == d ->
        do
        :: s == SLOTS -> s = 0; break
        :: s < SLOTS && mem[GIVEN(e, s)] > mem[W(e)] -> turn!0; mem[GIVEN(e, s)] = mem[W(e)]; s++
        :: s < SLOTS && mem[GIVEN(e, s)] <= mem[W(e)] -> s++
        od;
        e++
    od
}

inline mend() {
#ifdef SENDER_FIRST
    mend_sender();
#endif
#ifndef NO_MEND_RECEIVER
    mend_receiver();
#endif
#if !defined(NO_MEND_SENDER) && !defined(SENDER_FIRST)
    mend_sender();
#endif
    turn!0;
#ifndef NO_RING_MENDED
    bell[0] = true; bell[1] = true; bell[P - 1] = true;
#endif
    killed[d] = 0; d = 0
}

proctype Supervisor() {
    byte kills = KILLS, d, e, s, g;
    atomic {
    do
    :: kills > 0 -> turn!0; kills--;
        if
        :: !killed[0] && (KILL & 1) -> killed[0] = DYING
        :: !killed[1] && (KILL & 2) -> killed[1] = DYING
        :: !killed[P - 1] && (KILL & 4) && P > 2 -> killed[P - 1] = DYING
        :: true                                         /* nobody, after all */
        fi
    :: killed[0] == DEAD -> d = 0; mend()
    :: killed[1] == DEAD -> d = 1; mend()
    :: killed[P - 1] == DEAD && P > 2 -> d = P - 1; mend()
    :: timeout -> break                                 /* nothing moves any more */
    od;
    assert(finished);
    do
    :: e == E -> break
    :: e < E ->
        assert(mem[R(e)] == mem[W(e)]);
#ifdef COUNT
        assert(received[e] + dropped[e] + lost[e] == mem[W(e)] && (KILLS || lost[e] == 0));
#endif
        assert(from(e) != SOURCE || mem[W(e)] == N);
        assert(KILLS || from(e) == SOURCE || realtime(0) || mem[W(e)] == N);
        s = 0;
        do
        :: s == SLOTS -> break
        :: s < SLOTS ->
            assert(users[s] == 0);
            g = mem[GIVEN(e, s)];
            assert(g <= mem[R(e)] || (realtime(e) && g + C <= mem[W(e)]));
            assert(mem[HOLD(e, s)] == 0);
            s++
        od;
        e++
    od
    }
}

init {
    atomic {
        run Turn(); run Processors(); run Source(SOURCE); run Reader(1);
#if P > 2
        run Reader(2);
#endif
        run Supervisor()
    }
}
