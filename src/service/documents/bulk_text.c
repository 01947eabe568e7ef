/* The walk (doc/json_walk.h) takes the usual body in one go, a document at a time. Whatever it does
 * not take, and whatever is wrong, is read again as a tree, which finds the words for it: so an
 * error costs twice and has one source. */
#include "service/documents/bulk_text.h"

#include <stdlib.h>

#include "doc/json_walk.h"
#include "service/documents/local.h"
#include "service/documents/put_parts.h"

#define DOCUMENTS_FIRST 16
#define DOCUMENT_BYTES_USUAL 500
#define NAME_BYTES_MAX 32 /* of the members that a body has, with quotes */

static struct document *document_add(struct bulk_text *text)
{
    if (text->n == text->cap) {
        size_t cap = text->cap == 0 ? DOCUMENTS_FIRST : text->cap * 2;
        struct document *documents = reallocarray(text->documents, cap, sizeof(*documents));

        if (documents == NULL)
            return NULL;
        text->documents = documents;
        text->cap = cap;
    }
    document_init(&text->documents[text->n]);
    return &text->documents[text->n++];
}

void bulk_text_fini(struct bulk_text *text)
{
    for (size_t i = 0; i < text->n; i++)
        document_fini(&text->documents[i]);
    free(text->documents);
    *text = (struct bulk_text){0};
}

/* A _local document has no tree of revisions that one could be brought into. */
static enum qk_err check_replicated(const struct document *document, struct doc_problem *problem)
{
    return local_is_id(buf_bytes(&document->id)) ? QK_OK
                                                 : document_check_replicated(document, problem);
}

/* --- by the walk --- */

static bool walk_document(struct json_walk *walk, struct bulk_text *text)
{
    struct document *document = text->n == BULK_DOCS_MAX ? NULL : document_add(text);
    struct doc_problem ignored;
    enum qk_err err;

    return document != NULL && document_reserve(document, DOCUMENT_BYTES_USUAL) &&
           document_walk(walk, document, &err, &ignored) && err == QK_OK;
}

static bool walk_documents(struct json_walk *walk, struct bulk_text *text)
{
    if (!json_walk_byte(walk, '['))
        return false;
    if (json_walk_byte(walk, ']'))
        return true;
    do {
        if (!walk_document(walk, text))
            return false;
    } while (json_walk_byte(walk, ','));
    return json_walk_byte(walk, ']');
}

static bool walk_new_edits(struct json_walk *walk, struct bulk_text *text)
{
    struct buf word = BUF_INIT(NAME_BYTES_MAX);
    bool taken = json_walk_value(walk, 0, &word);

    text->replicated = bytes_equal(buf_bytes(&word), bytes_str("false"));
    taken = taken && (text->replicated || bytes_equal(buf_bytes(&word), bytes_str("true")));
    buf_fini(&word);
    return taken;
}

static bool walk_members(struct json_walk *walk, struct bulk_text *text)
{
    struct buf name = BUF_INIT(NAME_BYTES_MAX);
    bool has_docs = false, has_new_edits = false, taken;

    do {
        buf_reset(&name);
        taken = json_walk_string(walk, &name) && json_walk_byte(walk, ':');
        if (taken && !has_docs && bytes_equal(buf_bytes(&name), bytes_str("\"docs\"")))
            taken = has_docs = walk_documents(walk, text);
        else if (taken && !has_new_edits &&
                 bytes_equal(buf_bytes(&name), bytes_str("\"new_edits\"")))
            taken = has_new_edits = walk_new_edits(walk, text);
        else
            taken = false;
    } while (taken && json_walk_byte(walk, ','));
    buf_fini(&name);
    return taken && has_docs;
}

static bool walk_body(struct bytes body, struct bulk_text *text)
{
    struct json_walk walk = JSON_WALK(body);
    struct doc_problem ignored;

    if (!json_walk_byte(&walk, '{') || !walk_members(&walk, text) || !json_walk_byte(&walk, '}') ||
        !json_walk_end(&walk))
        return false;
    for (size_t i = 0; text->replicated && i < text->n; i++) {
        if (check_replicated(&text->documents[i], &ignored) != QK_OK)
            return false;
    }
    return true;
}

/* --- by a tree --- */

static enum qk_err body_check(const json_t *body, json_t **ret_docs, bool *ret_replicated,
                              struct doc_problem *problem)
{
    const json_t *new_edits = json_object_get(body, "new_edits");

    if (!json_is_object(body))
        return doc_problem_set(problem, 400, "bad_request", "Request body must be a JSON object");
    *ret_docs = json_object_get(body, "docs");
    if (*ret_docs == NULL)
        return doc_problem_set(problem, 400, "bad_request",
                               "POST body must include `docs` parameter.");
    if (!json_is_array(*ret_docs))
        return doc_problem_set(problem, 400, "bad_request", "`docs` parameter must be an array.");
    if (new_edits != NULL && !json_is_boolean(new_edits))
        return doc_problem_set(problem, 400, "bad_request",
                               "`new_edits` parameter must be a boolean.");
    *ret_replicated = json_is_false(new_edits);
    /* Who asks for it relies on it: CouchDB's refusal, once for all. */
    if (json_is_true(json_object_get(body, "all_or_nothing")))
        return doc_problem_set(problem, 417, "not_implemented", "all_or_nothing is not supported");
    if (json_array_size(*ret_docs) > BULK_DOCS_MAX)
        return doc_problem_set(problem, 413, "too_large",
                               "at most %d documents fit one _bulk_docs request", BULK_DOCS_MAX);
    return QK_OK;
}

static enum qk_err document_parse(struct bulk_text *text, json_t *json, struct doc_problem *problem)
{
    struct document *document = document_add(text);
    enum qk_err err;

    if (document == NULL)
        return QK_ERR_NOMEM;
    err = put_document_from_json(json, document, problem);
    if (err == QK_OK && text->replicated)
        err = check_replicated(document, problem);
    if (err == QK_ERR_TOO_BIG)
        return doc_problem_set(problem, 413, "document_too_large", "%.*s", (int)document->id.len,
                               (const char *)document->id.data);
    return err;
}

static enum qk_err tree_parse(struct bytes body, struct bulk_text *text,
                              struct doc_problem *problem)
{
    json_t *tree = NULL, *docs = NULL;
    enum qk_err err;

    /* An array in an object around each document: two levels more. */
    err = json_parse(body, JSON_DEPTH_MAX + 2, problem, &tree);
    if (err == QK_OK)
        err = body_check(tree, &docs, &text->replicated, problem);
    for (size_t i = 0; err == QK_OK && i < json_array_size(docs); i++)
        err = document_parse(text, json_array_get(docs, i), problem);
    json_decref(tree);
    return err;
}

enum qk_err bulk_text_parse(struct bytes body, struct bulk_text *ret_text,
                            struct doc_problem *ret_problem)
{
    *ret_text = (struct bulk_text){0};
    if (walk_body(body, ret_text))
        return QK_OK;
    bulk_text_fini(ret_text);
    return tree_parse(body, ret_text, ret_problem);
}
