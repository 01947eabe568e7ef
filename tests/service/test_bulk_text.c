/* The body of _bulk_docs by the walk and by a tree: whatever the walk takes is what the tree makes
 * of it, what is ordinary it does take, and the words for what is wrong are the tree's. A body with
 * a member that the walk does not know goes to the tree, so that each body has its twin. */
#include "service/documents/bulk_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* In each body: with it a tree has some 60 more allocations than the walk. */
#define MANY                                                                                       \
    "\"v\":[10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,"  \
    "38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64,65,66,67]"
#define MANY_N 50
#define TWIN "{\"no such member\":0,"
#define HASH "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static size_t blocks_n;
static json_malloc_t json_malloc;
static json_free_t json_free;

static void *count_block(size_t len)
{
    blocks_n++;
    return json_malloc(len);
}

/* Returns the number of blocks of trees that it took. */
static size_t parse(struct bytes body, struct bulk_text *text, enum qk_err *ret_err,
                    struct doc_problem *problem)
{
    json_get_alloc_funcs(&json_malloc, &json_free);
    json_set_alloc_funcs(count_block, json_free);
    blocks_n = 0;
    *problem = (struct doc_problem){0};
    *ret_err = bulk_text_parse(body, text, problem);
    json_set_alloc_funcs(json_malloc, json_free);
    return blocks_n;
}

static void same_buf(const struct buf *a, const struct buf *b)
{
    cr_assert(bytes_equal(buf_bytes(a), buf_bytes(b)), "%.*s and %.*s", (int)a->len,
              a->len == 0 ? "" : (const char *)a->data, (int)b->len,
              b->len == 0 ? "" : (const char *)b->data);
}

static void same_document(const struct document *a, const struct document *b)
{
    same_buf(&a->id, &b->id);
    same_buf(&a->revisions, &b->revisions);
    same_buf(&a->key_name, &b->key_name);
    same_buf(&a->plain, &b->plain);
    cr_assert_eq(a->has_revision, b->has_revision);
    cr_assert_eq(a->revision_is_foreign, b->revision_is_foreign);
    cr_assert(revision_equal(&a->revision, &b->revision));
    cr_assert_eq(a->local_revision, b->local_revision);
    cr_assert_eq(a->deleted, b->deleted);
    cr_assert_eq(a->attachments.n, b->attachments.n);
    for (unsigned i = 0; i < a->attachments.n; i++) {
        same_buf(&a->attachments.items[i].name, &b->attachments.items[i].name);
        same_buf(&a->attachments.items[i].data, &b->attachments.items[i].data);
    }
}

/* Of a body that begins with '{' and has a member: true if it was taken without a tree. */
static bool agrees(struct bytes body, enum qk_err *ret_err)
{
    struct buf twin = BUF_INIT(64 * MIB);
    struct doc_problem problem, twin_problem;
    struct bulk_text text, twin_text;
    enum qk_err twin_err;
    size_t taken, by_tree;

    buf_put_str(&twin, TWIN);
    buf_put_bytes(&twin, bytes_slice(body, 1, SIZE_MAX));
    taken = parse(body, &text, ret_err, &problem);
    by_tree = parse(buf_bytes(&twin), &twin_text, &twin_err, &twin_problem);
    cr_assert_eq(*ret_err, twin_err, "%.*s", (int)body.len, (const char *)body.data);
    cr_assert_eq(problem.status, twin_problem.status);
    cr_assert_str_eq(problem.error == NULL ? "" : problem.error,
                     twin_problem.error == NULL ? "" : twin_problem.error);
    if (*ret_err == QK_OK) {
        cr_assert_eq(text.replicated, twin_text.replicated);
        cr_assert_eq(text.n, twin_text.n);
        for (size_t i = 0; i < text.n; i++)
            same_document(&text.documents[i], &twin_text.documents[i]);
    }
    bulk_text_fini(&text);
    bulk_text_fini(&twin_text);
    buf_fini(&twin);
    return *ret_err == QK_OK && taken + MANY_N < by_tree;
}

struct row {
    const char *body;
    bool taken;
};

static const struct row rows[] = {
    {"{\"docs\":[{" MANY "}]}", true},
    {"{ \"docs\" :\n[ { " MANY " } , {} ]\t}\r\n ", true},
    {"{\"docs\":[{\"_id\":\"a\"," MANY "},{\"_id\":\"b\",\"_rev\":\"1-" HASH "\",\"_deleted\":"
     "true},{\"_key_id\":\"k\",\"n\":{\"m\":[{}]}}]}",
     true},
    {"{\"docs\":[{\"_id\":\"\\u0061\\u00e4\",\"t\":\"\\\"\\\\\xc3\xa4\"," MANY "}]}", true},
    {"{\"new_edits\":true,\"docs\":[{" MANY "}]}", true},
    {"{\"docs\":[{\"_id\":\"a\",\"_rev\":\"2-" HASH
     "\",\"_revisions\":{\"start\":2,\"ids\":[\"" HASH
     "\",\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"]}," MANY "}],\"new_edits\":false}",
     true},
    {"{\"docs\":[{\"_id\":\"_local/a\",\"_rev\":\"0-3\"," MANY "}],\"new_edits\":false}", true},
    /* Rare: a tree it is. */
    {"{\"docs\":[{\"_attachments\":{\"a\":{\"data\":\"AAEC\"}}," MANY "}]}", false},
    {"{\"docs\":[{\"n\":9223372036854775807," MANY "}]}", false},
    {"{\"docs\":[{\"n\":0.1234567890123456," MANY "}]}", false},
    {"{\"docs\":[{\"t\":\"\\u0000\"," MANY "}]}", false},
    {"{\"docs\":[{" MANY "}],\"all_or_nothing\":false}", false},
    {"{\"docs\":[{" MANY "}],\"w\":3}", false},
};

Test(bulk_text, what_is_ordinary_is_taken_as_text_and_the_rest_is_handed_on)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        enum qk_err err;
        bool taken = agrees(bytes_str(rows[i].body), &err);

        cr_assert_eq(err, QK_OK, "%s", rows[i].body);
        cr_assert_eq(taken, rows[i].taken, "%s", rows[i].body);
    }
}

struct wrong {
    const char *body;
    int status;
    const char *error;
};

Test(bulk_text, what_is_wrong_has_one_source_of_words)
{
    static const struct wrong wrongs[] = {
        {"{\"docs\":1}", 400, "bad_request"},
        {"{\"new_edits\":false}", 400, "bad_request"},
        {"{\"docs\":[],\"new_edits\":1}", 400, "bad_request"},
        {"{\"docs\":[],\"all_or_nothing\":true}", 417, "not_implemented"},
        {"{\"docs\":[1]}", 400, "bad_request"},
        {"{\"docs\":[{},]}", 400, "bad_request"},
        {"{\"docs\":[]}{}", 400, "bad_request"},
        {"{\"docs\":[],\"docs\":[]}", 400, "bad_request"},
        {"{\"docs\":[{\"a\":1,\"a\":2}]}", 400, "bad_request"},
        {"{\"docs\":[{\"_id\":1}]}", 400, "illegal_docid"},
        {"{\"docs\":[{\"_x\":1}]}", 400, "doc_validation"},
        {"{\"docs\":[{\"_id\":\"a\",\"_rev\":\"x\"}]}", 400, "bad_request"},
        {"{\"docs\":[{\"_id\":\"a\"}],\"new_edits\":false}", 400, "bad_request"},
        {"{\"docs\":[{\"_attachments\":{\"a\":{\"follows\":true}}}]}", 400, "bad_request"},
    };

    for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
        struct doc_problem problem = {0};
        struct bulk_text text;
        enum qk_err err;

        (void)agrees(bytes_str(wrongs[i].body), &err);
        cr_assert_eq(err, QK_ERR_INVALID, "%s", wrongs[i].body);
        cr_assert_eq(bulk_text_parse(bytes_str(wrongs[i].body), &text, &problem), QK_ERR_INVALID);
        bulk_text_fini(&text);
        cr_assert_eq(problem.status, wrongs[i].status, "%s: %d %s", wrongs[i].body, problem.status,
                     problem.reason);
        cr_assert_str_eq(problem.error, wrongs[i].error, "%s: %s", wrongs[i].body, problem.error);
    }
}

/* The brace at the beginning stays: it is where the twin has its member. */
Test(bulk_text, cut_anywhere_or_with_any_bit_flipped_both_say_the_same)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t len = strlen(rows[i].body);
        char *body = strdup(rows[i].body);
        enum qk_err err;

        cr_assert_not_null(body);
        for (size_t cut = 1; cut < len; cut++) {
            (void)agrees(bytes_of((const uint8_t *)body, cut), &err);
            cr_assert(err == QK_ERR_INVALID || strspn(body + cut, " \r\n\t") == len - cut, "%.*s",
                      (int)cut, body);
        }
        for (size_t at = 1; at < len; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                body[at] = (char)(body[at] ^ (1 << bit));
                (void)agrees(bytes_of((const uint8_t *)body, len), &err);
                body[at] = (char)(body[at] ^ (1 << bit));
            }
        free(body);
    }
}

static void put_times(struct buf *out, const char *text, size_t times)
{
    while (times-- > 0)
        buf_put_str(out, text);
}

Test(bulk_text, at_each_limit_both_say_the_same)
{
    static const struct {
        const char *head, *repeated;
        size_t fits;
        const char *end;
    } limits[] = {
        {"{\"docs\":[{}", ",{}", BULK_DOCS_MAX - 1, "]}"},
        {"{\"docs\":[{\"t\":\"", "0123456789abcdef", DOC_BYTES_MAX / 16 - 1, "\"}]}"},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
        for (size_t more = 0; more < 2; more++) {
            struct buf body = BUF_INIT(64 * MIB);
            enum qk_err err;

            buf_put_str(&body, limits[i].head);
            put_times(&body, limits[i].repeated, limits[i].fits + more);
            buf_put_str(&body, limits[i].end);
            cr_assert_eq(buf_error(&body), QK_OK);
            (void)agrees(buf_bytes(&body), &err);
            cr_assert_eq(err, more == 0 ? QK_OK : QK_ERR_INVALID, "%zu: %s", i, qk_err_text(err));
            buf_fini(&body);
        }
}

Test(bulk_text, bodies_nest_as_deep_as_documents_alone)
{
    for (size_t more = 0; more < 2; more++) {
        struct buf body = BUF_INIT(64 * KIB);
        enum qk_err err;

        buf_put_str(&body, "{\"docs\":[{\"a\":");
        put_times(&body, "[", JSON_DEPTH_MAX - 1 + more);
        put_times(&body, "]", JSON_DEPTH_MAX - 1 + more);
        buf_put_str(&body, "}]}");
        (void)agrees(buf_bytes(&body), &err);
        cr_assert_eq(err, more == 0 ? QK_OK : QK_ERR_INVALID);
        buf_fini(&body);
    }
}
