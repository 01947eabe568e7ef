/* audit show. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"

#define FOLLOW_S 1
#define CURSORS_MAX NODES_MAX

/* How far the lines of each member were shown. */
struct follow {
    struct {
        char id[2 * NODE_ID_BYTES + 1];
        json_int_t last;
    } cursors[CURSORS_MAX];
    unsigned n;
};

/* One line for people: time, member, event, then what else is known, without the chain. */
static void print_event(const json_t *line)
{
    static const char *const told[] = {"seq", "time", "event", "prev", "hash"};
    json_t *entry = json_object_get(line, "entry");
    struct buf text = BUF_INIT(65536);
    const char *name;
    json_t *value;

    print_value(&text, json_object_get(entry, "time"));
    buf_put_str(&text, "  ");
    print_value(&text, json_object_get(line, "node"));
    buf_put_str(&text, "  ");
    print_value(&text, json_object_get(entry, "event"));
    json_object_foreach(entry, name, value)
    {
        bool known = false;

        for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
            known = known || strcmp(name, told[i]) == 0;
        if (known)
            continue;
        buf_put_str(&text, " ");
        print_clean(&text, name);
        buf_put_str(&text, "=");
        print_value(&text, value);
    }
    printf("%.*s\n", (int)text.len, (const char *)text.data);
    buf_fini(&text);
}

static void print_lines(const json_t *reply, bool json)
{
    json_t *line;
    size_t i;

    json_array_foreach(json_object_get(reply, "lines"), i, line)
    {
        if (json)
            print_json(line, 0);
        else
            print_event(line);
    }
    (void)fflush(stdout);
}

/* Said once, and not among the lines. */
static void print_missing(const json_t *reply)
{
    json_t *node;
    size_t i;

    json_array_foreach(json_object_get(reply, "nodes"), i, node)
    {
        const char *error = json_string_value(json_object_get(node, "error"));
        const char *name = json_string_value(json_object_get(node, "name"));

        if (error != NULL && name != NULL)
            (void)cli_fail(CLI_OK, "the lines of %s are missing: %s", name, error);
    }
}

static void take_cursors(struct follow *follow, const json_t *reply)
{
    json_t *node;
    size_t i;

    json_array_foreach(json_object_get(reply, "nodes"), i, node)
    {
        const char *id = json_string_value(json_object_get(node, "node_id"));
        const json_t *last = json_object_get(node, "last");
        unsigned at = 0;

        if (id == NULL || strlen(id) != 2 * NODE_ID_BYTES || !json_is_integer(last))
            continue;
        while (at < follow->n && strcmp(follow->cursors[at].id, id) != 0)
            at++;
        if (at == CURSORS_MAX)
            continue;
        memcpy(follow->cursors[at].id, id, sizeof(follow->cursors[at].id));
        follow->cursors[at].last = json_integer_value(last);
        follow->n += at == follow->n;
    }
}

static void put_after(const struct follow *follow, struct buf *path)
{
    struct buf text = BUF_INIT(HTTP_URI_BYTES_MAX);

    for (unsigned i = 0; i < follow->n; i++)
        buf_printf(&text, "%s%s:%lld", i == 0 ? "" : ",", follow->cursors[i].id,
                   (long long)follow->cursors[i].last);
    buf_put_u8(&text, 0);
    if (follow->n > 0 && buf_error(&text) == QK_OK)
        client_query_put(path, "after", (const char *)text.data);
    buf_fini(&text);
}

/* "user=ab,key=cd" as match=user:ab&match=key:cd. */
static enum cli_exit put_matches(const char *list, struct buf *path)
{
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        const char *equals = memchr(list, '=', len);
        char one[256];

        if (equals == NULL || equals == list || len >= sizeof(one))
            return cli_fail(CLI_USAGE, "--match: '%.*s' is not NAME=VALUE", (int)len, list);
        memcpy(one, list, len);
        one[len] = '\0';
        one[equals - list] = ':';
        client_query_put(path, "match", one);
        list += len + (list[len] == ',');
    }
    return CLI_OK;
}

static enum cli_exit put_query(const struct cli *cli, const struct follow *follow, struct buf *path)
{
    const struct options *options = &cli->options;
    const char *const texts[][2] = {{"limit", options->limit},
                                    {"from", options->since},
                                    {"until", options->until},
                                    {"event", options->event},
                                    {"node", options->node}};

    buf_put_str(path, "/_quorumkeep/audit");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i][1] != NULL)
            client_query_put(path, texts[i][0], texts[i][1]);
    if (follow != NULL)
        put_after(follow, path);
    return put_matches(options->match, path);
}

static enum cli_exit show(struct cli *cli, struct follow *follow, bool first)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *reply = NULL;
    enum cli_exit code = put_query(cli, first ? NULL : follow, &path);

    if (code == CLI_OK && buf_error(&path) != QK_OK)
        code = cli_fail(CLI_USAGE, "too many conditions");
    if (code == CLI_OK)
        code = cli_request(cli, "GET", &path, NULL, &reply);
    if (code == CLI_OK) {
        print_lines(reply, cli->options.json);
        take_cursors(follow, reply);
        if (first)
            print_missing(reply);
    }
    json_decref(reply);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_audit_show(struct cli *cli)
{
    struct follow follow = {.n = 0};
    enum cli_exit code = CLI_OK;
    uint64_t limit;

    if (cli->options.limit != NULL && number_parse(cli->options.limit, INT64_MAX, &limit) != QK_OK)
        return cli_fail(CLI_USAGE, "--limit: '%s' is not a number", cli->options.limit);
    code = show(cli, &follow, true);
    while (code == CLI_OK && cli->options.follow) {
        (void)sleep(FOLLOW_S);
        code = show(cli, &follow, false);
    }
    return code;
}
