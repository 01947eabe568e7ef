/* Routes whose body is a name and a password (ROUTE_LOGIN): they are checked on the node that the
 * client asked, which then goes on, or forwards, in the name of who has logged in. The body is
 * wiped before: no password crosses a link, and no handler sees one. */
#include "http/server.h"

#include "secret/crypto.h"

static void on_login(void *arg, enum qk_err err, const struct principal *who,
                     unsigned retry_after_s)
{
    struct http_exchange *hx = arg;
    bool loopback = hx->base.request.who.loopback;

    if (err != QK_OK) {
        admit_reply_login(hx, err, retry_after_s);
        return;
    }
    hx->base.request.who = *who;
    hx->base.request.who.loopback = loopback;
    http_run(hx);
}

/* A page of another site must not log a browser in as somebody of its choice. */
static bool is_foreign(const struct http_exchange *hx)
{
    return hx->origin.len > 0 && !credentials_cookie_may(&hx->base.request, hx->origin);
}

static void reply_no_login(struct http_exchange *hx)
{
    if (is_foreign(hx))
        exchange_reply_error(&hx->base, 403, "forbidden",
                             "a page of another origin may not log in here");
    else
        exchange_reply_error(&hx->base, 400, "bad_request",
                             "the body needs a name and a password, as a form or as JSON");
}

void http_login(struct http_exchange *hx)
{
    const struct http_hooks *hooks = &hx->http->config.hooks;
    struct buf name = BUF_SECRET_INIT(USER_NAME_BYTES_MAX);
    struct buf password = BUF_SECRET_INIT(PASSWORD_BYTES_MAX);
    enum qk_err err = is_foreign(hx) ? QK_ERR_DENIED : QK_OK;

    if (err == QK_OK)
        err = credentials_read_login(&hx->base.request, &name, &password);
    hx->base.request.body = BYTES_NONE;
    buf_fini(&hx->body);
    if (err != QK_OK) {
        reply_no_login(hx);
        goto out;
    }
    hx->http->metrics.logins_n++;
    err = hooks->login(hooks->arg, buf_bytes(&name), buf_bytes(&password), hx->base.from, on_login,
                       hx);
    if (err != QK_OK)
        admit_reply_login(hx, err, 0);

out:
    buf_fini(&name);
    buf_fini(&password);
}
