#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64: Steele, Lea, Flood 2014. */
uint64_t sim_random(struct world *w)
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned sim_below(struct world *w, unsigned n)
{
    assert(n > 0);
    return (unsigned)(sim_random(w) % n);
}

bool sim_chance(struct world *w, unsigned permille)
{
    return sim_below(w, 1000) < permille;
}

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

void sim_push(struct world *w, struct event event)
{
    size_t i = w->heap_n++;

    if (w->heap_n > w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? 1024 : w->heap_cap * 2;
        w->heap = realloc(w->heap, w->heap_cap * sizeof(*w->heap));
        assert(w->heap != NULL);
    }
    event.number = w->number++;
    while (i > 0 && earlier(&event, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = event;
}

bool sim_pop(struct world *w, struct event *ret_event)
{
    struct event last;
    size_t i = 0;

    if (w->heap_n == 0)
        return false;
    *ret_event = w->heap[0];
    last = w->heap[--w->heap_n];
    while (2 * i + 1 < w->heap_n) {
        size_t child = 2 * i + 1;
        if (child + 1 < w->heap_n && earlier(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!earlier(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->heap_n > 0)
        w->heap[i] = last;
    return true;
}

static void send_once(struct world *w, unsigned from, unsigned to, struct bytes message)
{
    struct event event = {.what = HAPPEN_MESSAGE, .node = to, .from = from, .len = message.len};
    uint64_t delay = 1 + sim_below(w, w->chaos_over ? 5 : w->delay_max);

    /* Installs are rare, and worst when late. */
    if (!w->chaos_over &&
        sim_chance(w, w->slow > 0 && message.data[1] == MESSAGE_INSTALL ? 500 : w->slow))
        delay += sim_below(w, 8 * SIM_ELECTION_MS);
    event.at = w->now + delay;
    if (w->ordered) {
        if (event.at < w->link_at[from][to])
            event.at = w->link_at[from][to];
        w->link_at[from][to] = event.at;
    }
    event.data = malloc(message.len);
    assert(event.data != NULL);
    memcpy(event.data, message.data, message.len);
    sim_push(w, event);
}

void net_send(struct world *w, unsigned from, unsigned to, struct bytes message)
{
    if (w->cuts[from][to] || (!w->chaos_over && sim_chance(w, w->loss)))
        return;
    send_once(w, from, to, message);
    if (!w->chaos_over &&
        sim_chance(w, w->duplicate > 0 && message.data[1] == MESSAGE_INSTALL ? 500 : w->duplicate))
        send_once(w, from, to, message);
}
