#include "node/node.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "http/inner.h"
#include "secret/crypto.h"
#include "secret/memory.h"
#include "service/feeds/feeds.h"
#include "service/integrity/integrity.h"
#include "service/audit_use.h"
#include "service/keys/reencrypt.h"
#include "service/documents/unnamed.h"
#include "service/replication/replicator.h"
#include "service/backup/backup_schedule.h"
#include "service/submit.h"
#include "service/query/views.h"

static const int node_signals[NODE_SIGNALS_N] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

/* --- start ----------------------------------------------------------------------------------- */

static enum qk_err arena_start(struct node *node, char *ret_reason)
{
    static const enum secret_arena kinds[] = {
        [CONFIG_ARENA_AUTO] = SECRET_ARENA_AUTO,
        [CONFIG_ARENA_MEMFD] = SECRET_ARENA_MEMFD,
        [CONFIG_ARENA_MLOCK] = SECRET_ARENA_MLOCK,
    };
    size_t bytes = (size_t)node->config.arena_kib * KIB;
    enum qk_err err = secret_arena_init(kinds[node->config.arena], bytes);

    if (node->config.hardware_aes == CONFIG_AES_OFF)
        aead_forbid_aes256gcm();
    if (err == QK_ERR_LOCKED_MEMORY)
        snprintf(ret_reason, NODE_REASON_BYTES,
                 "memory: %zu KiB for keys could not be locked: raise the limit (ulimit -l, "
                 "LimitMEMLOCK=) or lower [memory] arena_kib",
                 bytes / KIB);
    else if (err != QK_OK)
        snprintf(ret_reason, NODE_REASON_BYTES, "memory: [memory] arena: %s", qk_err_text(err));
    return err;
}

/* Those of the [backup] section, if there is one. */
static enum qk_err backups_start(struct node *node)
{
    struct backup_settings settings = {.every_s = node->config.backup_every_s,
                                       .keep = node->config.backup_keep};
    enum qk_err err = backups_new(&node->service, &node->service.backups);

    if (err != QK_OK || node->config.backup_directory[0] == '\0')
        return err;
    snprintf(settings.directory, sizeof settings.directory, "%s", node->config.backup_directory);
    return backups_schedule(node->service.backups, &settings);
}

static const char *given(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

static enum qk_err replications_start(struct node *node)
{
    struct replicator_settings settings = {.allow = node->config.replication_allowed,
                                           .ca_file = given(node->config.replication_ca)};

    return replicator_new(&node->service, &settings, &node->service.replicator);
}

static enum qk_err hub_start(struct node *node, char *ret_reason)
{
    struct cluster_ops ops = {.arg = node,
                              .start_member = member_start,
                              .discard_member = member_discard,
                              .damaged = member_damaged,
                              .attest = node->attester != NULL ? attestation_ask : NULL,
                              .attest_from = attestation_from};
    struct cluster_settings settings = {.release_limit = node->config.release_limit,
                                        .attest_hook = node->config.attest_hook,
                                        .attest_cache_ms = node->config.attest_cache_ms};
    enum qk_err err = cluster_new(&node->service, &ops, &settings, &node->service.cluster);

    if (err == QK_OK)
        err = login_new(&node->service, &node->service.login);
    if (err == QK_OK)
        login_use_hasher(node->service.login, &(struct login_hasher){hasher_check, &node->hasher});
    node->service.attachment_bytes_max = node->config.attachment_max_mib * MIB;
    node->service.view_bytes_max = node->config.index_memory_mib * MIB;
    if (node->scripter.fd >= 0)
        node->service.script_door = (struct script_door){scripter_connect, &node->scripter};
    if (err == QK_OK)
        err = submitter_new(&node->service, &node->service.submitter);
    if (err == QK_OK)
        err = feeds_new(&node->service, &node->service.feeds);
    if (err == QK_OK)
        err = reencrypt_new(&node->service, &node->service.reencrypt);
    if (err == QK_OK)
        err = unnamed_new(&node->service, &node->service.unnamed);
    if (err == QK_OK)
        err = backups_start(node);
    if (err == QK_OK)
        err = integrity_new(
            &node->service,
            &(struct integrity_settings){.scrub_s = (uint64_t)node->config.scrub_hours * 3600},
            &node->service.integrity);
    if (err == QK_OK)
        err = replications_start(node);
    if (err != QK_OK)
        snprintf(ret_reason, NODE_REASON_BYTES, "the node could not start: %s", qk_err_text(err));
    return err;
}

static enum qk_err clients_start(struct node *node, char *ret_reason)
{
    char control[sizeof node->service.data_dir + 16];
    struct http_config config = {
        .loop = &node->loop,
        .service = &node->service,
        .listen = node->config.http_listen,
        .control_path = control,
        .insecure_http = node->config.insecure_http,
        .tls_cert = given(node->config.tls_cert),
        .tls_key = given(node->config.tls_key),
        .tls_client_ca = given(node->config.tls_client_ca),
    };
    enum qk_err err;

    snprintf(control, sizeof control, "%s/control.sock", node->service.data_dir);
    http_product_hooks(&node->service, &config.hooks);
    config.routes = http_product_routes(&config.routes_n);
    err = http_new(&config, ret_reason, &node->http);
    if (err != QK_OK)
        return err;
    http_inner_hook(node->http, &node->inner);
    node->service.inner = &node->inner;
    return QK_OK;
}

static void seal_by_signal(struct node *node)
{
    enum qk_err err = cluster_seal(node->service.cluster);

    if (err != QK_OK)
        log_warn("node", "SIGUSR1: not sealed: %s", qk_err_text(err));
}

/* What SIGHUP reads again: the certificates. */
static void reload(struct node *node)
{
    char reason[HTTP_REASON_BYTES] = "";

    if (node->http == NULL || node->config.tls_cert[0] == '\0')
        log_info("node", "SIGHUP: there is no certificate to read again");
    else if (http_reload_tls(node->http, reason) != QK_OK)
        log_error("node", "SIGHUP: %s; the old certificate stays in use", reason);
    else
        log_info("node", "SIGHUP: certificate and key read again");
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct node *node = handle->data;

    if (signum == SIGTERM || signum == SIGINT)
        node_stop(node);
    else if (signum == SIGUSR1)
        seal_by_signal(node);
    else
        reload(node);
}

static enum qk_err signals_start(struct node *node)
{
    unsigned i;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write past the limit fails with EFBIG: said, not silent */
    for (i = 0; i < NODE_SIGNALS_N; i++) {
        node->signals[i].data = node;
        if (uv_signal_init(&node->loop, &node->signals[i]) != 0 ||
            uv_signal_start(&node->signals[i], on_signal, node_signals[i]) != 0)
            return QK_ERR_IO;
    }
    return QK_OK;
}

static void on_rest(uv_prepare_t *handle)
{
    (void)handle;
    secret_turn_end();
}

/* The loop works in turns (secret/secret.h). The handle keeps no loop alive. */
static enum qk_err turns_start(struct node *node)
{
    if (uv_prepare_init(&node->loop, &node->rest) != 0 ||
        uv_prepare_start(&node->rest, on_rest) != 0)
        return QK_ERR_IO;
    uv_unref((uv_handle_t *)&node->rest);
    secret_turns_begin();
    return QK_OK;
}

static void service_fill(struct node *node)
{
    struct service *service = &node->service;

    service->loop = &node->loop;
    service->catalog_follower = &views_follower;
    snprintf(service->node_name, sizeof service->node_name, "%s", node->config.name);
    snprintf(service->peer_address, sizeof service->peer_address, "%s",
             node->config.peer_advertise);
    snprintf(service->client_address, sizeof service->client_address, "%s",
             node->config.http_advertise);
}

/* What must stand before keys and threads exist. */
static enum qk_err process_start(struct node *node, char *ret_reason)
{
    enum qk_err err;

    if (uv_loop_init(&node->loop) != 0) {
        snprintf(ret_reason, NODE_REASON_BYTES, "the event loop could not start");
        return QK_ERR_IO;
    }
    service_fill(node);
    err = audit_init(node) == QK_OK ? signals_start(node) : QK_ERR_IO;
    if (err == QK_OK)
        err = turns_start(node);
    if (err != QK_OK) {
        snprintf(ret_reason, NODE_REASON_BYTES, "signals: %s", qk_err_text(err));
        return err;
    }
    err = data_dir_open(node, ret_reason);
    if (err != QK_OK)
        return err;
    return arena_start(node, ret_reason);
}

enum qk_err node_start(struct node *node, char *ret_reason)
{
    enum qk_err err = process_start(node, ret_reason);

    if (err == QK_OK)
        err = audit_start(node, ret_reason);
    if (err == QK_OK)
        err = attestation_start(node, ret_reason);
    if (err == QK_OK)
        err = hub_start(node, ret_reason);
    if (err == QK_OK)
        err = clients_start(node, ret_reason);
    if (err == QK_OK)
        err = cluster_boot(node->service.cluster, ret_reason);
    if (err != QK_OK)
        return err;
    err = process_confine();
    if (err != QK_OK)
        snprintf(ret_reason, NODE_REASON_BYTES, "seccomp: %s", qk_err_text(err));
    return err;
}

/* --- end ------------------------------------------------------------------------------------- */

static void end_loop(void *arg)
{
    struct node *node = arg;
    unsigned i;

    node->service.cluster = NULL;
    submitter_free(node->service.submitter);
    node->service.submitter = NULL;
    attester_free(node->attester);
    node->attester = NULL;
    integrity_free(node->service.integrity);
    node->service.integrity = NULL;
    unnamed_free(node->service.unnamed);
    node->service.unnamed = NULL;
    reencrypt_free(node->service.reencrypt);
    node->service.reencrypt = NULL;
    feeds_free(node->service.feeds);
    node->service.feeds = NULL;
    node->end = NODE_ENDED;
    for (i = 0; i < NODE_SIGNALS_N; i++)
        uv_close((uv_handle_t *)&node->signals[i], NULL);
    uv_close((uv_handle_t *)&node->audit.timer, NULL);
    uv_close((uv_handle_t *)&node->rest, NULL);
}

static void end_cluster(struct node *node)
{
    cluster_free(node->service.cluster, end_loop, node);
}

static void end_member(void *arg)
{
    struct node *node = arg;

    node->http = NULL;
    node->service.inner = NULL;
    login_free(node->service.login);
    node->service.login = NULL;
    member_close(node, end_cluster);
}

static void end_http(void *arg)
{
    struct node *node = arg;

    if (node->end == NODE_CLOSING)
        return;
    node->end = NODE_CLOSING;
    reencrypt_stop(node->service.reencrypt);
    unnamed_stop(node->service.unnamed);
    backups_stop(node->service.backups);
    cluster_stop(node->service.cluster);
    if (node->http == NULL)
        end_member(node);
    else
        http_close(node->http, end_member, node);
}

static void end_handed_on(void *arg, enum qk_err err)
{
    (void)arg;
    if (err != QK_OK)
        log_debug("node", "leadership was not handed on: %s", qk_err_text(err));
}

void node_stop(struct node *node)
{
    struct consensus *consensus = node->service.consensus;

    if (node->end != NODE_RUNNING)
        return;
    node->end = NODE_DRAINING;
    log_info("node", "stopping");
    feeds_close(&node->service, QK_ERR_CLOSED);
    replicator_stop(node->service.replicator);
    if (consensus != NULL && consensus_role(consensus) == CONSENSUS_LEADER &&
        consensus_transfer(consensus, 0, end_handed_on, node) != QK_OK)
        log_debug("node", "no one to hand leadership to");
    if (node->http == NULL)
        end_http(node);
    else
        http_drain(node->http, NODE_DRAIN_MS, end_http, node);
}

void node_fini(struct node *node)
{
    if (uv_loop_close(&node->loop) != 0)
        log_warn("node", "the event loop ended with open handles");
    launcher_end(&node->launcher);
    hasher_end(&node->hasher);
    scripter_end(&node->scripter);
    backups_free(node->service.backups);
    replicator_free(node->service.replicator);
    audit_use_free(node->service.audit_use);
    audit_close(node->service.audit);
    secret_arena_fini();
    if (node->lock_fd > 0)
        (void)close(node->lock_fd);
}
