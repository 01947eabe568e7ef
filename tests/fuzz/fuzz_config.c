/* Configuration: an INI text, or (first byte odd) flags and environment, a line each, where a line
 * with a '=' in its first word and no leading '-' is environment. A refusal says why. No file is
 * read: lines that would name one are left out. */
#include <string.h>

#include "fuzz.h"
#include "node/config.h"

#define LINES_MAX 32

static const char *const seeds[] = {
    ("\0[node]\nname = n1\ndata = /var/lib/quorumkeep\n[http]\nlisten = 127.0.0.1:7601\n"
     "[memory]\narena = mlock\narena_kib = 4096\n; text\n[seal]\nrelease_limit = 20\n"),
    "\0[consensus]\nelection_timeout_ms=1000\nheartbeat_ms=100\n[log]\nlevel=debug\n",
    "\1--name=n2\n--http-listen\n0.0.0.0:7602\n--insecure-http\nQUORUMKEEP_NAME=n3",
    "\0[peer]\nallow = 10.0.0.0/8, ::ffff:10.0.0.0/104 ,fd00::/8\n",
    "\1--peer-allow=10.0.0.0/8,::1",
    "\1--help",
    "\1--version",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put(out, seeds[number], 1 + strlen(seeds[number] + 1));
    return true;
}

static void fuzz_ini(struct bytes in)
{
    struct buf message = BUF_INIT(64 * KIB);
    struct config config;

    config_init(&config);
    if (config_apply_ini(&config, "fuzz.conf", in, &message) != QK_OK)
        fuzz_require(message.len > 0 || buf_error(&message) != QK_OK);
    buf_fini(&message);
}

static void fuzz_lines(struct bytes in)
{
    static char text[4096];
    const char *args[LINES_MAX + 1] = {"quorumkeepd"}, *env[LINES_MAX + 1] = {NULL};
    struct buf message = BUF_INIT(64 * KIB);
    enum config_outcome outcome;
    struct config config;
    int args_n = 1, env_n = 0;
    char *save = NULL;

    if (in.len >= sizeof text)
        return;
    if (in.len > 0)
        memcpy(text, in.data, in.len);
    text[in.len] = '\0';
    for (char *line = text; line != NULL && args_n < LINES_MAX && env_n < LINES_MAX; line = save) {
        save = strchr(line, '\n');
        if (save != NULL)
            *save++ = '\0';
        if (strcasestr(line, "config") != NULL || line[0] == '\0')
            continue;
        if (line[0] != '-' && strchr(line, '=') != NULL)
            env[env_n++] = line;
        else
            args[args_n++] = line;
    }
    if (config_load(args_n, args, env, &config, &outcome, &message) != QK_OK)
        fuzz_require(message.len > 0);
    buf_fini(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);

    if (len > 0 && data[0] % 2 == 1)
        fuzz_lines(in);
    else
        fuzz_ini(in);
    return 0;
}
