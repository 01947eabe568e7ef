#include "cli/load_documents.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define PATH_BYTES_MAX 1024

const char *const load_kind_names[LOAD_KINDS_N + 1] = {"put",     "get",  "local", "bulk", "scan",
                                                       "changes", "find", "mix",   NULL};

static void put_id(struct load_documents *documents, uint64_t i)
{
    char key[LOAD_KEY_BYTES];

    load_key(i, key);
    buf_printf(&documents->path, "/%s", key);
}

static uint64_t ask_put(struct load_documents *documents, struct buf *out)
{
    put_id(documents, documents->next++);
    load_http_put(out, "PUT", buf_bytes(&documents->path), documents->authorization,
                  buf_bytes(&documents->value));
    return 1;
}

static uint64_t ask_get(struct load_documents *documents, struct buf *out)
{
    put_id(documents, load_scatter(documents->turn) % documents->docs);
    if (documents->kind == LOAD_LOCAL)
        buf_put_str(&documents->path, "?consistency=local");
    load_http_put(out, "GET", buf_bytes(&documents->path), documents->authorization, BYTES_NONE);
    return 1;
}

/* {"docs":[{"_id":"...","v":"..."},...]}: the value without its first brace follows the id. */
static uint64_t ask_bulk(struct load_documents *documents, struct buf *out)
{
    struct bytes rest = bytes_slice(buf_bytes(&documents->value), 1, documents->value.len);

    buf_put_str(&documents->path, "/_bulk_docs");
    buf_put_str(&documents->body, "{\"docs\":[");
    for (uint64_t i = 0; i < documents->batch; i++) {
        char key[LOAD_KEY_BYTES];

        load_key(documents->next++, key);
        buf_printf(&documents->body, "%s{\"_id\":\"%s\",", i == 0 ? "" : ",", key);
        buf_put_bytes(&documents->body, rest);
    }
    buf_put_str(&documents->body, "]}");
    load_http_put(out, "POST", buf_bytes(&documents->path), documents->authorization,
                  buf_bytes(&documents->body));
    return documents->batch;
}

/* A page from anywhere; where the pages end sooner, it begins so far from the end that it is full
 * but for chance, since keys are spread evenly. */
static uint64_t ask_scan(struct load_documents *documents, struct buf *out)
{
    uint64_t batch = documents->batch < documents->docs ? documents->batch : documents->docs;
    double room = 1.0 - (double)batch / (double)documents->docs;
    uint64_t from = (uint64_t)((double)(load_scatter(documents->turn) >> 1) * 2.0 * room * 0.98);

    buf_printf(&documents->path, "/_all_docs?include_docs=true&limit=%" PRIu64, batch);
    buf_printf(&documents->path, "&startkey=%%22%016" PRIx64 "%%22",
               batch == documents->docs ? 0 : from);
    load_http_put(out, "GET", buf_bytes(&documents->path), documents->authorization, BYTES_NONE);
    return batch;
}

static uint64_t ask_changes(struct load_documents *documents, struct buf *out)
{
    buf_put_str(&documents->path, "/_changes?include_docs=true");
    load_http_put(out, "GET", buf_bytes(&documents->path), documents->authorization, BYTES_NONE);
    return documents->docs;
}

static uint64_t ask_find(struct load_documents *documents, struct buf *out)
{
    buf_put_str(&documents->path, "/_find");
    buf_put_str(&documents->body, "{\"selector\":{\"absent\":1},\"limit\":1}");
    load_http_put(out, "POST", buf_bytes(&documents->path), documents->authorization,
                  buf_bytes(&documents->body));
    return documents->docs;
}

static uint64_t build(struct load_http *http, struct buf *out)
{
    struct load_documents *documents = (struct load_documents *)http;

    buf_reset(&documents->path);
    buf_reset(&documents->body);
    buf_printf(&documents->path, "/%s", documents->database);
    documents->turn++;
    switch (documents->kind) {
    case LOAD_PUT:
        return ask_put(documents, out);
    case LOAD_GET:
    case LOAD_LOCAL:
        return ask_get(documents, out);
    case LOAD_BULK:
        return ask_bulk(documents, out);
    case LOAD_SCAN:
        return ask_scan(documents, out);
    case LOAD_CHANGES:
        return ask_changes(documents, out);
    case LOAD_FIND:
        return ask_find(documents, out);
    case LOAD_MIX:
        return documents->turn % 10 == 0 ? ask_put(documents, out) : ask_get(documents, out);
    case LOAD_KINDS_N:
        break;
    }
    assert(false);
    return 0;
}

enum qk_err load_documents_init(struct load_documents *documents, enum load_kind kind,
                                const char *database, size_t size)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

    *documents = (struct load_documents){.http = {.build = build},
                                         .kind = kind,
                                         .database = database,
                                         .value = BUF_INIT(DOC_BYTES_MAX),
                                         .path = BUF_INIT(PATH_BYTES_MAX),
                                         .body = BUF_INIT(HTTP_BODY_BYTES_MAX)};
    /* Text that no compression makes smaller than three quarters. */
    buf_put_str(&documents->value, "{\"v\":\"");
    for (size_t i = 0; i + 8 < size; i++)
        buf_put_u8(&documents->value, (uint8_t)digits[load_scatter(i) % 64]);
    buf_put_str(&documents->value, "\"}");
    return buf_error(&documents->value);
}

void load_documents_fini(struct load_documents *documents)
{
    buf_fini(&documents->value);
    buf_fini(&documents->path);
    buf_fini(&documents->body);
}
