/* Two stores and the two ends of a transfer over a link that can be slow, lossy or cut.
 *
 * Over 500 lines: every case turns the same pair of ends, which stands here once. */
#include "node/transfer_uv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../store/fixture.h"

#define QUEUE_BYTES_MAX (4 * MIB)

struct parcel {
    struct parcel *next;
    size_t len;
    uint8_t data[];
};

struct end {
    struct fixture f;
    struct transfer *transfer;
    struct end *other;
    uint8_t id;
    struct parcel *head, *tail; /* on the way to the other */
    size_t queued, queued_most;
    bool up, freed;
    bool sent_called, installed_called, restored_called;
    bool gives_nothing;
    enum qk_err sent_err, installed_err, restored_err;
    uint64_t sent_peer;
    unsigned delivered;
    bool clients_write;
    uint64_t commands_n;
    unsigned lose_every;   /* 0: none */
    unsigned damage_every; /* 0: none */
};

struct pair {
    struct end a, b; /* a sends; they share a's loop */
    uv_timer_t clock;
};

static void node_id_of(const struct end *end, uint8_t ret_id[NODE_ID_BYTES])
{
    memset(ret_id, end->id, NODE_ID_BYTES);
}

static enum qk_err end_send(void *arg, const uint8_t node_id[NODE_ID_BYTES],
                            const struct bytes *parts, size_t parts_n)
{
    struct end *end = arg;
    struct parcel *parcel;
    size_t len = 0, at = 0;

    cr_assert_eq(node_id[0], end->other->id);
    if (!end->up)
        return QK_ERR_CLOSED;
    for (size_t i = 0; i < parts_n; i++)
        len += parts[i].len;
    if (end->queued > 0 && end->queued + len > QUEUE_BYTES_MAX)
        return QK_ERR_BUSY;
    parcel = malloc(sizeof *parcel + len);
    parcel->next = NULL;
    parcel->len = len;
    for (size_t i = 0; i < parts_n; i++) {
        if (parts[i].len > 0)
            memcpy(parcel->data + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    if (end->tail == NULL)
        end->head = parcel;
    else
        end->tail->next = parcel;
    end->tail = parcel;
    end->queued += len;
    if (end->queued > end->queued_most)
        end->queued_most = end->queued;
    return QK_OK;
}

static void end_sent(void *arg, uint64_t peer, struct bytes token, enum qk_err err)
{
    struct end *end = arg;

    cr_assert_not(end->sent_called);
    cr_assert(bytes_equal(token, bytes_str("token")));
    end->sent_called = true;
    end->sent_peer = peer;
    end->sent_err = err;
}

static void end_installed(void *arg, enum qk_err err)
{
    struct end *end = arg;

    end->installed_called = true;
    end->installed_err = err;
}

static bool end_gives(void *arg, uint64_t index)
{
    struct end *end = arg;

    return !end->gives_nothing && store_applied(end->f.store) >= index;
}

static void end_restored(void *arg, enum qk_err err)
{
    struct end *end = arg;

    cr_assert_not(end->restored_called);
    end->restored_called = true;
    end->restored_err = err;
}

static uint64_t end_commands(void *arg)
{
    struct end *end = arg;

    end->commands_n += end->clients_write;
    return end->commands_n;
}

/* Hands one message to the other end. */
static void deliver(struct end *end)
{
    struct parcel *parcel = end->head;
    uint8_t id[NODE_ID_BYTES];

    if (parcel == NULL)
        return;
    end->head = parcel->next;
    if (end->head == NULL)
        end->tail = NULL;
    end->queued -= parcel->len;
    end->delivered++;
    if (end->damage_every > 0 && end->delivered % end->damage_every == 0)
        parcel->data[parcel->len / 2] ^= 1;
    node_id_of(end, id);
    if ((end->lose_every == 0 || end->delivered % end->lose_every != 0) &&
        end->other->transfer != NULL)
        transfer_receive(end->other->transfer, id, bytes_of(parcel->data, parcel->len));
    free(parcel);
    node_id_of(end->other, id);
    if (end->queued < MIB && end->transfer != NULL)
        transfer_drained(end->transfer, id);
}

static void drop_all(struct end *end)
{
    while (end->head != NULL) {
        struct parcel *parcel = end->head;

        end->head = parcel->next;
        free(parcel);
    }
    end->tail = NULL;
    end->queued = 0;
}

static void on_clock(uv_timer_t *timer)
{
    (void)timer; /* wakes the loop */
}

static void create(struct pair *pair, struct end *end)
{
    struct transfer_config config = {.loop = &pair->a.f.loop,
                                     .store = end->f.store,
                                     .arg = end,
                                     .send = end_send,
                                     .sent = end_sent,
                                     .installed = end_installed,
                                     .gives = end_gives,
                                     .restored = end_restored,
                                     .commands = end_commands,
                                     /* Longer than several lost probes, 3 s apart: what a test
                                        loses on purpose must not end a stream. */
                                     .silence_ms = 25000,
                                     .away_ms = 6000};

    cr_assert_eq(transfer_create(&config, &end->transfer), QK_OK);
}

/* b's store lives in a's loop, so that one loop turns both. */
static void pair_init(struct pair *pair)
{
    memset(pair, 0, sizeof *pair);
    fixture_init(&pair->a.f);
    fixture_init_in(&pair->b.f, &pair->a.f);
    pair->a.id = 0xaa;
    pair->b.id = 0xbb;
    pair->a.other = &pair->b;
    pair->b.other = &pair->a;
    pair->a.up = pair->b.up = true;
    create(pair, &pair->a);
    create(pair, &pair->b);
    cr_assert_eq(uv_timer_init(&pair->a.f.loop, &pair->clock), 0);
    cr_assert_eq(uv_timer_start(&pair->clock, on_clock, 1, 1), 0);
}

static void on_freed(void *arg)
{
    *(bool *)arg = true;
}

static void end_fini(struct pair *pair, struct end *end)
{
    bool freed = false;

    if (end->transfer != NULL) {
        transfer_free(end->transfer, on_freed, &freed);
        fixture_run_until(&pair->a.f, &freed);
        end->transfer = NULL;
    }
    drop_all(end);
}

static void pair_fini(struct pair *pair)
{
    end_fini(pair, &pair->a);
    end_fini(pair, &pair->b);
    uv_close((uv_handle_t *)&pair->clock, NULL);
    fixture_fini_in(&pair->b.f, &pair->a.f);
    fixture_fini(&pair->a.f);
}

static void turn(struct pair *pair)
{
    (void)uv_run(&pair->a.f.loop, UV_RUN_ONCE);
    deliver(&pair->a);
    deliver(&pair->b);
}

static void run_until(struct pair *pair, const bool *flag)
{
    uint64_t began = uv_hrtime();

    while (!*flag) {
        turn(pair);
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000, "went on too long");
    }
}

static void connect_ends(struct pair *pair, bool up)
{
    uint8_t a[NODE_ID_BYTES], b[NODE_ID_BYTES];

    drop_all(&pair->a);
    drop_all(&pair->b);
    pair->a.up = pair->b.up = up;
    node_id_of(&pair->a, a);
    node_id_of(&pair->b, b);
    if (up) {
        transfer_peer_up(pair->a.transfer, b);
        transfer_peer_up(pair->b.transfer, a);
    } else {
        transfer_peer_down(pair->a.transfer, b);
        transfer_peer_down(pair->b.transfer, a);
    }
}

static void fill(struct pair *pair, unsigned docs_n, size_t bytes)
{
    char *value = malloc(bytes + 1);
    char name[32];

    memset(value, 'v', bytes);
    value[bytes] = '\0';
    for (unsigned i = 0; i < docs_n; i++) {
        (void)snprintf(name, sizeof name, "doc%05u", i);
        cr_assert_eq(test_put(&pair->a.f, 'A', name, 1, WIRE_DOC, value), QK_OK);
    }
    free(value);
}

static void begin(struct pair *pair)
{
    uint8_t id[NODE_ID_BYTES];

    node_id_of(&pair->b, id);
    pair->a.sent_called = false;
    transfer_send(pair->a.transfer, id, 42, bytes_str("token"));
    cr_assert_not(pair->a.sent_called);
}

static void install_and_compare(struct pair *pair)
{
    struct buf x, y;

    cr_assert_eq(pair->a.sent_err, QK_OK, "%s", qk_err_text(pair->a.sent_err));
    cr_assert_eq(pair->a.sent_peer, 42);
    cr_assert(transfer_staged(pair->b.transfer, bytes_str("token")));
    cr_assert_not(transfer_staged(pair->b.transfer, bytes_str("other")));
    transfer_install(pair->b.transfer, bytes_str("token"));
    run_until(pair, &pair->b.installed_called);
    cr_assert_eq(pair->b.installed_err, QK_OK);
    cr_assert_not(transfer_staged(pair->b.transfer, bytes_str("token")));
    cr_assert_eq(store_applied(pair->b.f.store), store_applied(pair->a.f.store));
    x = test_dump(&pair->a.f);
    y = test_dump(&pair->b.f);
    cr_assert(bytes_equal(buf_bytes(&x), buf_bytes(&y)));
    buf_fini(&x);
    buf_fini(&y);
}

Test(transfer, a_store_arrives_whole_within_the_window, .timeout = 60)
{
    struct pair pair;

    pair_init(&pair);
    fill(&pair, 400, 50000);
    begin(&pair);
    run_until(&pair, &pair.a.sent_called);
    cr_assert_leq(pair.a.queued_most, TRANSFER_WINDOW_BYTES + MIB);
    install_and_compare(&pair);
    pair_fini(&pair);
}

Test(transfer, while_clients_write_a_stream_keeps_its_pace_and_arrives, .timeout = 60)
{
    const uint64_t chunks_n = 400u * 50000u / TRANSFER_CHUNK_BYTES;
    struct pair pair;
    uint64_t began_ms, took_ms;

    pair_init(&pair);
    fill(&pair, 400, 50000);
    fixture_flush(&pair.a.f);
    pair.a.clients_write = true;
    began_ms = uv_hrtime() / 1000000;
    begin(&pair);
    run_until(&pair, &pair.a.sent_called);
    took_ms = uv_hrtime() / 1000000 - began_ms;
    /* The loop's clock is in whole milliseconds, so that a pace may be one shorter. */
    cr_assert_geq(took_ms, chunks_n * (TRANSFER_PACE_MS - 1), "%llu ms",
                  (unsigned long long)took_ms);
    install_and_compare(&pair);
    pair_fini(&pair);
}

Test(transfer, an_empty_store_with_only_an_index_arrives, .timeout = 60)
{
    struct pair pair;

    pair_init(&pair);
    cr_assert_eq(store_apply(pair.a.f.store, 9, 2, true, BYTES_NONE, NULL), QK_OK);
    begin(&pair);
    run_until(&pair, &pair.a.sent_called);
    install_and_compare(&pair);
    pair_fini(&pair);
}

Test(transfer, lost_and_damaged_messages_are_made_good, .timeout = 100)
{
    struct pair pair;

    pair_init(&pair);
    pair.a.lose_every = 13;
    pair.a.damage_every = 17;
    pair.b.lose_every = 7;
    fill(&pair, 200, 50000);
    begin(&pair);
    run_until(&pair, &pair.a.sent_called);
    install_and_compare(&pair);
    pair_fini(&pair);
}

Test(transfer, after_a_reconnect_the_same_stream_goes_on, .timeout = 60)
{
    struct transfer_progress progress[TRANSFERS_MAX + 1];
    struct pair pair;
    uint64_t had = 0;

    pair_init(&pair);
    fill(&pair, 400, 50000);
    begin(&pair);
    for (int cut = 0; cut < 3; cut++) {
        uint64_t from = had;

        while (had < from + 3 * MIB) {
            turn(&pair);
            if (transfer_progress(pair.b.transfer, progress) == 1)
                had = progress[0].bytes;
            cr_assert_not(pair.a.sent_called);
        }
        connect_ends(&pair, false);
        for (int i = 0; i < 20; i++)
            turn(&pair);
        cr_assert_eq(transfer_progress(pair.b.transfer, progress), 1);
        cr_assert_geq(progress[0].bytes, had); /* kept */
        connect_ends(&pair, true);
    }
    run_until(&pair, &pair.a.sent_called);
    install_and_compare(&pair);
    pair_fini(&pair);
}

Test(transfer, a_sender_that_died_is_followed_by_a_new_one_from_the_start, .timeout = 60)
{
    struct pair pair;

    pair_init(&pair);
    fill(&pair, 200, 50000);
    begin(&pair);
    for (int i = 0; i < 60; i++)
        turn(&pair);
    connect_ends(&pair, false);
    end_fini(&pair, &pair.a);
    create(&pair, &pair.a);
    connect_ends(&pair, true);
    begin(&pair);
    run_until(&pair, &pair.a.sent_called);
    install_and_compare(&pair);
    pair_fini(&pair);
}

Test(transfer, a_receiver_that_lost_its_part_ends_the_stream_and_takes_the_next, .timeout = 60)
{
    struct transfer_progress progress[TRANSFERS_MAX + 1];
    struct pair pair;

    pair_init(&pair);
    fill(&pair, 200, 50000);
    begin(&pair);
    do
        turn(&pair);
    while (transfer_progress(pair.a.transfer, progress) != 1 || progress[0].bytes < MIB);
    connect_ends(&pair, false);
    end_fini(&pair, &pair.b);
    create(&pair, &pair.b);
    connect_ends(&pair, true);
    run_until(&pair, &pair.a.sent_called);
    cr_assert_eq(pair.a.sent_err, QK_ERR_CLOSED);
    begin(&pair);
    run_until(&pair, &pair.a.sent_called);
    install_and_compare(&pair);
    pair_fini(&pair);
}

Test(transfer, a_peer_that_stays_away_ends_the_stream, .timeout = 60)
{
    struct pair pair;

    pair_init(&pair);
    fill(&pair, 100, 50000);
    begin(&pair);
    while (pair.a.delivered < 4) /* its offer and some chunks */
        turn(&pair);
    connect_ends(&pair, false);
    run_until(&pair, &pair.a.sent_called);
    cr_assert_eq(pair.a.sent_err, QK_ERR_CLOSED);
    pair_fini(&pair);
}

Test(transfer, the_senders_writes_go_on_and_the_snapshot_is_of_one_moment, .timeout = 60)
{
    struct pair pair;
    uint64_t at;
    char name[32];

    pair_init(&pair);
    fill(&pair, 100, 50000);
    at = store_applied(pair.a.f.store);
    begin(&pair);
    for (int i = 0; !pair.a.sent_called; i++) {
        turn(&pair);
        (void)snprintf(name, sizeof name, "later%d", i);
        cr_assert_eq(test_put(&pair.a.f, 'B', name, 1, WIRE_DOC, "x"), QK_OK);
    }
    cr_assert_eq(pair.a.sent_err, QK_OK);
    transfer_install(pair.b.transfer, bytes_str("token"));
    run_until(&pair, &pair.b.installed_called);
    cr_assert_geq(store_applied(pair.b.f.store), at);
    cr_assert_lt(store_applied(pair.b.f.store), store_applied(pair.a.f.store));
    pair_fini(&pair);
}

/* Anonymous memory of this process in bytes; the map of the file is not in it. */
static size_t memory_now(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[200];
    size_t kib = 0;

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %zu", &kib) == 1)
            break;
    if (status != NULL)
        (void)fclose(status);
    return kib * KIB;
}

/* QK_TRANSFER_MIB makes it larger; both ends are in this one process. */
Test(transfer, memory_stays_constant_whatever_the_size, .timeout = 900)
{
    const char *wanted = getenv("QK_TRANSFER_MIB");
    size_t mib = wanted == NULL ? 160 : (size_t)strtoul(wanted, NULL, 10);
    size_t before, most = 0, turns = 0;
    struct pair pair;
    char *value = malloc(256 * KIB + 1);
    char name[32];

    memset(value, 'v', 256 * KIB);
    value[256 * KIB] = '\0';
    pair_init(&pair);
    for (size_t i = 0; i < mib * 4; i++) {
        (void)snprintf(name, sizeof name, "doc%08zu", i);
        cr_assert_eq(test_put(&pair.a.f, 'A', name, 1, WIRE_DOC, value), QK_OK);
        if (i % 32 == 31)
            fixture_flush(&pair.a.f);
    }
    free(value);
    fixture_flush(&pair.a.f);
    before = memory_now();
    begin(&pair);
    while (!pair.a.sent_called) {
        turn(&pair);
        if (turns++ % 32 == 0 && memory_now() > most)
            most = memory_now();
    }
    cr_assert_eq(pair.a.sent_err, QK_OK);
    cr_log_info("%zu MiB sent, memory grew by %zu KiB", mib,
                (most > before ? most - before : 0) / KIB);
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* whose memory is counted, too */
    cr_assert_lt(most, before + 64 * MIB);
#endif
    pair_fini(&pair);
}

Test(transfer, nothing_staged_is_nothing_installed)
{
    struct pair pair;

    pair_init(&pair);
    transfer_install(pair.b.transfer, bytes_str("token"));
    cr_assert_eq(pair.b.installed_err, QK_ERR_NOT_FOUND);
    pair_fini(&pair);
}

static void ask(struct pair *pair, uint64_t index)
{
    uint8_t id[NODE_ID_BYTES];

    node_id_of(&pair->a, id);
    transfer_ask(pair->b.transfer, id, index);
}

Test(transfer, a_store_that_was_asked_for_comes_and_is_swapped_in, .timeout = 100)
{
    struct pair pair;
    struct buf x, y;

    pair_init(&pair);
    fill(&pair, 200, 20000);
    pair.a.lose_every = 9;
    ask(&pair, store_applied(pair.a.f.store));
    cr_assert(transfer_is_asking(pair.b.transfer));
    run_until(&pair, &pair.b.restored_called);
    cr_assert_eq(pair.b.restored_err, QK_OK);
    cr_assert_not(pair.a.sent_called);
    cr_assert_not(pair.b.installed_called);
    cr_assert_eq(store_applied(pair.b.f.store), store_applied(pair.a.f.store));
    x = test_dump(&pair.a.f);
    y = test_dump(&pair.b.f);
    cr_assert(bytes_equal(buf_bytes(&x), buf_bytes(&y)));
    buf_fini(&x);
    buf_fini(&y);
    pair_fini(&pair);
}

Test(transfer, who_holds_less_than_asked_refuses_at_once, .timeout = 60)
{
    struct pair pair;

    pair_init(&pair);
    fill(&pair, 3, 100);
    ask(&pair, store_applied(pair.a.f.store) + 1);
    while (transfer_is_asking(pair.b.transfer))
        turn(&pair);
    cr_assert_eq(store_applied(pair.b.f.store), 0);
    pair.a.gives_nothing = true;
    ask(&pair, 1);
    while (transfer_is_asking(pair.b.transfer))
        turn(&pair);
    cr_assert_not(pair.b.restored_called);
    pair_fini(&pair);
}

Test(transfer, the_answer_to_a_question_taken_back_is_not_taken, .timeout = 60)
{
    struct pair pair;
    struct parcel *first;

    pair_init(&pair);
    fill(&pair, 50, 20000);
    ask(&pair, 1);
    first = pair.b.head; /* on its way while the next one is asked */
    cr_assert_not_null(first);
    ask(&pair, 1);
    run_until(&pair, &pair.b.restored_called); /* the second's; asserted once only */
    cr_assert_eq(pair.b.restored_err, QK_OK);
    for (unsigned i = 0; i < 200; i++)
        turn(&pair);
    pair_fini(&pair);
}
