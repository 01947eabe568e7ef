#include "exhaust.h"

#include <criterion/criterion.h>

#define FILLERS_MAX 4096
#define ROOM_MAX 512

static struct secret *fillers[FILLERS_MAX];
static size_t fillers_n;

void exhaust_arena_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
}

void exhaust_arena_down(void)
{
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

size_t exhaust_with_little_room(enum qk_err (*work)(void))
{
    enum qk_err err = QK_ERR_NOMEM;
    size_t room = 0;

    while (fillers_n < FILLERS_MAX && secret_new_zero(KEY_BYTES, &fillers[fillers_n]) == QK_OK)
        fillers_n++;
    for (; err != QK_OK && room < ROOM_MAX && fillers_n > 0; room++) {
        size_t before = secret_stats().secrets_n;

        err = work();
        cr_assert(err == QK_OK || err == QK_ERR_NOMEM, "with room for %zu: %s", room,
                  qk_err_text(err));
        cr_assert_eq(secret_stats().secrets_n, before, "with room for %zu", room);
        secret_free(fillers[--fillers_n]);
    }
    cr_assert_eq(err, QK_OK);
    while (fillers_n > 0)
        secret_free(fillers[--fillers_n]);
    return room;
}
