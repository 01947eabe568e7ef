/* GET /{db}/_index: the indexes that the reader may know of. */
#include <stdlib.h>

#include "service/query/find_indexes.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/read.h"
#include "service/submit.h"

struct index_list {
    struct service *service;
    struct exchange *exchange;
    struct visible visible;
    struct find_indexes indexes;
    uint64_t limit, skip;
};

static void list_free(struct index_list *list)
{
    find_indexes_fini(&list->indexes);
    visible_fini(&list->visible);
    free(list);
}

static void list_gathered(void *arg, enum qk_err err)
{
    struct index_list *list = arg;
    json_t *rows = json_array();
    uint64_t i, total = list->indexes.n + 1;

    for (i = list->skip; i < total && json_array_size(rows) < list->limit; i++)
        json_array_append_new(rows, find_index_json(i == 0 ? NULL : &list->indexes.list[i - 1]));
    if (err == QK_OK)
        exchange_reply_json(
            list->exchange, 200,
            json_pack("{s:I,s:O}", "total_rows", (json_int_t)total, "indexes", rows));
    else
        submit_reply_err(list->service, list->exchange, err);
    json_decref(rows);
    list_free(list);
}

/* False: it is no number, or out of range. */
static bool count_param(const struct request *request, const char *name, uint64_t least,
                        uint64_t *ret_count)
{
    struct bytes text;

    return !request_param(request, name, &text) ||
           (parse_u64(text, ret_count) && *ret_count >= least);
}

static void list_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct index_list *list;
    enum qk_err err;

    if (database == NULL)
        return;
    list = calloc(1, sizeof(*list));
    if (list == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    list->service = service;
    list->exchange = exchange;
    list->limit = UINT64_MAX;
    err = visible_init(&list->visible, service, exchange, database);
    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
        list_free(list);
    } else if (!count_param(&exchange->request, "limit", 1, &list->limit) ||
               !count_param(&exchange->request, "skip", 0, &list->skip)) {
        exchange_reply_error(exchange, 500, "invalid_list_index_params",
                             "Index parameter ranges: limit > 1, skip > 0");
        list_free(list);
    } else {
        find_indexes_gather(&list->indexes, &list->visible, list_gathered, list);
    }
}

void handle_index_list(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, list_ready);
}
