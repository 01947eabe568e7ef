#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define AUTHORIZATION_BYTES_MAX 8192

static enum quorumkeep_error add_target(struct quorumkeep *client, const char *at, size_t len)
{
    struct buf message = BUF_INIT(CLIENT_MESSAGE_BYTES_MAX);
    char text[CLIENT_TARGET_BYTES];
    enum qk_err err = QK_ERR_INVALID;

    if (len < sizeof(text) && client->targets_n < NODES_MAX) {
        memcpy(text, at, len);
        text[len] = '\0';
        err = client_target_parse(text, &client->targets[client->targets_n], &message);
    }
    if (err == QK_OK)
        client->targets_n++;
    buf_fini(&message);
    return err == QK_OK ? QUORUMKEEP_OK : QUORUMKEEP_INVALID;
}

enum quorumkeep_error quorumkeep_new(const char *addresses, struct quorumkeep **ret_client)
{
    struct quorumkeep *client = calloc(1, sizeof(*client));
    enum quorumkeep_error error = QUORUMKEEP_OK;

    if (client == NULL)
        return QUORUMKEEP_NOMEM;
    client->channel.fd = -1;
    client->authorization = BUF_SECRET_INIT(AUTHORIZATION_BYTES_MAX);
    client->message = BUF_INIT(CLIENT_MESSAGE_BYTES_MAX);
    client->timeout_ms = CLIENT_TIMEOUT_MS;
    client->patience_ms = CLIENT_PATIENCE_MS;
    client->node = "";
    while (error == QUORUMKEEP_OK) {
        size_t len = strcspn(addresses, ",");

        error = add_target(client, addresses, len);
        if (addresses[len] == '\0')
            break;
        addresses += len + 1;
    }
    if (error == QUORUMKEEP_OK)
        *ret_client = client;
    else
        quorumkeep_free(client);
    return error;
}

void quorumkeep_free(struct quorumkeep *client)
{
    if (client == NULL)
        return;
    client_channel_close(&client->channel);
    buf_fini(&client->authorization);
    buf_fini(&client->message);
    free(client->ca);
    free(client->cert);
    free(client->cert_key);
    free(client);
}

/* Bytes below a space would end the header line. */
static bool fits_header(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

enum quorumkeep_error quorumkeep_set_token(struct quorumkeep *client, const char *token)
{
    client_begin(client);
    client_channel_close(&client->channel);
    buf_fini(&client->authorization);
    if (!fits_header(token))
        return client_fail(client, QUORUMKEEP_INVALID, "a token has no control characters");
    buf_put_str(&client->authorization, "Bearer ");
    buf_put_str(&client->authorization, token);
    return buf_error(&client->authorization) == QK_OK
               ? QUORUMKEEP_OK
               : client_fail(client, QUORUMKEEP_TOO_BIG, "the token is too long");
}

enum quorumkeep_error quorumkeep_set_user(struct quorumkeep *client, const char *user,
                                          const char *password)
{
    client_begin(client);
    client_channel_close(&client->channel);
    buf_fini(&client->authorization);
    if (strchr(user, ':') != NULL)
        return client_fail(client, QUORUMKEEP_INVALID, "a user's name has no colon");
    return client_basic(user, bytes_str(password), &client->authorization) == QK_OK
               ? QUORUMKEEP_OK
               : client_fail(client, QUORUMKEEP_TOO_BIG, "name and password are too long");
}

static bool replace(char **text, const char *with)
{
    char *copy = with == NULL ? NULL : strdup(with);

    free(*text);
    *text = copy;
    return with == NULL || copy != NULL;
}

enum quorumkeep_error quorumkeep_set_tls(struct quorumkeep *client, const char *ca,
                                         const char *cert, const char *cert_key)
{
    bool good;

    client_begin(client);
    client_channel_close(&client->channel);
    good = replace(&client->ca, ca);
    good = replace(&client->cert, cert) && good;
    good = replace(&client->cert_key, cert_key) && good;
    for (size_t i = 0; i < client->targets_n; i++) {
        client->targets[i].ca = client->ca;
        client->targets[i].cert = client->cert;
        client->targets[i].cert_key = client->cert_key;
    }
    return good ? QUORUMKEEP_OK : client_fail(client, QUORUMKEEP_NOMEM, "out of memory");
}

void quorumkeep_allow_clear(struct quorumkeep *client, bool allow)
{
    client->clear_allowed = allow;
}

void quorumkeep_set_timeout(struct quorumkeep *client, unsigned timeout_ms)
{
    client->timeout_ms = timeout_ms;
}

void quorumkeep_set_patience(struct quorumkeep *client, unsigned patience_ms)
{
    client->patience_ms = patience_ms;
}

const char *quorumkeep_message(const struct quorumkeep *client)
{
    return client->message.len == 0 ? "" : (const char *)client->message.data;
}

int quorumkeep_status(const struct quorumkeep *client)
{
    return client->status;
}

const char *quorumkeep_node(const struct quorumkeep *client)
{
    return client->node;
}
