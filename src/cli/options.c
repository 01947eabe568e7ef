#include "cli/options.h"

#include <assert.h>
#include <string.h>

#define AT(field) offsetof(struct options, field)

const struct option_spec option_specs[] = {
    {"--addr", "ADDR", AT(addr), true,
     "the node: HOST:PORT, https://HOST:PORT or unix:PATH (QUORUMKEEP_ADDR)"},
    {"--data", "DIR", AT(data), true, "its data directory: DIR/control.sock (QUORUMKEEP_DATA)"},
    {"--user", "NAME", AT(user), true, "user (QUORUMKEEP_USER)"},
    {"--password-file", "FILE", AT(password_file), true,
     "password in a file, - for standard input (or QUORUMKEEP_PASSWORD, or a prompt)"},
    {"--ca", "FILE", AT(ca), true, "issuers of the node's certificate (QUORUMKEEP_CA)"},
    {"--cert", "FILE", AT(cert), true, "certificate to show to the node (QUORUMKEEP_CERT)"},
    {"--cert-key", "FILE", AT(cert_key), true, "its key, if not in the same file"},
    {"--json", NULL, AT(json), true, "print JSON"},
    {"--insecure-http", NULL, AT(insecure_http), true,
     "permit passwords without TLS to an address that is not loopback"},
    {"--help", NULL, AT(help), true, "this text"},
    {"--name", "NAME", AT(name), false, "name of the cluster"},
    {"--ttl", "SECONDS", AT(ttl), false,
     "how long the token is valid (a join token's default: 3600, a login token's: 90 days)"},
    {"--wait", "SECONDS", AT(wait), false,
     "wait so long (for the node to open; for the work to be done)"},
    {"--token-file", "FILE", AT(token_file), false,
     "the token in a file (default: standard input)"},
    {"--file", "FILE", AT(file), false,
     "FILE in the place of standard input or output, or of the log in --data"},
    {"--rev", "REV", AT(rev), false, "the revision meant"},
    {"--since", "TIME|SEQ", AT(since), false,
     "from this time on: 2026-01-31, 2026-01-31T08:15; doc watch: this sequence"},
    {"--until", "TIME", AT(until), false, "before this time"},
    {"--event", "LIST", AT(event), false, "only these events: release,denial"},
    {"--node", "NAME", AT(node), false, "only this member's"},
    {"--match", "LIST", AT(match), false, "only with these values: user=ID,key=ID"},
    {"--follow", NULL, AT(follow), false, "go on with what comes"},
    {"--limit", "N", AT(limit), false, "at most N"},
    {"--start", "ID", AT(start), false, "from this id on; debug log: this index"},
    {"--end", "ID", AT(end), false, "up to this id"},
    {"--recovery", NULL, AT(recovery), false, "by recovery shares"},
    {"--live", NULL, AT(live), false, "by the rest of the cluster, which is open (--addr, --user)"},
    {"--recovery-shares", "N", AT(recovery_shares), false,
     "how many recovery shares (default 5; 0 at init: none)"},
    {"--recovery-threshold", "N", AT(recovery_threshold), false,
     "how many of them are needed (default 3)"},
    {"--share-file", "FILE", AT(share_file), false,
     "recovery shares in a file, one a line (default: standard input)"},
    {"--nonce", "NONCE", AT(nonce), false, "go on with the attempt that another began"},
    {"--watch", NULL, AT(watch), false, "show it until the work is done"},
    {"--pause", NULL, AT(pause), false, "let it rest"},
    {"--resume", NULL, AT(resume), false, "let it go on"},
    {"--new-cluster", NULL, AT(new_cluster), false, "make another cluster of it"},
    {"--base", "FILE", AT(base), false, "an increment to that backup"},
    {"--no-wait", NULL, AT(no_wait), false, "begin it and do not wait until it is done"},
    {"--no-reencrypt", NULL, AT(no_reencrypt), false,
     "leave what stands under older key versions as it is"},
    {"--threshold", "N", AT(threshold), false, "shares that open the cluster (default 2)"},
    {"--unseal-quorum", "N|majority", AT(unseal_quorum), false,
     "live members before any may open (default 2)"},
    {"--all", NULL, AT(all), false,
     "seal: every node that can be reached; secret destroy: all that is known of it"},
    {"--hold", NULL, AT(hold), false, "every node, and none opens until the hold is lifted"},
    {"--key-file", "FILE", AT(key_file), false,
     "the operator key in a file (default: standard input)"},
    {"--new-keys", NULL, AT(new_keys), false, "and give each data key a new version"},
    {"--replace", "NAME", AT(replace), false,
     "the node that uses the token takes the place of this member, which is then removed"},
    {"--label", "TEXT", AT(label), false, "what the token is for, for people"},
    {"--wipe", NULL, AT(wipe), false, "wipe what the node is now: its identity, log and store"},
    {"--yes", NULL, AT(yes), false, "do not ask"},
    {"--field", "NAME", AT(field), false, "the one field meant (put: value unless said)"},
    {"--object", NULL, AT(object), false, "what is read is a JSON object of all fields"},
    {"--merge", NULL, AT(merge), false, "keep the fields that are not given"},
    {"--cas", "N", AT(cas), false, "only if N is the present version; 0: only if there is none"},
    {"--version", "N", AT(version), false, "that version (default: the newest)"},
    {"--versions", "LIST", AT(versions), false, "those versions: 1,2,5"},
    {"--max-versions", "N", AT(max_versions), false, "versions kept (0: as for all, 10 at first)"},
    {"--delete-after", "DURATION", AT(delete_after), false,
     "new versions delete themselves after 90m, 12h, 30d (0: never)"},
    {"--cas-required", "yes|no", AT(cas_required), false, "no write without --cas"},
    {"--include-docs", NULL, AT(include_docs), false, "with the documents"},
    {"--keep-revs", NULL, AT(keep_revs), false, "documents keep their revisions, as replicated"},
    {"--suite", "SUITE", AT(suite), false, "xchacha20-poly1305 or, where allowed, aes-256-gcm"},
    {"--reencrypt", NULL, AT(reencrypt), false, "and seal older documents again under it"},
    {"--shred", NULL, AT(shred), false,
     "even if documents are under it: they become unreadable for ever"},
    {"--key-id", "NAME", AT(key_id), false,
     "the data key; default: the one of the next wider scope"},
    {"--clear", NULL, AT(clear), false, "do not encrypt documents: every disk shows them"},
    {"--hidden-ids", NULL, AT(hidden_ids), false, "seal document ids too: no disk shows them"},
    {"--clients", "LIST", AT(clients), false,
     "connections that ask at once, one after the other: 1,16,64 (default: 16)"},
    {"--seconds", "N", AT(seconds), false, "how long each is measured (default: 5)"},
    {"--warm-up", "N", AT(warm_up), false, "seconds before that, not counted (default: 1)"},
    {"--rate", "N", AT(rate), false,
     "requests a second, due whatever the node does (default: as fast as they are answered)"},
    {"--size", "BYTES", AT(size), false, "of a document (default: 300)"},
    {"--docs", "N", AT(docs), false, "documents to read, written first (default: 10000)"},
    {"--batch", "N", AT(batch), false, "documents of a bulk write or a page (default: 500)"},
    {"--nodes", "LIST", AT(nodes), false, "addresses that connections go round (default: --addr)"},
    {"--pids", "LIST", AT(pids), false, "processes on this machine whose processor time counts"},
    {"--db", "NAME", AT(database), false,
     "this database, which is kept (default: one for the run)"},
    {"--encrypted", NULL, AT(encrypted), false, "encrypt documents, those of before too"},
};
_Static_assert(sizeof option_specs / sizeof option_specs[0] == OPTION_SPECS_N,
               "every row of the table is one");

bool option_listed(const char *list, const struct option_spec *spec)
{
    const char *name = spec->name + 2;
    size_t len = strlen(name);

    while (*list != '\0') {
        size_t word = strcspn(list, " ");

        if (word == len && strncmp(list, name, len) == 0)
            return true;
        list += word;
        list += strspn(list, " ");
    }
    return false;
}

static const struct option_spec *find_spec(const char *arg, size_t len)
{
    for (size_t i = 0; i < OPTION_SPECS_N; i++) {
        if (strlen(option_specs[i].name) == len && strncmp(option_specs[i].name, arg, len) == 0)
            return &option_specs[i];
    }
    return NULL;
}

static void store(struct options *options, const struct option_spec *spec, const char *value)
{
    if (spec->value == NULL)
        *(bool *)(void *)((char *)options + spec->at) = true;
    else
        memcpy((char *)options + spec->at, &value, sizeof(value));
}

/* Takes argv[*at], and the value behind it if it has one. */
static enum qk_err take_option(int argc, char **argv, int *at, const char *permitted,
                               struct options *options, struct buf *message)
{
    const char *arg = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at];
    size_t len = strcspn(arg, "=");
    const struct option_spec *spec = find_spec(arg, len);
    const char *value = arg[len] == '=' ? arg + len + 1 : NULL;

    if (spec == NULL || (!spec->global && !option_listed(permitted, spec))) {
        buf_printf(message, "unknown option %.*s here", (int)(len < 64 ? len : 64), arg);
        return QK_ERR_INVALID;
    }
    if (spec->value == NULL && value != NULL) {
        buf_printf(message, "%s takes no value", spec->name);
        return QK_ERR_INVALID;
    }
    if (spec->value != NULL && value == NULL) {
        if (*at + 1 >= argc) {
            buf_printf(message, "%s needs a value: %s", spec->name, spec->value);
            return QK_ERR_INVALID;
        }
        value = argv[++*at];
    }
    store(options, spec, value);
    return QK_OK;
}

enum qk_err options_parse(int argc, char **argv, const char *permitted, struct options *ret_options,
                          struct buf *message)
{
    bool only_args = false;
    enum qk_err err = QK_OK;

    assert(ret_options != NULL);

    memset(ret_options, 0, sizeof(*ret_options));
    for (int i = 0; i < argc && err == QK_OK; i++) {
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
        } else if (!only_args && argv[i][0] == '-' && argv[i][1] != '\0') {
            err = take_option(argc, argv, &i, permitted, ret_options, message);
        } else if (ret_options->args_n == OPTIONS_ARGS_MAX) {
            buf_printf(message, "too many arguments, from '%.64s' on", argv[i]);
            err = QK_ERR_INVALID;
        } else {
            ret_options->args[ret_options->args_n++] = argv[i];
        }
    }
    return err;
}
