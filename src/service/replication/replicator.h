/* Replications with other servers: POST /_replicate, the documents of the database `_replicator`,
 * and what they do, in /_scheduler and /_active_tasks.
 *
 * All of them run on the leader, in the name of whoever asked for them, and end when it stops
 * leading or is sealed; the next leader begins those that have a document anew, from their
 * checkpoints. A document's credentials stand in it encrypted, under a key that no request reaches,
 * bound to the document's id and both addresses; nothing shows them. */
#ifndef SERVICE_REPLICATION_REPLICATOR_H
#define SERVICE_REPLICATION_REPLICATOR_H

#include "link/allow.h"
#include "service/exchange.h"
#include "service/replicator_database.h"
#include "service/service.h"

struct replicator;
struct wire_command;

#define REPLICATOR_BODY_BYTES_MAX (1 * MIB)
#define REPLICATOR_JOBS_MAX 500

struct replicator_settings {
    struct link_allow allow; /* addresses that may be reached; n 0: public ones */
    const char *ca_file;     /* PEM, for servers' certificates; NULL: the system's */
};

/* The caller gives it back with replicator_free, after replicator_stop. */
MUST_USE enum qk_err replicator_new(struct service *service,
                                    const struct replicator_settings *settings,
                                    struct replicator **ret_replicator);
/* Ends all jobs; who waits for one is answered. Takes NULL; again is harmless. */
void replicator_stop(struct replicator *replicator);
void replicator_free(struct replicator *replicator);

void handle_replicate(struct service *service, struct exchange *exchange);      /* POST */
void handle_scheduler_jobs(struct service *service, struct exchange *exchange); /* GET */
void handle_scheduler_job(struct service *service, struct exchange *exchange);  /* GET /{id} */
void handle_scheduler_docs(struct service *service, struct exchange *exchange); /* GET */
/* GET /_scheduler/docs/_replicator/{doc} */
void handle_scheduler_doc(struct service *service, struct exchange *exchange);
/* PUT /_replicator/{doc} and POST /_replicator; reading and deleting are those of documents. */
void handle_replicator_put(struct service *service, struct exchange *exchange);
void handle_replicator_post(struct service *service, struct exchange *exchange);

#endif
