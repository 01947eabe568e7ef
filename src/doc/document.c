#include "doc/document.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/encode.h"
#include "doc/document_private.h"
#include "secret/secret.h"

#define KEY_NAME_TEXT_BYTES_MAX 256

/* --- from JSON --- */

static enum qk_err take_id(struct document *document, const json_t *value,
                           struct doc_problem *problem)
{
    struct bytes id = json_bytes(value);

    if (!json_is_string(value))
        return doc_problem_set(problem, 400, "illegal_docid", "Document id must be a string");
    if (id.len == 0)
        return doc_problem_set(problem, 400, "illegal_docid", "Document id must not be empty");
    if (id.len > DOC_ID_BYTES_MAX)
        return doc_problem_set(problem, 400, "illegal_docid",
                               "Document id is too long: at most %d bytes", DOC_ID_BYTES_MAX);
    buf_put_bytes(&document->id, id);
    return buf_error(&document->id);
}

static enum qk_err take_revision(struct document *document, const json_t *value,
                                 struct doc_problem *problem)
{
    enum qk_err err = QK_ERR_INVALID;

    if (json_is_string(value))
        err = revision_parse(json_bytes(value), &document->revision);
    if (err == QK_ERR_INVALID)
        return doc_problem_set(problem, 400, "bad_request", "Invalid rev format");
    document->has_revision = true;
    document->revision_is_foreign = err == QK_ERR_NOT_FOUND;
    revision_parse_local(json_bytes(value), &document->local_revision);
    return QK_OK;
}

/* CouchDB's: the path of the revision, itself first; what `_rev` says beside it does not count. */
static enum qk_err take_revisions(struct document *document, const json_t *value,
                                  struct doc_problem *problem)
{
    const json_t *start = json_object_get(value, "start"), *ids = json_object_get(value, "ids");
    size_t n = json_array_size(ids), i;
    uint8_t hash[REVISION_HASH_BYTES];

    if (!json_is_integer(start))
        return doc_problem_set(problem, 400, "doc_validation",
                               "_revisions.start isn't an integer.");
    if (!json_is_array(ids))
        return doc_problem_set(problem, 400, "doc_validation", "_revisions.ids isn't a array.");
    if (json_integer_value(start) == 0) { /* of a _local document, or of nothing */
        document->has_revision = document->revision_is_foreign = true;
        return QK_OK;
    }
    if (n == 0 || json_integer_value(start) < (json_int_t)n ||
        json_integer_value(start) > UINT32_MAX)
        return doc_problem_set(problem, 400, "doc_validation",
                               "_revisions.start is less than the revisions named.");
    document->has_revision = true;
    document->revision_is_foreign = false;
    document->revision.generation = (uint32_t)json_integer_value(start);
    for (i = 0; i < n; i++) {
        const json_t *id = json_array_get(ids, i);

        if (!json_is_string(id))
            return doc_problem_set(problem, 400, "doc_validation", "RevId isn't a string");
        if (revision_hash_parse(json_bytes(id), hash) != QK_OK)
            document->revision_is_foreign = true;
        else if (i == 0)
            memcpy(document->revision.hash, hash, sizeof(hash));
        else if (i <= DOC_RECORD_PATH_MAX) /* no database keeps more */
            buf_put(&document->revisions, hash, sizeof(hash));
    }
    return buf_error(&document->revisions);
}

enum qk_err document_check_replicated(const struct document *document,
                                      struct doc_problem *ret_problem)
{
    if (!document->has_revision)
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "When `new_edits: false`, the document needs `_rev` or `_revisions` "
                               "specified");
    if (document->revision_is_foreign)
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "Invalid rev format: behind the number of a revision there must be "
                               "32 hexadecimal digits, or a text of at most %d printable "
                               "characters",
                               REVISION_WORD_BYTES_MAX);
    return QK_OK;
}

static enum qk_err take_deleted(struct document *document, const json_t *value,
                                struct doc_problem *problem)
{
    if (!json_is_boolean(value))
        return doc_problem_set(problem, 400, "doc_validation",
                               "Bad special document member: _deleted");
    document->deleted = json_is_true(value);
    return QK_OK;
}

static enum qk_err take_attachments(struct document *document, const json_t *value,
                                    struct doc_problem *problem)
{
    return attachment_wishes_from_json(value, &document->attachments, problem);
}

static enum qk_err take_key(struct document *document, const json_t *value,
                            struct doc_problem *problem)
{
    struct bytes name = json_bytes(value);

    if (name.len == 0 || name.len > KEY_NAME_TEXT_BYTES_MAX)
        return doc_problem_set(problem, 400, "bad_request", "_key_id must be a key's name");
    buf_put_bytes(&document->key_name, name);
    return buf_error(&document->key_name);
}

/* Members that CouchDB adds to its replies, so that a client may send back what it got. */
static enum qk_err take_nothing(struct document *document, const json_t *value,
                                struct doc_problem *problem)
{
    (void)document;
    (void)value;
    (void)problem;
    return QK_OK;
}

static const struct {
    const char *name;
    enum qk_err (*take)(struct document *document, const json_t *value,
                        struct doc_problem *problem);
} specials[] = {
    {"_id", take_id},
    {"_rev", take_revision},
    {"_revisions", take_revisions},
    {"_deleted", take_deleted},
    {"_attachments", take_attachments},
    {"_key_id", take_key},
    {"_revs_info", take_nothing},
    {"_conflicts", take_nothing},
    {"_deleted_conflicts", take_nothing},
    {"_local_seq", take_nothing},
};

bool document_special_is_known(struct bytes name)
{
    for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
        if (bytes_equal(name, bytes_str(specials[i].name)))
            return true;
    }
    return false;
}

enum qk_err document_take_specials(struct document *document, json_t *object,
                                   struct doc_problem *problem)
{
    enum qk_err err = QK_OK;
    size_t i;

    for (i = 0; err == QK_OK && i < sizeof(specials) / sizeof(specials[0]); i++) {
        const json_t *value = json_object_get(object, specials[i].name);

        if (value == NULL)
            continue;
        err = specials[i].take(document, value, problem);
        if (err == QK_OK)
            json_object_del(object, specials[i].name);
    }
    return err;
}

/* What a replicator notes in a document: kept as any other member, as CouchDB does. */
static bool is_replication_note(const char *name)
{
    static const char *const NOTES[] = {"_replication_id", "_replication_state",
                                        "_replication_state_time", "_replication_state_reason",
                                        "_replication_stats"};

    for (size_t i = 0; i < sizeof(NOTES) / sizeof(NOTES[0]); i++) {
        if (strcmp(name, NOTES[i]) == 0)
            return true;
    }
    return false;
}

static enum qk_err refuse_specials(json_t *object, struct doc_problem *problem)
{
    void *member;

    for (member = json_object_iter(object); member != NULL;
         member = json_object_iter_next(object, member)) {
        const char *name = json_object_iter_key(member);

        if (name[0] == '_' && !is_replication_note(name))
            return doc_problem_set(problem, 400, "doc_validation",
                                   "Bad special document member: %s", name);
    }
    return QK_OK;
}

void document_init(struct document *document)
{
    *document = (struct document){
        .id = BUF_INIT(DOC_ID_BYTES_MAX),
        .revisions = BUF_INIT((size_t)DOC_RECORD_PATH_MAX * REVISION_HASH_BYTES),
        .key_name = BUF_INIT(KEY_NAME_TEXT_BYTES_MAX),
        .plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX),
    };
}

static void put_plain_head(struct bytes attachments, struct buf *plain)
{
    buf_put_u8(plain, DOCUMENT_PLAIN_FORMAT);
    buf_put_blob(plain, attachments);
}

void document_plain_put_with(struct bytes attachments, struct bytes body, struct buf *out)
{
    put_plain_head(attachments, out);
    buf_put_bytes(out, body);
}

void document_plain_put(struct bytes body, struct buf *out)
{
    document_plain_put_with(BYTES_NONE, body, out);
}

enum qk_err document_from_json(json_t *object, struct document *ret_document,
                               struct doc_problem *ret_problem)
{
    struct buf *plain = &ret_document->plain;
    enum qk_err err;
    size_t head;

    assert(object != NULL && ret_document != NULL && ret_problem != NULL);

    document_init(ret_document);
    if (!json_is_object(object))
        return doc_problem_set(ret_problem, 400, "bad_request", "Document must be a JSON object");
    err = document_take_specials(ret_document, object, ret_problem);
    if (err == QK_OK)
        err = refuse_specials(object, ret_problem);
    if (err != QK_OK)
        return err;
    put_plain_head(BYTES_NONE, plain);
    head = plain->len;
    err = json_write(object, plain);
    if (err == QK_OK && plain->len - head > DOC_BYTES_MAX)
        err = QK_ERR_TOO_BIG;
    return err;
}

enum qk_err document_tombstone(struct document *ret_document)
{
    assert(ret_document != NULL);

    document_init(ret_document);
    ret_document->deleted = true;
    document_plain_put(bytes_str("{}"), &ret_document->plain);
    return buf_error(&ret_document->plain);
}

void document_fini(struct document *document)
{
    buf_fini(&document->id);
    buf_fini(&document->revisions);
    buf_fini(&document->key_name);
    buf_fini(&document->plain);
    attachment_wishes_fini(&document->attachments);
}

/* --- to JSON --- */

enum qk_err document_plain_open(struct bytes plain, struct document_parts *ret_parts)
{
    struct attachments list;
    struct reader in = reader_of(plain);
    uint8_t format = reader_u8(&in);
    struct bytes attachments = reader_blob(&in, plain.len);
    struct bytes body = reader_rest(&in);

    assert(ret_parts != NULL);

    if (reader_error(&in) != QK_OK || format != DOCUMENT_PLAIN_FORMAT ||
        attachments_open(attachments, &list) != QK_OK)
        return QK_ERR_CORRUPT;
    if (body.len < 2 || body.data[0] != '{' || body.data[body.len - 1] != '}')
        return QK_ERR_CORRUPT;
    *ret_parts = (struct document_parts){attachments, body};
    return QK_OK;
}

/* One entry of a path as revision `generation`-hash, quoted. */
static void put_revision(uint32_t generation, const uint8_t *hash, struct buf *out)
{
    struct revision revision = {generation, {0}};
    char text[REVISION_TEXT_BYTES_MAX + 1];

    memcpy(revision.hash, hash, REVISION_HASH_BYTES);
    revision_format(&revision, text);
    buf_put_u8(out, '"');
    buf_put_str(out, text);
    buf_put_u8(out, '"');
}

static void put_revisions(const struct doc_leaf *leaf, struct buf *out)
{
    char hash[REVISION_HASH_TEXT_BYTES + 1];
    size_t at;

    revision_hash_format(leaf->revision.hash, hash);
    buf_printf(out, ",\"_revisions\":{\"start\":%u,\"ids\":[\"%s\"", leaf->revision.generation,
               hash);
    for (at = 0; at < leaf->path.len; at += REVISION_HASH_BYTES) {
        revision_hash_format(leaf->path.data + at, hash);
        buf_printf(out, ",\"%s\"", hash);
    }
    buf_put_str(out, "]}");
}

static void put_revs_info(const struct doc_leaf *leaf, struct buf *out)
{
    uint32_t generation = leaf->revision.generation;
    size_t at;

    buf_put_str(out, ",\"_revs_info\":[{\"rev\":");
    put_revision(generation, leaf->revision.hash, out);
    buf_printf(out, ",\"status\":\"%s\"}", leaf->deleted ? "deleted" : "available");
    for (at = 0; at < leaf->path.len; at += REVISION_HASH_BYTES) {
        buf_put_str(out, ",{\"rev\":");
        put_revision(--generation, leaf->path.data + at, out);
        buf_put_str(out, ",\"status\":\"missing\"}");
    }
    buf_put_str(out, "]");
}

/* The leaves beside the one that is shown. */
static void put_conflicts(const struct document_options *options, const struct doc_leaf *shown,
                          bool deleted, const char *member, struct buf *out)
{
    const struct doc_record *record = options->record;
    unsigned i, n = 0;

    for (i = 0; i < record->leaves_n; i++) {
        const struct doc_leaf *leaf = &record->leaves[i];

        if (leaf->deleted != deleted || leaf == shown)
            continue;
        if (options->conflicts_of_key && memcmp(leaf->key_id, shown->key_id, DOC_KEY_ID_BYTES) != 0)
            continue;
        if (n++ == 0)
            buf_printf(out, ",\"%s\":[", member);
        else
            buf_put_u8(out, ',');
        put_revision(leaf->revision.generation, leaf->revision.hash, out);
    }
    if (n > 0)
        buf_put_u8(out, ']');
}

void document_write_attachment(const struct attachment *attachment, struct buf *out)
{
    char digest[ATTACHMENT_DIGEST_TEXT_BYTES + 1];

    attachment_digest_format(attachment->md5, digest);
    json_write_string(attachment->name, out);
    buf_put_str(out, ":{\"content_type\":");
    json_write_string(attachment->content_type, out);
    buf_printf(out, ",\"revpos\":%" PRIu32 ",\"digest\":\"%s\"", attachment->revpos, digest);
}

static void put_stubs(struct bytes section, struct buf *out)
{
    struct attachments list;
    struct attachment one;
    const char *before = ",\"_attachments\":{";

    if (attachments_open(section, &list) != QK_OK)
        return; /* cannot be: it was opened before */
    for (; attachments_next(&list, &one); before = ",") {
        buf_put_str(out, before);
        document_write_attachment(&one, out);
        buf_printf(out, ",\"length\":%" PRIu64 ",\"stub\":true}", one.length);
    }
    if (section.len > 0)
        buf_put_u8(out, '}');
}

void document_write_head(struct bytes id, const struct doc_leaf *leaf,
                         const struct document_options *options, struct buf *out)
{
    assert(!(options->conflicts || options->deleted_conflicts) || options->record != NULL);

    buf_put_str(out, "{\"_id\":");
    json_write_string(id, out);
    buf_put_str(out, ",\"_rev\":");
    put_revision(leaf->revision.generation, leaf->revision.hash, out);
    if (leaf->deleted)
        buf_put_str(out, ",\"_deleted\":true");
    if (options->revs)
        put_revisions(leaf, out);
    if (options->revs_info)
        put_revs_info(leaf, out);
    if (options->conflicts)
        put_conflicts(options, leaf, false, "_conflicts", out);
    if (options->deleted_conflicts)
        put_conflicts(options, leaf, true, "_deleted_conflicts", out);
    if (options->local_seq != NULL)
        buf_printf(out, ",\"_local_seq\":\"%s\"", options->local_seq);
}

void document_write_body(const struct document_parts *parts, struct buf *out)
{
    assert(parts->body.len >= 2 && parts->body.data[0] == '{');

    if (parts->body.len > 2)
        buf_put_u8(out, ',');
    buf_put_bytes(out, bytes_slice(parts->body, 1, parts->body.len - 1));
}

void document_write(struct bytes id, const struct doc_leaf *leaf,
                    const struct document_parts *parts, const struct document_options *options,
                    struct buf *out)
{
    document_write_head(id, leaf, options, out);
    put_stubs(parts->attachments, out);
    document_write_body(parts, out);
}
