#include "cli/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "cli/credentials.h"

#define WRONG_MAX 32

struct entered {
    struct recovery_share shares[RECOVERY_SHARES_MAX];
    size_t n;
    unsigned wrong_n, read_n;
    bool terminal; /* whoever typed it knows which one it was */
};

static void tell(struct entered *entered, const struct buf *problem)
{
    (void)cli_fail(CLI_ERROR, "%.*s", (int)problem->len, (const char *)problem->data);
    if (!entered->terminal)
        fprintf(stderr, "  that was number %u of those given\n", entered->read_n);
    entered->wrong_n++;
}

static void take(struct cli *cli, const struct recovery_set *set, const uint8_t *cluster,
                 struct bytes text, struct entered *entered)
{
    struct recovery_share *share = &entered->shares[entered->n];
    struct buf problem = BUF_INIT(KIB);
    bool again = false;

    if (recovery_share_take(set, cluster, text, share, &problem) != QK_OK) {
        tell(entered, &problem);
        buf_fini(&problem);
        return;
    }
    for (size_t i = 0; i < entered->n; i++)
        again |= entered->shares[i].x == share->x;
    if (!cli->options.json)
        fprintf(stderr,
                again ? "  share %u was entered already: %zu entered, %u are needed\n"
                      : "  share %u is good: %zu entered, %u are needed\n",
                share->x, entered->n + !again, set->t);
    if (again)
        recovery_share_fini(share);
    else
        entered->n++;
    buf_fini(&problem);
}

/* CLI_OK also when the input has ended before there were enough. */
static enum cli_exit enter(struct cli *cli, struct credential_source *source,
                           const struct recovery_set *set, const uint8_t *cluster,
                           struct entered *entered)
{
    enum qk_err err = QK_OK;

    while (entered->n < set->t && entered->wrong_n < WRONG_MAX && err != QK_ERR_NOT_FOUND) {
        struct buf text = BUF_SECRET_INIT(CREDENTIAL_BYTES_MAX);
        char what[64];

        (void)snprintf(what, sizeof(what), "recovery share (%zu of %u)", entered->n + 1, set->t);
        err = credential_line(source, what, &text);
        entered->read_n++;
        if (err == QK_OK || err == QK_ERR_TOO_BIG)
            take(cli, set, cluster, buf_bytes(&text), entered);
        buf_fini(&text);
        if (err == QK_ERR_IO)
            return cli_fail(CLI_ERROR, "recovery share: %s", strerror(errno));
    }
    return CLI_OK;
}

static enum cli_exit enter_from(struct cli *cli, int fd, const struct recovery_set *set,
                                const uint8_t *cluster, struct entered *entered)
{
    struct credential_source source;
    enum cli_exit code;

    if (credential_open(fd, &source) != QK_OK)
        return cli_fail(CLI_ERROR, "recovery share: %s", strerror(errno));
    entered->terminal = source.terminal;
    code = enter(cli, &source, set, cluster, entered);
    credential_close(&source);
    return code;
}

static enum cli_exit combine(const struct recovery_set *set, const struct entered *entered,
                             struct secret **ret_secret)
{
    enum qk_err err = recovery_combine(set, entered->shares, entered->n, ret_secret);

    if (err == QK_ERR_NO_QUORUM)
        return cli_fail(CLI_DENIED, "%zu good shares were entered, %u are needed; %u were wrong",
                        entered->n, set->t, entered->wrong_n);
    return err == QK_OK ? CLI_OK
                        : cli_fail(CLI_ERROR, "the shares do not combine: %s", qk_err_text(err));
}

enum cli_exit shares_secret(struct cli *cli, const struct recovery_set *set,
                            const uint8_t cluster[static CLUSTER_ID_BYTES],
                            struct secret **ret_secret)
{
    const char *file = cli->options.share_file;
    bool named = file != NULL && strcmp(file, "-") != 0;
    int fd = named ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    struct entered entered = {.n = 0};
    enum cli_exit code;

    if (fd < 0)
        return cli_fail(CLI_ERROR, "'%s': %s", file, strerror(errno));
    code = enter_from(cli, fd, set, cluster, &entered);
    if (code == CLI_OK)
        code = combine(set, &entered, ret_secret);
    for (size_t i = 0; i < entered.n; i++)
        recovery_share_fini(&entered.shares[i]);
    if (named)
        close(fd);
    return code;
}

enum cli_exit shares_set(struct cli *cli, struct recovery_set *ret_set,
                         uint8_t ret_cluster[static CLUSTER_ID_BYTES])
{
    uint8_t record[RECOVERY_RECORD_BYTES_MAX];
    json_t *reply = NULL;
    const char *hex, *id;
    size_t len;
    enum cli_exit code = cli_get(cli, "/_quorumkeep/recovery", &reply);

    if (code != CLI_OK)
        return code;
    hex = json_string_value(json_object_get(reply, "record"));
    id = json_string_value(json_object_get(reply, "cluster_id"));
    len = hex == NULL ? 0 : strlen(hex) / 2;
    if (id == NULL || hex_decode(bytes_str(id), ret_cluster, CLUSTER_ID_BYTES) != QK_OK ||
        len == 0 || len > sizeof(record) || hex_decode(bytes_str(hex), record, len) != QK_OK ||
        recovery_set_decode(bytes_of(record, len), ret_set) != QK_OK)
        code =
            cli_fail(CLI_ERROR, "%s does not answer as a node of this version", cli->target.text);
    json_decref(reply);
    return code;
}

enum cli_exit shares_sign_key(struct cli *cli, struct secret **ret_key)
{
    struct recovery_set set;
    uint8_t cluster[CLUSTER_ID_BYTES];
    struct secret *secret = NULL;
    enum cli_exit code = shares_set(cli, &set, cluster);
    enum qk_err err;

    if (code == CLI_OK)
        code = shares_secret(cli, &set, cluster, &secret);
    if (code != CLI_OK)
        return code;
    err = keyslot_recovery_sign_key(secret, ret_key);
    secret_free(secret);
    return err == QK_OK ? CLI_OK : cli_fail(CLI_ERROR, "%s", qk_err_text(err));
}
