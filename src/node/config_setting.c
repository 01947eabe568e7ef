#include "node/config_setting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD(name) offsetof(struct config, name), sizeof(((struct config *)NULL)->name)

const struct setting config_settings[CONFIG_SETTINGS_N] = {
    {"node", "name", "--name", "QUORUMKEEP_NAME", SETTING_TEXT, FIELD(name), 0, 0, NULL, NULL,
     "NAME", "name of this node in the cluster (default: the host's name)"},
    {"node", "data", "--data", "QUORUMKEEP_DATA", SETTING_TEXT, FIELD(data), 0, 0, NULL,
     "/var/lib/quorumkeep", "DIR", "directory of everything that this node keeps"},
    {"http", "listen", "--http-listen", "QUORUMKEEP_HTTP_LISTEN", SETTING_TEXT, FIELD(http_listen),
     0, 0, NULL, "127.0.0.1:7600", "HOST:PORT", "address for clients"},
    {"http", "advertise", "--http-advertise", "QUORUMKEEP_HTTP_ADVERTISE", SETTING_TEXT,
     FIELD(http_advertise), 0, 0, NULL, NULL, "HOST:PORT",
     "address that clients are told (default: the one listened on)"},
    {"http", "insecure_http", "--insecure-http", "QUORUMKEEP_INSECURE_HTTP", SETTING_BOOL,
     FIELD(insecure_http), 0, 0, NULL, "false", NULL,
     "permit clients without TLS on an address that is not loopback"},
    {"http", "tls_cert", "--tls-cert", "QUORUMKEEP_TLS_CERT", SETTING_TEXT, FIELD(tls_cert), 0, 0,
     NULL, NULL, "FILE", "certificate (PEM, with its issuers) for clients to speak TLS with"},
    {"http", "tls_key", "--tls-key", "QUORUMKEEP_TLS_KEY", SETTING_TEXT, FIELD(tls_key), 0, 0, NULL,
     NULL, "FILE", "its private key (PEM, readable by its owner alone)"},
    {"http", "tls_client_ca", "--tls-client-ca", "QUORUMKEEP_TLS_CLIENT_CA", SETTING_TEXT,
     FIELD(tls_client_ca), 0, 0, NULL, NULL, "FILE",
     "clients must show a certificate signed by one of these (PEM)"},
    {"peer", "listen", "--peer-listen", "QUORUMKEEP_PEER_LISTEN", SETTING_TEXT, FIELD(peer_listen),
     0, 0, NULL, "127.0.0.1:7700", "HOST:PORT", "address for the other nodes"},
    {"peer", "advertise", "--peer-advertise", "QUORUMKEEP_PEER_ADVERTISE", SETTING_TEXT,
     FIELD(peer_advertise), 0, 0, NULL, NULL, "HOST:PORT",
     "address that other nodes are told (default: the one listened on)"},
    {"peer", "allow", "--peer-allow", "QUORUMKEEP_PEER_ALLOW", SETTING_TEXT, FIELD(peer_allow), 0,
     0, NULL, NULL, "LIST",
     "addresses from which nodes may connect: 10.0.0.0/8, ::1/128 (default: all)"},
    {"replication", "allow", "--replication-allow", "QUORUMKEEP_REPLICATION_ALLOW", SETTING_TEXT,
     FIELD(replication_allow), 0, 0, NULL, NULL, "LIST",
     "addresses that replications may reach: 10.1.0.0/16, ::1/128 (default: public ones)"},
    {"replication", "ca", "--replication-ca", "QUORUMKEEP_REPLICATION_CA", SETTING_TEXT,
     FIELD(replication_ca), 0, 0, NULL, NULL, "FILE",
     "who may have signed other servers' certificates (PEM; default: the system's list)"},
    {"memory", "arena", "--arena", "QUORUMKEEP_ARENA", SETTING_CHOICE, FIELD(arena), 0, 0,
     "auto|memfd|mlock", "auto", "KIND", "memory of keys: auto, memfd (memfd_secret) or mlock"},
    {"memory", "arena_kib", "--arena-kib", "QUORUMKEEP_ARENA_KIB", SETTING_NUMBER, FIELD(arena_kib),
     256, 1024 * 1024, NULL, "4096", "N", "size of that memory"},
    {"index", "memory_mib", "--index-memory-mib", "QUORUMKEEP_INDEX_MEMORY_MIB", SETTING_NUMBER,
     FIELD(index_memory_mib), 1, 16 * 1024 * 1024, NULL, "512", "N",
     "memory that the rows of views and Mango indexes may take, all together"},
    {"attachment", "max_mib", "--attachment-max-mib", "QUORUMKEEP_ATTACHMENT_MAX_MIB",
     SETTING_NUMBER, FIELD(attachment_max_mib), 1, ATTACHMENT_BYTES_MAX / MIB, NULL, "4096", "N",
     "the largest attachment that this node takes while it leads"},
    {"log", "level", "--log-level", "QUORUMKEEP_LOG_LEVEL", SETTING_CHOICE, FIELD(log_level), 0, 0,
     "debug|info|warn|error", "info", "LEVEL", "debug, info, warn or error"},
    {"consensus", "election_timeout_ms", "--election-timeout-ms", "QUORUMKEEP_ELECTION_TIMEOUT_MS",
     SETTING_NUMBER, FIELD(election_timeout_ms), 50, 60000, NULL, "1000", "N",
     "without a leader for so long, a node stands for election"},
    {"consensus", "heartbeat_ms", "--heartbeat-ms", "QUORUMKEEP_HEARTBEAT_MS", SETTING_NUMBER,
     FIELD(heartbeat_ms), 10, 10000, NULL, "100", "N", "how often the leader is heard"},
    {"consensus", "log_keep_mib", "--log-keep-mib", "QUORUMKEEP_LOG_KEEP_MIB", SETTING_NUMBER,
     FIELD(log_keep_mib), 1, 1024 * 1024, NULL, "64", "N",
     "log kept for nodes that were away, before they need a snapshot"},
    {"backup", "directory", "--backup-directory", "QUORUMKEEP_BACKUP_DIRECTORY", SETTING_TEXT,
     FIELD(backup_directory), 0, 0, NULL, NULL, "DIR",
     "where this node puts backups by itself (default: it makes none)"},
    {"backup", "every_s", "--backup-every-s", "QUORUMKEEP_BACKUP_EVERY_S", SETTING_NUMBER,
     FIELD(backup_every_s), 1, 366 * 86400, NULL, "86400", "N", "seconds between two of them"},
    {"backup", "keep", "--backup-keep", "QUORUMKEEP_BACKUP_KEEP", SETTING_NUMBER,
     FIELD(backup_keep), 1, 4000, NULL, "7", "N", "how many of this node's are kept there"},
    {"integrity", "scrub_hours", "--scrub-hours", "QUORUMKEEP_SCRUB_HOURS", SETTING_NUMBER,
     FIELD(scrub_hours), 0, 8760, NULL, "24", "N",
     "hours between two walks over all records by itself; 0: none"},
    {"seal", "release_limit", "--release-limit", "QUORUMKEEP_RELEASE_LIMIT", SETTING_NUMBER,
     FIELD(release_limit), 1, 1000000, NULL, "20", "N",
     "releases to one member in 10 minutes before an alarm and delays"},
    {"audit", "syslog", "--audit-syslog", "QUORUMKEEP_AUDIT_SYSLOG", SETTING_TEXT,
     FIELD(audit_syslog), 0, 0, NULL, NULL, "SOCKET",
     "each line of the audit log goes to this socket too: /dev/log (default: none)"},
    {"audit", "stdout", "--audit-stdout", "QUORUMKEEP_AUDIT_STDOUT", SETTING_BOOL,
     FIELD(audit_stdout), 0, 0, NULL, "false", NULL,
     "each line of the audit log goes to standard output too"},
    {"audit", "on_failure", "--audit-on-failure", "QUORUMKEEP_AUDIT_ON_FAILURE", SETTING_CHOICE,
     FIELD(audit_on_failure), 0, 0, "stop|go-on", "stop", "WHAT",
     "what the audit log cannot take is refused (stop) or done all the same (go-on)"},
    {"audit", "key_use", "--audit-key-use", "QUORUMKEEP_AUDIT_KEY_USE", SETTING_CHOICE,
     FIELD(audit_key_use), 0, 0, "first|all", "first", "WHICH",
     "which uses of a data key are lines: the first by each login, or all"},
    {"audit", "file_mib", "--audit-file-mib", "QUORUMKEEP_AUDIT_FILE_MIB", SETTING_NUMBER,
     FIELD(audit_file_mib), 1, 1024 * 1024, NULL, "64", "N",
     "the audit log goes on in a new file when one is so large"},
    {"audit", "files_keep", "--audit-files-keep", "QUORUMKEEP_AUDIT_FILES_KEEP", SETTING_NUMBER,
     FIELD(audit_files_keep), 0, 60000, NULL, "0", "N",
     "how many of the older files are kept (0: all)"},
    {"attestation", "hook", "--attestation-hook", "QUORUMKEEP_ATTESTATION_HOOK", SETTING_TEXT,
     FIELD(attest_hook), 0, 0, NULL, NULL, "PATH",
     "program that must allow each release of this node to another"},
    {"attestation", "timeout_ms", "--attestation-timeout-ms", "QUORUMKEEP_ATTESTATION_TIMEOUT_MS",
     SETTING_NUMBER, FIELD(attest_timeout_ms), 100, 30000, NULL, "2000", "N",
     "it is killed after so long, which denies"},
    {"attestation", "cache_ms", "--attestation-cache-ms", "QUORUMKEEP_ATTESTATION_CACHE_MS",
     SETTING_NUMBER, FIELD(attest_cache_ms), 0, 3600000, NULL, "10000", "N",
     "its answer for one start of a node holds so long"},
    {"crypto", "hardware_aes", "--hardware-aes", "QUORUMKEEP_HARDWARE_AES", SETTING_CHOICE,
     FIELD(hardware_aes), 0, 0, "auto|off", "auto", "WHEN",
     "the processor's AES: auto, or off; a cluster whose policy allows aes-256-gcm needs it"},
};

static void *setting_field(const struct setting *setting, struct config *config)
{
    return (char *)config + setting->at;
}

static enum qk_err store_bool(bool *ret_field, const char *text)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *ret_field = strcasecmp(text, yes[i]) == 0;
            return QK_OK;
        }
    }
    return QK_ERR_INVALID;
}

static enum qk_err store_number(const struct setting *setting, unsigned *ret_field,
                                const char *text)
{
    unsigned long value;
    char *end;

    if (*text < '0' || *text > '9')
        return QK_ERR_INVALID;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < setting->min || value > setting->max)
        return QK_ERR_INVALID;
    *ret_field = (unsigned)value;
    return QK_OK;
}

static enum qk_err store_choice(const struct setting *setting, void *ret_field, const char *text)
{
    size_t len = strlen(text);
    int index = 0;

    for (const char *word = setting->choices; word != NULL; index++) {
        if (len == strcspn(word, "|") && strncmp(word, text, len) == 0) {
            memcpy(ret_field, &index, sizeof(index));
            return QK_OK;
        }
        word = strchr(word, '|');
        if (word != NULL)
            word++;
    }
    return QK_ERR_INVALID;
}

static enum qk_err store_text(const struct setting *setting, char *ret_field, const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len >= setting->size)
        return QK_ERR_INVALID;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return QK_ERR_INVALID;
    }
    memcpy(ret_field, text, len + 1);
    return QK_OK;
}

static void say_expected(const struct setting *setting, struct buf *message)
{
    switch (setting->type) {
    case SETTING_BOOL:
        buf_put_str(message, "true or false");
        break;
    case SETTING_NUMBER:
        buf_printf(message, "a number from %u to %u", setting->min, setting->max);
        break;
    case SETTING_CHOICE:
        buf_printf(message, "one of %s", setting->choices);
        break;
    case SETTING_TEXT:
        buf_printf(message, "1 to %zu printable characters", setting->size - 1);
        break;
    }
}

enum qk_err config_setting_store(const struct setting *setting, struct config *config,
                                 const char *from, const char *text, struct buf *message)
{
    void *field = setting_field(setting, config);
    enum qk_err err = QK_ERR_INVALID;

    switch (setting->type) {
    case SETTING_TEXT:
        err = store_text(setting, field, text);
        break;
    case SETTING_BOOL:
        err = store_bool(field, text);
        break;
    case SETTING_NUMBER:
        err = store_number(setting, field, text);
        break;
    case SETTING_CHOICE:
        err = store_choice(setting, field, text);
        break;
    }
    if (err != QK_OK) {
        buf_printf(message, "%s: '%.80s' is not ", from, text);
        say_expected(setting, message);
    }
    return err;
}

void config_help(struct buf *out)
{
    const char *section = "";

    buf_put_str(out,
                "quorumkeepd: one node of a Quorumkeep cluster\n\n"
                "usage: quorumkeepd [--config FILE] [flags]\n\n"
                "Flags win over the environment, the environment over the file. In the file, keys\n"
                "stand in sections: [node], then name = n1. The first start needs nothing more;\n"
                "then 'quorumkeep init' on one node, and 'quorumkeep node join' on each other.\n\n"
                "  --config FILE            an INI file (QUORUMKEEP_CONFIG)\n");
    for (size_t i = 0; i < CONFIG_SETTINGS_N; i++) {
        const struct setting *one = &config_settings[i];
        char flag[64];
        struct buf text = BUF_INIT(sizeof(flag));

        if (strcmp(section, one->section) != 0)
            buf_printf(out, "\n[%s]\n", one->section);
        section = one->section;
        buf_printf(&text, "%s%s%s", one->flag, one->value == NULL ? "" : " ",
                   one->value == NULL ? "" : one->value);
        buf_printf(out, "  %-24.*s %s", (int)text.len, (const char *)text.data, one->help);
        if (one->default_ != NULL && one->type != SETTING_BOOL)
            buf_printf(out, " (default: %s)", one->default_);
        buf_printf(out, "\n  %-24s   key %s, %s\n", "", one->key, one->env);
        buf_fini(&text);
    }
    buf_put_str(out, "\n  --help, --version\n\n"
                     "example: quorumkeepd --name n1 --data /var/lib/quorumkeep "
                     "--peer-listen 10.0.0.1:7700\n"
                     "signals: TERM drains and stops, HUP reloads, USR1 seals this node\n");
}

void config_version(struct buf *out)
{
    buf_put_str(out, "quorumkeepd " QK_VERSION "\n");
}
