#include "service/integrity/verify_record.h"

#include "doc/record.h"
#include "keys/keyring.h"
#include "service/catalog_record.h"
#include "service/read.h"
#include "wire/command.h"
#include "wire/records.h"

static enum qk_err open_catalog(struct service *service, const struct store_row *row,
                                struct verify_counts *counts)
{
    struct catalog_entry *entry = NULL;
    enum qk_err err =
        catalog_entry_open(service, row->key, row->record.version, row->record.value, &entry);

    catalog_entry_free(entry);
    counts->opened_n += err == QK_OK;
    return err;
}

/* A record that a deal has wrapped anew meanwhile is for another MK than the scratch keyring. */
static enum qk_err open_keyring(const struct store_row *row, struct keyring *scratch,
                                struct verify_counts *counts)
{
    enum qk_err err;

    if (scratch == NULL)
        return QK_OK;
    err = keyring_add(scratch, record_key_name(row->key), row->record.value);
    counts->opened_n += err == QK_OK;
    return err == QK_ERR_STALE || err == QK_ERR_NOMEM ? QK_OK : err;
}

static enum qk_err open_leaf(struct service *service, const struct store_row *row,
                             const struct doc_leaf *leaf, struct verify_contents *contents,
                             struct verify_counts *counts)
{
    struct buf plain = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err =
        stored_open(service, row->key.data, record_key_name(row->key), leaf, &plain, &parts);

    if (err == QK_OK)
        err = verify_contents_leaf(contents, parts.attachments);
    buf_fini(&plain);
    counts->opened_n += err == QK_OK;
    counts->destroyed_n += err == QK_ERR_DESTROYED;
    return err == QK_ERR_DESTROYED ? QK_OK : err;
}

static enum qk_err open_document(struct service *service, const struct store_row *row,
                                 struct verify_contents *contents, struct verify_counts *counts)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    enum qk_err err = stored_decode(service, row->key.data, record_key_name(row->key),
                                    row->record.version, row->record.value, &record);

    if (err == QK_OK)
        verify_contents_document(contents, row->key, &record);
    for (unsigned i = 0; i < record.leaves_n && err == QK_OK; i++)
        err = open_leaf(service, row, &record.leaves[i], contents, counts);
    doc_record_fini(&record);
    return err;
}

enum qk_err verify_record(struct service *service, const struct store_row *row,
                          struct keyring *scratch, struct verify_contents *contents,
                          struct verify_counts *counts)
{
    enum record_space space;
    enum qk_err err = QK_OK;

    counts->all_n++;
    if (record_key_space(row->key, &space)) {
        if (space == RECORD_CATALOG)
            err = open_catalog(service, row, counts);
        else if (space == RECORD_KEYRING)
            err = open_keyring(row, scratch, counts);
    } else if ((row->record.flags & WIRE_KEYED) != 0)
        err = open_document(service, row, contents, counts);
    counts->damaged_n += err != QK_OK;
    return err;
}
