/* quorumkeepd: one node of a Quorumkeep cluster. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "node/node.h"
#include "secret/memory.h"

extern char **environ;

static void print(const struct buf *text, FILE *to)
{
    (void)fwrite(text->data, 1, text->len, to);
    (void)fflush(to);
}

static int configure(int argc, char **argv, struct config *config, bool *ret_run)
{
    struct buf text = BUF_INIT(64 * KIB);
    enum config_outcome outcome = CONFIG_RUN;
    enum qk_err err = config_load(argc, (const char *const *)argv, (const char *const *)environ,
                                  config, &outcome, &text);

    *ret_run = err == QK_OK && outcome == CONFIG_RUN;
    if (err != QK_OK) {
        print(&text, stderr);
        fprintf(stderr, "\ntry 'quorumkeepd --help'\n");
    } else if (outcome == CONFIG_HELP) {
        config_help(&text);
        print(&text, stdout);
    } else if (outcome == CONFIG_VERSION) {
        config_version(&text);
        print(&text, stdout);
    }
    buf_fini(&text);
    return err == QK_OK ? 0 : 3;
}

static void do_nothing(uv_work_t *work)
{
    (void)work;
}

/* Libuv makes its threads at the first use of the pool, and ends the process if it cannot: better
 * here than at the first login while memory is short. */
static void pool_start(uv_loop_t *loop)
{
    static uv_work_t work;

    (void)uv_queue_work(loop, &work, do_nothing, NULL);
}

static int run(struct node *node)
{
    char reason[NODE_REASON_BYTES] = "";
    enum qk_err err = attestation_prepare(node, reason);

    if (err != QK_OK) {
        log_error("node", "%s", reason[0] != '\0' ? reason : qk_err_text(err));
        return 1;
    }
    hasher_start(&node->hasher);
    scripter_start(&node->scripter);
    err = node_start(node, reason);
    if (err == QK_OK)
        pool_start(&node->loop);
    if (err == QK_OK)
        log_info("node", "'%s' serves clients on %s and peers on %s", node->config.name,
                 node->config.http_listen, node->config.peer_listen);
    else
        node_stop(node);
    (void)uv_run(&node->loop, UV_RUN_DEFAULT);
    node_fini(node);
    /* Said last, so that it is the line a person sees. */
    if (err != QK_OK)
        log_error("node", "%s", reason[0] != '\0' ? reason : qk_err_text(err));
    return err == QK_OK && !node->failed ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct node node;
    bool go_on = false;
    int status = configure(argc, argv, &node.config, &go_on);

    if (!go_on)
        return status;
    log_set_level(node.config.log_level);
    if (process_harden() != QK_OK) {
        log_error("node", "the kernel refuses to forbid core dumps: this node does not start");
        return 1;
    }
    return run(&node);
}
