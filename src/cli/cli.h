/* What the verbs of `quorumkeep` share: where the node is, who asks, exit codes, and a request
 * with its errors said. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>

#include "cli/options.h"
#include "client/call.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_ERROR = 1,
    CLI_SEALED = 2,
    CLI_USAGE = 3,
    CLI_DENIED = 4,
    CLI_NOT_FOUND = 5,
    CLI_CONFLICT = 6
};

struct cli {
    struct options options;
    struct client_target target;
    struct client_channel channel; /* kept from one request to the next, as long as the node does */
    struct buf authorization;      /* secret; empty: none is sent */
    bool warned;                   /* of an alarm in a reply */
};

struct verb {
    const char *group; /* NULL: none */
    const char *name;
    const char *args; /* "DB ID"; "[ID]" may be left out */
    unsigned args_min, args_max;
    const char *options; /* its own, "ttl wait" */
    bool offline;        /* needs no node */
    const char *about;
    const char *example;
    enum cli_exit (*run)(struct cli *cli);
};

/* The table; the last row has a NULL name. */
extern const struct verb cli_verbs[];

/* Finds target and credentials from options and environment; says what is wrong. */
MUST_USE enum cli_exit cli_connect(struct cli *cli);
void cli_fini(struct cli *cli);

/* Says "quorumkeep: ..." on stderr and returns `code`. */
enum cli_exit cli_fail(enum cli_exit code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* client_call over a connection that is kept: a node checks a password once for each connection, at
 * the price of an argon2id. Changes `request`. */
MUST_USE enum qk_err cli_call(struct cli *cli, struct client_request *request,
                              struct client_reply *ret_reply, struct buf *message);
/* What GET says now; NULL while nobody can be asked, for instance between two leaders. */
json_t *cli_look(struct cli *cli, const char *path);

/* One request. Takes over the reference of `body` (NULL: none). CLI_OK: `ret_reply` is the parsed
 * reply, the caller's to decref; else the error was said (with --json: printed). */
MUST_USE enum cli_exit cli_request(struct cli *cli, const char *method, const struct buf *target,
                                   json_t *body, json_t **ret_reply);
/* The same without a body, `target` as text. */
MUST_USE enum cli_exit cli_get(struct cli *cli, const char *target, json_t **ret_reply);
/* The exit code of a reply, whose error was said if it is not CLI_OK. */
MUST_USE enum cli_exit cli_judge(struct cli *cli, const struct client_reply *reply);

/* --recovery-shares and --recovery-threshold into the body of a request. */
MUST_USE enum cli_exit cli_recovery_options(struct cli *cli, json_t *body);
/* The shares of a reply, a line each, with what they are for. */
void cli_print_shares(const json_t *reply);

/* The removal that is pending, of GET /_quorumkeep/nodes; nothing if none is. */
void cli_print_removal(const json_t *reply);

/* The verbs. */
enum cli_exit cli_init(struct cli *cli);
enum cli_exit cli_status(struct cli *cli);
enum cli_exit cli_doctor(struct cli *cli);
enum cli_exit cli_node_invite(struct cli *cli);
enum cli_exit cli_node_join(struct cli *cli);
enum cli_exit cli_node_rejoin(struct cli *cli);
enum cli_exit cli_node_list(struct cli *cli);
enum cli_exit cli_node_remove(struct cli *cli);
enum cli_exit cli_master_refresh(struct cli *cli);
enum cli_exit cli_master_rotate(struct cli *cli);
enum cli_exit cli_key_list(struct cli *cli);
enum cli_exit cli_key_show(struct cli *cli);
enum cli_exit cli_key_reencrypt(struct cli *cli);
enum cli_exit cli_key_create(struct cli *cli);
enum cli_exit cli_key_rotate(struct cli *cli);
enum cli_exit cli_key_destroy(struct cli *cli);
enum cli_exit cli_key_limits(struct cli *cli);
enum cli_exit cli_key_policy(struct cli *cli);
enum cli_exit cli_seal(struct cli *cli);
enum cli_exit cli_verify(struct cli *cli);
enum cli_exit cli_debug_store(struct cli *cli);
enum cli_exit cli_debug_log(struct cli *cli);
enum cli_exit cli_unhold(struct cli *cli);
enum cli_exit cli_cluster_show(struct cli *cli);
enum cli_exit cli_cluster_set(struct cli *cli);
/* Puts `value`, a number or a word, into `body`. */
void cli_setting_put(json_t *body, const char *name, const char *value);
enum cli_exit cli_node_suspend(struct cli *cli);
enum cli_exit cli_node_resume(struct cli *cli);
enum cli_exit cli_unseal(struct cli *cli);
enum cli_exit cli_unseal_recovery(struct cli *cli);
enum cli_exit cli_recovery_rotate(struct cli *cli);
enum cli_exit cli_recovery_verify(struct cli *cli);
enum cli_exit cli_db_create(struct cli *cli);
enum cli_exit cli_db_list(struct cli *cli);
enum cli_exit cli_db_set(struct cli *cli);
enum cli_exit cli_db_info(struct cli *cli);
enum cli_exit cli_db_drop(struct cli *cli);
enum cli_exit cli_doc_put(struct cli *cli);
enum cli_exit cli_doc_get(struct cli *cli);
enum cli_exit cli_doc_delete(struct cli *cli);
enum cli_exit cli_doc_list(struct cli *cli);
enum cli_exit cli_doc_find(struct cli *cli);
enum cli_exit cli_doc_import(struct cli *cli);
enum cli_exit cli_doc_export(struct cli *cli);
enum cli_exit cli_view_query(struct cli *cli);
enum cli_exit cli_doc_watch(struct cli *cli);
enum cli_exit cli_user_add(struct cli *cli);
enum cli_exit cli_user_list(struct cli *cli);
enum cli_exit cli_user_show(struct cli *cli);
enum cli_exit cli_user_set(struct cli *cli);
enum cli_exit cli_user_passwd(struct cli *cli);
enum cli_exit cli_user_disable(struct cli *cli);
enum cli_exit cli_user_enable(struct cli *cli);
enum cli_exit cli_user_delete(struct cli *cli);
enum cli_exit cli_grant_add(struct cli *cli);
enum cli_exit cli_grant_remove(struct cli *cli);
enum cli_exit cli_grant_list(struct cli *cli);
enum cli_exit cli_db_grant(struct cli *cli);
enum cli_exit cli_db_revoke(struct cli *cli);
enum cli_exit cli_db_rights(struct cli *cli);
enum cli_exit cli_secret_grant(struct cli *cli);
enum cli_exit cli_secret_revoke(struct cli *cli);
enum cli_exit cli_secret_rights(struct cli *cli);
enum cli_exit cli_token_create(struct cli *cli);
enum cli_exit cli_token_list(struct cli *cli);
enum cli_exit cli_token_revoke(struct cli *cli);
enum cli_exit cli_backup_save(struct cli *cli);
enum cli_exit cli_backup_verify(struct cli *cli);
enum cli_exit cli_backup_restore(struct cli *cli);
enum cli_exit cli_recover(struct cli *cli);
enum cli_exit cli_secret_put(struct cli *cli);
enum cli_exit cli_secret_get(struct cli *cli);
enum cli_exit cli_secret_list(struct cli *cli);
enum cli_exit cli_secret_history(struct cli *cli);
enum cli_exit cli_secret_set(struct cli *cli);
enum cli_exit cli_secret_delete(struct cli *cli);
enum cli_exit cli_secret_undelete(struct cli *cli);
enum cli_exit cli_secret_destroy(struct cli *cli);
enum cli_exit cli_secret_config(struct cli *cli);
enum cli_exit cli_secret_key(struct cli *cli);
enum cli_exit cli_audit_show(struct cli *cli);
enum cli_exit cli_audit_verify(struct cli *cli);
enum cli_exit cli_bench(struct cli *cli);
enum cli_exit cli_completion(struct cli *cli);

#endif
