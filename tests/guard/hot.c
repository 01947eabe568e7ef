/* Ten operations that a busy node does most, for tests/guard/run, which counts their instructions
 * under callgrind. Each is done once before it is counted, so that what is made at a first use is
 * no part of it. Only the first thread's instructions count: the store's writer commits by time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/callgrind.h>

#include "../service/documents_fixture.h"
#include "access/login_token.h"
#include "http/parse.h"
#include "http/reply.h"
#include "keys/envelope.h"
#include "link/session.h"

#define TIMES 20
#define ROUNDS 3 /* the least counts: the end of a commit of the writer may fall into one */
#define PAGE 50
#define BODY_BYTES 300

static struct documents documents;
static struct secret *key;
static struct session sender, receiver;
static struct buf token;
static unsigned written_n;

static void must(bool fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "hot: %s failed\n", what);
    exit(1);
}

static void ask(enum method method, const char *target, const char *body, int status)
{
    expect(&documents, method, target, body, status, NULL);
}

static const char *body_text(void)
{
    static char text[BODY_BYTES + 1];

    if (text[0] == '\0') {
        int len = snprintf(text, sizeof text, "{\"name\":\"someone\",\"n\":12345,\"text\":\"");

        memset(text + len, 'x', (size_t)(BODY_BYTES - 2 - len));
        memcpy(text + BODY_BYTES - 2, "\"}", 3);
    }
    return text;
}

static void put(void)
{
    char target[64];

    snprintf(target, sizeof target, "/db/d%08u", written_n++);
    ask(METHOD_PUT, target, body_text(), 201);
}

static void get(void)
{
    ask(METHOD_GET, "/db/d00000001", NULL, 200);
}

static void bulk(void)
{
    struct buf body = BUF_INIT(1 * MIB);

    buf_put_str(&body, "{\"docs\":[");
    for (unsigned i = 0; i < PAGE; i++)
        buf_printf(&body, "%s%s", i == 0 ? "" : ",", body_text());
    buf_put(&body, "]}", 3);
    ask(METHOD_POST, "/db/_bulk_docs", (const char *)body.data, 201);
    buf_fini(&body);
}

static void all_docs(void)
{
    ask(METHOD_GET, "/db/_all_docs?include_docs=true&limit=50", NULL, 200);
}

static void changes(void)
{
    ask(METHOD_GET, "/db/_changes?limit=50", NULL, 200);
}

static void find(void)
{
    ask(METHOD_POST, "/db/_find",
        "{\"selector\":{\"n\":{\"$gt\":5},\"name\":\"someone\"},"
        "\"limit\":50}",
        200);
}

static void head(void)
{
    static const char REQUEST[] =
        "GET /db/d00000001?conflicts=true HTTP/1.1\r\nHost: localhost:7601\r\n"
        "User-Agent: curl/7.88.1\r\nAccept: application/json\r\nAuthorization: Bearer x\r\n\r\n";
    struct parse parse;
    struct buf out = BUF_SECRET_INIT(64 * KIB);
    struct reply_field etag = {.name = "ETag", .value = "\"1-967a00dff5e02add41819138abb3284d\""};
    size_t taken;

    parse_init(&parse);
    must(parse_feed(&parse, bytes_str(REQUEST), &taken) == PARSE_HEAD, "parsing");
    reply_write_head(&(struct reply_head){.status = 200,
                                          .content_type = "application/json",
                                          .fields = &etag,
                                          .fields_n = 1,
                                          .length = 300,
                                          .now = 1800000000},
                     &out);
    must(buf_error(&out) == QK_OK, "the head");
    buf_fini(&out);
    parse_fini(&parse);
}

static void envelope(void)
{
    static const uint8_t key_id[KEY_ID_BYTES] = {1};
    struct envelope_aad aad = {.document_id = bytes_str("d00000001"),
                               .revision = bytes_str("1-967a00dff5e02add41819138abb3284d"),
                               .record_kind = ENVELOPE_DOCUMENT};
    struct buf sealed = BUF_INIT(4 * KIB), plain = BUF_SECRET_INIT(4 * KIB);

    must(envelope_seal(key, key_id, 1, &aad, bytes_str(body_text()), &sealed) == QK_OK &&
             envelope_open(key, &aad, buf_bytes(&sealed), &plain) == QK_OK,
         "the envelope");
    buf_fini(&sealed);
    buf_fini(&plain);
}

static void token_read(void)
{
    uint8_t id[PRINCIPAL_TOKEN_BYTES], hash[HASH_BYTES];

    must(login_token_read(key, buf_bytes(&token), id, hash) == QK_OK, "the token");
}

static void frame(void)
{
    struct buf out = BUF_INIT(4 * KIB);
    struct bytes body;
    uint8_t kind;

    must(session_seal(&sender, 1, 1, BYTES_NONE, bytes_str(body_text()), &out) == QK_OK &&
             session_open(&receiver, bytes_slice(buf_bytes(&out), SESSION_LENGTH_BYTES, SIZE_MAX),
                          &kind, &body) == QK_OK,
         "the frame");
    buf_fini(&out);
}

static struct secret *session_key(uint8_t fill)
{
    uint8_t raw[NOISE_KEY_BYTES];
    struct secret *made;

    memset(raw, fill, sizeof raw);
    must(secret_new_copy(raw, sizeof raw, &made) == QK_OK, "a key");
    return made;
}

static void start(void)
{
    uint8_t id[PRINCIPAL_TOKEN_BYTES], hash[HASH_BYTES];

    token = BUF_SECRET_INIT(LOGIN_TOKEN_TEXT_BYTES);
    documents_init(&documents);
    must(secret_new_random(KEY_BYTES, &key) == QK_OK &&
             login_token_make(key, id, hash, &token) == QK_OK,
         "the keys");
    session_init(&sender, session_key(1), session_key(2), 1);
    session_init(&receiver, session_key(2), session_key(1), 1);
    ask(METHOD_PUT, "/db", NULL, 201);
    for (unsigned i = 0; i < PAGE; i++)
        put();
}

static void finish(void)
{
    session_fini(&sender);
    session_fini(&receiver);
    secret_free(key);
    buf_fini(&token);
    documents_fini(&documents);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*act)(void);
    } OPERATIONS[] = {
        {"put", put},
        {"get", get},
        {"bulk_docs of 50", bulk},
        {"all_docs of 50", all_docs},
        {"changes of 50", changes},
        {"find of 50", find},
        {"http head", head},
        {"envelope", envelope},
        {"token", token_read},
        {"link frame", frame},
    };

    start();
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof OPERATIONS[0]; i++) {
        OPERATIONS[i].act();
        for (unsigned round = 0; round < ROUNDS; round++) {
            CALLGRIND_START_INSTRUMENTATION;
            CALLGRIND_ZERO_STATS;
            for (unsigned n = 0; n < TIMES; n++)
                OPERATIONS[i].act();
            CALLGRIND_DUMP_STATS_AT(OPERATIONS[i].name);
            CALLGRIND_STOP_INSTRUMENTATION;
        }
    }
    finish();
    return 0;
}
