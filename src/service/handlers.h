/* The use cases about databases and documents: what http's routes call. The right that each needs
 * (access_check) is the route's; here stands what it does. Each answers the exchange exactly once.
 *
 * Segments: /{db} is segments[0], /{db}/{docid} segments[0..1], /{db}/_design/{name}
 * segments[0..2]. Reads are linearizable unless ?consistency=local. Writes run on the leader: http
 * forwards them; one that is no leader any more answers 503. */
#ifndef SERVICE_HANDLERS_H
#define SERVICE_HANDLERS_H

#include "service/exchange.h"
#include "service/service.h"

typedef void (*service_handler)(struct service *service, struct exchange *exchange);

void handle_all_dbs(struct service *service, struct exchange *exchange);  /* GET /_all_dbs */
void handle_dbs_info(struct service *service, struct exchange *exchange); /* GET, POST /_dbs_info */
void handle_active_tasks(struct service *service, struct exchange *exchange);
void handle_compact(struct service *service, struct exchange *exchange);   /* POST /{db}/_compact */
void handle_uuids(struct service *service, struct exchange *exchange);     /* GET /_uuids */
void handle_db_put(struct service *service, struct exchange *exchange);    /* PUT /{db} */
void handle_db_get(struct service *service, struct exchange *exchange);    /* GET, HEAD /{db} */
void handle_db_delete(struct service *service, struct exchange *exchange); /* DELETE /{db} */

/* 501: what CouchDB has and this server has not */
void handle_not_implemented(struct service *service, struct exchange *exchange);

void handle_doc_put(struct service *service, struct exchange *exchange);    /* PUT /{db}/{docid} */
void handle_doc_post(struct service *service, struct exchange *exchange);   /* POST /{db} */
void handle_doc_get(struct service *service, struct exchange *exchange);    /* GET, HEAD */
void handle_doc_copy(struct service *service, struct exchange *exchange);   /* COPY */
void handle_doc_delete(struct service *service, struct exchange *exchange); /* DELETE */
/* /{db}/{doc}/{attachment...}: GET and HEAD, PUT, DELETE. */
void handle_attachment_get(struct service *service, struct exchange *exchange);
void handle_attachment_put(struct service *service, struct exchange *exchange);
void handle_attachment_delete(struct service *service, struct exchange *exchange);
void handle_bulk_docs(struct service *service,
                      struct exchange *exchange); /* POST /{db}/_bulk_docs */
void handle_bulk_get(struct service *service, struct exchange *exchange); /* POST /{db}/_bulk_get */
void handle_revs_diff(struct service *service, struct exchange *exchange);  /* and _missing_revs */
void handle_revs_limit(struct service *service, struct exchange *exchange); /* GET */
void handle_revs_limit_put(struct service *service, struct exchange *exchange);
void handle_purge(struct service *service, struct exchange *exchange);      /* POST /{db}/_purge */
void handle_local_docs(struct service *service, struct exchange *exchange); /* GET, HEAD, POST */
/* POST /{db}/_ensure_full_commit: every acknowledged write is durable already. */
void handle_ensure_full_commit(struct service *service, struct exchange *exchange);
/* service/keys/debug_open.c */
void handle_debug_open(struct service *service, struct exchange *exchange);
void handle_all_docs(struct service *service, struct exchange *exchange); /* GET, HEAD, POST */
void handle_security(struct service *service, struct exchange *exchange); /* GET /{db}/_security */
/* PUT: the whole object; POST: one user's or role's rights. */
void handle_security_change(struct service *service, struct exchange *exchange);
void handle_changes(struct service *service, struct exchange *exchange);    /* GET, HEAD, POST */
void handle_db_updates(struct service *service, struct exchange *exchange); /* GET /_db_updates */
void handle_find(struct service *service, struct exchange *exchange);       /* POST /{db}/_find */
void handle_explain(struct service *service, struct exchange *exchange); /* POST /{db}/_explain */
/* GET and POST /{db}/_index, DELETE /{db}/_index/{design}/{type}/{name}. */
void handle_index_list(struct service *service, struct exchange *exchange);
void handle_index_make(struct service *service, struct exchange *exchange);
void handle_index_remove(struct service *service, struct exchange *exchange);
/* POST /{db}/_index/_bulk_delete */
void handle_index_bulk_remove(struct service *service, struct exchange *exchange);

#endif
