/* CouchDB's view of the servers: who they are, and their configuration as sections of names with
 * texts for values. Of the configuration this shows what CouchDB's clients look for and what can be
 * changed while nodes run: the settings of the cluster, in the section "quorumkeep". No value is a
 * secret, and there is no section "admins": users are no part of a configuration. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "service/params.h"
#include "service/cluster/settings.h"

#define SETTINGS_SECTION "quorumkeep"
/* /_node/{name}/_config/{section}/{key} */
#define AT_NODE 1
#define AT_SECTION 3
#define AT_KEY 4

/* --- who they are --- */

void handle_membership(struct service *service, struct exchange *exchange)
{
    const struct cluster *cluster = service->cluster;
    json_t *all = json_array(), *members = json_array();

    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        (void)json_array_append_new(members, json_string(member->info.name));
        if (hub_is_self(cluster, member->node_id) || hub_is_live(cluster, member->node_id))
            (void)json_array_append_new(all, json_string(member->info.name));
    }
    exchange_reply_json(exchange, 200,
                        json_pack("{s:o, s:o}", "all_nodes", all, "cluster_nodes", members));
}

/* False: answered. Each node tells of itself alone. */
static bool is_here(const struct service *service, struct exchange *exchange)
{
    struct bytes name = exchange->request.segments[AT_NODE];

    if (bytes_equal(name, bytes_str("_local")) || bytes_equal(name, bytes_str(service->node_name)))
        return true;
    exchange_reply_error(exchange, 404, "not_found",
                         "no such node: each node answers for itself alone, as _local or %s",
                         service->node_name);
    return false;
}

/* The settings are those of all members, so that any of them may be named; and a request to change
 * them runs on the leader, whoever was asked. False: answered. */
static bool is_member(const struct service *service, struct exchange *exchange)
{
    const struct cluster *cluster = service->cluster;
    struct bytes name = exchange->request.segments[AT_NODE];
    bool found = bytes_equal(name, bytes_str("_local"));

    for (unsigned i = 0; i < cluster->members_n && !found; i++)
        found = bytes_equal(name, bytes_str(cluster->members[i].info.name));
    if (!found)
        exchange_reply_error(exchange, 404, "not_found", "no such node: %.*s", (int)name.len,
                             (const char *)name.data);
    return found;
}

void handle_node_name(struct service *service, struct exchange *exchange)
{
    if (is_here(service, exchange))
        exchange_reply_json(exchange, 200, json_pack("{s:s}", "name", service->node_name));
}

/* --- the configuration --- */

static void put_number(json_t *section, const char *name, uint64_t number)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    (void)json_object_set_new(section, name, json_string(text));
}

static json_t *limits_section(const char *name, uint64_t bytes)
{
    json_t *section = json_object();

    put_number(section, name, bytes);
    return section;
}

/* Settings as texts; what only follows from others is no setting. */
static json_t *settings_section(const struct service *service)
{
    json_t *settings = settings_texts(service->cluster);

    return settings == NULL ? json_object() : settings;
}

static json_t *config_json(const struct service *service)
{
    char uuid[2 * CLUSTER_ID_BYTES + 1];
    json_t *couchdb = limits_section("max_document_size", DOC_BYTES_MAX);
    json_t *chttpd = limits_section("max_http_request_size", HTTP_BODY_BYTES_MAX);
    json_t *cluster = limits_section("n", service->cluster->members_n);

    hex_encode(service->cluster_id, CLUSTER_ID_BYTES, uuid);
    (void)json_object_set_new(couchdb, "uuid", json_string(uuid));
    put_number(chttpd, "max_db_number_for_dbs_info_req", 100);
    (void)json_object_set_new(chttpd, "require_valid_user", json_string("true"));
    (void)json_object_set_new(chttpd, "admin_only_all_dbs", json_string("true"));
    put_number(cluster, "q", 1);
    return json_pack("{s:o, s:o, s:o, s:o, s:{s:s, s:s}}", "chttpd", chttpd, "cluster", cluster,
                     "couchdb", couchdb, SETTINGS_SECTION, settings_section(service), "vendor",
                     "name", "Quorumkeep", "version", QK_VERSION);
}

/* The member of that name, borrowed; NULL: none. */
static json_t *member_of(const json_t *object, struct bytes name)
{
    return name.len == 0 ? NULL : json_object_getn(object, (const char *)name.data, name.len);
}

static void reply_unknown(struct exchange *exchange)
{
    exchange_reply_error(exchange, 404, "not_found", "unknown_config_value");
}

void handle_config(struct service *service, struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    json_t *config, *found;

    if (!is_here(service, exchange))
        return;
    config = config_json(service);
    found = config;
    if (request->segments_n > AT_SECTION)
        found = member_of(config, request->segments[AT_SECTION]);
    if (request->segments_n > AT_KEY)
        found = member_of(found, request->segments[AT_KEY]);
    if (found != NULL)
        exchange_reply_json(exchange, 200, json_incref(found));
    else if (request->segments_n > AT_KEY)
        reply_unknown(exchange);
    else
        exchange_reply_json(exchange, 200, json_object()); /* a section that nobody has filled */
    json_decref(config);
}

/* --- changing it --- */

/* The text as the setting's own value: a number where it is one. */
static json_t *value_of(const json_t *text)
{
    uint64_t number;

    if (parse_u64(json_bytes(text), &number) && number <= INT64_MAX)
        return json_integer((json_int_t)number);
    return json_stringn(json_string_value(text), json_string_length(text));
}

static void config_set(struct service *service, struct exchange *exchange, const json_t *text)
{
    struct bytes key = exchange->request.segments[AT_KEY];
    json_t *settings = settings_section(service);
    json_t *was = member_of(settings, key);
    json_t *wish = json_object();

    if (was == NULL) {
        exchange_reply_error(exchange, 400, "bad_request",
                             "this is no setting that can be changed while nodes run: those of the "
                             "section \"" SETTINGS_SECTION "\" are");
    } else {
        (void)json_object_setn_new(wish, (const char *)key.data, key.len, value_of(text));
        settings_change(service, exchange, wish, json_incref(was));
    }
    json_decref(wish);
    json_decref(settings);
}

void handle_config_put(struct service *service, struct exchange *exchange)
{
    struct doc_problem problem = {0};
    json_t *text = NULL;
    enum qk_err err;

    if (!is_member(service, exchange))
        return;
    err = json_parse(exchange->request.body, 1, &problem, &text);
    if (err == QK_OK && !json_is_string(text))
        err = doc_problem_set(&problem, 400, "bad_request", "the body is a text in quotes");
    if (err != QK_OK)
        exchange_reply_problem_or(exchange, &problem, err);
    else if (!bytes_equal(exchange->request.segments[AT_SECTION], bytes_str(SETTINGS_SECTION)))
        exchange_reply_error(exchange, 400, "bad_request",
                             "only the section \"" SETTINGS_SECTION
                             "\" can be changed while nodes run");
    else
        config_set(service, exchange, text);
    json_decref(text);
}
