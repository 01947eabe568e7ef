#include "cli/import_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/encode.h"
#include "cli/print.h"

static enum cli_exit begin(struct import_state *state)
{
    uint8_t random[(IMPORT_ID_BYTES - 1) / 2];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return cli_fail(CLI_ERROR, "no random bytes: %s", strerror(errno));
    hex_encode(random, sizeof(random), state->id);
    return CLI_OK;
}

static bool copy_text(const json_t *json, const char *name, char *ret_text, size_t bytes)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL && snprintf(ret_text, bytes, "%s", text) < (int)bytes;
}

static uint64_t number(const json_t *json, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(json, name));

    return value < 0 ? 0 : (uint64_t)value;
}

static bool text_is(const json_t *json, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL && strcmp(text, wanted) == 0;
}

static enum cli_exit take(struct import_state *state, const json_t *json)
{
    bool same = text_is(json, "db", state->db) && text_is(json, "cluster", state->cluster) &&
                json_integer_value(json_object_get(json, "file_bytes")) == state->file_bytes &&
                json_integer_value(json_object_get(json, "file_time")) == state->file_time &&
                copy_text(json, "import", state->id, sizeof(state->id));

    if (!same)
        return cli_fail(CLI_CONFLICT,
                        "'%s' was left by an import of another file, or into another database: "
                        "remove it to begin anew",
                        state->path);
    state->done = number(json, "done");
    state->written = number(json, "written");
    state->there = number(json, "there");
    state->refused = number(json, "refused");
    return CLI_OK;
}

enum cli_exit import_state_open(struct import_state *state, const char *file,
                                const struct stat *about, const char *db, const char *cluster)
{
    json_error_t problem;
    enum cli_exit code;
    json_t *json;

    memset(state, 0, sizeof(*state));
    state->db = db;
    (void)snprintf(state->cluster, sizeof(state->cluster), "%s", cluster);
    state->file_bytes = about->st_size;
    state->file_time = about->st_mtim.tv_sec;
    if (file == NULL || !S_ISREG(about->st_mode))
        return begin(state);
    if (snprintf(state->path, sizeof(state->path), "%s.import", file) >= (int)sizeof(state->path))
        return cli_fail(CLI_USAGE, "the file's name is too long");
    if (access(state->path, F_OK) != 0)
        return begin(state);
    json = json_load_file(state->path, 0, &problem);
    code = json != NULL ? take(state, json)
                        : cli_fail(CLI_ERROR, "'%s': %s: remove it to begin anew", state->path,
                                   problem.text);
    json_decref(json);
    return code;
}

static bool write_part(const char *part, const json_t *json)
{
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && json_dumpfd(json, fd, JSON_COMPACT) == 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return good;
}

enum cli_exit import_state_save(const struct import_state *state)
{
    char part[PATH_MAX + 8];
    json_t *json;
    bool good;

    if (state->path[0] == '\0')
        return CLI_OK;
    (void)snprintf(part, sizeof(part), "%s.part", state->path);
    json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "db", state->db, "cluster",
                     state->cluster, "import", state->id, "file_bytes",
                     (json_int_t)state->file_bytes, "file_time", (json_int_t)state->file_time,
                     "done", (json_int_t)state->done, "written", (json_int_t)state->written,
                     "there", (json_int_t)state->there, "refused", (json_int_t)state->refused);
    good = json != NULL && write_part(part, json) && rename(part, state->path) == 0;
    json_decref(json);
    return good ? CLI_OK : cli_fail(CLI_ERROR, "'%s': %s", state->path, strerror(errno));
}

void import_state_remove(const struct import_state *state)
{
    if (state->path[0] != '\0')
        (void)unlink(state->path);
}
