#include "service/write_atts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring.h"
#include "secret/crypto.h"
#include "service/authorize.h"
#include "service/write.h"
#include "store/store.h"

void write_atts_fini(struct write_atts *atts)
{
    buf_fini(&atts->section);
    buf_fini(&atts->plain);
    buf_fini(&atts->summary);
    buf_fini(&atts->ids);
    buf_fini(&atts->before);
    buf_fini(&atts->after);
    buf_fini(&atts->uploaded);
    free(atts->contents);
}

/* --- what is stored -------------------------------------------------------------------------- */

/* The plaintext of a leaf, for a write that keeps some of it: its owner must be able to read it. */
static enum qk_err open_leaf(struct service *service, const struct catalog_database *database,
                             struct write *write, struct bytes name, const struct doc_leaf *leaf,
                             struct buf *plain, struct document_parts *ret_parts)
{
    enum qk_err err =
        authorize_key(service, &write->exchange->request.who, leaf->key_id, ACCESS_KEY_DECRYPT);

    if (err == QK_ERR_DENIED)
        write->state = WRITE_NO_GRANT;
    if (err != QK_OK)
        return err;
    return stored_open(service, database->id, name, leaf, plain, ret_parts);
}

/* A stub and what it stands for: a section of one, in `found`. */
struct stub {
    bool known;
    size_t at, len;
};

struct stubs {
    struct stub *items; /* one for each wish */
    struct buf found;   /* secret */
};

static void stub_take(struct stubs *stubs, unsigned at, const struct attachment *one)
{
    struct stub *stub = &stubs->items[at];

    stub->at = stubs->found.len;
    attachments_put_head(1, &stubs->found);
    attachment_put(one, &stubs->found);
    stub->len = stubs->found.len - stub->at;
    stub->known = true;
}

/* CouchDB's rule: of that name, and of that revpos if the stub tells one. */
static void stubs_look(const struct attachment_wishes *wishes, struct attachments list,
                       struct stubs *stubs)
{
    struct attachment one;

    for (unsigned i = 0; i < wishes->n; i++) {
        const struct attachment_wish *wish = &wishes->items[i];

        if (wish->source == ATTACHMENT_STUB && !stubs->items[i].known &&
            attachments_find(list, buf_bytes(&wish->name), &one) &&
            (!wish->has_revpos || wish->revpos == one.revpos))
            stub_take(stubs, i, &one);
    }
}

static enum qk_err stubs_look_in(struct service *service, const struct catalog_database *database,
                                 struct write *write, struct bytes name,
                                 const struct doc_leaf *leaf, struct stubs *stubs)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    struct attachments list;
    enum qk_err err;

    if (leaf->attachments.len == 0)
        return QK_OK;
    err = open_leaf(service, database, write, name, leaf, &plain, &parts);
    if (err == QK_OK)
        err = attachments_open(parts.attachments, &list);
    if (err == QK_OK)
        stubs_look(&write->document->attachments, list, stubs);
    buf_fini(&plain);
    return err == QK_OK ? buf_error(&stubs->found) : err;
}

static const struct attachment_wish *stubs_unknown(const struct attachment_wishes *wishes,
                                                   const struct stubs *stubs)
{
    for (unsigned i = 0; i < wishes->n; i++)
        if (wishes->items[i].source == ATTACHMENT_STUB && !stubs->items[i].known)
            return &wishes->items[i];
    return NULL;
}

/* In the revision that is edited; a revision that was made elsewhere may be the child of any. */
static enum qk_err stubs_find(struct service *service, const struct catalog_database *database,
                              struct write *write, struct bytes name, const struct stored *stored,
                              const struct doc_leaf *parent, struct stubs *stubs)
{
    const struct attachment_wishes *wishes = &write->document->attachments;
    const struct attachment_wish *missing;
    bool any = write->replicated;
    enum qk_err err = QK_OK;

    if (parent != NULL && stubs_unknown(wishes, stubs) != NULL)
        err = stubs_look_in(service, database, write, name, parent, stubs);
    for (unsigned i = 0; any && i < stored->record.leaves_n && err == QK_OK; i++)
        if (&stored->record.leaves[i] != parent && stubs_unknown(wishes, stubs) != NULL)
            err = stubs_look_in(service, database, write, name, &stored->record.leaves[i], stubs);
    missing = stubs_unknown(wishes, stubs);
    if (err != QK_OK || missing == NULL)
        return err;
    write->state = WRITE_NO_STUB;
    write->missing = buf_bytes(&missing->name);
    return QK_ERR_INVALID;
}

/* --- the new list ---------------------------------------------------------------------------- */

/* A revision's hash is the same for the same edit, whatever ids and keys were drawn for it. */
static void summary_put(const struct attachment *one, struct buf *summary)
{
    buf_put_blob(summary, one->name);
    buf_put_blob(summary, one->content_type);
    buf_put_u64(summary, one->length);
    buf_put(summary, one->md5, ATTACHMENT_MD5_BYTES);
}

static void list_put(const struct attachment *one, struct write_atts *atts)
{
    attachment_put(one, &atts->section);
    buf_put(&atts->ids, one->id, ATTACHMENT_ID_BYTES);
    summary_put(one, &atts->summary);
}

/* The key is drawn where it stays: in the secret buffer. */
static void list_put_content(const struct attachment_wish *wish, uint32_t generation,
                             struct write_atts *atts)
{
    struct write_content *content = &atts->contents[atts->contents_n++];
    uint8_t id[ATTACHMENT_ID_BYTES];
    static const uint8_t no_key[ATTACHMENT_KEY_BYTES];
    struct attachment one = {.name = buf_bytes(&wish->name),
                             .content_type = buf_bytes(&wish->content_type),
                             .length = wish->content.len,
                             .md5 = wish->md5,
                             .revpos = generation,
                             .id = id,
                             .key = no_key};

    random_fill(id, sizeof(id));
    list_put(&one, atts);
    if (buf_error(&atts->section) != QK_OK)
        return;
    content->content = wish->content;
    content->key_at = atts->section.len - ATTACHMENT_KEY_BYTES;
    content->id_at = content->key_at - ATTACHMENT_ID_BYTES;
    random_system().fill(NULL, atts->section.data + content->key_at, ATTACHMENT_KEY_BYTES);
}

/* What was uploaded: id and key were drawn then. */
static void list_put_uploaded(const struct attachment_wish *wish, uint32_t generation,
                              struct write_atts *atts)
{
    const struct attachment one = {.name = buf_bytes(&wish->name),
                                   .content_type = buf_bytes(&wish->content_type),
                                   .length = wish->length,
                                   .md5 = wish->md5,
                                   .revpos = generation,
                                   .id = wish->id,
                                   .key = wish->data.data};

    assert(wish->data.len == ATTACHMENT_KEY_BYTES);

    list_put(&one, atts);
    buf_put(&atts->uploaded, wish->id, ATTACHMENT_ID_BYTES);
}

static void list_put_new(const struct attachment_wish *wish, uint32_t generation,
                         struct write_atts *atts)
{
    if (wish->source == ATTACHMENT_STORED)
        list_put_uploaded(wish, generation, atts);
    else
        list_put_content(wish, generation, atts);
}

static void list_put_stub(const struct stubs *stubs, unsigned at, struct write_atts *atts)
{
    const struct stub *stub = &stubs->items[at];
    struct attachments list;
    struct attachment one;

    if (attachments_open(bytes_slice(buf_bytes(&stubs->found), stub->at, stub->len), &list) ==
            QK_OK &&
        attachments_next(&list, &one))
        list_put(&one, atts);
}

/* What replication brings keeps the revision that first had it. */
static uint32_t replicated_revpos(const struct write *write, const struct attachment_wish *wish,
                                  uint32_t generation)
{
    return write->replicated && wish->has_revpos && wish->revpos > 0 ? wish->revpos : generation;
}

static void list_put_wishes(const struct write *write, const struct stubs *stubs,
                            uint32_t generation, struct write_atts *atts)
{
    const struct attachment_wishes *wishes = &write->document->attachments;

    for (unsigned i = 0; i < wishes->n; i++) {
        const struct attachment_wish *wish = &wishes->items[i];

        if (wish->source == ATTACHMENT_STUB)
            list_put_stub(stubs, i, atts);
        else
            list_put_new(wish, replicated_revpos(write, wish, generation), atts);
    }
}

static enum qk_err atts_finish(struct bytes body, struct write_atts *atts)
{
    enum qk_err err = buf_error(&atts->section);

    if (err != QK_OK)
        return err;
    document_plain_put_with(buf_bytes(&atts->section), body, &atts->plain);
    buf_put_bytes(&atts->summary, body);
    if (atts->section.len + body.len > DOC_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    err = buf_error(&atts->plain);
    if (err == QK_OK)
        err = buf_error(&atts->uploaded);
    if (err == QK_OK)
        err = buf_error(&atts->summary);
    return err == QK_OK ? buf_error(&atts->ids) : err;
}

static uint32_t write_generation(const struct write *write, const struct doc_leaf *parent)
{
    if (write->replicated)
        return write->document->revision.generation;
    return parent == NULL ? 1 : parent->revision.generation + 1;
}

/* The document's own list, as `_attachments` has it. */
static enum qk_err make_list(struct service *service, const struct catalog_database *database,
                             struct write *write, struct bytes name, const struct stored *stored,
                             const struct doc_leaf *parent, struct write_atts *atts)
{
    const struct attachment_wishes *wishes = &write->document->attachments;
    struct stubs stubs = {calloc(wishes->n, sizeof(struct stub)),
                          BUF_SECRET_INIT(2 * DOCUMENT_PLAIN_BYTES_MAX)};
    struct document_parts parts;
    enum qk_err err = stubs.items == NULL ? QK_ERR_NOMEM : QK_OK;

    if (err == QK_OK)
        err = stubs_find(service, database, write, name, stored, parent, &stubs);
    if (err == QK_OK)
        err = document_plain_open(buf_bytes(&write->document->plain), &parts);
    if (err == QK_OK) {
        attachments_put_head(wishes->n, &atts->section);
        list_put_wishes(write, &stubs, write_generation(write, parent), atts);
        err = atts_finish(parts.body, atts);
    }
    free(stubs.items);
    buf_fini(&stubs.found);
    return err;
}

/* --- an edit of one attachment ---------------------------------------------------------------- */

/* All but the one of that name. */
static unsigned list_put_others(struct attachments list, struct bytes but, struct write_atts *atts)
{
    struct attachment one;
    unsigned n = 0;

    while (attachments_next(&list, &one)) {
        if (bytes_equal(one.name, but))
            continue;
        if (atts != NULL)
            list_put(&one, atts);
        n++;
    }
    return n;
}

static enum qk_err edit_list(struct write *write, const struct document_parts *parts,
                             uint32_t generation, struct write_atts *atts)
{
    const struct attachment_wishes *wishes = &write->document->attachments;
    struct attachments list;
    struct attachment old;
    unsigned n;
    enum qk_err err = attachments_open(parts->attachments, &list);

    if (err != QK_OK)
        return err;
    if (wishes->n == 0 && !attachments_find(list, write->attachment, &old)) {
        write->state = WRITE_NO_ATTACHMENT;
        return QK_ERR_INVALID;
    }
    n = list_put_others(list, write->attachment, NULL) + wishes->n;
    if (n > ATTACHMENTS_MAX)
        return QK_ERR_TOO_BIG;
    if (n > 0)
        attachments_put_head(n, &atts->section);
    if (wishes->n > 0)
        list_put_new(&wishes->items[0], generation, atts);
    (void)list_put_others(list, write->attachment, atts);
    return atts_finish(parts->body, atts);
}

/* The body and the other attachments stay; a document that is new, or comes back, has none. */
static enum qk_err make_edit(struct service *service, const struct catalog_database *database,
                             struct write *write, struct bytes name, const struct doc_leaf *parent,
                             struct write_atts *atts)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err;

    if (parent != NULL && !parent->deleted)
        err = open_leaf(service, database, write, name, parent, &plain, &parts);
    else
        err = document_plain_open(buf_bytes(&write->document->plain), &parts);
    if (err == QK_OK)
        err = edit_list(write, &parts, write_generation(write, parent), atts);
    buf_fini(&plain);
    return err;
}

static size_t contents_bytes(const struct attachment_wishes *wishes)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < wishes->n; i++)
        bytes += wishes->items[i].content.len;
    return bytes;
}

/* An upload that was taken for dead meanwhile, by another leader, is not named. */
static enum qk_err uploads_are_there(struct service *service,
                                     const struct catalog_database *database,
                                     const struct attachment_wishes *wishes)
{
    for (unsigned i = 0; i < wishes->n; i++) {
        struct record_key key = record_unnamed(database->id, wishes->items[i].id);
        struct record record;
        enum qk_err err;

        if (wishes->items[i].source != ATTACHMENT_STORED)
            continue;
        err = store_get(service->store, record_key_bytes(&key), &record);
        if (err != QK_OK)
            return err == QK_ERR_NOT_FOUND ? QK_ERR_BUSY : err;
    }
    return QK_OK;
}

enum qk_err write_atts_make(struct service *service, const struct catalog_database *database,
                            struct write *write, struct bytes name, const struct stored *stored,
                            const struct doc_leaf *parent, struct write_atts *atts)
{
    const struct document *document = write->document;
    enum qk_err err;

    assert(!atts->any);

    atts->any = document->attachments.n > 0 || write->attachment.len > 0;
    if (!atts->any)
        return QK_OK;
    if (contents_bytes(&document->attachments) > ATTACHMENTS_WRITE_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    memcpy(atts->cluster, service->origin_id, CLUSTER_ID_BYTES);
    atts->contents = calloc(document->attachments.n + 1, sizeof(*atts->contents));
    if (atts->contents == NULL)
        return QK_ERR_NOMEM;
    err = uploads_are_there(service, database, &document->attachments);
    if (err != QK_OK)
        return err;
    if (write->attachment.len > 0)
        return make_edit(service, database, write, name, parent, atts);
    return make_list(service, database, write, name, stored, parent, atts);
}

struct bytes write_atts_plain(const struct write_atts *atts, const struct write *write)
{
    return atts->any ? buf_bytes(&atts->plain) : buf_bytes(&write->document->plain);
}

struct bytes write_atts_content(const struct write_atts *atts, const struct write *write)
{
    return atts->section.len > 0 ? buf_bytes(&atts->summary) : write_atts_plain(atts, write);
}

/* --- the batch -------------------------------------------------------------------------------- */

static enum qk_err put_chunk(const struct write_atts *atts, const uint8_t *database,
                             const struct write_content *content, uint32_t at, struct buf *sealed,
                             struct wire_command *command)
{
    const uint8_t *id = atts->section.data + content->id_at;
    const struct attachment_place place = {atts->cluster, database, id};
    struct record_key key = record_attachment_chunk(database, id, at);
    enum qk_err err;

    buf_reset(sealed);
    err = attachment_chunk_seal(atts->section.data + content->key_at, &place, content->content, at,
                                sealed);
    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&key), 1, 0, buf_bytes(sealed));
    return err;
}

void write_atts_conds(const struct write_atts *atts,
                      const uint8_t database[static DATABASE_ID_BYTES],
                      struct wire_command *command)
{
    for (size_t at = 0; at < atts->uploaded.len; at += ATTACHMENT_ID_BYTES) {
        struct record_key key = record_unnamed(database, atts->uploaded.data + at);

        wire_command_cond(command, record_key_bytes(&key), 1);
    }
}

static void uploads_named(const struct write_atts *atts, const uint8_t *database,
                          struct wire_command *command)
{
    for (size_t at = 0; at < atts->uploaded.len; at += ATTACHMENT_ID_BYTES) {
        struct record_key key = record_unnamed(database, atts->uploaded.data + at);

        wire_command_delete(command, record_key_bytes(&key));
    }
}

void write_atts_put(struct service *service, const struct write_atts *atts,
                    const struct record_key *key, struct wire_command *command)
{
    struct buf sealed = BUF_INIT(ATTACHMENT_SEALED_BYTES_MAX);
    enum qk_err err = QK_OK;

    for (unsigned i = 0; i < atts->contents_n && err == QK_OK; i++) {
        const struct write_content *content = &atts->contents[i];
        uint32_t n = (uint32_t)attachment_chunks_n(content->content.len);

        for (uint32_t at = 0; at < n && err == QK_OK; at++)
            err = put_chunk(atts, key->data, content, at, &sealed, command);
    }
    buf_fini(&sealed);
    if (err != QK_OK && command->failed == QK_OK)
        command->failed = err;
    uploads_named(atts, key->data, command);
    if (atts->before.len > 0)
        attachment_ids_drop(service, key, buf_bytes(&atts->before), buf_bytes(&atts->after),
                            command);
}
