/* What is told of a design document's indexes, and what is done about them: they are made anew when
 * needed, so that to clean up is to free, or to remove their files, and there is nothing to
 * compact. */
#include <string.h>

#include "base/encode.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/query/view_handlers.h"
#include "service/query/view_load.h"
#include "service/query/views_file.h"
#include "service/visible.h"

/* --- _info --- */

struct info_find {
    const uint8_t *signature;
    struct view_group *group; /* NULL: never asked for on this node */
};

static bool find_group(void *arg, struct view_group *group)
{
    struct info_find *find = arg;

    if (memcmp(views_design(group)->signature, find->signature, HASH_BYTES) != 0)
        return true;
    find->group = group;
    return false;
}

/* Sequences and sizes count what the reader may not see: who does not see everything gets the one
 * sealed and of the others none. */
static json_t *info_seq(const struct visible *visible, uint64_t seq)
{
    char text[SEQ_TEXT_BYTES_MAX + 1];

    if (visible->everything)
        return json_integer((json_int_t)seq);
    return visible_seq_format(visible, seq, text) == QK_OK ? json_string(text) : NULL;
}

static json_t *info_json(const struct visible *visible, const struct view_design *design,
                         const struct view_group *group, uint64_t newest)
{
    uint64_t seq = group == NULL ? 0 : views_seq(group);
    bool all = visible->everything;
    json_int_t bytes = group == NULL || !all ? 0 : (json_int_t)views_bytes(group);
    json_int_t pending = all && newest > seq ? (json_int_t)(newest - seq) : 0;
    char signature[2 * HASH_BYTES + 1];

    hex_encode(design->signature, HASH_BYTES, signature);
    signature[32] = '\0'; /* as long as CouchDB's */
    return json_pack(
        "{s:{s:I, s:I, s:I}, s:b, s:i, s:b, s:o, s:{s:I, s:I, s:I}, s:s, s:i, s:s, s:[], s:b}",
        "updates_pending", "minimum", pending, "preferred", pending, "total", pending,
        "waiting_commit", 0, "waiting_clients",
        group == NULL || !all ? 0 : (int)views_waiting_n(group), "updater_running",
        group != NULL && views_is_updating(group), "update_seq", info_seq(visible, seq), "sizes",
        "file", group == NULL || !all ? (json_int_t)0 : (json_int_t)views_file_bytes(group),
        "external", bytes, "active", bytes, "signature", signature, "purge_seq", 0, "language",
        design->language == VIEW_QUERY ? "query" : "javascript", "collator_versions",
        "compact_running", 0);
}

static void info_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct view_design *design;
    struct info_find find = {NULL, NULL};
    struct visible visible;
    struct store_stats stats;
    json_t *info;
    enum qk_err err;

    if (database == NULL)
        return;
    err = view_load(service, exchange, database, exchange->request.segments[2], &problem, &design);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        return;
    }
    find.signature = design->signature;
    views_each(service, database->id, find_group, &find);
    store_database_stats(service->store, database->id, &stats);
    err = visible_init(&visible, service, exchange, database);
    info = err == QK_OK ? info_json(&visible, design, find.group, stats.seq) : NULL;
    exchange_reply_json(exchange, 200,
                        info == NULL
                            ? NULL
                            : json_pack("{s:s%, s:o}", "name",
                                        (const char *)exchange->request.segments[2].data,
                                        exchange->request.segments[2].len, "view_index", info));
    visible_fini(&visible);
    view_design_free(design);
}

void handle_design_info(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, info_ready);
}

/* --- _view_cleanup, _compact --- */

struct cleanup {
    struct service *service;
    struct exchange *exchange;
    const struct catalog_database *database;
};

/* What its design document no longer says. A group that another one shares is only made again. */
static bool cleanup_group(void *arg, struct view_group *group)
{
    struct cleanup *cleanup = arg;
    struct bytes id = views_name(group);
    struct view_design *design = NULL;
    struct doc_problem problem;
    enum qk_err err;

    err = view_load(cleanup->service, cleanup->exchange, cleanup->database,
                    bytes_slice(id, strlen("_design/"), id.len), &problem, &design);
    if ((err == QK_ERR_INVALID && problem.status == 404) ||
        (err == QK_OK &&
         memcmp(design->signature, views_design(group)->signature, HASH_BYTES) != 0))
        views_drop(group);
    view_design_free(design);
    return true;
}

static void reply_accepted(struct exchange *exchange)
{
    exchange_reply_json(exchange, 202, json_pack("{s:b}", "ok", 1));
}

static void cleanup_ready(struct service *service, struct exchange *exchange)
{
    struct cleanup cleanup = {service, exchange, NULL};

    cleanup.database = read_database(service, exchange, ACCESS_DB_ADMIN);
    if (cleanup.database == NULL)
        return;
    views_each(service, cleanup.database->id, cleanup_group, &cleanup);
    views_file_clean(service, cleanup.database->id);
    reply_accepted(exchange);
}

void handle_view_cleanup(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, cleanup_ready);
}

static void compact_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_ADMIN);
    struct doc_problem problem = {0};
    struct view_design *design;
    enum qk_err err;

    if (database == NULL)
        return;
    err = view_load(service, exchange, database, exchange->request.segments[2], &problem, &design);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        return;
    }
    view_design_free(design);
    reply_accepted(exchange);
}

void handle_view_compact(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, compact_ready);
}

void handle_temp_view(struct service *service, struct exchange *exchange)
{
    (void)service;
    exchange_reply_error(exchange, 410, "gone", "Temporary views are not supported in CouchDB");
}
