/* libquorumkeep against servers that answer by a list: what it passes over, what it sends again,
 * what it never does. */
#include <criterion/criterion.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "quorumkeep/client.h"

#define SEALED "503 Service Unavailable|{\"error\":\"sealed\",\"reason\":\"alone\"}"
#define MADE "201 Created|{\"ok\":true,\"id\":\"a\",\"rev\":\"1-00000000ab\"}"
/* The body that follows counts as a request of its own: it ends as a head does if it is chunked. */
#define GO_ON "HTTP/1.1 100 Continue\r\n\r\n"
#define FOUND "200 OK|{\"_id\":\"a\"}"

/* Replies to one request after the other, "STATUS|BODY" or "STATUS|close|BODY", whose end is that
 * of the connection; what has no bar is sent as it is, and an empty text closes the connection. */
struct node {
    const char *const *replies;
    char address[64];
    char got[4096]; /* the first lines of the requests */
    int fd;
    pthread_t thread;
};

static bool read_request(int fd, struct node *node)
{
    char request[4096];
    size_t len = 0, wanted = 0;

    for (;;) {
        ssize_t got = recv(fd, request + len, sizeof(request) - 1 - len, 0);
        const char *body, *length;

        if (got <= 0)
            return false;
        len += (size_t)got;
        request[len] = '\0';
        body = strstr(request, "\r\n\r\n");
        if (body == NULL)
            continue;
        length = strstr(request, "Content-Length: ");
        if (length != NULL && strstr(request, "Expect: ") != NULL)
            length = NULL; /* the body comes later */
        wanted = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
        if (len < (size_t)(body + 4 - request) + wanted)
            continue;
        (void)snprintf(node->got + strlen(node->got), sizeof(node->got) - strlen(node->got),
                       "%.*s\n", (int)strcspn(request, "\r"), request);
        return true;
    }
}

static bool send_reply(int fd, const char *reply)
{
    const char *body = strchr(reply, '|');
    char text[1024];

    if (body == NULL)
        (void)snprintf(text, sizeof(text), "%s", reply);
    else if (strncmp(body, "|close|", 7) == 0)
        (void)snprintf(text, sizeof(text), "HTTP/1.1 %.*s\r\nConnection: close\r\n\r\n%s",
                       (int)(body - reply), reply, body + 7);
    else
        (void)snprintf(text, sizeof(text), "HTTP/1.1 %.*s\r\nContent-Length: %zu\r\n\r\n%s",
                       (int)(body - reply), reply, strlen(body + 1), body + 1);
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
    if (strcmp(reply, GO_ON) == 0)
        return true;
    return body != NULL && strncmp(body, "|close|", 7) != 0;
}

static void *serve(void *arg)
{
    struct node *node = arg;
    int fd = -1;

    for (size_t i = 0; node->replies[i] != NULL;) {
        const char *reply = node->replies[i];

        if (fd < 0)
            fd = accept(node->fd, NULL, NULL);
        if (fd < 0)
            break;
        if (!read_request(fd, node)) {
            close(fd);
            fd = -1;
            continue;
        }
        i++;
        if (!send_reply(fd, reply)) {
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0)
        close(fd);
    close(node->fd);
    return NULL;
}

static void start(struct node *node, const char *const *replies)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    memset(node, 0, sizeof(*node));
    node->replies = replies;
    node->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(node->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(node->fd, 8), 0);
    cr_assert_eq(getsockname(node->fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(node->address, sizeof(node->address), "127.0.0.1:%u", ntohs(address.sin_port));
    cr_assert_eq(pthread_create(&node->thread, NULL, serve, node), 0);
}

static struct quorumkeep *connect_to(const struct node *nodes, size_t n)
{
    struct quorumkeep *client = NULL;
    char list[512] = "";

    for (size_t i = 0; i < n; i++)
        (void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i == 0 ? "" : ",",
                       nodes[i].address);
    cr_assert_eq(quorumkeep_new(list, &client), QUORUMKEEP_OK);
    quorumkeep_set_patience(client, 0);
    return client;
}

#define REPLIES(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(library, addresses_are_checked)
{
    struct quorumkeep *client = NULL;

    cr_assert_eq(quorumkeep_new("", &client), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_new("a:1,,b:2", &client), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_new("nonsense", &client), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_new("a:1,https://b:2,unix:/c", &client), QUORUMKEEP_OK);
    quorumkeep_free(client);
    quorumkeep_free(NULL);
}

Test(library, a_sealed_node_is_passed_over_for_reads_and_writes)
{
    char rev[QUORUMKEEP_REV_BYTES], id[QUORUMKEEP_ID_BYTES];
    struct quorumkeep_text doc;
    struct quorumkeep *client;
    struct node nodes[2];

    start(&nodes[0], REPLIES(SEALED));
    start(&nodes[1], REPLIES(MADE, FOUND));
    client = connect_to(nodes, 2);
    cr_assert_eq(quorumkeep_put(client, "db", "a", NULL, "{}", id, rev), QUORUMKEEP_OK);
    cr_assert_str_eq(id, "a");
    cr_assert_str_eq(rev, "1-00000000ab");
    cr_assert_str_eq(quorumkeep_message(client), "");
    cr_assert_eq(quorumkeep_get(client, "db", "a", "{\"rev\":\"1-x\",\"conflicts\":true}", &doc),
                 QUORUMKEEP_OK);
    cr_assert_str_eq(doc.data, "{\"_id\":\"a\"}");
    cr_assert_str_eq(quorumkeep_node(client), nodes[1].address);
    quorumkeep_text_free(&doc);
    quorumkeep_free(client);
    pthread_join(nodes[0].thread, NULL);
    pthread_join(nodes[1].thread, NULL);
    cr_assert_str_eq(nodes[0].got, "PUT /db/a HTTP/1.1\n");
    cr_assert_str_eq(nodes[1].got, "PUT /db/a HTTP/1.1\n"
                                   "GET /db/a?rev=1-x&conflicts=true HTTP/1.1\n");
}

Test(library, a_write_whose_reply_is_lost_is_never_sent_twice)
{
    struct quorumkeep *client;
    struct node nodes[2];
    struct quorumkeep_text doc;

    start(&nodes[0], REPLIES("", FOUND));
    start(&nodes[1], REPLIES(FOUND));
    client = connect_to(nodes, 2);
    cr_assert_eq(quorumkeep_put(client, "db", "a", NULL, "{}", NULL, NULL),
                 QUORUMKEEP_UNKNOWN_OUTCOME);
    cr_assert_neq(strlen(quorumkeep_message(client)), 0);
    cr_assert_eq(quorumkeep_get(client, "db", "a", NULL, &doc), QUORUMKEEP_OK);
    quorumkeep_text_free(&doc);
    cr_assert_eq(quorumkeep_request(client, "GET", "/x", NULL, NULL), QUORUMKEEP_OK);
    quorumkeep_free(client);
    pthread_join(nodes[0].thread, NULL);
    pthread_join(nodes[1].thread, NULL);
    cr_assert_not_null(strstr(nodes[0].got, "PUT /db/a"));
    cr_assert_null(strstr(nodes[1].got, "PUT"));
}

Test(library, a_read_whose_reply_is_lost_is_asked_for_elsewhere)
{
    struct quorumkeep *client;
    struct quorumkeep_text doc;
    struct node nodes[2];

    start(&nodes[0], REPLIES(""));
    start(&nodes[1], REPLIES(FOUND));
    client = connect_to(nodes, 2);
    cr_assert_eq(quorumkeep_get(client, "db", "_design/a/b", NULL, &doc), QUORUMKEEP_OK);
    quorumkeep_text_free(&doc);
    quorumkeep_free(client);
    pthread_join(nodes[0].thread, NULL);
    pthread_join(nodes[1].thread, NULL);
    cr_assert_str_eq(nodes[1].got, "GET /db/_design/a%2Fb HTTP/1.1\n");
}

Test(library, what_a_node_refuses_is_told_by_kind)
{
    static const struct {
        const char *reply;
        enum quorumkeep_error error;
    } cases[] = {
        {"409 Conflict|{\"error\":\"conflict\",\"reason\":\"old\"}", QUORUMKEEP_CONFLICT},
        {"404 Not Found|{\"error\":\"not_found\",\"reason\":\"gone\"}", QUORUMKEEP_NOT_FOUND},
        {"401 Unauthorized|{}", QUORUMKEEP_DENIED},
        {"403 Forbidden|{}", QUORUMKEEP_DENIED},
        {"400 Bad Request|{}", QUORUMKEEP_INVALID},
        {"413 Too Large|{}", QUORUMKEEP_TOO_BIG},
        {"503 Unavailable|{\"error\":\"unknown_outcome\"}", QUORUMKEEP_UNKNOWN_OUTCOME},
        {"500 Oops|", QUORUMKEEP_FAILED},
        {"SSH-2.0-OpenSSH_9.2\r\n", QUORUMKEEP_PROTOCOL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct quorumkeep *client;
        struct node node;

        start(&node, REPLIES(cases[i].reply));
        client = connect_to(&node, 1);
        cr_assert_eq(quorumkeep_delete(client, "db", "a", "1-x", NULL), cases[i].error, "%s",
                     quorumkeep_message(client));
        cr_assert_neq(strlen(quorumkeep_message(client)), 0);
        quorumkeep_free(client);
        pthread_join(node.thread, NULL);
    }
}

struct rows {
    char text[256];
    unsigned stop_after;
};

static int on_row(void *arg, const char *json, size_t len)
{
    struct rows *rows = arg;

    cr_assert_eq(strlen(json), len);
    (void)snprintf(rows->text + strlen(rows->text), sizeof(rows->text) - strlen(rows->text), "<%s>",
                   json);
    return rows->stop_after > 0 && --rows->stop_after == 0;
}

Test(library, rows_come_one_by_one_and_the_bookmark_last)
{
    struct quorumkeep_text bookmark = {NULL, 0};
    struct rows rows = {.text = ""};
    struct quorumkeep *client;
    struct node node;

    start(&node,
          REPLIES("200 OK|close|{\"docs\":[\n{\"a\":1},\n{\"a\":2}\n],\"bookmark\":\"nil\"}\n"));
    client = connect_to(&node, 1);
    cr_assert_eq(quorumkeep_find(client, "db", "{\"selector\":{}}", on_row, &rows, &bookmark),
                 QUORUMKEEP_OK);
    cr_assert_str_eq(rows.text, "<{\"a\":1}><{\"a\":2}>");
    cr_assert_str_eq(bookmark.data, "nil");
    quorumkeep_text_free(&bookmark);
    quorumkeep_free(client);
    pthread_join(node.thread, NULL);
}

Test(library, a_list_that_breaks_off_is_cut_and_says_why)
{
    struct rows rows = {.text = ""};
    struct quorumkeep *client;
    struct node node;

    start(&node, REPLIES("200 OK|close|{\"rows\":[\n{\"id\":\"a\"},\n{\"id\":\"b\"}\n"
                         "{\"error\":\"sealed\",\"reason\":\"the node is sealed\"}\n"));
    client = connect_to(&node, 1);
    cr_assert_eq(quorumkeep_list(client, "db", NULL, on_row, &rows), QUORUMKEEP_CUT);
    cr_assert_str_eq(rows.text, "<{\"id\":\"a\"}>");
    cr_assert_str_eq(quorumkeep_message(client), "sealed: the node is sealed");
    quorumkeep_free(client);
    pthread_join(node.thread, NULL);
}

Test(library, a_callback_that_wants_no_more_stops_the_call)
{
    struct rows rows = {.stop_after = 1};
    struct quorumkeep *client;
    struct node node;

    start(&node, REPLIES("200 OK|close|{\"rows\":[1,2,3]}", FOUND));
    client = connect_to(&node, 1);
    cr_assert_eq(quorumkeep_view(client, "db", "d", "v", "{\"limit\":9}", on_row, &rows),
                 QUORUMKEEP_STOPPED);
    cr_assert_str_eq(rows.text, "<1>");
    cr_assert_eq(quorumkeep_request(client, "GET", "/", NULL, NULL), QUORUMKEEP_OK);
    quorumkeep_free(client);
    pthread_join(node.thread, NULL);
    cr_assert_not_null(strstr(node.got, "POST /db/_design/d/_view/v HTTP/1.1\n"));
}

Test(library, bulk_gives_a_result_for_each_document)
{
    struct rows rows = {.text = ""};
    struct quorumkeep *client;
    struct node node;

    start(&node, REPLIES("200 OK|close|[{\"id\":\"a\"},{\"id\":\"b\",\"error\":\"conflict\"}]\n"));
    client = connect_to(&node, 1);
    cr_assert_eq(quorumkeep_bulk(client, "db", "[{},{}]", on_row, &rows), QUORUMKEEP_OK);
    cr_assert_str_eq(rows.text, "<{\"id\":\"a\"}><{\"id\":\"b\",\"error\":\"conflict\"}>");
    cr_assert_eq(quorumkeep_bulk(client, "db", "7", on_row, &rows), QUORUMKEEP_INVALID);
    quorumkeep_free(client);
    pthread_join(node.thread, NULL);
}

Test(library, a_feed_goes_on_at_another_node_where_it_stood)
{
    struct quorumkeep_text seq = {NULL, 0};
    struct rows rows = {.stop_after = 3};
    struct quorumkeep *client;
    struct node nodes[2];

    start(&nodes[0],
          REPLIES("200 OK|close|{\"seq\":\"5-x\",\"id\":\"a\"}\n\n{\"seq\":\"6-y\",\"id\":\"b\"}\n",
                  SEALED));
    start(
        &nodes[1],
        REPLIES("200 OK|close|\n{\"seq\":\"7-z\",\"id\":\"c\"}\n{\"seq\":\"8-z\",\"id\":\"d\"}\n"));
    client = connect_to(nodes, 2);
    cr_assert_eq(quorumkeep_changes(client, "db", "4-w", true, "{\"selector\":{\"a\":1}}", on_row,
                                    &rows, &seq),
                 QUORUMKEEP_STOPPED);
    cr_assert_not_null(strstr(rows.text, "7-z"));
    cr_assert_null(strstr(rows.text, "8-z"));
    cr_assert_str_eq(seq.data, "7-z");
    quorumkeep_text_free(&seq);
    quorumkeep_free(client);
    pthread_join(nodes[0].thread, NULL);
    pthread_join(nodes[1].thread, NULL);
    cr_assert_not_null(strstr(nodes[0].got, "since=4-w&feed=continuous"));
    cr_assert_not_null(strstr(nodes[0].got, "filter=_selector"));
    cr_assert_not_null(strstr(nodes[1].got, "since=6-y&feed=continuous"));
}

Test(library, a_login_does_not_cross_the_network_in_clear)
{
    struct quorumkeep *client = NULL;

    cr_assert_eq(quorumkeep_new("192.0.2.1:7600", &client), QUORUMKEEP_OK);
    quorumkeep_set_patience(client, 0);
    cr_assert_eq(quorumkeep_set_user(client, "ada", "secret"), QUORUMKEEP_OK);
    cr_assert_eq(quorumkeep_db_drop(client, "db"), QUORUMKEEP_UNTRUSTED);
    cr_assert_null(strstr(quorumkeep_message(client), "secret"));
    cr_assert_eq(quorumkeep_set_token(client, "a\r\nX: y"), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_set_user(client, "a:b", "x"), QUORUMKEEP_INVALID);
    quorumkeep_free(client);
}

Test(library, options_and_paths_are_checked_before_anything_is_sent)
{
    struct quorumkeep *client = NULL;
    struct quorumkeep_text doc;

    cr_assert_eq(quorumkeep_new("127.0.0.1:1", &client), QUORUMKEEP_OK);
    cr_assert_eq(quorumkeep_get(client, "db", "a", "[]", &doc), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_get(client, "db", "a", "{", &doc), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_request(client, "GET", "/a b", NULL, NULL), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_request(client, "GET", "x", NULL, NULL), QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_request(client, "GET", "/a\r\nX: y", NULL, NULL), QUORUMKEEP_INVALID);
    quorumkeep_free(client);
}

Test(library, nobody_listening_is_unreachable)
{
    struct quorumkeep *client = NULL;

    cr_assert_eq(quorumkeep_new("127.0.0.1:1,unix:/nonexistent", &client), QUORUMKEEP_OK);
    quorumkeep_set_patience(client, 0);
    cr_assert_eq(quorumkeep_put(client, "db", "a", NULL, "{}", NULL, NULL), QUORUMKEEP_UNREACHABLE);
    cr_assert_neq(strlen(quorumkeep_message(client)), 0);
    quorumkeep_free(client);
}

struct giving {
    const char *text;
    size_t calls;
    ptrdiff_t after; /* the end of the text */
};

static ptrdiff_t give(void *arg, void *out, size_t room)
{
    struct giving *giving = arg;
    size_t len = strlen(giving->text);

    cr_assert_leq(len, room);
    giving->calls++;
    if (len == 0)
        return giving->after;
    memcpy(out, giving->text, len);
    giving->text += len;
    return (ptrdiff_t)len;
}

static enum quorumkeep_error attach(struct quorumkeep *client, struct giving *giving,
                                    uint64_t length, char *ret_rev)
{
    const struct quorumkeep_content content = {
        .type = "x/y", .length = length, .give = give, .arg = giving};

    return quorumkeep_attachment_put(client, "db", "a", "b/c d", "1-x", &content, ret_rev);
}

Test(library, a_content_is_given_once_to_the_node_that_takes_it)
{
    struct giving giving = {.text = "hello"};
    char rev[QUORUMKEEP_REV_BYTES];
    struct quorumkeep *client;
    struct node nodes[2];

    start(&nodes[0], REPLIES(SEALED));
    start(&nodes[1], REPLIES(GO_ON, MADE));
    client = connect_to(nodes, 2);
    cr_assert_eq(attach(client, &giving, QUORUMKEEP_LENGTH_UNKNOWN, rev), QUORUMKEEP_OK, "%s",
                 quorumkeep_message(client));
    cr_assert_str_eq(rev, "1-00000000ab");
    cr_assert_eq(giving.calls, 2, "some, and the end");
    quorumkeep_free(client);
    pthread_join(nodes[0].thread, NULL);
    pthread_join(nodes[1].thread, NULL);
    cr_assert_str_eq(nodes[0].got, "PUT /db/a/b%2Fc%20d?rev=1-x HTTP/1.1\n");
    cr_assert_str_eq(nodes[1].got, "PUT /db/a/b%2Fc%20d?rev=1-x HTTP/1.1\n5\n");
}

Test(library, a_content_that_is_refused_is_not_asked_for)
{
    struct giving giving = {.text = "hello"};
    struct quorumkeep *client;
    struct node node;

    start(&node, REPLIES("409 Conflict|{\"error\":\"conflict\",\"reason\":\"no\"}"));
    client = connect_to(&node, 1);
    cr_assert_eq(attach(client, &giving, QUORUMKEEP_LENGTH_UNKNOWN, NULL), QUORUMKEEP_CONFLICT);
    cr_assert_eq(giving.calls, 0);
    quorumkeep_free(client);
    pthread_join(node.thread, NULL);
}

Test(library, a_content_whose_reply_is_lost_is_never_given_twice)
{
    struct giving giving = {.text = "hello"};
    struct quorumkeep *client;
    struct node nodes[2];

    start(&nodes[0], REPLIES(GO_ON, ""));
    start(&nodes[1], REPLIES(FOUND));
    client = connect_to(nodes, 2);
    cr_assert_eq(attach(client, &giving, QUORUMKEEP_LENGTH_UNKNOWN, NULL),
                 QUORUMKEEP_UNKNOWN_OUTCOME);
    cr_assert_eq(giving.calls, 2);
    cr_assert_eq(quorumkeep_request(client, "GET", "/", NULL, NULL), QUORUMKEEP_OK);
    quorumkeep_free(client);
    pthread_join(nodes[0].thread, NULL);
    pthread_join(nodes[1].thread, NULL);
    cr_assert_str_eq(nodes[1].got, "GET / HTTP/1.1\n");
}

/* What is short of its length, or longer, is never whole for the node. */
Test(library, a_content_that_is_not_as_announced_is_stopped)
{
    static const struct {
        uint64_t length;
        ptrdiff_t after;
    } cases[] = {{QUORUMKEEP_LENGTH_UNKNOWN, -1}, {4, 0}, {6, 0}, {6, -1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct giving giving = {.text = "hello", .after = cases[i].after};
        struct quorumkeep *client;
        struct node node;

        start(&node, REPLIES(GO_ON, MADE));
        client = connect_to(&node, 1);
        cr_assert_eq(attach(client, &giving, cases[i].length, NULL), QUORUMKEEP_STOPPED, "%zu: %s",
                     i, quorumkeep_message(client));
        quorumkeep_free(client);
        shutdown(node.fd, SHUT_RDWR);
        pthread_join(node.thread, NULL);
    }
}
