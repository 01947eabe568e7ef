#include "client/target.h"

#include <string.h>

#include "base/encode.h"

static enum qk_err parse_host_port(const char *text, struct client_target *target)
{
    size_t len = strcspn(text, "/");
    const char *colon = memrchr(text, ':', len);
    const char *host = text;
    size_t host_len, port_len;

    if (colon == NULL || (text[len] == '/' && text[len + 1] != '\0'))
        return QK_ERR_INVALID;
    host_len = (size_t)(colon - text);
    port_len = len - host_len - 1;
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    }
    if (host_len == 0 || host_len > ADDRESS_BYTES_MAX || port_len == 0 ||
        port_len >= sizeof(target->port) || strspn(colon + 1, "0123456789") < port_len)
        return QK_ERR_INVALID;
    memcpy(target->host, host, host_len);
    memcpy(target->port, colon + 1, port_len);
    return QK_OK;
}

enum qk_err client_target_parse(const char *text, struct client_target *ret_target,
                                struct buf *message)
{
    struct client_target target = {0};
    enum qk_err err = QK_OK;

    if (strlen(text) >= sizeof(target.text)) {
        buf_put_str(message, "the node's address is too long");
        return QK_ERR_INVALID;
    }
    memcpy(target.text, text, strlen(text) + 1);
    if (strncmp(text, "unix:", 5) == 0 || text[0] == '/') {
        const char *path = text[0] == '/' ? text : text + 5;

        target.local = true;
        if (strlen(path) >= sizeof(target.path)) {
            buf_printf(message,
                       "the path of the control socket, %s, is longer than the %zu bytes "
                       "that the kernel permits",
                       path, sizeof(target.path) - 1);
            return QK_ERR_INVALID;
        }
        memcpy(target.path, path, strlen(path) + 1);
    } else if (strncmp(text, "https://", 8) == 0) {
        target.tls = true;
        err = parse_host_port(text + 8, &target);
    } else {
        err = parse_host_port(strncmp(text, "http://", 7) == 0 ? text + 7 : text, &target);
    }
    if (err != QK_OK) {
        buf_printf(message, "'%s' is not an address of a node: HOST:PORT or unix:PATH", text);
        return err;
    }
    *ret_target = target;
    return QK_OK;
}

bool client_target_is_private(const struct client_target *target)
{
    return target->local || strcmp(target->host, "localhost") == 0 ||
           strcmp(target->host, "::1") == 0 ||
           (strncmp(target->host, "127.", 4) == 0 &&
            strspn(target->host, "0123456789.") == strlen(target->host));
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put_encoded(struct buf *path, const char *text)
{
    for (; *text != '\0'; text++) {
        if (is_unreserved(*text))
            buf_put(path, text, 1);
        else
            buf_printf(path, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

void client_path_put(struct buf *path, const char *segment)
{
    buf_put_u8(path, '/');
    put_encoded(path, segment);
}

void client_path_put_id(struct buf *path, const char *id)
{
    static const char *const spaces[] = {"_design", "_local"};

    for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        size_t len = strlen(spaces[i]);

        if (strncmp(id, spaces[i], len) == 0 && id[len] == '/') {
            client_path_put(path, spaces[i]);
            id += len + 1;
            break;
        }
    }
    client_path_put(path, id);
}

void client_query_put(struct buf *path, const char *name, const char *value)
{
    bool first = path->len == 0 || memchr(path->data, '?', path->len) == NULL;

    buf_put_u8(path, first ? '?' : '&');
    put_encoded(path, name);
    buf_put_u8(path, '=');
    put_encoded(path, value);
}

enum qk_err client_basic(const char *user, struct bytes password, struct buf *out)
{
    struct buf pair = BUF_SECRET_INIT(strlen(user) + 1 + password.len);
    enum qk_err err;

    buf_put_str(&pair, user);
    buf_put_u8(&pair, ':');
    buf_put_bytes(&pair, password);
    err = buf_error(&pair);
    if (err == QK_OK) {
        buf_put_str(out, "Basic ");
        base64_encode(buf_bytes(&pair), out);
        err = buf_error(out);
    }
    buf_fini(&pair);
    return err;
}
