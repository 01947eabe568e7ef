/* What a write of secrets does to what is there. Whatever depends on the settings of all has their
 * record's version as a condition. */
#include <stdlib.h>

#include "doc/json.h"
#include "service/authorize.h"
#include "service/clock.h"
#include "service/secrets/kv_read.h"
#include "service/secrets/kv_write.h"

static void answer_set(struct kv_write *write, int status, json_t *data, const char *message)
{
    json_decref(write->answer.data);
    write->answer = (struct kv_answer){.status = status, .data = data, .message = message};
}

/* Ends the evaluation: there is nothing to write. */
static enum qk_err refuse(struct kv_write *write, int status, const char *message)
{
    answer_set(write, status, NULL, message);
    return QK_OK;
}

/* --- what is there --- */

struct present {
    struct kv_found found;
    struct kv_record config_record;
    struct kv_config config;
};

static void present_fini(struct present *present)
{
    kv_found_fini(&present->found);
    kv_record_fini(&present->config_record);
}

static bool present_is_there(const struct present *present)
{
    return present->found.record.stored.version != 0;
}

static enum qk_err present_get(struct kv_write *write, struct present *ret_present)
{
    struct bytes path = buf_bytes(&write->path);
    struct kv_id config_id = kv_id_config();
    enum qk_err err = QK_OK;

    *ret_present = (struct present){
        .found.record.stored.record = DOC_RECORD_EMPTY,
        .config_record.stored.record = DOC_RECORD_EMPTY,
    };
    if (path.len > 0)
        err = kv_find(write->service, write->batch.database, path, &ret_present->found);
    if (err == QK_OK)
        err = kv_config_get(write->service, write->batch.database, &ret_present->config_record,
                            &ret_present->config);
    if (err == QK_OK && path.len > 0)
        err = kv_batch_cond(&write->batch, &config_id, ret_present->config_record.stored.version,
                            false);
    if (err == QK_OK && present_is_there(ret_present))
        err = kv_batch_may(&write->batch, ret_present->found.record.stored.record.leaves[0].key_id);
    return err;
}

/* May who writes see what is written? Without it the reply leaves out the custom metadata. */
static bool may_read(struct kv_write *write, const struct stored *stored)
{
    return kv_authorize_read(write->service, write->exchange, stored) == QK_OK &&
           authorize_database(write->service, &write->exchange->request.who, write->batch.database,
                              ACCESS_DB_READ) == QK_OK;
}

/* --- records --- */

static enum qk_err put_meta(struct kv_write *write, struct present *present)
{
    struct buf body = BUF_SECRET_INIT(KV_BODY_BYTES_MAX);
    struct bytes path = buf_bytes(&write->path);
    bool made = !present_is_there(present);
    struct kv_id id;
    enum qk_err err = kv_id_name(write->service, write->batch.database->id, path, &id);

    if (err == QK_OK)
        err = kv_meta_encode(&present->found.meta, path, &body);
    if (err == QK_OK)
        err = kv_batch_put(&write->batch, &id, &present->found.record.stored, buf_bytes(&body));
    if (err == QK_OK && made)
        err = kv_batch_folders(&write->batch, path, true);
    buf_fini(&body);
    return err;
}

static enum qk_err remove_version(struct kv_write *write, uint64_t number)
{
    struct kv_id id;
    enum qk_err err = kv_id_version(write->service, write->batch.database->id,
                                    buf_bytes(&write->path), number, &id);

    return err != QK_OK ? err : kv_batch_cond(&write->batch, &id, KV_BATCH_ANY, true);
}

static enum qk_err put_value(struct kv_write *write, uint64_t number, const json_t *data)
{
    struct stored none = {0, 0, DOC_RECORD_EMPTY};
    struct buf body = BUF_SECRET_INIT(KV_VALUE_BYTES_MAX);
    struct kv_id id;
    enum qk_err err = kv_id_version(write->service, write->batch.database->id,
                                    buf_bytes(&write->path), number, &id);

    if (err == QK_OK)
        err = json_write(data, &body);
    if (err == QK_OK)
        err = kv_batch_put(&write->batch, &id, &none, buf_bytes(&body));
    buf_fini(&body);
    return err;
}

/* --- a new version --- */

/* NULL, or why not. */
static const char *cas_problem(const struct kv_write *write, const struct present *present)
{
    if (write->wish.has_cas)
        return write->wish.cas == present->found.meta.current
                   ? NULL
                   : "check-and-set parameter did not match the current version";
    if (present->config.cas_required || present->found.meta.cas_required)
        return "check-and-set parameter required for this call";
    return NULL;
}

static enum qk_err add_version(struct kv_write *write, struct present *present, const json_t *data)
{
    bool with_custom = may_read(write, &present->found.record.stored);
    struct kv_meta *meta = &present->found.meta;
    uint64_t gone_from = 0, gone_n = 0;
    enum qk_err err = kv_meta_add(meta, &present->config, write->now_s, &gone_from, &gone_n);

    for (uint64_t i = 0; i < gone_n && err == QK_OK; i++)
        err = remove_version(write, gone_from + i);
    if (err == QK_OK)
        err = put_value(write, meta->current, data);
    if (err == QK_OK)
        err = put_meta(write, present);
    if (err == QK_OK)
        answer_set(write, 200, kv_version_json(meta, meta->current, with_custom), "");
    return err;
}

static enum qk_err evaluate_put(struct kv_write *write, struct present *present)
{
    const char *problem = cas_problem(write, present);

    return problem != NULL ? refuse(write, 400, problem)
                           : add_version(write, present, write->wish.data);
}

/* The present value, to be merged into. */
static enum qk_err value_now(struct kv_write *write, const struct present *present,
                             json_t **ret_data)
{
    struct doc_problem problem = {0};
    struct kv_record value = {.stored = {0, 0, DOC_RECORD_EMPTY}};
    struct kv_id id;
    enum qk_err err = kv_id_version(write->service, write->batch.database->id,
                                    buf_bytes(&write->path), present->found.meta.current, &id);

    if (err == QK_OK)
        err = kv_record_get(write->service, write->batch.database, &id, &value);
    if (err == QK_OK && value.stored.version == 0)
        err = QK_ERR_CORRUPT;
    if (err == QK_OK && !may_read(write, &value.stored))
        err = QK_ERR_DENIED;
    if (err == QK_OK)
        err = json_parse(value.body, JSON_DEPTH_MAX, &problem, ret_data);
    kv_record_fini(&value);
    return err;
}

static enum qk_err evaluate_patch(struct kv_write *write, struct present *present)
{
    const struct kv_meta *meta = &present->found.meta;
    const struct kv_version *version = kv_meta_version(meta, meta->current);
    const char *problem;
    json_t *data = NULL;
    enum qk_err err;

    if (!may_read(write, &present->found.record.stored))
        return QK_ERR_DENIED;
    if (!present_is_there(present))
        return refuse(write, 404, "");
    problem = cas_problem(write, present);
    if (problem != NULL)
        return refuse(write, 400, problem);
    if (version == NULL)
        return refuse(write, 404, "");
    if (kv_version_is_gone(version, write->now_s)) {
        answer_set(write, 404, kv_version_json(meta, meta->current, true), "");
        return QK_OK;
    }
    err = value_now(write, present, &data);
    if (err == QK_OK)
        err = kv_merge(data, write->wish.data);
    if (err == QK_OK)
        err = add_version(write, present, data);
    json_decref(data);
    return err;
}

/* --- versions that go and come --- */

static bool version_delete(const struct kv_write *write, struct kv_version *version)
{
    if (kv_version_is_gone(version, write->now_s))
        return false;
    version->deleted = true;
    version->deletion_s = write->now_s;
    return true;
}

static bool version_undelete(const struct kv_write *write, const struct present *present,
                             struct kv_version *version)
{
    uint64_t deletion_s = kv_deletion_s(&present->found.meta, &present->config, write->now_s);

    if (version->destroyed || (!version->deleted && version->deletion_s == deletion_s))
        return false;
    version->deleted = false;
    version->deletion_s = deletion_s;
    return true;
}

static enum qk_err version_change(struct kv_write *write, const struct present *present,
                                  uint64_t number, bool *changed)
{
    struct kv_version *version = kv_meta_version(&present->found.meta, number);

    if (version == NULL)
        return QK_OK; /* Vault passes over those that are not there */
    if (write->wish.verb == KV_DELETE || write->wish.verb == KV_DELETE_VERSIONS) {
        *changed |= version_delete(write, version);
    } else if (write->wish.verb == KV_UNDELETE) {
        *changed |= version_undelete(write, present, version);
    } else if (!version->destroyed) {
        version->destroyed = true;
        *changed = true;
        return remove_version(write, number);
    }
    return QK_OK;
}

static enum qk_err evaluate_versions(struct kv_write *write, struct present *present)
{
    bool changed = false;
    enum qk_err err = QK_OK;

    answer_set(write, 204, NULL, "");
    if (!present_is_there(present))
        return QK_OK;
    if (write->wish.verb == KV_DELETE)
        err = version_change(write, present, present->found.meta.current, &changed);
    for (size_t i = 0; i < write->wish.versions_n && err == QK_OK; i++)
        err = version_change(write, present, write->wish.versions[i], &changed);
    return err == QK_OK && changed ? put_meta(write, present) : err;
}

/* --- what is known of a secret --- */

static bool wish_is_empty(const struct kv_wish *wish)
{
    return !wish->has_max_versions && !wish->has_cas_required && !wish->has_delete_after &&
           !wish->has_custom;
}

static enum qk_err change_custom(struct kv_write *write, struct kv_meta *meta)
{
    enum qk_err err;

    if (write->wish.verb == KV_META_PUT || meta->custom == NULL) {
        json_decref(meta->custom);
        meta->custom = json_object();
    }
    if (meta->custom == NULL)
        return QK_ERR_NOMEM;
    err = kv_merge(meta->custom, write->wish.custom);
    return err == QK_OK ? kv_custom_check(meta->custom, &write->problem) : err;
}

static enum qk_err change_meta(struct kv_write *write, struct kv_meta *meta)
{
    const struct kv_wish *wish = &write->wish;

    if (wish->has_max_versions)
        meta->max_versions = wish->max_versions;
    if (wish->has_cas_required)
        meta->cas_required = wish->cas_required;
    if (wish->has_delete_after)
        meta->delete_after_s = (uint64_t)wish->delete_after_s;
    if (meta->created_s == 0)
        meta->created_s = meta->updated_s = write->now_s;
    return wish->has_custom ? change_custom(write, meta) : QK_OK;
}

static enum qk_err evaluate_meta(struct kv_write *write, struct present *present)
{
    const struct kv_wish *wish = &write->wish;
    enum qk_err err;

    if (wish->verb == KV_META_PATCH && !present_is_there(present))
        return refuse(write, 404, "");
    answer_set(write, 204, NULL, "");
    if (wish_is_empty(wish))
        return QK_OK;
    if (wish->has_cas_required && !wish->cas_required && present->config.cas_required)
        write->answer.warning = "\"cas_required\" set to false, but is mandated by backend config. "
                                "This value will be ignored.";
    err = change_meta(write, &present->found.meta);
    if (err == QK_ERR_INVALID)
        return refuse(write, 400, write->problem.reason);
    return err == QK_OK ? put_meta(write, present) : err;
}

static enum qk_err evaluate_meta_delete(struct kv_write *write, struct present *present)
{
    const struct kv_meta *meta = &present->found.meta;
    uint64_t first = meta->current - meta->versions_n + 1;
    struct kv_id id;
    enum qk_err err;

    answer_set(write, 204, NULL, "");
    if (!present_is_there(present))
        return QK_OK;
    err = kv_id_name(write->service, write->batch.database->id, buf_bytes(&write->path), &id);
    if (err == QK_OK)
        err = kv_batch_cond(&write->batch, &id, present->found.record.stored.version, true);
    for (size_t i = 0; i < meta->versions_n && err == QK_OK; i++)
        if (!meta->versions[i].destroyed)
            err = remove_version(write, first + i);
    return err == QK_OK ? kv_batch_folders(&write->batch, buf_bytes(&write->path), false) : err;
}

/* --- the settings of all --- */

static void change_config(const struct kv_wish *wish, struct kv_config *config)
{
    if (wish->has_max_versions)
        config->max_versions = wish->max_versions;
    if (wish->has_cas_required)
        config->cas_required = wish->cas_required;
    if (wish->has_delete_after) {
        config->delete_after_off = wish->delete_after_s < 0;
        config->delete_after_s = wish->delete_after_s < 0 ? 0 : (uint64_t)wish->delete_after_s;
    }
}

static enum qk_err evaluate_config(struct kv_write *write, struct present *present)
{
    struct buf body = BUF_SECRET_INIT(KV_BODY_BYTES_MAX);
    struct kv_id id = kv_id_config();
    enum qk_err err;

    answer_set(write, 204, NULL, "");
    if (wish_is_empty(&write->wish))
        return QK_OK;
    change_config(&write->wish, &present->config);
    err = kv_config_encode(&present->config, &body);
    if (err == QK_OK)
        err = kv_batch_put(&write->batch, &id, &present->config_record.stored, buf_bytes(&body));
    buf_fini(&body);
    return err;
}

/* --- the write --- */

static enum qk_err evaluate_verb(struct kv_write *write, struct present *present)
{
    switch (write->wish.verb) {
    case KV_PUT:
        return evaluate_put(write, present);
    case KV_PATCH:
        return evaluate_patch(write, present);
    case KV_DELETE:
    case KV_DELETE_VERSIONS:
    case KV_UNDELETE:
    case KV_DESTROY:
        return evaluate_versions(write, present);
    case KV_META_PUT:
    case KV_META_PATCH:
        return evaluate_meta(write, present);
    case KV_META_DELETE:
        return evaluate_meta_delete(write, present);
    case KV_CONFIG_PUT:
        return evaluate_config(write, present);
    }
    return QK_ERR_INVALID;
}

enum qk_err kv_evaluate(struct kv_write *write, struct wire_command *command)
{
    const struct principal *who = &write->exchange->request.who;
    const struct catalog_database *database;
    struct present present;
    enum qk_err err;

    database = catalog_database_find(write->service->catalog, bytes_str(KV_DATABASE));
    err = authorize_exchange(write->service, write->exchange, database,
                             write->wish.verb == KV_CONFIG_PUT ? ACCESS_DB_ADMIN : ACCESS_DB_WRITE);
    if (err != QK_OK)
        return err;
    if (database == NULL)
        return refuse(write, 404, "this cluster was made without a place for secrets");
    write->now_s = service_time_s(write->service);
    kv_batch_init(&write->batch, write->service, who, database);
    err = present_get(write, &present);
    if (err == QK_OK)
        err = evaluate_verb(write, &present);
    if (err == QK_OK)
        kv_batch_append(&write->batch, command);
    present_fini(&present);
    kv_batch_fini(&write->batch);
    return err;
}
