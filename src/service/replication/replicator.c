/* Each half second: does this node lead, and is it open? If not, all ends here. If so, the
 * documents are looked at if one has changed, and each job is. */
#include "service/replication/replicator.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "service/cluster/cluster.h"
#include "service/replication/replicator_private.h"

#define TICK_MS 500u

static void jobs_end(struct replicator *replicator, enum qk_err err)
{
    replicator_docs_stop(replicator);
    while (replicator->jobs != NULL)
        job_free(replicator->jobs, err);
    replicator->leading = false;
}

static bool may_run(const struct replicator *replicator)
{
    struct service *service = replicator->service;

    return !replicator->stopped && service->cluster != NULL && service->store != NULL &&
           service_is_open(service) && service->catalog != NULL && cluster_leads(service->cluster);
}

static void replicator_tick(void *arg)
{
    struct replicator *replicator = arg;
    struct job *next;

    if (!may_run(replicator)) {
        jobs_end(replicator, QK_ERR_NOT_LEADER);
    } else {
        replicator->leading = true;
        replicator_docs_tick(replicator);
        for (struct job *job = replicator->jobs; job != NULL; job = next) {
            next = job->next;
            job_tick(job);
        }
    }
    timer_start(replicator->timer, TICK_MS);
}

enum qk_err replicator_new(struct service *service, const struct replicator_settings *settings,
                           struct replicator **ret_replicator)
{
    struct replicator *replicator = calloc(1, sizeof *replicator);
    struct fetch_settings fetch = {.allow = settings->allow, .ca_file = settings->ca_file};
    enum qk_err err;

    if (replicator == NULL)
        return QK_ERR_NOMEM;
    replicator->service = service;
    replicator->docs_side = (struct replication_side){.local = true};
    replicator->docs_side.name = strdup(REPLICATOR_DATABASE);
    replicator->docs = (struct endpoint){
        .service = service, .side = &replicator->docs_side, .who = principal_control()};
    err = replicator->docs_side.name == NULL ? QK_ERR_NOMEM : QK_OK;
    if (err == QK_OK)
        err = fetch_new(service->loop, &fetch, &replicator->fetch);
    if (err == QK_OK)
        err = timer_new(service->loop, replicator_tick, replicator, &replicator->timer);
    if (err != QK_OK) {
        replicator_stop(replicator);
        replicator_free(replicator);
        return err;
    }
    timer_start(replicator->timer, TICK_MS);
    *ret_replicator = replicator;
    return QK_OK;
}

void replicator_stop(struct replicator *replicator)
{
    if (replicator == NULL || replicator->stopped)
        return;
    replicator->stopped = true;
    jobs_end(replicator, QK_ERR_NOT_LEADER);
    timer_free(replicator->timer, NULL, NULL);
    fetch_free(replicator->fetch);
    replicator->timer = NULL;
    replicator->fetch = NULL;
}

void replicator_free(struct replicator *replicator)
{
    if (replicator == NULL)
        return;
    free(replicator->docs_side.name);
    free(replicator);
}
