/* A notebook in a Quorumkeep cluster: an example of libquorumkeep.
 *
 *     cc -o notebook client.c $(pkg-config --cflags --libs quorumkeep)
 *     export QUORUMKEEP_ADDR=127.0.0.1:7601,127.0.0.1:7602 QUORUMKEEP_USER=...
 * QUORUMKEEP_PASSWORD=...
 *     ./notebook write monday "milk, bread"
 *     ./notebook read monday
 *     ./notebook fill 100                     many notes, a batch at a time
 *     ./notebook count 100                    adds one to a counter, so many times
 *     ./notebook find 3                       notes whose number is at least 3
 *     ./notebook watch 5                      prints five changes, from the first on
 *     ./notebook attach monday photo < FILE   the file becomes an attachment of a note
 *     ./notebook detach monday photo > FILE   and comes back
 *     ./notebook remove monday
 */
#include <quorumkeep/client.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DB "notebook"
#define COUNTER "counter"

static struct quorumkeep *client;

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, quorumkeep_message(client));
    return 1;
}

/* A text as JSON; what is not plain is left out, as an example may. */
static void json_text(const char *text, char *ret_json, size_t bytes)
{
    size_t len = 0;

    for (; *text != '\0' && len + 1 < bytes; text++)
        if ((unsigned char)*text >= ' ' && *text != '"' && *text != '\\')
            ret_json[len++] = *text;
    ret_json[len] = '\0';
}

/* Without a revision a put makes a new document; to replace one, its present revision is named. */
static int write_note(const char *id, const char *text)
{
    char clean[1024], document[1100], rev[QUORUMKEEP_REV_BYTES];

    json_text(text, clean, sizeof(clean));
    (void)snprintf(document, sizeof(document), "{\"text\":\"%s\"}", clean);
    if (quorumkeep_put(client, DB, id, NULL, document, NULL, rev) != QUORUMKEEP_OK)
        return fail("write");
    printf("%s %s\n", id, rev);
    return 0;
}

static int read_note(const char *id)
{
    struct quorumkeep_text document;

    if (quorumkeep_get(client, DB, id, NULL, &document) != QUORUMKEEP_OK)
        return fail("read");
    printf("%s\n", document.data);
    quorumkeep_text_free(&document);
    return 0;
}

/* The value of "name": in a document; a real program has a JSON library for that. */
static const char *member(const char *json, const char *name)
{
    char wanted[64];
    const char *at;

    (void)snprintf(wanted, sizeof(wanted), "\"%s\":", name);
    at = strstr(json, wanted);
    return at == NULL ? "" : at + strlen(wanted);
}

static void revision(const char *json, char ret_rev[QUORUMKEEP_REV_BYTES])
{
    const char *at = member(json, "_rev");

    (void)snprintf(ret_rev, QUORUMKEEP_REV_BYTES, "%.*s",
                   *at == '"' ? (int)strcspn(at + 1, "\"") : 0, *at == '"' ? at + 1 : at);
}

static int remove_note(const char *id)
{
    struct quorumkeep_text document;
    char rev[QUORUMKEEP_REV_BYTES];

    if (quorumkeep_get(client, DB, id, NULL, &document) != QUORUMKEEP_OK)
        return fail("read");
    revision(document.data, rev);
    quorumkeep_text_free(&document);
    return quorumkeep_delete(client, DB, id, rev, NULL) == QUORUMKEEP_OK ? 0 : fail("remove");
}

static ptrdiff_t from_input(void *arg, void *out, size_t room)
{
    size_t len = fread(out, 1, room, stdin);

    (void)arg;
    return ferror(stdin) != 0 ? -1 : (ptrdiff_t)len;
}

static int attach(const char *id, const char *name)
{
    const struct quorumkeep_content content = {.length = QUORUMKEEP_LENGTH_UNKNOWN,
                                               .give = from_input};
    struct quorumkeep_text document;
    char rev[QUORUMKEEP_REV_BYTES];

    if (quorumkeep_get(client, DB, id, NULL, &document) != QUORUMKEEP_OK)
        return fail("read");
    revision(document.data, rev);
    quorumkeep_text_free(&document);
    if (quorumkeep_attachment_put(client, DB, id, name, rev, &content, rev) != QUORUMKEEP_OK)
        return fail("attach");
    fprintf(stderr, "%s %s\n", id, rev);
    return 0;
}

static int to_output(void *arg, const void *bytes, size_t len)
{
    (void)arg;
    return fwrite(bytes, 1, len, stdout) == len ? 0 : 1;
}

static int detach(const char *id, const char *name)
{
    if (quorumkeep_attachment_get(client, DB, id, name, NULL, to_output, NULL) != QUORUMKEEP_OK)
        return fail("detach");
    return 0;
}

static int on_result(void *arg, const char *json, size_t len)
{
    unsigned long *written = arg;

    (void)len;
    if (strstr(json, "\"error\"") == NULL)
        *written += 1;
    else
        printf("%s\n", json);
    return 0;
}

static int fill(unsigned long notes_n)
{
    size_t room = notes_n * 64 + 3, len = 0;
    char *batch = malloc(room);
    unsigned long written = 0;
    enum quorumkeep_error error;

    if (batch == NULL)
        return 1;
    for (unsigned long i = 0; i < notes_n; i++)
        len +=
            (size_t)snprintf(batch + len, room - len, "%c{\"_id\":\"note-%06lu\",\"number\":%lu}",
                             i == 0 ? '[' : ',', i, i);
    (void)snprintf(batch + len, room - len, "]");
    error = quorumkeep_bulk(client, DB, notes_n == 0 ? "[]" : batch, on_result, &written);
    free(batch);
    if (error != QUORUMKEEP_OK)
        return fail("fill");
    printf("%lu written\n", written);
    return 0;
}

/* One step of the counter. After an unknown outcome, and after a conflict with somebody else, the
 * document is read again: it tells whether the step was taken. */
static int step(unsigned long value)
{
    char document[64], rev[QUORUMKEEP_REV_BYTES] = "";
    struct quorumkeep_text now;

    for (;;) {
        enum quorumkeep_error error = quorumkeep_get(client, DB, COUNTER, NULL, &now);

        if (error != QUORUMKEEP_OK && error != QUORUMKEEP_NOT_FOUND)
            return fail("count: read");
        if (error == QUORUMKEEP_OK) {
            bool taken = strtoul(member(now.data, "value"), NULL, 10) >= value;

            revision(now.data, rev);
            quorumkeep_text_free(&now);
            if (taken)
                return 0;
        }
        (void)snprintf(document, sizeof(document), "{\"value\":%lu}", value);
        error =
            quorumkeep_put(client, DB, COUNTER, rev[0] == '\0' ? NULL : rev, document, NULL, NULL);
        if (error == QUORUMKEEP_OK)
            return 0;
        if (error != QUORUMKEEP_CONFLICT && error != QUORUMKEEP_UNKNOWN_OUTCOME)
            return fail("count: write");
    }
}

static int count(unsigned long steps)
{
    for (unsigned long value = 1; value <= steps; value++) {
        if (step(value) != 0)
            return 1;
        printf("%lu %s\n", value, quorumkeep_node(client));
        (void)fflush(stdout);
    }
    return 0;
}

static int on_line(void *arg, const char *json, size_t len)
{
    unsigned long *left = arg;

    (void)len;
    printf("%s\n", json);
    (void)fflush(stdout);
    return left != NULL && --*left == 0;
}

static int find(const char *least)
{
    char query[128];

    (void)snprintf(query, sizeof(query),
                   "{\"selector\":{\"number\":{\"$gte\":%lu}},\"limit\":1000}",
                   strtoul(least, NULL, 10));
    return quorumkeep_find(client, DB, query, on_line, NULL, NULL) == QUORUMKEEP_OK ? 0
                                                                                    : fail("find");
}

static int watch(unsigned long changes_n)
{
    enum quorumkeep_error error =
        quorumkeep_changes(client, DB, NULL, true, NULL, on_line, &changes_n, NULL);

    return error == QUORUMKEEP_STOPPED ? 0 : fail("watch");
}

static int run(const char *verb, const char *word, const char *text)
{
    enum quorumkeep_error error = quorumkeep_db_create(client, DB, NULL);

    if (error != QUORUMKEEP_OK && error != QUORUMKEEP_EXISTS)
        return fail("the database");
    if (strcmp(verb, "write") == 0)
        return write_note(word, text);
    if (strcmp(verb, "read") == 0)
        return read_note(word);
    if (strcmp(verb, "remove") == 0)
        return remove_note(word);
    if (strcmp(verb, "attach") == 0)
        return attach(word, text);
    if (strcmp(verb, "detach") == 0)
        return detach(word, text);
    if (strcmp(verb, "fill") == 0)
        return fill(strtoul(word, NULL, 10));
    if (strcmp(verb, "count") == 0)
        return count(strtoul(word, NULL, 10));
    if (strcmp(verb, "find") == 0)
        return find(word);
    if (strcmp(verb, "watch") == 0)
        return watch(strtoul(word, NULL, 10));
    fprintf(stderr, "no such verb: %s\n", verb);
    return 3;
}

int main(int argc, char **argv)
{
    const char *addresses = getenv("QUORUMKEEP_ADDR");
    const char *user = getenv("QUORUMKEEP_USER"), *password = getenv("QUORUMKEEP_PASSWORD");
    int code;

    if (argc < 3 || addresses == NULL || user == NULL || password == NULL) {
        fprintf(stderr,
                "usage: %s write|read|attach|detach|remove|fill|count|find|watch WORD [TEXT]\n",
                argv[0]);
        return 3;
    }
    if (quorumkeep_new(addresses, &client) != QUORUMKEEP_OK) {
        fprintf(stderr, "QUORUMKEEP_ADDR: not a list of addresses\n");
        return 3;
    }
    if (quorumkeep_set_user(client, user, password) != QUORUMKEEP_OK ||
        quorumkeep_set_tls(client, getenv("QUORUMKEEP_CA"), NULL, NULL) != QUORUMKEEP_OK)
        code = fail("login");
    else
        code = run(argv[1], argv[2], argc > 3 ? argv[3] : "");
    quorumkeep_free(client);
    return code;
}
