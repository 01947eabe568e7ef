/* What the interface asks of the rest of the node. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consensus/consensus.h"
#include "http/audit_hooks.h"
#include "http/http.h"
#include "http/metrics.h"
#include "link/link.h"
#include "secret/secret.h"
#include "service/authorize.h"
#include "service/backup/backup.h"
#include "service/cluster/cluster.h"
#include "service/login.h"
#include "service/integrity/integrity.h"
#include "service/period.h"
#include "service/keys/reencrypt.h"
#include "service/documents/unnamed.h"
#include "service/service.h"
#include "store/store.h"

static bool hook_is_open(void *arg)
{
    return service_is_open(arg);
}

static void hook_closed_reason(void *arg, char *ret_text, size_t len)
{
    service_closed_reason(arg, ret_text, len);
}

static bool hook_can_login(void *arg)
{
    const struct service *service = arg;

    return service->catalog != NULL && service->login != NULL;
}

static enum qk_err hook_login(void *arg, struct bytes name, struct bytes password, const char *from,
                              http_login_cb cb, void *cb_arg)
{
    struct service *service = arg;

    return login_check(service->login, name, password, from, cb, cb_arg);
}

static enum qk_err hook_login_token(void *arg, struct bytes text, struct principal *ret_who)
{
    return login_by_token(arg, text, ret_who);
}

static enum qk_err hook_catch_up(void *arg, void (*cb)(void *arg, enum qk_err err), void *cb_arg)
{
    return login_catch_up(arg, cb, cb_arg);
}

static bool hook_leads(void *arg)
{
    const struct service *service = arg;

    return service->cluster != NULL && cluster_leads(service->cluster);
}

static bool hook_login_is_current(void *arg, const struct principal *who)
{
    return login_is_current(arg, who);
}

static enum qk_err hook_authorize(void *arg, struct exchange *exchange, enum access_right right)
{
    return authorize_route(arg, exchange, right);
}

static bool hook_is_leader(void *arg)
{
    const struct service *service = arg;

    return service->cluster != NULL && cluster_is_leader(service->cluster);
}

static bool hook_leader(void *arg, uint8_t ret_node_id[static NODE_ID_BYTES])
{
    const struct service *service = arg;

    return service->cluster != NULL && service->link != NULL &&
           cluster_leader(service->cluster, ret_node_id) == QK_OK &&
           link_is_up(service->link, ret_node_id);
}

static bool hook_is_member(void *arg, const uint8_t node_id[static NODE_ID_BYTES])
{
    const struct service *service = arg;

    return service->cluster != NULL && cluster_is_member(service->cluster, node_id);
}

static bool hook_may_forward(void *arg, const uint8_t node_id[static NODE_ID_BYTES])
{
    const struct service *service = arg;

    return service->cluster != NULL && cluster_is_trusted(service->cluster, node_id);
}

static enum qk_err hook_send(void *arg, const uint8_t node_id[static NODE_ID_BYTES],
                             struct bytes message)
{
    struct service *service = arg;

    if (service->link == NULL)
        return QK_ERR_CLOSED;
    return link_send(service->link, node_id, LINK_FORWARD, &message, 1);
}

static double resident_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

struct gauge {
    const char *name, *type, *help;
    double value;
};

static void write_gauges(const struct gauge *gauges, size_t gauges_n, struct buf *out)
{
    for (size_t i = 0; i < gauges_n; i++)
        metrics_write_one(out, gauges[i].name, gauges[i].type, gauges[i].help, gauges[i].value);
}

static void write_process(const struct service *service, struct buf *out)
{
    struct secret_stats secrets = secret_stats();
    const struct gauge gauges[] = {
        {"quorumkeep_open", "gauge", "1 if documents are served.", service_is_open(service)},
        {"quorumkeep_read_only", "gauge",
         "1 if no majority is in contact: local reads only, no writes.",
         service_is_read_only(service)},
        {"process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes()},
        {"quorumkeep_arena_bytes", "gauge", "Locked memory for keys.", (double)secrets.bytes_total},
        {"quorumkeep_arena_used_bytes", "gauge", "Of it, in use.", (double)secrets.bytes_used},
    };

    write_gauges(gauges, sizeof gauges / sizeof gauges[0], out);
}

static void write_attestation(const struct cluster_figures *figures, struct buf *out)
{
    static const char NAME[] = "quorumkeep_attestations_total";

    buf_printf(out, "# HELP %s Answers of the attestation hook.\n# TYPE %s counter\n", NAME, NAME);
    buf_printf(out, "%s{answer=\"allow\"} %llu\n", NAME,
               (unsigned long long)figures->attest_allowed_n);
    buf_printf(out, "%s{answer=\"deny\"} %llu\n", NAME,
               (unsigned long long)figures->attest_denied_n);
    buf_printf(out, "%s{answer=\"defer\"} %llu\n", NAME,
               (unsigned long long)figures->attest_deferred_n);
    buf_printf(out, "%s{answer=\"failed\"} %llu\n", NAME,
               (unsigned long long)figures->attest_failed_n);
}

static void write_reencrypt(const struct service *service, struct buf *out)
{
    struct reencrypt_figures figures;

    reencrypt_figures(service, &figures);
    const struct gauge gauges[] = {
        {"quorumkeep_reencrypt_running", "gauge", "1 while records are sealed again.",
         figures.running},
        {"quorumkeep_reencrypt_records", "gauge", "Records to seal again in this round.",
         (double)figures.old_n},
        {"quorumkeep_reencrypt_records_done", "gauge", "Of them, done.", (double)figures.done_n},
    };

    write_gauges(gauges, sizeof gauges / sizeof gauges[0], out);
}

static void write_uploads(const struct service *service, struct buf *out)
{
    struct unnamed_figures figures = {0};

    if (service->unnamed != NULL)
        unnamed_figures(service->unnamed, &figures);
    metrics_write_one(out, "quorumkeep_attachment_uploads", "gauge",
                      "Contents of attachments being written here before their documents.",
                      (double)figures.active_n);
    metrics_write_one(out, "quorumkeep_attachment_upload_bytes_total", "counter",
                      "Bytes of contents written here before their documents.",
                      (double)figures.written_bytes);
    metrics_write_one(out, "quorumkeep_attachment_contents_removed_total", "counter",
                      "Contents that no document names whose chunks were deleted from here.",
                      (double)figures.removed_n);
}

static void write_periods(const struct service *service, struct buf *out)
{
    struct period_figures figures;

    period_figures(service, &figures);
    metrics_write_one(out, "quorumkeep_key_rotations_total", "counter",
                      "Data keys rotated here because their period was over.",
                      (double)figures.rotations_n);
    if (figures.keys_n == 0)
        return;
    metrics_write_one(out, "quorumkeep_key_period_left_seconds", "gauge",
                      "Until the next data key is rotated by itself, as it goes.",
                      (double)figures.left_s);
    metrics_write_one(out, "quorumkeep_key_period_used_ratio", "gauge",
                      "Of its limits, what the active version that is furthest has used.",
                      figures.used);
}

static void write_integrity(const struct service *service, struct buf *out)
{
    struct integrity_figures figures;

    integrity_figures(service->integrity, &figures);
    const struct gauge gauges[] = {
        {"quorumkeep_integrity_damaged", "gauge",
         "1 if the records of this node are not those that the cluster wrote.",
         figures.standing == INTEGRITY_DAMAGED},
        {"quorumkeep_integrity_verified", "gauge",
         "1 if they are, by this node's own sum or a peer's.", figures.standing == INTEGRITY_SOUND},
        {"quorumkeep_integrity_findings", "gauge", "Records that differ from a member's.",
         (double)figures.findings_n},
        {"quorumkeep_integrity_scanned_records", "gauge", "Records of the last whole walk.",
         (double)figures.scanned_n},
        {"quorumkeep_integrity_scanned_timestamp_seconds", "gauge", "When that ended.",
         (double)figures.scanned_s},
        {"quorumkeep_integrity_compared_timestamp_seconds", "gauge",
         "When a member last had the same records.", (double)figures.compared_s},
    };

    write_gauges(gauges, sizeof gauges / sizeof gauges[0], out);
}

static void write_cluster(const struct cluster *cluster, struct buf *out)
{
    struct cluster_figures figures;

    cluster_figures(cluster, &figures);
    const struct gauge gauges[] = {
        {"quorumkeep_sealed", "gauge", "0 if this node is unsealed.",
         figures.state != SEAL_UNSEALED},
        {"quorumkeep_members", "gauge", "Members of the cluster.", figures.members_n},
        {"quorumkeep_members_seen", "gauge", "Members in contact, this one included.",
         figures.members_live_n},
        {"quorumkeep_shares_missing", "gauge", "Shares still needed to unseal.",
         figures.shares_missing_n},
        {"quorumkeep_deal_epoch", "gauge", "Epoch of the current deal.", (double)figures.epoch},
        {"quorumkeep_deals_total", "counter", "Deals completed here.", (double)figures.deals_n},
        {"quorumkeep_deal_pending", "gauge", "1 while the current deal is not final.",
         figures.deal_pending},
        {"quorumkeep_deal_age_seconds", "gauge", "Since the current deal was made.",
         (double)figures.deal_age_s},
        {"quorumkeep_master_key_version", "gauge", "Version of the master key.",
         figures.mk_version},
        {"quorumkeep_removals_pending", "gauge", "Removals of members that are not done.",
         figures.removals_n},
        {"quorumkeep_members_stale", "gauge",
         "Members that still need a generation newer than the master key.", figures.stale_n},
        {"quorumkeep_releases_total", "counter", "Releases given.", (double)figures.releases_n},
        {"quorumkeep_denials_total", "counter", "Releases denied.", (double)figures.denials_n},
        {"quorumkeep_clone_alarms_total", "counter", "Two live sessions of one node.",
         (double)figures.clone_alarms_n},
        {"quorumkeep_clones", "gauge", "Members that two processes claim to be, now.",
         figures.clones_n},
        {"quorumkeep_release_rate_alarms_total", "counter",
         "Releases over the limit of one member.", (double)figures.rate_alarms_n},
        {"quorumkeep_unseal_seconds", "gauge", "From the share that sufficed to unsealed, last.",
         (double)figures.unsealed_us / 1e6},
    };

    write_gauges(gauges, sizeof gauges / sizeof gauges[0], out);
    write_attestation(&figures, out);
}

static void write_consensus(const struct consensus *consensus, struct buf *out)
{
    struct consensus_stats stats;

    consensus_stats(consensus, &stats);
    const struct gauge gauges[] = {
        {"quorumkeep_raft_leader", "gauge", "1 if this node leads.",
         consensus_role(consensus) == CONSENSUS_LEADER},
        {"quorumkeep_raft_majority", "gauge", "1 if a majority of the voters is in contact.",
         consensus_has_majority_contact(consensus)},
        {"quorumkeep_raft_term", "gauge", "Current term.", (double)consensus_term(consensus)},
        {"quorumkeep_raft_commit_index", "gauge", "Committed up to here.",
         (double)consensus_commit(consensus)},
        {"quorumkeep_raft_applied_index", "gauge", "Applied up to here.",
         (double)consensus_applied(consensus)},
        {"quorumkeep_raft_last_index", "gauge", "End of the log.",
         (double)consensus_last_index(consensus)},
        {"quorumkeep_raft_entries_total", "counter", "Entries written.", (double)stats.entries_n},
        {"quorumkeep_raft_commands_total", "counter", "Commands in them.",
         (double)stats.commands_n},
        {"quorumkeep_raft_syncs_total", "counter", "Syncs of the log.", (double)stats.syncs_n},
        {"quorumkeep_raft_written_bytes_total", "counter", "Bytes written to the log.",
         (double)stats.bytes_n},
        {"quorumkeep_raft_log_bytes", "gauge", "Log kept in memory.", (double)stats.log_bytes},
        {"quorumkeep_raft_inflight_bytes", "gauge", "Commands not yet answered.",
         (double)stats.inflight_bytes},
        {"quorumkeep_raft_elections_total", "counter", "Elections begun.",
         (double)stats.elections_n},
    };

    write_gauges(gauges, sizeof gauges / sizeof gauges[0], out);
}

static void write_below(const struct service *service, struct buf *out)
{
    struct link_stats link = {0};

    if (service->store != NULL)
        metrics_write_one(out, "quorumkeep_store_synced_index", "gauge",
                          "Durable in the store up to here.", (double)store_synced(service->store));
    if (service->link == NULL)
        return;
    link_stats_get(service->link, &link);
    const struct gauge gauges[] = {
        {"quorumkeep_link_connections", "gauge", "Links up.", link.connections},
        {"quorumkeep_link_received_bytes_total", "counter", "Bytes received.",
         (double)link.bytes_in},
        {"quorumkeep_link_sent_bytes_total", "counter", "Bytes sent.", (double)link.bytes_out},
        {"quorumkeep_link_refused_total", "counter", "Connections refused.", (double)link.refused},
        {"quorumkeep_link_not_allowed_total", "counter",
         "Connections from addresses outside of [peer] allow.", (double)link.not_allowed},
    };

    write_gauges(gauges, sizeof gauges / sizeof gauges[0], out);
}

static void write_backups(const struct service *service, struct buf *out)
{
    struct backup_figures figures;

    backup_figures(service->backups, &figures);
    const struct gauge gauges[] = {
        {"quorumkeep_backups_running", "gauge", "Backups being read.", figures.running_n},
        {"quorumkeep_backups_total", "counter", "Backups completed.", (double)figures.done_n},
        {"quorumkeep_backup_failures_total", "counter", "Backups that failed.",
         (double)figures.failed_n},
        {"quorumkeep_backup_last_success_seconds", "gauge",
         "Unix time of the newest backup of the schedule, 0 if there is none.",
         (double)figures.last_s},
        {"quorumkeep_backup_stale", "gauge",
         "1 if the schedule has made no good backup for twice its interval.", figures.stale},
    };

    write_gauges(gauges, figures.scheduled ? 5 : 3, out);
}

static void hook_gauges(void *arg, struct buf *out)
{
    const struct service *service = arg;

    write_reencrypt(service, out);
    write_uploads(service, out);
    write_periods(service, out);
    write_integrity(service, out);
    write_process(service, out);
    if (service->cluster != NULL)
        write_cluster(service->cluster, out);
    if (service->consensus != NULL)
        write_consensus(service->consensus, out);
    write_below(service, out);
    write_backups(service, out);
    audit_write_gauges(service, out);
}

static void hook_alarms(void *arg, struct buf *out)
{
    const struct service *service = arg;

    if (service->cluster != NULL)
        cluster_alarms(service->cluster, out);
    integrity_alarm(service->integrity, out);
}

void http_product_hooks(struct service *service, struct http_hooks *ret_hooks)
{
    *ret_hooks = (struct http_hooks){
        .arg = service,
        .is_open = hook_is_open,
        .closed_reason = hook_closed_reason,
        .can_login = hook_can_login,
        .login = hook_login,
        .login_token = hook_login_token,
        .catch_up = hook_catch_up,
        .leads = hook_leads,
        .login_is_current = hook_login_is_current,
        .authorize = hook_authorize,
        .record = audit_hook_record,
        .refused = audit_hook_refused,
        .is_leader = hook_is_leader,
        .leader = hook_leader,
        .is_member = hook_is_member,
        .may_forward = hook_may_forward,
        .send = hook_send,
        .gauges = hook_gauges,
        .alarms = hook_alarms,
    };
}
