/* The attestation hook of this node: its program checked and its launcher forked before keys exist,
 * the questions of the hub passed on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "link/link.h"
#include "node/node.h"

enum qk_err attestation_prepare(struct node *node, char *ret_reason)
{
    struct launcher_programs *programs;
    char why[PROGRAM_REASON_BYTES] = "";
    enum qk_err err;

    if (node->config.attest_hook[0] == '\0')
        return QK_OK;
    programs = calloc(1, sizeof *programs);
    if (programs == NULL)
        return QK_ERR_NOMEM;
    programs->n = 1;
    err = program_check(node->config.attest_hook, programs->paths[0], why);
    if (err == QK_OK)
        err = launcher_start(programs, &node->launcher);
    if (err != QK_OK)
        snprintf(ret_reason, NODE_REASON_BYTES, "[attestation] hook: %s",
                 why[0] != '\0' ? why : "the launcher could not be started");
    free(programs);
    return err;
}

static void answered(void *arg, uint32_t id, const struct attest_result *result)
{
    struct node *node = arg;

    if (node->service.cluster != NULL)
        cluster_attested(node->service.cluster, id, result);
}

static void lost(void *arg, const char *why)
{
    struct node *node = arg;

    log_error("attestation",
              "the launcher is lost: %s: this node releases to nobody until it is restarted", why);
    audit_event(node->service.audit, "launcher_lost", "why", why, NULL);
}

enum qk_err attestation_start(struct node *node, char *ret_reason)
{
    struct attester_config config = {.loop = &node->loop,
                                     .launcher = &node->launcher,
                                     .timeout_ms = node->config.attest_timeout_ms,
                                     .arg = node,
                                     .answered = answered,
                                     .lost = lost};
    enum qk_err err = QK_OK;

    if (node->launcher.pid > 0)
        err = attester_new(&config, &node->attester);
    if (err != QK_OK)
        snprintf(ret_reason, NODE_REASON_BYTES, "[attestation] hook: %s", qk_err_text(err));
    return err;
}

enum qk_err attestation_ask(void *arg, uint32_t id, struct bytes facts)
{
    struct node *node = arg;

    return attester_ask(node->attester, id, facts);
}

void attestation_from(void *arg, const uint8_t node_id[NODE_ID_BYTES], char *ret_text,
                      unsigned long size)
{
    const struct node *node = arg;

    if (node->service.link != NULL)
        link_address(node->service.link, node_id, ret_text, size);
}
