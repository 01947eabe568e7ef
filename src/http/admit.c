/* From a request's head to the decision that its body may come.
 *
 * Target, route, sealed, who, may they: in this order, since while sealed nobody can be logged in
 * and 503 comes before 401. The first that fails is the answer. */
#include "http/gzip.h"
#include "http/server.h"

#include <assert.h>
#include <string.h>

#include "service/request.h"

static enum admit refuse_route(struct http_exchange *hx, const char *allow)
{
    if (allow[0] == '\0') {
        exchange_reply_error(&hx->base, 404, "not_found", "missing");
        return ADMIT_REFUSED;
    }
    exchange_field(&hx->base, "Allow", "%s", allow);
    exchange_reply_error(&hx->base, 405, "method_not_allowed", "Only %s allowed", allow);
    return ADMIT_REFUSED;
}

void admit_reply_closed(struct http_exchange *hx)
{
    char reason[HTTP_REASON_BYTES] = "";

    hx->http->config.hooks.closed_reason(hx->http->config.hooks.arg, reason, sizeof reason);
    exchange_field(&hx->base, "Retry-After", "1");
    exchange_reply_error(&hx->base, 503, "sealed", "%s", reason);
}

/* Target and route, and the node open for it: what does not depend on who asks. */
static enum admit admit_route(struct http_exchange *hx, bool method_known)
{
    const struct http_config *config = &hx->http->config;
    char allow[ROUTE_ALLOW_BYTES];
    const char *reason = NULL;

    if (target_parse(hx->base.request.target, &hx->decoded, &hx->base.request, &reason) != QK_OK) {
        exchange_reply_error(&hx->base, 400, "bad_request", "%s", reason);
        return ADMIT_REFUSED;
    }
    hx->route =
        route_find(config->routes, config->routes_n, &hx->base.request, method_known, allow);
    if (hx->route == NULL)
        return refuse_route(hx, allow);
    if ((hx->route->flags & ROUTE_OPEN) != 0 && !config->hooks.is_open(config->hooks.arg)) {
        admit_reply_closed(hx);
        return ADMIT_REFUSED;
    }
    return ADMIT_OK;
}

static void reply_unauthorized(struct http_exchange *hx, const char *reason)
{
    exchange_field(&hx->base, "WWW-Authenticate", "Basic realm=\"quorumkeep\"");
    exchange_reply_error(&hx->base, 401, "unauthorized", "%s", reason);
}

/* What the route needs, by the settings of this node. */
static enum access_right right_of(const struct http_exchange *hx)
{
    if (hx->route->right == ACCESS_STATUS && hx->http->config.status_public)
        return ACCESS_PUBLIC;
    return hx->route->right;
}

static void reply_denied(struct http_exchange *hx, enum qk_err err)
{
    if (err == QK_ERR_UNAUTHENTICATED)
        reply_unauthorized(hx, "You are not authorized to access this server.");
    else if (err == QK_ERR_SEALED)
        admit_reply_closed(hx);
    else if (hx->route->right == ACCESS_CONTROL_ONLY)
        exchange_reply_error(&hx->base, 403, "forbidden",
                             "this is accepted on the node's control socket only");
    else
        exchange_reply_err(&hx->base, err);
}

/* That somebody is logged in where somebody must be; what they may is asked on the node that runs
 * the handler. */
static enum admit admit_right(struct http_exchange *hx)
{
    enum qk_err err = access_admit(&hx->base.request.who, right_of(hx));

    if (err == QK_OK)
        return ADMIT_OK;
    reply_denied(hx, err);
    return ADMIT_REFUSED;
}

bool admit_authorized(struct http_exchange *hx)
{
    const struct http_hooks *hooks = &hx->http->config.hooks;
    enum qk_err err = hooks->authorize(hooks->arg, &hx->base, right_of(hx));

    if (err != QK_OK)
        reply_denied(hx, err);
    return err == QK_OK;
}

void admit_reply_login(struct http_exchange *hx, enum qk_err err, unsigned retry_after_s)
{
    if (err == QK_ERR_UNAUTHENTICATED) {
        hx->http->metrics.login_failures_n++;
        hx->told = true;
        reply_unauthorized(hx, "Name or password is incorrect.");
    } else if (err == QK_ERR_BUSY) {
        exchange_field(&hx->base, "Retry-After", "%u", retry_after_s == 0 ? 1 : retry_after_s);
        exchange_reply_error(&hx->base, 429, "too_many_requests",
                             "too many failed logins; wait and try again");
    } else if (err == QK_ERR_SEALED) {
        admit_reply_closed(hx);
    } else {
        exchange_reply_err(&hx->base, err);
    }
}

static enum admit admit_as(struct admission *admission, const struct principal *who)
{
    admission->hx->base.request.who = *who;
    admission->hx->base.request.who.loopback = admission->loopback;
    return admit_right(admission->hx);
}

static void on_login(void *arg, enum qk_err err, const struct principal *who,
                     unsigned retry_after_s)
{
    struct admission *admission = arg;
    struct http_exchange *hx = admission->hx;
    enum admit verdict = ADMIT_REFUSED;

    if (err != QK_OK) {
        admit_reply_login(hx, err, retry_after_s);
    } else {
        if (admission->cache != NULL)
            auth_cache_put(&hx->http->auth, admission->cache, admission->shown.authorization, who);
        verdict = admit_as(admission, who);
    }
    /* After a refusal the exchange is gone, and the admission in it. */
    if (verdict == ADMIT_OK)
        admission->admitted(admission);
}

static enum admit begin_login(struct admission *admission)
{
    const struct http_hooks *hooks = &admission->hx->http->config.hooks;
    struct buf text = BUF_SECRET_INIT(4 * KIB);
    struct bytes name, password;
    enum qk_err err = auth_parse_basic(admission->shown.authorization, &text, &name, &password);

    if (err != QK_OK) {
        reply_unauthorized(admission->hx, "Name or password is incorrect.");
        goto out;
    }
    admission->hx->http->metrics.logins_n++;
    err = hooks->login(hooks->arg, name, password, admission->hx->base.from, on_login, admission);
    if (err != QK_OK)
        admit_reply_login(admission->hx, err, 0);

out:
    buf_fini(&text);
    return err == QK_OK ? ADMIT_PENDING : ADMIT_REFUSED;
}

static enum admit refuse_token(struct admission *admission, enum credentials_kind kind,
                               enum qk_err err)
{
    struct http_exchange *hx = admission->hx;

    if (err == QK_ERR_SEALED) {
        admit_reply_closed(hx);
        return ADMIT_REFUSED;
    }
    if (err != QK_ERR_UNAUTHENTICATED && err != QK_ERR_NOT_FOUND) {
        exchange_reply_err(&hx->base, err);
        return ADMIT_REFUSED;
    }
    /* As if the cookie had run out in the browser. */
    if (kind == CREDENTIALS_COOKIE_TOKEN && (hx->route->flags & ROUTE_WHO) != 0)
        return admit_right(hx);
    hx->http->metrics.login_failures_n++;
    exchange_field(&hx->base, "WWW-Authenticate",
                   "Bearer realm=\"quorumkeep\", error=\"invalid_token\"");
    exchange_reply_error(&hx->base, 401, "unauthorized",
                         "the token is none, has expired or was revoked: log in again");
    return ADMIT_REFUSED;
}

static void on_caught_up(void *arg, enum qk_err err);

/* A token: its record is at hand, so it is looked at for each request anew. `caught_up`: and it is
 * the newest there is. */
static enum admit admit_token(struct admission *admission, bool caught_up)
{
    struct http_exchange *hx = admission->hx;
    const struct http_hooks *hooks = &hx->http->config.hooks;
    struct principal who;
    struct bytes text;
    enum credentials_kind kind = credentials_find(&admission->shown, &text);
    enum qk_err err = hooks->login_token(hooks->arg, text, &who);

    if (err == QK_ERR_NOT_FOUND && !caught_up) {
        err = hooks->catch_up(hooks->arg, on_caught_up, admission);
        if (err == QK_OK)
            return ADMIT_PENDING;
    }
    if (err != QK_OK)
        return refuse_token(admission, kind, err);
    if (kind == CREDENTIALS_COOKIE_TOKEN &&
        !credentials_cookie_may(&hx->base.request, admission->shown.origin)) {
        exchange_reply_error(&hx->base, 403, "forbidden",
                             "with a cookie, a request that changes something needs Content-Type "
                             "application/json or an Origin that is this host");
        return ADMIT_REFUSED;
    }
    return admit_as(admission, &who);
}

static void on_caught_up(void *arg, enum qk_err err)
{
    struct admission *admission = arg;
    enum admit verdict = ADMIT_REFUSED;

    if (err == QK_OK)
        verdict = admit_token(admission, true);
    else if (err == QK_ERR_SEALED)
        admit_reply_closed(admission->hx);
    else
        exchange_reply_err(&admission->hx->base, err);
    /* After a refusal the exchange is gone, and the admission in it. */
    if (verdict == ADMIT_OK)
        admission->admitted(admission);
}

/* The route needs somebody who has logged in. */
static enum admit admit_user(struct admission *admission)
{
    struct http_exchange *hx = admission->hx;
    const struct http_hooks *hooks = &hx->http->config.hooks;
    const struct principal *who;
    struct bytes text;
    enum credentials_kind kind = credentials_find(&admission->shown, &text);

    if (!hooks->can_login(hooks->arg)) {
        admit_reply_closed(hx);
        return ADMIT_REFUSED;
    }
    if (kind == CREDENTIALS_NONE)
        return admit_right(hx);
    if (kind != CREDENTIALS_BASIC)
        return admit_token(admission, false);
    who = auth_cache_get(&hx->http->auth, admission->cache, admission->shown.authorization);
    if (who != NULL && hooks->login_is_current(hooks->arg, who))
        return admit_as(admission, who);
    auth_cache_drop(admission->cache);
    return begin_login(admission);
}

static bool needs_user(const struct admission *admission)
{
    const struct http_exchange *hx = admission->hx;

    if ((hx->route->flags & ROUTE_WHO) != 0)
        return true;
    return access_admit(&hx->base.request.who, right_of(hx)) == QK_ERR_UNAUTHENTICATED;
}

/* Orders of an administrator, with a body or without. A page of another site can make a browser
 * send them, with the login that the browser keeps; but not as JSON, unless it is let. */
static bool needs_json(const struct http_exchange *hx)
{
    enum method method = hx->base.request.method;

    return hx->route->class == ROUTE_CLASS_ADMIN &&
           (method == METHOD_POST || method == METHOD_PUT || method == METHOD_DELETE ||
            method == METHOD_PATCH);
}

enum admit admit_begin(struct admission *admission)
{
    struct http_exchange *hx = admission->hx;
    struct principal *who = &hx->base.request.who;
    enum admit verdict;

    assert(admission->cache != NULL);
    verdict = admit_route(hx, admission->method_known);
    if (verdict != ADMIT_OK)
        return verdict;
    hx->zipped = gzip_is_coding(admission->content_coding);
    if (admission->content_coding.len > 0 && !hx->zipped &&
        !bytes_equal(admission->content_coding, bytes_str("identity"))) {
        exchange_reply_error(&hx->base, 415, "bad_content_type",
                             "a request body is not coded, or by gzip");
        return ADMIT_REFUSED;
    }
    if (needs_json(hx) && request_wants_json(&hx->base) != QK_OK)
        return ADMIT_REFUSED;
    if (admission->control)
        *who = principal_control();
    who->loopback = admission->loopback;
    if (needs_user(admission))
        return admit_user(admission);
    return admit_right(hx);
}

/* The node that forwards has checked the password; whether the user is still the same is for the
 * leader to say. */
enum admit admit_forwarded(struct http_exchange *hx)
{
    const struct http_hooks *hooks = &hx->http->config.hooks;
    const struct principal *who = &hx->base.request.who;
    enum admit verdict = admit_route(hx, true);

    if (verdict != ADMIT_OK)
        return verdict;
    if (hx->base.request.forwarded && (hx->route->flags & (ROUTE_LEADER | ROUTE_PEER)) == 0) {
        exchange_reply_error(&hx->base, 400, "bad_request", "this is not forwarded");
        return ADMIT_REFUSED;
    }
    if (who->kind == PRINCIPAL_USER && !hooks->login_is_current(hooks->arg, who)) {
        /* It ended meanwhile, in another request: nothing to take note of. */
        if ((hx->route->flags & ROUTE_WHO) != 0) {
            hx->base.request.who = (struct principal){.loopback = who->loopback};
            return admit_right(hx);
        }
        if (!hooks->leads(hooks->arg)) {
            exchange_field(&hx->base, "Retry-After", "1");
            exchange_reply_error(&hx->base, 503, "no_leader",
                                 "a leader was just elected; nothing was written, try again");
            return ADMIT_REFUSED;
        }
        reply_unauthorized(hx, principal_has_token(who)
                                   ? "the token has expired or was revoked: log in again"
                                   : "Name or password is incorrect.");
        return ADMIT_REFUSED;
    }
    return admit_right(hx);
}
