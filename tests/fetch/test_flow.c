#include <criterion/criterion.h>
#include <string.h>

#include "fetch/flow.h"

static unsigned rooms, comes;
static uint8_t piece[64 * KIB];

static void on_room(void *arg)
{
    (void)arg;
    rooms++;
}

static void on_came(void *arg)
{
    (void)arg;
    comes++;
}

static void flow_start(struct flow *flow)
{
    flow_init(flow);
    flow->room = on_room;
    flow->came = on_came;
    rooms = comes = 0;
    flow_begin(flow, bytes_str("a/b"), 7);
}

Test(flow, what_is_put_is_taken_in_its_order)
{
    struct flow flow;

    flow_start(&flow);
    cr_assert_str_eq(flow.type, "a/b");
    cr_assert_eq(flow.length, 7);
    cr_assert_eq(flow_put(&flow, bytes_str("abc")), QK_OK);
    flow_take(&flow, 2);
    cr_assert_eq(flow_put(&flow, bytes_str("defg")), QK_OK);
    cr_assert(bytes_equal(flow_waiting(&flow), bytes_str("cdefg")));
    flow_end(&flow);
    cr_assert(!flow_is_over(&flow));
    flow_take(&flow, 5);
    cr_assert(flow_is_over(&flow));
    cr_assert_eq(comes, 4, "its beginning, two pieces, its end");
    cr_assert_eq(rooms, 0, "it was never full");
    flow_fini(&flow);
}

Test(flow, a_type_that_is_too_long_is_cut)
{
    struct flow flow;
    char type[2 * FLOW_TYPE_BYTES];

    memset(type, 'x', sizeof type);
    flow_init(&flow);
    flow_begin(&flow, bytes_of(type, sizeof type), 0);
    cr_assert_eq(strlen(flow.type), FLOW_TYPE_BYTES - 1);
    flow_fini(&flow);
}

/* Each byte is the low one of its place, over many windows. */
Test(flow, much_more_than_a_window_goes_through_a_window)
{
    struct flow flow;
    size_t put = 0, taken = 0, max = 0;

    flow_start(&flow);
    while (taken < 20 * (size_t)FLOW_WINDOW_BYTES) {
        struct bytes waiting;

        while (!flow_is_full(&flow)) {
            for (size_t i = 0; i < sizeof piece; i++)
                piece[i] = (uint8_t)(put + i);
            cr_assert_eq(flow_put(&flow, bytes_of(piece, sizeof piece)), QK_OK);
            put += sizeof piece;
        }
        waiting = bytes_slice(flow_waiting(&flow), 0, 10007);
        for (size_t i = 0; i < waiting.len; i++)
            cr_assert_eq(waiting.data[i], (uint8_t)(taken + i));
        flow_take(&flow, waiting.len);
        taken += waiting.len;
        max = flow.bytes.cap > max ? flow.bytes.cap : max;
    }
    cr_assert_leq(max, 4 * (size_t)FLOW_WINDOW_BYTES);
    flow_fini(&flow);
}

Test(flow, the_writer_is_told_once_when_half_is_free)
{
    struct flow flow;

    flow_start(&flow);
    while (!flow_is_full(&flow))
        cr_assert_eq(flow_put(&flow, bytes_of(piece, sizeof piece)), QK_OK);
    flow_take(&flow, FLOW_WINDOW_BYTES / 2);
    cr_assert_eq(rooms, 0);
    flow_take(&flow, 1);
    cr_assert_eq(rooms, 1);
    flow_take(&flow, 1);
    cr_assert_eq(rooms, 1);
    flow_fini(&flow);
}

Test(flow, a_writer_that_does_not_wait_is_stopped)
{
    struct flow flow;
    enum qk_err err = QK_OK;
    size_t n;

    flow_start(&flow);
    for (n = 0; n < 1024 && err == QK_OK; n++)
        err = flow_put(&flow, bytes_of(piece, sizeof piece));
    cr_assert_eq(err, QK_ERR_TOO_BIG);
    cr_assert_lt(n, 1024);
    flow_fini(&flow);
}
