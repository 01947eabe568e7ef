#include "node/config_check.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define NAME_LEN_MAX 63

unsigned config_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    unsigned row[NAME_LEN_MAX + 1];

    if (a_len > NAME_LEN_MAX || b_len > NAME_LEN_MAX)
        return NAME_LEN_MAX + 1;
    for (unsigned j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_len];
}

static enum qk_err parse_port(const char *text, unsigned *ret_port)
{
    unsigned port = 0;

    if (*text == '\0' || strlen(text) > 5)
        return QK_ERR_INVALID;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return QK_ERR_INVALID;
        port = port * 10 + (unsigned)(*text - '0');
    }
    if (port > 65535)
        return QK_ERR_INVALID;
    *ret_port = port;
    return QK_OK;
}

enum qk_err config_split_address(const char *address, char *ret_host, unsigned *ret_port)
{
    const char *host = address, *colon = strrchr(address, ':');
    size_t len;

    if (colon == NULL)
        return QK_ERR_INVALID;
    len = (size_t)(colon - address);
    if (*host == '[') {
        if (len < 3 || host[len - 1] != ']')
            return QK_ERR_INVALID;
        host++;
        len -= 2;
    } else if (memchr(host, ':', len) != NULL) {
        return QK_ERR_INVALID; /* IPv6 stands in brackets */
    }
    if (len == 0 || len > ADDRESS_BYTES_MAX || memchr(host, ' ', len) != NULL)
        return QK_ERR_INVALID;
    memcpy(ret_host, host, len);
    ret_host[len] = '\0';
    return parse_port(colon + 1, ret_port);
}

static bool host_is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;

    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool config_is_loopback(const char *address)
{
    char host[ADDRESS_BYTES_MAX + 1];
    unsigned port;

    if (strlen(address) > ADDRESS_BYTES_MAX)
        return false;
    if (config_split_address(address, host, &port) == QK_OK)
        return host_is_loopback(host);
    return host_is_loopback(strcmp(address, "[::1]") == 0 ? "::1" : address);
}

static enum qk_err check_address(const char *what, const char *address, struct buf *message)
{
    char host[ADDRESS_BYTES_MAX + 1];
    unsigned port;

    if (config_split_address(address, host, &port) == QK_OK)
        return QK_OK;
    buf_printf(message, "%s: '%s' is not HOST:PORT (an IPv6 address stands in brackets)", what,
               address);
    return QK_ERR_INVALID;
}

/* An address to tell others must be one that they can reach. */
static enum qk_err check_advertised(const char *what, const char *address, struct buf *message)
{
    char host[ADDRESS_BYTES_MAX + 1] = "";
    unsigned port = 0;
    enum qk_err err = check_address(what, address, message);

    if (err != QK_OK)
        return err;
    err = config_split_address(address, host, &port);
    if (err == QK_OK && (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)) {
        buf_printf(message, "%s: others cannot reach '%s': set an address of this node", what,
                   address);
        err = QK_ERR_INVALID;
    }
    return err;
}

static enum qk_err check_name(const char *name, struct buf *message)
{
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", name[i]) ==
            NULL) {
            buf_printf(message, "node name: '%s' may have letters, digits, '-', '_' and '.' only",
                       name);
            return QK_ERR_INVALID;
        }
    }
    return QK_OK;
}

static enum qk_err check_http(const struct config *config, struct buf *message)
{
    bool tls = config->tls_cert[0] != '\0';

    if (tls != (config->tls_key[0] != '\0') || (!tls && config->tls_client_ca[0] != '\0')) {
        buf_put_str(message, "http: tls_cert and tls_key belong together, and tls_client_ca needs "
                             "both: give both or none");
        return QK_ERR_INVALID;
    }
    if (tls || config->insecure_http || config_is_loopback(config->http_listen))
        return QK_OK;
    buf_printf(message,
               "http listen: %s is not a loopback address, and passwords and documents would cross "
               "the network in clear: give a certificate with --tls-cert and --tls-key, or accept "
               "it with --insecure-http",
               config->http_listen);
    return QK_ERR_INVALID;
}

static enum qk_err check_allow(const char *name, const char *text, struct link_allow *ret_allow,
                               struct buf *message)
{
    struct buf why = BUF_INIT(512);
    enum qk_err err = QK_OK;

    if (text[0] != '\0')
        err = link_allow_parse(text, ret_allow, &why);
    if (err != QK_OK)
        buf_printf(message, "%s: %.*s", name, (int)why.len, (const char *)why.data);
    buf_fini(&why);
    return err == QK_OK ? QK_OK : QK_ERR_INVALID;
}

enum qk_err config_check(struct config *config, struct buf *message)
{
    enum qk_err err;

    assert(config != NULL);

    if (config->http_advertise[0] == '\0')
        memcpy(config->http_advertise, config->http_listen, sizeof(config->http_advertise));
    if (config->peer_advertise[0] == '\0')
        memcpy(config->peer_advertise, config->peer_listen, sizeof(config->peer_advertise));
    err = check_name(config->name, message);
    if (err == QK_OK && config->backup_directory[0] != '\0' && config->backup_directory[0] != '/') {
        buf_printf(message, "backup directory: '%.200s' is not an absolute path",
                   config->backup_directory);
        err = QK_ERR_INVALID;
    }
    if (err == QK_OK)
        err = check_address("http listen", config->http_listen, message);
    if (err == QK_OK)
        err = check_http(config, message);
    if (err == QK_OK)
        err = check_address("http advertise", config->http_advertise, message);
    if (err == QK_OK)
        err = check_address("peer listen", config->peer_listen, message);
    if (err == QK_OK)
        err = check_advertised("peer advertise", config->peer_advertise, message);
    if (err == QK_OK)
        err = check_allow("peer allow", config->peer_allow, &config->peer_allowed, message);
    if (err == QK_OK)
        err = check_allow("replication allow", config->replication_allow,
                          &config->replication_allowed, message);
    if (err == QK_OK && config->heartbeat_ms * 3 > config->election_timeout_ms) {
        buf_printf(message,
                   "consensus: heartbeat_ms %u is too long for election_timeout_ms %u: at most a "
                   "third, or a late heartbeat ends every leader",
                   config->heartbeat_ms, config->election_timeout_ms);
        err = QK_ERR_INVALID;
    }
    return err;
}
