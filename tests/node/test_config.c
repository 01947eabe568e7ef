#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/config.h"
#include "node/config_check.h"

#define ARGS_MAX 16

/* Loads with the flags and environment given as NULL-terminated lists. */
static enum qk_err load(const char *const *flags, const char *const *env, struct config *config,
                        struct buf *message)
{
    const char *argv[ARGS_MAX] = {"quorumkeepd"};
    enum config_outcome outcome;
    int argc = 1;

    for (; *flags != NULL; flags++)
        argv[argc++] = *flags;
    return config_load(argc, argv, env, config, &outcome, message);
}

static bool says(struct buf *message, const char *words)
{
    buf_put_u8(message, 0);
    return strstr((const char *)message->data, words) != NULL;
}

/* Ends in NULL by the caller. */
#define LIST(...) ((const char *const[]){__VA_ARGS__})
#define NONE LIST(NULL)

static void expect_error(const char *const *flags, const char *const *env, const char *words)
{
    struct buf message = BUF_INIT(4096);
    struct config config;

    cr_assert_neq(load(flags, env, &config, &message), QK_OK);
    cr_assert(says(&message, words), "'%s' lacks '%s'", (const char *)message.data, words);
    buf_fini(&message);
}

static void expect_ini_error(const char *text, const char *words)
{
    struct buf message = BUF_INIT(4096);
    struct config config;

    config_init(&config);
    cr_assert_eq(config_apply_ini(&config, "f.ini", bytes_str(text), &message), QK_ERR_INVALID);
    cr_assert(says(&message, words), "'%s' lacks '%s'", (const char *)message.data, words);
    buf_fini(&message);
}

Test(config, defaults_stand_alone)
{
    struct buf message = BUF_INIT(4096);
    struct config config;

    cr_assert_eq(load(NONE, NONE, &config, &message), QK_OK);
    cr_assert_str_eq(config.http_listen, "127.0.0.1:7600");
    cr_assert_str_eq(config.http_advertise, "127.0.0.1:7600");
    cr_assert_str_eq(config.peer_advertise, "127.0.0.1:7700");
    cr_assert_eq(config.arena, CONFIG_ARENA_AUTO);
    cr_assert_eq(config.log_level, LOG_INFO);
    cr_assert_eq(config.election_timeout_ms, 1000);
    cr_assert_eq(config.heartbeat_ms, 100);
    cr_assert_eq(config.release_limit, 20);
    cr_assert(!config.insecure_http);
    cr_assert_gt(strlen(config.name), 0);
    cr_assert_eq(message.len, 0);
    buf_fini(&message);
}

Test(config, every_key_of_the_file_is_read)
{
    static const char text[] = "; a comment\n[node]\nname = n1\ndata=/srv/qk\n\n[http]\n"
                               "listen = 127.0.0.1:1\ninsecure_http = yes\n"
                               "[peer]\nlisten = 0.0.0.0:2\nadvertise = db1.example:2\n[memory]\n"
                               "arena = mlock\narena_kib = 512\n[log]\nlevel = debug\n[consensus]\n"
                               "election_timeout_ms = 300\nheartbeat_ms = 60\nlog_keep_mib = 7\n"
                               "[seal]\nrelease_limit = 5\n";
    struct buf message = BUF_INIT(4096);
    struct config config;

    config_init(&config);
    cr_assert_eq(config_apply_ini(&config, "f.ini", bytes_str(text), &message), QK_OK);
    cr_assert_str_eq(config.name, "n1");
    cr_assert_str_eq(config.data, "/srv/qk");
    cr_assert_str_eq(config.http_listen, "127.0.0.1:1");
    cr_assert_str_eq(config.peer_listen, "0.0.0.0:2");
    cr_assert_str_eq(config.peer_advertise, "db1.example:2");
    cr_assert_eq(config.arena, CONFIG_ARENA_MLOCK);
    cr_assert_eq(config.log_level, LOG_DEBUG);
    cr_assert(config.insecure_http);
    cr_assert_eq(config.arena_kib, 512);
    cr_assert_eq(config.election_timeout_ms, 300);
    cr_assert_eq(config.heartbeat_ms, 60);
    cr_assert_eq(config.log_keep_mib, 7);
    cr_assert_eq(config.release_limit, 5);
    buf_fini(&message);
}

Test(config, flags_win_over_environment_over_file)
{
    char path[] = "/tmp/qk-config-XXXXXX";
    struct buf message = BUF_INIT(4096);
    struct config config;
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_gt(dprintf(fd, "[node]\nname = file\ndata = file\n[log]\nlevel = warn\n"), 0);
    close(fd);
    cr_assert_eq(load(LIST("--name", "flag", "--config", path, NULL),
                      LIST("QUORUMKEEP_NAME=env", "QUORUMKEEP_DATA=env", "PATH=/bin", NULL),
                      &config, &message),
                 QK_OK);
    cr_assert_str_eq(config.name, "flag");
    cr_assert_str_eq(config.data, "env");
    cr_assert_eq(config.log_level, LOG_WARN);
    cr_assert_str_eq(config.file, path);
    unlink(path);
    buf_fini(&message);
}

Test(config, file_named_by_the_environment_must_exist)
{
    expect_error(NONE, LIST("QUORUMKEEP_CONFIG=/nonexistent/qk.ini", NULL), "/nonexistent/qk.ini");
}

Test(config, unknown_names_are_errors_with_the_nearest)
{
    expect_ini_error("[node]\nnmae = n1\n", "f.ini:2: unknown key 'nmae'");
    expect_ini_error("[node]\nnmae = n1\n", "did you mean 'name' in [node]?");
    expect_ini_error("[http]\nlevel = info\n", "did you mean 'level' in [log]?");
    expect_ini_error("name = n1\n", "did you mean 'name' in [node]?");
    expect_ini_error("[node]\nzzzzzzzzzzzzzzzzzz = 1\n", "unknown key");
    expect_error(LIST("--peer-lisen=1:2", NULL), NONE, "did you mean --peer-listen?");
    expect_error(LIST("--wholly-other-thing", NULL), NONE, "--help lists them");
    expect_error(LIST("n1", NULL), NONE, "is not a flag");
    expect_error(LIST("-x", NULL), NONE, "is not a flag");
}

Test(config, malformed_files_name_the_line)
{
    expect_ini_error("[node]\nname\n", "f.ini:2");
    expect_ini_error("[node\nname = n\n", "f.ini:1");
    expect_ini_error("[node]\nname = a\nname = b\n", "f.ini:3: name is set twice");
    expect_ini_error("[consensus]\nheartbeat_ms = 9\n", "a number from 10 to 10000");
    expect_ini_error("[consensus]\nheartbeat_ms = 100ms\n", "'100ms' is not");
    expect_ini_error("[consensus]\nheartbeat_ms = -1\n", "'-1' is not");
    expect_ini_error("[consensus]\nheartbeat_ms = 99999999999999999999\n", "is not");
    expect_ini_error("[memory]\narena = m\n", "auto|memfd|mlock");
    expect_ini_error("[memory]\narena = auto|memfd\n", "auto|memfd|mlock");
    expect_ini_error("[http]\ninsecure_http = maybe\n", "true or false");
    expect_ini_error("[node]\nname =\n", "printable");
}

Test(config, long_lines_and_zero_bytes_are_refused)
{
    char text[400];
    struct buf message = BUF_INIT(4096);
    struct config config;

    memset(text, 'a', sizeof(text));
    memcpy(text, "[node]\nname = ", 14);
    text[sizeof(text) - 1] = '\0';
    expect_ini_error(text, "f.ini:2: the line is too long");
    config_init(&config);
    cr_assert_eq(config_apply_ini(&config, "f", bytes_of("[node]\nname = a\0b\n", 18), &message),
                 QK_ERR_INVALID);
    cr_assert(says(&message, "zero byte"));
    buf_fini(&message);
}

Test(config, truncated_and_damaged_files_never_crash)
{
    static const char text[] = "[node]\nname = n1\n[http]\nlisten = 127.0.0.1:1\n# end\n";
    char copy[sizeof(text)];

    for (size_t i = 0; i < sizeof(text); i++) {
        for (int bit = -1; bit < 8; bit++) {
            struct buf message = BUF_INIT(4096);
            struct config config;
            enum qk_err err;

            memcpy(copy, text, sizeof(text));
            if (bit >= 0)
                copy[i] = (char)(copy[i] ^ (1 << bit));
            config_init(&config);
            err = config_apply_ini(&config, "f", bytes_of(copy, bit < 0 ? i : sizeof(text) - 1),
                                   &message);
            cr_assert_eq(err == QK_OK, message.len == 0);
            buf_fini(&message);
        }
    }
}

Test(config, flags_take_their_values_both_ways)
{
    struct buf message = BUF_INIT(4096);
    struct config config;

    cr_assert_eq(load(LIST("--name=a", "--data", "/d", "--insecure-http=false", "--insecure-http",
                           "--http-listen", "0.0.0.0:80", NULL),
                      NONE, &config, &message),
                 QK_OK);
    cr_assert_str_eq(config.name, "a");
    cr_assert_str_eq(config.data, "/d");
    cr_assert(config.insecure_http);
    expect_error(LIST("--name", NULL), NONE, "--name needs a value");
    expect_error(LIST("--name=", NULL), NONE, "printable");
    buf_fini(&message);
}

Test(config, clear_http_off_loopback_needs_consent)
{
    expect_error(LIST("--http-listen", "0.0.0.0:80", NULL), NONE, "--insecure-http");
    expect_error(LIST("--http-listen", "10.0.0.1:80", NULL), NONE, "not a loopback");
    expect_error(LIST("--http-listen", "[::]:80", NULL), NONE, "not a loopback");
}

Test(config, what_cannot_work_is_refused)
{
    expect_error(LIST("--http-listen", "127.0.0.1", NULL), NONE, "HOST:PORT");
    expect_error(LIST("--peer-listen", "127.0.0.1:66000", NULL), NONE, "HOST:PORT");
    expect_error(LIST("--peer-listen", "::1:77", NULL), NONE, "HOST:PORT");
    expect_error(LIST("--peer-listen", "0.0.0.0:77", NULL), NONE, "others cannot reach");
    expect_error(LIST("--heartbeat-ms", "500", NULL), NONE, "at most a third");
    expect_error(LIST("--peer-allow", "10.0.0.1/8", NULL), NONE, "behind its prefix");
    expect_error(NONE, LIST("QUORUMKEEP_PEER_ALLOW=n1.example", NULL), "no IPv4 or IPv6 address");
    expect_error(LIST("--name", "a b", NULL), NONE, "letters");
    expect_error(NONE, LIST("QUORUMKEEP_ARENA=swap", NULL), "QUORUMKEEP_ARENA");
}

Test(config, addresses_of_peers_are_a_list)
{
    struct buf message = BUF_INIT(4096);
    struct config config;

    cr_assert_eq(load(LIST("--peer-allow", "10.0.0.0/8, ::1/128", NULL), NONE, &config, &message),
                 QK_OK);
    cr_assert_eq(config.peer_allowed.n, 2);
    cr_assert_eq(load(NONE, NONE, &config, &message), QK_OK);
    cr_assert_eq(config.peer_allowed.n, 0);
    buf_fini(&message);
}

Test(config, loopback_is_known_in_every_spelling)
{
    cr_assert(config_is_loopback("127.0.0.1:1"));
    cr_assert(config_is_loopback("127.9.9.9"));
    cr_assert(config_is_loopback("[::1]:1"));
    cr_assert(config_is_loopback("[::1]"));
    cr_assert(config_is_loopback("localhost:1"));
    cr_assert(!config_is_loopback("0.0.0.0:1"));
    cr_assert(!config_is_loopback("128.0.0.1:1"));
    cr_assert(!config_is_loopback("127.0.0.1.example:1"));
    cr_assert(!config_is_loopback("localhost.example:1"));
    cr_assert(!config_is_loopback("[::2]:1"));
}

Test(config, distance_is_levenshtein)
{
    cr_assert_eq(config_distance("", ""), 0);
    cr_assert_eq(config_distance("name", "name"), 0);
    cr_assert_eq(config_distance("nmae", "name"), 2);
    cr_assert_eq(config_distance("kitten", "sitting"), 3);
    cr_assert_eq(config_distance("", "abc"), 3);
}

Test(config, help_names_every_setting)
{
    struct buf out = BUF_INIT(32768);
    const char *argv[] = {"quorumkeepd", "--no-such", "--help"};
    const char *env[] = {NULL};
    enum config_outcome outcome;
    struct config config;

    cr_assert_eq(config_load(3, argv, env, &config, &outcome, &out), QK_OK);
    cr_assert_eq(outcome, CONFIG_HELP);
    config_help(&out);
    cr_assert_eq(buf_error(&out), QK_OK);
    cr_assert(says(&out, "--election-timeout-ms"));
    cr_assert(says(&out, "QUORUMKEEP_ARENA"));
    argv[2] = "--version";
    cr_assert_eq(config_load(3, argv, env, &config, &outcome, &out), QK_OK);
    cr_assert_eq(outcome, CONFIG_VERSION);
    buf_fini(&out);
}
