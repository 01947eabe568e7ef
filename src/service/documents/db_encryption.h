/* How a database's bodies are kept: under which key if a document names none, or in the clear. */
#ifndef SERVICE_DOCUMENTS_DB_ENCRYPTION_H
#define SERVICE_DOCUMENTS_DB_ENCRYPTION_H

#include "service/catalog.h"
#include "service/exchange.h"

/* What of it a request says: ?key_id=, ?clear= and ?ids= of PUT /{db}, or a body's members. */
struct db_encryption {
    bool has_key, has_clear, clear;
    bool ids_hidden;   /* of PUT /{db} alone: a database keeps what it was made with */
    char key_name[65]; /* empty: the cluster's default */
};

/* {"bodies": "encrypted" | "clear" | "being encrypted", "key_id": NAME or null,
 * "ids": "clear" | "hidden"}. */
json_t *db_encryption_json(const struct service *service, const struct catalog_database *database);

/* Reads the parameters of PUT /{db}. QK_ERR_INVALID with the problem. */
struct doc_problem;
MUST_USE enum qk_err db_encryption_params(const struct request *request,
                                          struct db_encryption *ret_wish,
                                          struct doc_problem *ret_problem);
/* Makes it true of `database`; one that is new takes the cluster's policy where nothing is said.
 * QK_ERR_NOT_FOUND, QK_ERR_DESTROYED: of the key. */
MUST_USE enum qk_err db_encryption_apply(const struct service *service,
                                         const struct db_encryption *wish, bool is_new,
                                         struct catalog_database *database);

/* GET /_quorumkeep/databases: all of them, with what db_encryption_json tells. */
void handle_databases(struct service *service, struct exchange *exchange);
/* GET and PUT /{db}/_encryption. */
void handle_db_encryption(struct service *service, struct exchange *exchange);
void handle_db_encryption_put(struct service *service, struct exchange *exchange);

#endif
