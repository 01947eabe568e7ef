#include "http/tls.h"

#include <assert.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"

#define PATH_BYTES 512

struct tls_server {
    char cert[PATH_BYTES], key[PATH_BYTES], client_ca[PATH_BYTES];
    SSL_CTX *ctx;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    bool failed;
};

/* --- certificate and key --------------------------------------------------------------------- */

struct reason {
    char *text;
    size_t size;
};

__attribute__((format(printf, 3, 4))) static enum qk_err fail(struct reason reason, enum qk_err err,
                                                              const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(reason.text, reason.size, format, args);
    va_end(args);
    ERR_clear_error();
    return err;
}

static const char *why(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code == 0 ? NULL : ERR_reason_error_string(code);

    return text == NULL ? "it cannot be read" : text;
}

static enum qk_err check_key_file(const char *path, struct reason reason)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return fail(reason, QK_ERR_INVALID, "tls_key: '%s' cannot be opened", path);
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return fail(reason, QK_ERR_DENIED,
                    "tls_key: '%s' is open to others: make it private with chmod 600", path);
    return QK_OK;
}

/* No passphrase is ever asked for on a terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return 0;
}

static void set_policy(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_CLEANSE_PLAINTEXT);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
}

static enum qk_err set_clients(SSL_CTX *ctx, const char *path, struct reason reason)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);

    if (names == NULL || SSL_CTX_load_verify_file(ctx, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail(reason, QK_ERR_INVALID, "tls_client_ca: '%s': %s", path, why());
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return QK_OK;
}

static enum qk_err fill(const struct tls_server *server, SSL_CTX *ctx, struct reason reason)
{
    enum qk_err err = check_key_file(server->key, reason);

    if (err != QK_OK)
        return err;
    set_policy(ctx);
    if (SSL_CTX_use_certificate_chain_file(ctx, server->cert) != 1)
        return fail(reason, QK_ERR_INVALID, "tls_cert: '%s': %s", server->cert, why());
    if (SSL_CTX_use_PrivateKey_file(ctx, server->key, SSL_FILETYPE_PEM) != 1)
        return fail(reason, QK_ERR_INVALID, "tls_key: '%s': %s (is it the key of %s?)", server->key,
                    why(), server->cert);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail(reason, QK_ERR_INVALID, "tls_key: '%s' is not the key of '%s'", server->key,
                    server->cert);
    if (server->client_ca[0] != '\0')
        err = set_clients(ctx, server->client_ca, reason);
    return err;
}

enum qk_err tls_server_reload(struct tls_server *server, char *ret_reason, size_t size)
{
    struct reason reason = {ret_reason, size};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    enum qk_err err;

    if (ctx == NULL)
        return fail(reason, QK_ERR_NOMEM, "TLS: out of memory");
    err = fill(server, ctx, reason);
    if (err != QK_OK) {
        SSL_CTX_free(ctx);
        return err;
    }
    SSL_CTX_free(server->ctx);
    server->ctx = ctx;
    return QK_OK;
}

static bool copy_path(char ret_path[static PATH_BYTES], const char *path)
{
    return path == NULL || snprintf(ret_path, PATH_BYTES, "%s", path) < PATH_BYTES;
}

enum qk_err tls_server_new(const struct tls_files *files, char *ret_reason, size_t size,
                           struct tls_server **ret_server)
{
    struct reason reason = {ret_reason, size};
    struct tls_server *server = calloc(1, sizeof *server);
    enum qk_err err;

    assert(files->cert != NULL && files->key != NULL);

    if (server == NULL)
        return fail(reason, QK_ERR_NOMEM, "TLS: out of memory");
    if (!copy_path(server->cert, files->cert) || !copy_path(server->key, files->key) ||
        !copy_path(server->client_ca, files->client_ca))
        err = fail(reason, QK_ERR_INVALID, "TLS: a path is longer than %d bytes", PATH_BYTES - 1);
    else
        err = tls_server_reload(server, ret_reason, size);
    if (err != QK_OK) {
        tls_server_free(server);
        return err;
    }
    *ret_server = server;
    return QK_OK;
}

void tls_server_free(struct tls_server *server)
{
    if (server == NULL)
        return;
    SSL_CTX_free(server->ctx);
    free(server);
}

/* --- one session ----------------------------------------------------------------------------- */

struct tls *tls_new(struct tls_server *server)
{
    struct tls *tls = calloc(1, sizeof *tls);

    if (tls == NULL)
        return NULL;
    tls->ssl = SSL_new(server->ctx);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl); /* and both BIOs */
    free(tls);
}

enum qk_err tls_feed(struct tls *tls, struct bytes in)
{
    assert(in.len <= INT_MAX);
    if (in.len == 0 || BIO_write(tls->in, in.data, (int)in.len) == (int)in.len)
        return QK_OK;
    ERR_clear_error();
    return QK_ERR_NOMEM;
}

/* What a call that gave nothing means. */
static enum tls_state state_of(struct tls *tls, int rc)
{
    int error = SSL_get_error(tls->ssl, rc);

    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return TLS_GOING_ON;
    if (error == SSL_ERROR_ZERO_RETURN)
        return TLS_ENDED;
    tls->failed = true;
    return TLS_FAILED;
}

enum tls_state tls_read(struct tls *tls, size_t room, struct buf *out)
{
    if (tls->failed)
        return TLS_FAILED;
    while (room > 0) {
        size_t piece = room < 16 * KIB ? room : 16 * KIB; /* a record holds no more */
        uint8_t *at = buf_extend(out, piece);
        int got;

        if (at == NULL)
            return TLS_FAILED;
        got = SSL_read(tls->ssl, at, (int)piece);
        out->len -= piece - (got > 0 ? (size_t)got : 0);
        if (got <= 0)
            return state_of(tls, got);
        room -= (size_t)got;
    }
    return TLS_GOING_ON;
}

bool tls_is_ready(const struct tls *tls)
{
    return !tls->failed && SSL_is_init_finished(tls->ssl);
}

enum qk_err tls_write(struct tls *tls, struct bytes plain)
{
    assert(tls_is_ready(tls) && plain.len <= INT_MAX);
    if (plain.len == 0 || SSL_write(tls->ssl, plain.data, (int)plain.len) == (int)plain.len)
        return QK_OK;
    ERR_clear_error();
    tls->failed = true;
    return QK_ERR_CLOSED;
}

void tls_end(struct tls *tls)
{
    if (tls_is_ready(tls))
        (void)SSL_shutdown(tls->ssl); /* queues the alert; the client's own is not waited for */
    ERR_clear_error();
}

void tls_take(struct tls *tls, struct buf *out)
{
    size_t len = BIO_ctrl_pending(tls->out);
    uint8_t *at = len == 0 ? NULL : buf_extend(out, len);

    if (at != NULL && BIO_read(tls->out, at, (int)len) != (int)len)
        tls->failed = true;
}
