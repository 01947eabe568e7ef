#include "client/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SEND_BYTES_MAX ((size_t)64 * 1024)

struct client_tls {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO_METHOD *method; /* OpenSSL's of a socket, but for what writes */
};

/* OpenSSL writes with write(2), which would end a program by SIGPIPE that the node is gone. */
static int write_quietly(BIO *bio, const char *data, int len)
{
    ssize_t put;

    errno = 0;
    put = send((int)BIO_get_fd(bio, NULL), data, (size_t)len, MSG_NOSIGNAL);
    BIO_clear_retry_flags(bio);
    if (put < 0 && BIO_sock_should_retry(-1) != 0)
        BIO_set_retry_write(bio);
    return (int)put;
}

static bool set_socket(struct client_tls *tls, int fd)
{
    const BIO_METHOD *plain = BIO_s_socket();
    BIO *bio;

    tls->method = BIO_meth_new(BIO_TYPE_SOCKET, "socket without SIGPIPE");
    if (tls->method == NULL)
        return false;
    (void)BIO_meth_set_write(tls->method, write_quietly);
    (void)BIO_meth_set_read(tls->method, BIO_meth_get_read(plain));
    (void)BIO_meth_set_ctrl(tls->method, BIO_meth_get_ctrl(plain));
    (void)BIO_meth_set_create(tls->method, BIO_meth_get_create(plain));
    (void)BIO_meth_set_destroy(tls->method, BIO_meth_get_destroy(plain));
    bio = BIO_new(tls->method);
    if (bio == NULL)
        return false;
    (void)BIO_set_fd(bio, fd, BIO_NOCLOSE);
    SSL_set_bio(tls->ssl, bio, bio);
    return true;
}

static const char *why(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code == 0 ? NULL : ERR_reason_error_string(code);

    return text == NULL ? "it cannot be read" : text;
}

static enum qk_err set_issuers(SSL_CTX *ctx, const struct client_target *target,
                               struct buf *message)
{
    if (target->ca == NULL ? SSL_CTX_set_default_verify_paths(ctx) == 1
                           : SSL_CTX_load_verify_file(ctx, target->ca) == 1)
        return QK_OK;
    buf_printf(message, "--ca: '%s': %s", target->ca == NULL ? "the system's" : target->ca, why());
    return QK_ERR_INVALID;
}

static enum qk_err set_own(SSL_CTX *ctx, const struct client_target *target, struct buf *message)
{
    const char *key = target->cert_key == NULL ? target->cert : target->cert_key;

    if (target->cert == NULL)
        return QK_OK;
    if (SSL_CTX_use_certificate_chain_file(ctx, target->cert) != 1) {
        buf_printf(message, "--cert: '%s': %s", target->cert, why());
        return QK_ERR_INVALID;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        buf_printf(message, "--cert-key: '%s': %s", key, why());
        return QK_ERR_INVALID;
    }
    return QK_OK;
}

/* A name is asked for by SNI as well; an address must be in the certificate as one. */
static bool set_host(SSL *ssl, const char *host)
{
    struct in6_addr address;

    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

static short events_of(SSL *ssl, int rc)
{
    int error = SSL_get_error(ssl, rc);

    return error == SSL_ERROR_WANT_READ ? POLLIN : error == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
}

static enum qk_err refused(const struct client_target *target, SSL *ssl, struct buf *message)
{
    long verdict = SSL_get_verify_result(ssl);

    if (verdict == X509_V_OK) {
        buf_printf(message, "%s: TLS: %s", target->text, why());
        return QK_ERR_CLOSED;
    }
    buf_printf(message, "%s: the node's certificate is not trusted: %s%s", target->text,
               X509_verify_cert_error_string(verdict),
               target->ca == NULL ? "; name its issuer's with --ca" : "");
    return QK_ERR_DENIED;
}

static enum qk_err shake_hands(const struct client_target *target, SSL *ssl, int fd,
                               unsigned timeout_ms, struct buf *message)
{
    for (;;) {
        int rc = SSL_connect(ssl);
        short events = rc == 1 ? 0 : events_of(ssl, rc);

        if (rc == 1)
            return QK_OK;
        if (events == 0)
            return refused(target, ssl, message);
        if (!client_wait(fd, events, timeout_ms)) {
            buf_printf(message, "%s: no TLS handshake in %u s", target->text, timeout_ms / 1000);
            return QK_ERR_TIMEOUT;
        }
    }
}

static enum qk_err prepare(struct client_tls *tls, const struct client_target *target, int fd,
                           struct buf *message)
{
    enum qk_err err;

    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (tls->ctx == NULL)
        return QK_ERR_NOMEM;
    (void)SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(tls->ctx, SSL_OP_CLEANSE_PLAINTEXT);
    (void)SSL_CTX_set_mode(tls->ctx,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    err = set_issuers(tls->ctx, target, message);
    if (err == QK_OK)
        err = set_own(tls->ctx, target, message);
    if (err != QK_OK)
        return err;
    tls->ssl = SSL_new(tls->ctx);
    if (tls->ssl == NULL || !set_host(tls->ssl, target->host) || !set_socket(tls, fd))
        return QK_ERR_NOMEM;
    return QK_OK;
}

enum qk_err client_tls_open(const struct client_target *target, int fd, unsigned timeout_ms,
                            struct client_tls **ret_tls, struct buf *message)
{
    struct client_tls *tls = calloc(1, sizeof(*tls));
    enum qk_err err = tls == NULL ? QK_ERR_NOMEM : prepare(tls, target, fd, message);

    if (err == QK_ERR_NOMEM)
        buf_put_str(message, "TLS: out of memory");
    if (err == QK_OK)
        err = shake_hands(target, tls->ssl, fd, timeout_ms, message);
    ERR_clear_error();
    if (err != QK_OK) {
        client_tls_free(tls);
        return err;
    }
    *ret_tls = tls;
    return QK_OK;
}

void client_tls_free(struct client_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->method);
    free(tls);
}

ssize_t client_tls_send(struct client_tls *tls, const void *data, size_t len, short *ret_events)
{
    int rc = SSL_write(tls->ssl, data, (int)(len < SEND_BYTES_MAX ? len : SEND_BYTES_MAX));

    *ret_events = rc > 0 ? 0 : events_of(tls->ssl, rc);
    ERR_clear_error();
    return rc > 0 ? rc : -1;
}

/* An end of the connection without an end of the session is a cut: a reply could be a part. */
ssize_t client_tls_recv(struct client_tls *tls, void *data, size_t len, short *ret_events)
{
    int rc = SSL_read(tls->ssl, data, (int)(len < SEND_BYTES_MAX ? len : SEND_BYTES_MAX));
    bool ended = rc <= 0 && SSL_get_error(tls->ssl, rc) == SSL_ERROR_ZERO_RETURN;

    *ret_events = rc > 0 || ended ? 0 : events_of(tls->ssl, rc);
    ERR_clear_error();
    return rc > 0 ? rc : ended ? 0 : -1;
}

bool client_tls_is_idle(struct client_tls *tls)
{
    char byte;
    int rc = SSL_peek(tls->ssl, &byte, 1);
    bool idle = rc <= 0 && SSL_get_error(tls->ssl, rc) == SSL_ERROR_WANT_READ;

    ERR_clear_error();
    return idle;
}
