/* The parts of an initialised node, and who tells whom what.
 *
 * Start: the store is recovered if the last end was unclean and opened, the log is read, the link
 * listens, and the log starts from what the store holds. What arrives from below goes up to the hub
 * (cluster_*), to the log, to http (forwarded requests) or to the transfer of snapshots.
 *
 * Each failure closes what was opened, in the order link, consensus, store, and the reason goes to
 * whoever asked: main at start, the init or join request later.
 *
 * Over 500 lines: the callbacks of the parts below, a few lines each, stand together. */
#include "node/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "service/integrity/integrity.h"
#include "seal/node_sec.h"
#include "store/store.h"
#include "wire/version.h"

/* --- the log --------------------------------------------------------------------------------- */

static void raft_send(void *arg, uint64_t peer, struct bytes message)
{
    struct node *node = arg;
    uint8_t node_id[NODE_ID_BYTES];

    /* Loss is fine: the log asks again. */
    if (node->service.link != NULL &&
        cluster_node_of_raft(node->service.cluster, peer, node_id) == QK_OK &&
        cluster_raft_may_send(node->service.cluster, node_id, message) &&
        link_send(node->service.link, node_id, LINK_RAFT, &message, 1) != QK_OK)
        return;
}

/* The rest of the cluster uses what this program does not know: going on would be another store
 * than theirs. The log keeps the command for the program that knows it. */
static void raft_too_new(uint64_t index, struct bytes command)
{
    unsigned needed = wire_command_version(command);

    if (needed > wire_version())
        log_error("node",
                  "entry %" PRIu64
                  " of the log needs version %u of the formats, this program knows "
                  "%u: this node stops; install the Quorumkeep of the other members and start it "
                  "again",
                  index, needed, wire_version());
    else
        log_error("node", "entry %" PRIu64 " of the log is of no known kind: this node stops",
                  index);
    _exit(1);
}

static enum qk_err raft_apply(void *arg, uint64_t index, uint64_t term, bool last,
                              struct bytes command, struct buf *result)
{
    struct node *node = arg;
    enum qk_err err = store_apply(node->service.store, index, term, last, command, result);

    if (err == QK_ERR_UNSUPPORTED)
        raft_too_new(index, command);
    return err;
}

/* The last place where a command that an older member does not know could get into the log. */
static enum qk_err raft_may_submit(void *arg, struct bytes command)
{
    const struct node *node = arg;

    return wire_command_version(command) <= cluster_version(node->service.cluster)
               ? QK_OK
               : QK_ERR_UNSUPPORTED;
}

static uint64_t raft_synced(void *arg)
{
    struct node *node = arg;

    return store_synced(node->service.store);
}

static void raft_changed(void *arg)
{
    struct node *node = arg;

    cluster_consensus_changed(node->service.cluster);
}

/* The log can't be written any more: what is half written is mended at the next start, so the
 * process ends here and now, before it could acknowledge anything. */
static void raft_fatal(void *arg, const char *what)
{
    (void)arg;
    log_error("node", "the log failed, this node stops: %s", what);
    _exit(1);
}

/* --- the links ------------------------------------------------------------------------------- */

static void peer_up(void *arg, const uint8_t node_id[NODE_ID_BYTES], bool known)
{
    struct node *node = arg;

    cluster_link_up(node->service.cluster, node_id, known);
    if (known) {
        transfer_peer_up(node->transfer, node_id);
        restore_peer(node, node_id, true);
    }
}

static void peer_down(void *arg, const uint8_t node_id[NODE_ID_BYTES])
{
    struct node *node = arg;
    uint64_t raft_id;

    transfer_peer_down(node->transfer, node_id);
    restore_peer(node, node_id, false);
    if (node->http != NULL)
        http_forward_peer_down(node->http, node_id);
    if (node->service.consensus != NULL &&
        cluster_raft_of_node(node->service.cluster, node_id, &raft_id) == QK_OK)
        consensus_peer_lost(node->service.consensus, raft_id);
    cluster_link_down(node->service.cluster, node_id);
}

static void peer_message(void *arg, const uint8_t node_id[NODE_ID_BYTES], enum link_channel channel,
                         struct bytes message)
{
    struct node *node = arg;
    uint64_t raft_id;

    switch (channel) {
    case LINK_SEAL:
    case LINK_RECORD:
        cluster_link_message(node->service.cluster, node_id, message);
        return;
    case LINK_RAFT:
        if (cluster_raft_of_node(node->service.cluster, node_id, &raft_id) == QK_OK &&
            cluster_raft_may_receive(node->service.cluster, node_id, message))
            consensus_receive(node->service.consensus, raft_id, message);
        return;
    case LINK_FORWARD:
        if (node->http != NULL)
            http_forward_receive(node->http, node_id, message);
        return;
    case LINK_SNAPSHOT:
        transfer_receive(node->transfer, node_id, message);
        return;
    case LINK_JOIN: /* comes by on_join_message */
        return;
    }
}

static void peer_drain(void *arg, const uint8_t node_id[NODE_ID_BYTES])
{
    struct node *node = arg;

    transfer_drained(node->transfer, node_id);
    if (node->http != NULL)
        http_forward_drained(node->http, node_id);
}

static void peer_clone(void *arg, const uint8_t node_id[NODE_ID_BYTES], const char *first,
                       const char *second)
{
    struct node *node = arg;

    cluster_link_clone(node->service.cluster, node_id, first, second);
}

static void peer_refused(void *arg, const char *address, const uint8_t *token_id, enum qk_err err)
{
    struct node *node = arg;

    cluster_link_refused(node->service.cluster, address, token_id, err);
}

static void peer_not_allowed(void *arg, const char *address, uint64_t n)
{
    struct node *node = arg;

    cluster_link_not_allowed(node->service.cluster, address, n);
}

static void join_token(void *arg, uint64_t join_id, const uint8_t token_id[LINK_TOKEN_ID_BYTES],
                       const char *address)
{
    struct node *node = arg;

    cluster_join_token(node->service.cluster, join_id, token_id, address);
}

static void join_message(void *arg, uint64_t join_id, const uint8_t pk[LINK_PK_BYTES],
                         const uint8_t token_id[LINK_TOKEN_ID_BYTES], struct bytes message)
{
    struct node *node = arg;

    cluster_join_message(node->service.cluster, join_id, pk, token_id, message);
}

static void join_closed(void *arg, uint64_t join_id)
{
    struct node *node = arg;

    cluster_join_closed(node->service.cluster, join_id);
}

/* --- start ----------------------------------------------------------------------------------- */

static enum qk_err log_open(struct node *node, bool founder, char *ret_reason)
{
    char dir[sizeof node->service.data_dir + 8];
    char address[2 * NODE_ID_BYTES + 1];
    struct consensus_config config = {
        .loop = &node->loop,
        .dir = dir,
        .id = node->service.node_sec->raft_id,
        .election_timeout_ms = node->config.election_timeout_ms,
        .heartbeat_ms = node->config.heartbeat_ms,
        .log_keep_bytes = (size_t)node->config.log_keep_mib * MIB,
        .arg = node,
        .send = raft_send,
        .apply = raft_apply,
        .may_submit = raft_may_submit,
        .synced = raft_synced,
        .state_changed = raft_changed,
        .fatal = raft_fatal,
    };
    enum qk_err err;

    snprintf(dir, sizeof dir, "%s/raft", node->service.data_dir);
    transfer_consensus_callbacks(&config);
    err = consensus_new(&config, &node->service.consensus);
    if (err != QK_OK)
        return err;
    err = consensus_open(node->service.consensus, ret_reason);
    if (err != QK_OK) {
        consensus_free(node->service.consensus);
        node->service.consensus = NULL;
        return err;
    }
    hex_encode(node->service.node_id, NODE_ID_BYTES, address);
    return founder ? consensus_bootstrap(node->service.consensus, address) : QK_OK;
}

static enum qk_err link_start(struct node *node, const uint8_t boot_id[BOOT_ID_BYTES],
                              char *ret_reason)
{
    const struct node_sec *sec = node->service.node_sec;
    struct link_config config = {
        .loop = &node->loop,
        .identity = sec->identity,
        .psk = sec->cluster_psk,
        .listen = node->config.peer_listen,
        .allow = &node->config.peer_allowed,
        .arg = node,
        .on_up = peer_up,
        .on_down = peer_down,
        .on_message = peer_message,
        .on_drain = peer_drain,
        .on_clone = peer_clone,
        .on_refused = peer_refused,
        .on_not_allowed = peer_not_allowed,
        .on_join_token = join_token,
        .on_join_message = join_message,
        .on_join_closed = join_closed,
    };
    enum qk_err err;

    memcpy(config.pk, sec->noise_pk, LINK_PK_BYTES);
    memcpy(config.cluster_id, sec->cluster_id, CLUSTER_ID_BYTES);
    memcpy(config.node_id, sec->node_id, NODE_ID_BYTES);
    memcpy(config.boot_id, boot_id, BOOT_ID_BYTES);
    err = link_open(&config, &node->service.link);
    if (err != QK_OK)
        snprintf(ret_reason, CLUSTER_REASON_BYTES, "peer address '%s': %s", config.listen,
                 err == QK_ERR_EXISTS ? "in use" : qk_err_text(err));
    return err;
}

static enum qk_err parts_start(struct node *node, bool founder,
                               const uint8_t boot_id[BOOT_ID_BYTES], char *ret_reason)
{
    char why[RESTORE_WHY_BYTES] = "";
    enum qk_err err = member_store_start(node, why, ret_reason);

    if (err == QK_OK)
        err = owner_check(node, ret_reason);
    if (err == QK_OK)
        err = log_open(node, founder, ret_reason);
    if (err == QK_OK && !founder)
        err = owner_check_log(node, ret_reason);
    if (err == QK_OK)
        err = restore_check(node, founder, why);
    if (err == QK_OK)
        control_find(node);
    if (err == QK_OK)
        err = link_start(node, boot_id, ret_reason);
    if (err == QK_OK)
        err = transfer_new(node, &node->transfer);
    if (err == QK_OK)
        err = consensus_start(node->service.consensus, store_applied(node->service.store));
    return err;
}

enum qk_err member_start(void *arg, bool founder, const uint8_t boot_id[BOOT_ID_BYTES],
                         char *ret_reason)
{
    struct node *node = arg;
    enum qk_err err;

    ret_reason[0] = '\0';
    if (node->member_closing || node->member_started) {
        snprintf(ret_reason, CLUSTER_REASON_BYTES, "the last attempt is still being undone");
        return QK_ERR_BUSY;
    }
    err = parts_start(node, founder, boot_id, ret_reason);
    node->member_started = true;
    if (err != QK_OK) {
        if (ret_reason[0] == '\0')
            snprintf(ret_reason, CLUSTER_REASON_BYTES, "the node could not start: %s",
                     qk_err_text(err));
        member_close(node, NULL);
    }
    return err;
}

/* --- end ------------------------------------------------------------------------------------- */

static void close_done(void *arg)
{
    struct node *node = arg;

    node->service.store = NULL;
    node->member_closing = false;
    node->member_started = false;
    if (node->member_closed != NULL)
        node->member_closed(node);
}

static void close_store(void *arg)
{
    struct node *node = arg;

    consensus_free(node->service.consensus);
    node->service.consensus = NULL;
    if (node->service.store == NULL)
        close_done(node);
    else
        store_close(node->service.store, close_done, node);
}

static void close_consensus(void *arg)
{
    struct node *node = arg;

    if (node->service.consensus == NULL)
        close_store(node);
    else
        consensus_close(node->service.consensus, close_store, node);
}

static void close_link(void *arg)
{
    struct node *node = arg;
    struct link *link = node->service.link;

    node->transfer = NULL;
    node->service.link = NULL;
    if (link == NULL)
        close_consensus(node);
    else
        link_close(link, close_consensus, node);
}

static void close_transfer(void *arg)
{
    struct node *node = arg;

    if (node->transfer == NULL)
        close_link(node);
    else
        transfer_free(node->transfer, close_link, node);
}

static void close_backups(void *arg)
{
    struct node *node = arg;

    integrity_detach(node->service.integrity);
    if (backups_let_go(node->service.backups, QK_ERR_CLOSED, close_transfer, node))
        close_transfer(node);
}

void member_close(struct node *node, void (*closed)(struct node *node))
{
    node->member_closed = closed;
    if (node->member_closing)
        return;
    node->member_closing = true;
    restore_close(node);
    if (integrity_let_go(node->service.integrity, close_backups, node))
        close_backups(node);
}

static void discard_closed(struct node *node)
{
    cluster_discarded(node->service.cluster, data_dir_discard(node));
}

/* The mark of an open store stays: the next start walks the file. */
void member_damaged(void *arg, const char *what)
{
    (void)arg;
    log_error("node",
              "the store is damaged, this node stops: %s: started again, it sets the file "
              "aside and takes the store from a peer",
              what);
    _exit(1);
}

void member_discard(void *arg)
{
    member_close(arg, discard_closed);
}
