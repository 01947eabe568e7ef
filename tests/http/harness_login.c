/* The hooks by which people log in: a password, and tokens by their texts. */
#include "harness.h"

#include <criterion/criterion.h>

#include <stdlib.h>

struct login {
    uv_idle_t idle;
    struct node_state *state;
    bool good;
    http_login_cb cb;
    void *cb_arg;
};

static void on_login_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_login(uv_idle_t *idle)
{
    struct login *login = idle->data;
    struct principal who = {.kind = PRINCIPAL_USER, .name = "admin", .admin = true};

    if (login->state->hold_logins)
        return;
    who.credential_version = login->state->credential_version;
    login->cb(login->cb_arg, login->good ? QK_OK : QK_ERR_UNAUTHENTICATED, &who, 0);
    uv_close((uv_handle_t *)idle, on_login_closed);
}

enum qk_err harness_login(void *arg, struct bytes name, struct bytes password, const char *from,
                          http_login_cb cb, void *cb_arg)
{
    struct login *login = calloc(1, sizeof *login);

    cr_assert_str_eq(from, "127.0.0.1");
    login->state = arg;
    login->state->logins_n++;
    login->good =
        bytes_equal(name, bytes_str("admin")) && bytes_equal(password, bytes_str("se:cret"));
    login->cb = cb;
    login->cb_arg = cb_arg;
    login->idle.data = login;
    uv_idle_init(&loop, &login->idle);
    uv_idle_start(&login->idle, on_login);
    return QK_OK;
}

enum qk_err harness_login_token(void *arg, struct bytes text, struct principal *ret_who)
{
    struct node_state *state = arg;
    bool late = bytes_equal(text, bytes_str("late-token"));

    if (late && (state->catch_ups_n == 0 || state->catch_up_err != QK_OK))
        return QK_ERR_NOT_FOUND;
    if (!late && !bytes_equal(text, bytes_str("good-token")))
        return bytes_equal(text, bytes_str("gone-token")) ? QK_ERR_NOT_FOUND
                                                          : QK_ERR_UNAUTHENTICATED;
    *ret_who = (struct principal){.kind = PRINCIPAL_USER,
                                  .name = "ada",
                                  .credential_version = state->credential_version,
                                  .token_id = {1}};
    return QK_OK;
}

struct catch_up {
    uv_idle_t idle;
    struct node_state *state;
    void (*cb)(void *arg, enum qk_err err);
    void *cb_arg;
};

static void on_catch_up(uv_idle_t *idle)
{
    struct catch_up *up = idle->data;

    if (up->state->hold_logins)
        return;
    up->cb(up->cb_arg, up->state->catch_up_err);
    uv_close((uv_handle_t *)idle, on_login_closed);
}

enum qk_err harness_catch_up(void *arg, void (*cb)(void *arg, enum qk_err err), void *cb_arg)
{
    struct catch_up *up = calloc(1, sizeof *up);

    up->state = arg;
    up->state->catch_ups_n++;
    up->cb = cb;
    up->cb_arg = cb_arg;
    up->idle.data = up;
    uv_idle_init(&loop, &up->idle);
    uv_idle_start(&up->idle, on_catch_up);
    return QK_OK;
}

bool harness_leads(void *arg)
{
    return ((struct node_state *)arg)->leader && !((struct node_state *)arg)->behind;
}
