/* What a node is told at start: `quorumkeepd --config FILE`, flags, QUORUMKEEP_* environment.
 * Flags win over the environment, the environment over the file, the file over the defaults. One
 * table of settings (config.c) names each of them for all three. */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/log.h"
#include "link/allow.h"

#define CONFIG_PATH_BYTES_MAX 511
#define CONFIG_ALLOW_BYTES_MAX 1023
#define CONFIG_FILE_BYTES_MAX (256 * KIB)

enum config_aes { CONFIG_AES_AUTO, CONFIG_AES_OFF };
enum config_arena { CONFIG_ARENA_AUTO, CONFIG_ARENA_MEMFD, CONFIG_ARENA_MLOCK };

enum config_audit_failure { CONFIG_AUDIT_STOP, CONFIG_AUDIT_GO_ON };
enum config_key_use { CONFIG_KEY_USE_FIRST, CONFIG_KEY_USE_ALL };

struct config {
    char file[CONFIG_PATH_BYTES_MAX + 1]; /* that was read; empty if none */
    /* [node] */
    char name[NODE_NAME_BYTES_MAX + 1];   /* default: the host's name */
    char data[CONFIG_PATH_BYTES_MAX + 1]; /* default: /var/lib/quorumkeep */
    /* [http] */
    char http_listen[ADDRESS_BYTES_MAX + 1];    /* host:port, default 127.0.0.1:7600 */
    char http_advertise[ADDRESS_BYTES_MAX + 1]; /* told to clients; default: http_listen */
    enum config_aes hardware_aes;
    bool insecure_http;                       /* permits an address that is not loopback */
    char tls_cert[CONFIG_PATH_BYTES_MAX + 1]; /* PEM files; empty: no TLS */
    char tls_key[CONFIG_PATH_BYTES_MAX + 1];
    char tls_client_ca[CONFIG_PATH_BYTES_MAX + 1]; /* empty: clients need no certificate */
    /* [peer] */
    char peer_listen[ADDRESS_BYTES_MAX + 1];     /* default 127.0.0.1:7700 */
    char peer_advertise[ADDRESS_BYTES_MAX + 1];  /* told to members; default: peer_listen */
    char peer_allow[CONFIG_ALLOW_BYTES_MAX + 1]; /* empty: everybody */
    struct link_allow peer_allowed;              /* the same, by config_check */
    /* [replication] */
    char replication_allow[CONFIG_ALLOW_BYTES_MAX + 1]; /* empty: public addresses */
    struct link_allow replication_allowed;              /* the same, by config_check */
    char replication_ca[CONFIG_PATH_BYTES_MAX + 1];     /* empty: the system's */
    /* [memory] */
    enum config_arena arena;
    unsigned arena_kib;
    /* [log] */
    enum log_level log_level;
    /* [consensus] */
    unsigned election_timeout_ms;
    unsigned heartbeat_ms;
    unsigned log_keep_mib;
    /* [index] */
    unsigned index_memory_mib; /* of the rows of all views */
    unsigned attachment_max_mib;
    /* [backup] */
    char backup_directory[CONFIG_PATH_BYTES_MAX + 1]; /* empty: no backups by itself */
    unsigned backup_every_s;
    unsigned scrub_hours;
    unsigned backup_keep;
    /* [seal] */
    unsigned release_limit; /* releases to one member in 10 minutes before the alarm */
    /* [audit] */
    char audit_syslog[CONFIG_PATH_BYTES_MAX + 1]; /* a datagram socket; empty: none */
    bool audit_stdout;
    enum config_audit_failure audit_on_failure;
    enum config_key_use audit_key_use;
    unsigned audit_file_mib;
    unsigned audit_files_keep; /* 0: all */
    /* [attestation] */
    char attest_hook[CONFIG_PATH_BYTES_MAX + 1]; /* empty: none */
    unsigned attest_timeout_ms;
    unsigned attest_cache_ms;
};

enum config_outcome { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };

/* Appends what `--help` and `--version` print. */
void config_help(struct buf *out);
void config_version(struct buf *out);

/* The defaults alone. */
void config_init(struct config *ret_config);

/* Applies the text of an INI file. `name` is for messages. QK_ERR_INVALID: unknown section or
 * key, bad value; a sentence for people, naming file and line, is appended to `message`. */
MUST_USE enum qk_err config_apply_ini(struct config *config, const char *name, struct bytes text,
                                      struct buf *message);

/* Everything: defaults, the file named by --config or QUORUMKEEP_CONFIG, environment, flags, then
 * the checks across settings. `env` is NULL-terminated "NAME=value". Only the file is read; no
 * global is touched. On an error (QK_ERR_INVALID, QK_ERR_IO, QK_ERR_TOO_BIG, QK_ERR_NOMEM) a
 * sentence is appended to `message`. For CONFIG_HELP and CONFIG_VERSION nothing else is read. */
MUST_USE enum qk_err config_load(int argc, const char *const *argv, const char *const *env,
                                 struct config *ret_config, enum config_outcome *ret_outcome,
                                 struct buf *message);

/* True for 127.0.0.0/8, [::1] and localhost, with or without a port. */
bool config_is_loopback(const char *address);

#endif
