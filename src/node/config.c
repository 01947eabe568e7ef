/* File, environment and flags all go through config_setting_store, so a value is judged the same
 * wherever it came from. */
#include "node/config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "node/config_check.h"
#include "node/config_setting.h"

void config_init(struct config *ret_config)
{
    struct buf message = BUF_INIT(512);
    enum qk_err err;

    memset(ret_config, 0, sizeof(*ret_config));
    for (size_t i = 0; i < CONFIG_SETTINGS_N; i++) {
        if (config_settings[i].default_ == NULL)
            continue;
        err = config_setting_store(&config_settings[i], ret_config, "default",
                                   config_settings[i].default_, &message);
        assert(err == QK_OK);
        (void)err;
    }
    if (gethostname(ret_config->name, sizeof(ret_config->name)) != 0 || ret_config->name[0] == '\0')
        memcpy(ret_config->name, "node", sizeof("node"));
    ret_config->name[sizeof(ret_config->name) - 1] = '\0';
    ret_config->name[strcspn(ret_config->name, ".")] = '\0';
    buf_fini(&message);
}

/* The state of one walk over a file: inih calls back with neither line nor length limits. */
struct ini_walk {
    struct config *config;
    const char *name;
    struct reader in;
    unsigned line;
    bool seen[CONFIG_SETTINGS_N];
    struct buf *message;
    enum qk_err err; /* the first; nothing is applied after it */
};

/* inih's fgets: it shows every line, so that messages name it and long ones are refused (inih
 * would cut them into two). */
static char *ini_walk_line(char *out, int out_size, void *stream)
{
    struct ini_walk *walk = stream;
    struct bytes rest = bytes_slice(walk->in.in, walk->in.at, SIZE_MAX);
    const uint8_t *newline;
    size_t len;

    if (rest.len == 0 || walk->err != QK_OK)
        return NULL;
    walk->line++;
    newline = memchr(rest.data, '\n', rest.len);
    len = newline == NULL ? rest.len : (size_t)(newline - rest.data) + 1;
    walk->in.at += len;
    if (len >= (size_t)out_size || memchr(rest.data, '\0', len) != NULL) {
        walk->err = QK_ERR_INVALID;
        buf_printf(walk->message, "%s:%u: %s", walk->name, walk->line,
                   len >= (size_t)out_size ? "the line is too long" : "a zero byte in the text");
        return NULL;
    }
    memcpy(out, rest.data, len);
    out[len] = '\0';
    if (out[strspn(out, " \t")] == '[' && strchr(out, ']') == NULL) {
        walk->err = QK_ERR_INVALID; /* inih would go on in the wrong section */
        buf_printf(walk->message, "%s:%u: a section without its ']'", walk->name, walk->line);
        return NULL;
    }
    return out;
}

static void say_unknown_key(struct ini_walk *walk, const char *section, const char *key)
{
    const char *nearest = NULL, *nearest_section = NULL;
    unsigned best = CONFIG_NEAREST_MAX + 1;

    for (size_t i = 0; i < CONFIG_SETTINGS_N; i++) {
        unsigned far = config_distance(key, config_settings[i].key) +
                       (strcmp(section, config_settings[i].section) == 0 ? 0 : 1);

        if (far < best) {
            best = far;
            nearest = config_settings[i].key;
            nearest_section = config_settings[i].section;
        }
    }
    buf_printf(walk->message, "%s:%u: unknown key '%.64s' in section [%.64s]", walk->name,
               walk->line, key, section);
    if (nearest != NULL)
        buf_printf(walk->message, "; did you mean '%s' in [%s]?", nearest, nearest_section);
}

static int ini_walk_value(void *arg, const char *section, const char *key, const char *value)
{
    struct ini_walk *walk = arg;
    char from[CONFIG_PATH_BYTES_MAX + 64];
    struct buf text = BUF_INIT(sizeof(from));

    if (walk->err != QK_OK)
        return 0;
    for (size_t i = 0; i < CONFIG_SETTINGS_N; i++) {
        if (strcmp(section, config_settings[i].section) != 0 ||
            strcmp(key, config_settings[i].key) != 0)
            continue;
        buf_printf(&text, "%s:%u: %s", walk->name, walk->line, key);
        if (walk->seen[i]) {
            walk->err = QK_ERR_INVALID;
            buf_printf(walk->message, "%.*s is set twice", (int)text.len, (const char *)text.data);
        } else {
            buf_put_u8(&text, 0);
            walk->err = config_setting_store(&config_settings[i], walk->config,
                                             (const char *)text.data, value, walk->message);
        }
        walk->seen[i] = true;
        buf_fini(&text);
        return walk->err == QK_OK;
    }
    walk->err = QK_ERR_INVALID;
    say_unknown_key(walk, section, key);
    return 0;
}

enum qk_err config_apply_ini(struct config *config, const char *name, struct bytes text,
                             struct buf *message)
{
    struct ini_walk walk = {
        .config = config, .name = name, .in = reader_of(text), .message = message};
    int bad_line;

    bad_line = ini_parse_stream(ini_walk_line, &walk, ini_walk_value, &walk);
    if (walk.err == QK_OK && bad_line != 0) {
        walk.err = bad_line > 0 ? QK_ERR_INVALID : QK_ERR_NOMEM;
        buf_printf(message, "%s:%d: neither a [section], a 'key = value' nor a comment", name,
                   bad_line);
    }
    return walk.err;
}

static enum qk_err read_whole(int fd, struct buf *out)
{
    for (;;) {
        uint8_t chunk[4096];
        ssize_t got = read(fd, chunk, sizeof(chunk));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return QK_ERR_IO;
        if (got == 0)
            return QK_OK;
        buf_put(out, chunk, (size_t)got);
        if (buf_error(out) != QK_OK)
            return buf_error(out);
    }
}

static enum qk_err load_file(struct config *config, const char *path, struct buf *message)
{
    struct buf text = BUF_INIT(CONFIG_FILE_BYTES_MAX);
    enum qk_err err = QK_ERR_IO;
    int fd;

    if (strlen(path) > CONFIG_PATH_BYTES_MAX) {
        buf_put_str(message, "--config: the path is too long");
        return QK_ERR_TOO_BIG;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        err = read_whole(fd, &text);
    if (err != QK_OK) {
        buf_printf(message, "configuration file %s: %s", path,
                   err == QK_ERR_IO ? strerror(errno) : qk_err_text(err));
        goto out;
    }
    memcpy(config->file, path, strlen(path) + 1);
    err = config_apply_ini(config, path, buf_bytes(&text), message);

out:
    if (fd >= 0)
        close(fd);
    buf_fini(&text);
    return err;
}

static const char *env_value(const char *const *env, const char *name)
{
    size_t len = strlen(name);

    for (; *env != NULL; env++) {
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    }
    return NULL;
}

static enum qk_err load_env(struct config *config, const char *const *env, struct buf *message)
{
    for (size_t i = 0; i < CONFIG_SETTINGS_N; i++) {
        const char *value = env_value(env, config_settings[i].env);
        enum qk_err err;

        if (value == NULL || *value == '\0')
            continue;
        err = config_setting_store(&config_settings[i], config, config_settings[i].env, value,
                                   message);
        if (err != QK_OK)
            return err;
    }
    return QK_OK;
}

/* One argument of the command line, split at '='. */
struct flag {
    char name[64];
    const char *value; /* NULL: none behind '=' */
};

static enum qk_err flag_split(const char *arg, struct flag *ret_flag, struct buf *message)
{
    size_t len = strcspn(arg, "=");

    if (strncmp(arg, "--", 2) != 0 || len >= sizeof(ret_flag->name)) {
        buf_printf(message, "'%.80s' is not a flag; --help lists them", arg);
        return QK_ERR_INVALID;
    }
    memcpy(ret_flag->name, arg, len);
    ret_flag->name[len] = '\0';
    ret_flag->value = arg[len] == '=' ? arg + len + 1 : NULL;
    return QK_OK;
}

static const struct setting *flag_setting(const char *name)
{
    for (size_t i = 0; i < CONFIG_SETTINGS_N; i++) {
        if (strcmp(name, config_settings[i].flag) == 0)
            return &config_settings[i];
    }
    return NULL;
}

static void say_unknown_flag(const char *name, struct buf *message)
{
    const char *nearest = "--config";
    unsigned best = config_distance(name, nearest);

    for (size_t i = 0; i < CONFIG_SETTINGS_N; i++) {
        unsigned far = config_distance(name, config_settings[i].flag);

        if (far < best) {
            best = far;
            nearest = config_settings[i].flag;
        }
    }
    buf_printf(message, "unknown flag %s", name);
    if (best <= CONFIG_NEAREST_MAX)
        buf_printf(message, "; did you mean %s?", nearest);
    else
        buf_put_str(message, "; --help lists them");
}

/* Walks the flags. With `config` NULL it only looks for --config, which comes before the rest;
 * `ret_file` is left alone when there is none. */
static enum qk_err load_flags(int argc, const char *const *argv, struct config *config,
                              const char **ret_file, struct buf *message)
{
    for (int i = 1; i < argc; i++) {
        const struct setting *setting;
        struct flag flag;
        enum qk_err err = flag_split(argv[i], &flag, message);
        bool is_file;

        if (err != QK_OK)
            return err;
        is_file = strcmp(flag.name, "--config") == 0;
        setting = flag_setting(flag.name);
        if (setting == NULL && !is_file) {
            say_unknown_flag(flag.name, message);
            return QK_ERR_INVALID;
        }
        if (flag.value == NULL && setting != NULL && setting->type == SETTING_BOOL) {
            flag.value = "true";
        } else if (flag.value == NULL) {
            if (i + 1 >= argc) {
                buf_printf(message, "%s needs a value", flag.name);
                return QK_ERR_INVALID;
            }
            flag.value = argv[++i];
        }
        if (is_file)
            *ret_file = flag.value;
        else if (config != NULL)
            err = config_setting_store(setting, config, flag.name, flag.value, message);
        if (err != QK_OK)
            return err;
    }
    return QK_OK;
}

static bool has_flag(int argc, const char *const *argv, const char *long_name,
                     const char *short_name)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], long_name) == 0 || strcmp(argv[i], short_name) == 0)
            return true;
    }
    return false;
}

enum qk_err config_load(int argc, const char *const *argv, const char *const *env,
                        struct config *ret_config, enum config_outcome *ret_outcome,
                        struct buf *message)
{
    const char *file = env_value(env, "QUORUMKEEP_CONFIG");
    enum qk_err err;

    assert(ret_config != NULL);
    assert(ret_outcome != NULL);

    config_init(ret_config);
    *ret_outcome = CONFIG_RUN;
    if (has_flag(argc, argv, "--help", "-h")) {
        *ret_outcome = CONFIG_HELP;
        return QK_OK;
    }
    if (has_flag(argc, argv, "--version", "-V")) {
        *ret_outcome = CONFIG_VERSION;
        return QK_OK;
    }
    err = load_flags(argc, argv, NULL, &file, message);
    if (err == QK_OK && file != NULL && *file != '\0')
        err = load_file(ret_config, file, message);
    if (err == QK_OK)
        err = load_env(ret_config, env, message);
    if (err == QK_OK)
        err = load_flags(argc, argv, ret_config, &file, message);
    if (err == QK_OK)
        err = config_check(ret_config, message);
    return err;
}
