#include "service/secrets/kv_meta.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"

void kv_meta_fini(struct kv_meta *meta)
{
    json_decref(meta->custom);
    free(meta->versions);
    *meta = (struct kv_meta){0};
}

/* --- versions --- */

struct kv_version *kv_meta_version(const struct kv_meta *meta, uint64_t number)
{
    uint64_t first = meta->current - meta->versions_n + 1;

    if (meta->versions_n == 0 || number < first || number > meta->current)
        return NULL;
    return &meta->versions[number - first];
}

bool kv_version_is_gone(const struct kv_version *version, uint64_t now_s)
{
    return version->destroyed || version->deleted ||
           (version->deletion_s != 0 && version->deletion_s <= now_s);
}

uint64_t kv_deletion_s(const struct kv_meta *meta, const struct kv_config *config, uint64_t now_s)
{
    uint64_t after_s = meta->delete_after_s;

    if (config->delete_after_off)
        return 0;
    if (after_s == 0 || (config->delete_after_s != 0 && config->delete_after_s < after_s))
        after_s = config->delete_after_s;
    return after_s == 0 ? 0 : now_s + after_s;
}

/* The greater of both settings, as Vault has it. */
static uint64_t versions_kept(const struct kv_meta *meta, const struct kv_config *config)
{
    uint64_t kept =
        meta->max_versions > config->max_versions ? meta->max_versions : config->max_versions;

    return kept == 0 ? KV_VERSIONS_DEFAULT : kept;
}

enum qk_err kv_meta_add(struct kv_meta *meta, const struct kv_config *config, uint64_t now_s,
                        uint64_t *ret_gone_from, uint64_t *ret_gone_n)
{
    uint64_t kept = versions_kept(meta, config), gone_n = 0;
    uint64_t first = meta->current - meta->versions_n + 1;
    struct kv_version *versions =
        reallocarray(meta->versions, meta->versions_n + 1, sizeof(*versions));

    if (versions == NULL)
        return QK_ERR_NOMEM;
    meta->versions = versions;
    versions[meta->versions_n++] =
        (struct kv_version){.created_s = now_s, .deletion_s = kv_deletion_s(meta, config, now_s)};
    meta->current++;
    meta->updated_s = now_s;
    if (meta->created_s == 0)
        meta->created_s = now_s;
    if (meta->versions_n > kept)
        gone_n = meta->versions_n - kept;
    memmove(versions, versions + gone_n, (meta->versions_n - gone_n) * sizeof(*versions));
    meta->versions_n -= gone_n;
    if (meta->current - meta->oldest >= kept)
        meta->oldest = meta->current - kept + 1;
    *ret_gone_from = first;
    *ret_gone_n = gone_n;
    return QK_OK;
}

/* --- bodies --- */

/* Takes over the reference. */
static enum qk_err body_write(json_t *body, struct buf *out)
{
    enum qk_err err = body == NULL ? QK_ERR_NOMEM : json_write(body, out);

    json_decref(body);
    return err;
}

static json_t *versions_encode(const struct kv_meta *meta)
{
    json_t *versions = json_array();

    for (size_t i = 0; i < meta->versions_n && versions != NULL; i++) {
        const struct kv_version *version = &meta->versions[i];

        if (json_array_append_new(versions,
                                  json_pack("[I, I, b, b]", (json_int_t)version->created_s,
                                            (json_int_t)version->deletion_s, version->deleted,
                                            version->destroyed)) != 0) {
            json_decref(versions);
            versions = NULL;
        }
    }
    return versions;
}

enum qk_err kv_meta_encode(const struct kv_meta *meta, struct bytes path, struct buf *out)
{
    json_t *versions = versions_encode(meta);

    if (versions == NULL)
        return QK_ERR_NOMEM;
    return body_write(
        json_pack("{s:s%, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:O?, s:o}", "secret",
                  (const char *)path.data, path.len, "current", (json_int_t)meta->current, "oldest",
                  (json_int_t)meta->oldest, "created", (json_int_t)meta->created_s, "updated",
                  (json_int_t)meta->updated_s, "max_versions", (json_int_t)meta->max_versions,
                  "cas_required", meta->cas_required, "delete_after",
                  (json_int_t)meta->delete_after_s, "custom", meta->custom, "versions", versions),
        out);
}

enum qk_err kv_folder_encode(struct bytes path, uint64_t names_n, struct buf *out)
{
    return body_write(json_pack("{s:s%, s:I}", "folder", (const char *)path.data, path.len, "names",
                                (json_int_t)names_n),
                      out);
}

enum qk_err kv_config_encode(const struct kv_config *config, struct buf *out)
{
    return body_write(json_pack("{s:I, s:b, s:b, s:I}", "max_versions",
                                (json_int_t)config->max_versions, "cas_required",
                                config->cas_required, "delete_after_off", config->delete_after_off,
                                "delete_after", (json_int_t)config->delete_after_s),
                      out);
}

/* A member that must be a number from 0 to `max`. */
static enum qk_err take_u64(const json_t *value, uint64_t max, uint64_t *ret_value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max)
        return QK_ERR_CORRUPT;
    *ret_value = (uint64_t)json_integer_value(value);
    return QK_OK;
}

static enum qk_err take_bool(const json_t *value, bool *ret_value)
{
    if (!json_is_boolean(value))
        return QK_ERR_CORRUPT;
    *ret_value = json_is_true(value);
    return QK_OK;
}

struct number_field {
    const char *name;
    uint64_t max;
    uint64_t *value;
};

static enum qk_err take_numbers(const json_t *body, const struct number_field *fields, size_t n)
{
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < n && err == QK_OK; i++)
        err = take_u64(json_object_get(body, fields[i].name), fields[i].max, fields[i].value);
    return err;
}

static enum qk_err custom_decode(json_t *custom, struct kv_meta *meta)
{
    const char *name;
    json_t *value;

    if (json_is_null(custom))
        return QK_OK;
    if (!json_is_object(custom) || json_object_size(custom) > KV_CUSTOM_MAX)
        return QK_ERR_CORRUPT;
    json_object_foreach(custom, name, value)
    {
        if (!json_is_string(value))
            return QK_ERR_CORRUPT;
    }
    meta->custom = json_incref(custom);
    return QK_OK;
}

static enum qk_err version_decode(const json_t *item, struct kv_version *version)
{
    enum qk_err err = take_u64(json_array_get(item, 0), KV_SECONDS_MAX, &version->created_s);

    if (err == QK_OK)
        err = take_u64(json_array_get(item, 1), KV_SECONDS_MAX, &version->deletion_s);
    if (err == QK_OK)
        err = take_bool(json_array_get(item, 2), &version->deleted);
    if (err == QK_OK)
        err = take_bool(json_array_get(item, 3), &version->destroyed);
    return err;
}

static enum qk_err versions_decode(const json_t *versions, struct kv_meta *meta)
{
    size_t n = json_array_size(versions);
    enum qk_err err = QK_OK;

    if (!json_is_array(versions) || n > KV_VERSIONS_MAX || n > meta->current ||
        (n == 0) != (meta->current == 0))
        return QK_ERR_CORRUPT;
    if (n == 0)
        return QK_OK;
    meta->versions = calloc(n, sizeof(*meta->versions));
    if (meta->versions == NULL)
        return QK_ERR_NOMEM;
    meta->versions_n = n;
    for (size_t i = 0; i < n && err == QK_OK; i++)
        err = version_decode(json_array_get(versions, i), &meta->versions[i]);
    return err;
}

/* The object of a body whose member `name` is the text `path`. */
static enum qk_err body_parse(struct bytes in, const char *name, struct bytes path,
                              json_t **ret_body)
{
    struct doc_problem problem = {0};
    enum qk_err err = json_parse(in, JSON_DEPTH_MAX, &problem, ret_body);

    if (err == QK_ERR_INVALID)
        return QK_ERR_CORRUPT;
    if (err == QK_OK && !bytes_equal(json_bytes(json_object_get(*ret_body, name)), path)) {
        json_decref(*ret_body);
        err = QK_ERR_CORRUPT;
    }
    return err;
}

enum qk_err kv_meta_decode(struct bytes in, struct bytes path, struct kv_meta *ret_meta)
{
    const struct number_field fields[] = {
        {"current", INT64_MAX, &ret_meta->current},
        {"oldest", INT64_MAX, &ret_meta->oldest},
        {"created", KV_SECONDS_MAX, &ret_meta->created_s},
        {"updated", KV_SECONDS_MAX, &ret_meta->updated_s},
        {"max_versions", KV_VERSIONS_MAX, &ret_meta->max_versions},
        {"delete_after", KV_DURATION_S_MAX, &ret_meta->delete_after_s},
    };
    json_t *body = NULL;
    enum qk_err err;

    *ret_meta = (struct kv_meta){0};
    err = body_parse(in, "secret", path, &body);
    if (err != QK_OK)
        return err;
    err = take_numbers(body, fields, sizeof(fields) / sizeof(fields[0]));
    if (err == QK_OK)
        err = take_bool(json_object_get(body, "cas_required"), &ret_meta->cas_required);
    if (err == QK_OK)
        err = custom_decode(json_object_get(body, "custom"), ret_meta);
    if (err == QK_OK)
        err = versions_decode(json_object_get(body, "versions"), ret_meta);
    if (err == QK_OK && ret_meta->oldest > ret_meta->current)
        err = QK_ERR_CORRUPT;
    json_decref(body);
    return err;
}

enum qk_err kv_folder_decode(struct bytes in, struct bytes path, uint64_t *ret_names_n)
{
    json_t *body = NULL;
    enum qk_err err = body_parse(in, "folder", path, &body);

    if (err != QK_OK)
        return err;
    err = take_u64(json_object_get(body, "names"), INT64_MAX, ret_names_n);
    json_decref(body);
    return err == QK_OK && *ret_names_n == 0 ? QK_ERR_CORRUPT : err;
}

enum qk_err kv_config_decode(struct bytes in, struct kv_config *ret_config)
{
    const struct number_field fields[] = {
        {"max_versions", KV_VERSIONS_MAX, &ret_config->max_versions},
        {"delete_after", KV_DURATION_S_MAX, &ret_config->delete_after_s},
    };
    json_t *body = NULL;
    enum qk_err err = body_parse(in, "", BYTES_NONE, &body);

    if (err != QK_OK)
        return err;
    err = take_numbers(body, fields, sizeof(fields) / sizeof(fields[0]));
    if (err == QK_OK)
        err = take_bool(json_object_get(body, "cas_required"), &ret_config->cas_required);
    if (err == QK_OK)
        err = take_bool(json_object_get(body, "delete_after_off"), &ret_config->delete_after_off);
    json_decref(body);
    return err;
}

enum qk_err kv_path_decode(struct bytes in, struct buf *out)
{
    struct doc_problem problem = {0};
    struct bytes path;
    json_t *body = NULL;
    enum qk_err err = json_parse(in, JSON_DEPTH_MAX, &problem, &body);

    if (err != QK_OK)
        return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
    path = json_bytes(json_object_get(body, "secret"));
    if (path.len == 0)
        path = json_bytes(json_object_get(body, "folder"));
    buf_put_bytes(out, path);
    err = path.len == 0 ? QK_ERR_CORRUPT : buf_error(out);
    json_decref(body);
    return err;
}
