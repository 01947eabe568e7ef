/* Timers, clocks, files' crash points, and what costs too much to be real in thousands of seeds:
 * passwords and the catalog of databases and users. */
#include "system.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "secret/crypto.h"
#include "service/kv.h"
#include "service/replication/replicator.h"
#include "audit/audit.h"
#include "service/audit_mark.h"
#include "service/catalog.h"
#include "service/query/views.h"
#include "service/cluster/members_file.h"
#include "service/timer_uv.h"

/* --- timers and clocks ----------------------------------------------------------------------- */

struct timer {
    struct machine *m;
    timer_cb cb;
    void *arg;
    unsigned number;
    bool armed;
    struct timer *next;
};

struct timer_event {
    struct timer *timer;
};

enum qk_err timer_new(struct uv_loop_s *loop, timer_cb cb, void *arg, struct timer **ret_timer)
{
    struct timer *timer = calloc(1, sizeof(*timer));

    assert(timer != NULL);
    timer->m = machine_of(loop);
    timer->cb = cb;
    timer->arg = arg;
    timer->number = timer->m->timers_n += 1000000;
    timer->next = timer->m->timers;
    timer->m->timers = timer;
    *ret_timer = timer;
    return QK_OK;
}

void timer_start(struct timer *timer, uint64_t ms)
{
    struct timer_event data = {timer};

    timer->armed = true;
    timer->number++;
    system_push(timer->m, ms, SYS_TIMER, timer->number, &data, sizeof(data));
}

void timer_stop(struct timer *timer)
{
    if (timer != NULL)
        timer->armed = false;
}

void timer_free(struct timer *timer, timer_cb closed, void *arg)
{
    struct timer **at;

    if (timer == NULL)
        return;
    for (at = &timer->m->timers; *at != timer;)
        at = &(*at)->next;
    *at = timer->next;
    free(timer);
    if (closed != NULL)
        closed(arg);
}

void timer_sim_fire(struct machine *m, const struct event *event)
{
    struct timer_event data;
    struct timer *timer;

    memcpy(&data, event->data, sizeof(data));
    for (timer = m->timers; timer != NULL && timer != data.timer;)
        timer = timer->next;
    if (timer == NULL || !timer->armed || timer->number != event->tick_number)
        return;
    timer->armed = false;
    timer->cb(timer->arg);
}

/* Each computer counts from its own start. */
uint64_t timer_now_ms(struct uv_loop_s *loop)
{
    const struct machine *m = machine_of(loop);

    return m->sys->w->now + 1000003u * (m->at + 1);
}

uint64_t timer_now_us(void)
{
    return system_current != NULL ? 1000 * system_current->sys->w->now : 0;
}

/* The wall clock, which jumps. */
time_t time(time_t *ret_time)
{
    time_t now = 1800000000;

    if (system_current != NULL)
        now += (time_t)((int64_t)system_current->sys->w->now + system_current->clock_ms) / 1000;
    if (ret_time != NULL)
        *ret_time = now;
    return now;
}

/* --- lines for people ------------------------------------------------------------------------ */

void log_set_level(enum log_level level)
{
    (void)level;
}

void log_line(enum log_level level, const char *module, const char *format, ...)
{
    va_list args;

    (void)level;
    if (system_current == NULL || !system_current->sys->w->trace)
        return;
    printf("%6llu m%u.%u %s: ", (unsigned long long)system_current->sys->w->now, system_current->at,
           system_current->life, module);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void system_say(const struct machine *m, const char *format, ...)
{
    va_list args;

    if (!m->sys->w->trace)
        return;
    printf("%6llu m%u.%u ", (unsigned long long)m->sys->w->now, m->at, m->life);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void audit_event(struct audit *audit, const char *event, ...)
{
    (void)audit;
    log_line(LOG_INFO, "audit", "%s", event);
}

bool audit_is_stopping(const struct audit *audit)
{
    (void)audit;
    return false;
}

void audit_mark_put(struct service *service)
{
    (void)service;
}

/* --- files ----------------------------------------------------------------------------------- */

ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

/* What lay where the last write went, so that a crash before the sync can bring parts of it back.
 */
static struct {
    bool valid;
    off_t at;
    size_t len;
    uint8_t before[NODE_SEC_FILE_BYTES];
} unsynced;

/* The file is open for writing only. */
static bool read_back(int fd, uint8_t *ret_data, size_t len, off_t at)
{
    char path[64];
    int other;
    bool good;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    other = open(path, O_RDONLY | O_CLOEXEC);
    if (other < 0)
        return false;
    good = pread(other, ret_data, len, at) >= 0;
    (void)close(other);
    return good;
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at)
{
    struct machine *m = system_current;
    size_t whole;

    if (m == NULL || len > sizeof(unsynced.before))
        return __real_pwrite64(fd, data, len, at);
    if (machine_mute(m)) {
        errno = EIO;
        return -1;
    }
    if (m->sys->bug == BUG_NO_SYNC && at == 0 && m->service.node_sec != NULL)
        m->sec_unsynced = read_back(fd, m->sec_before, sizeof(m->sec_before), 0);
    unsynced.valid = true;
    unsynced.at = at;
    unsynced.len = len;
    memset(unsynced.before, 0, sizeof(unsynced.before));
    if (!read_back(fd, unsynced.before, len, at))
        return -1;
    if (!system_crash_point(m))
        return __real_pwrite64(fd, data, len, at);
    whole = 512 * sim_below(m->sys->w, (unsigned)(len / 512) + 1);
    if (whole > 0 && __real_pwrite64(fd, data, whole, at) < 0)
        return -1;
    errno = EIO;
    return -1;
}

/* Nothing is really synced: no power is lost here. A crash keeps any of the sectors. */
int __wrap_fsync(int fd)
{
    struct machine *m = system_current;

    if (m == NULL)
        return 0;
    if (!machine_mute(m) && !system_crash_point(m)) {
        unsynced.valid = false;
        return 0;
    }
    for (size_t at = 0; unsynced.valid && at + 512 <= unsynced.len; at += 512)
        if (sim_chance(m->sys->w, 500) &&
            __real_pwrite64(fd, unsynced.before + at, 512, unsynced.at + (off_t)at) < 0)
            break;
    unsynced.valid = false;
    errno = EIO;
    return -1;
}

enum qk_err members_file_save(const char *data_dir, const struct member_facts *facts)
{
    (void)data_dir;
    (void)facts;
    return QK_OK;
}

enum qk_err members_file_load(const char *data_dir, struct member_facts *ret_facts)
{
    (void)data_dir;
    (void)ret_facts;
    return QK_ERR_NOT_FOUND;
}

/* --- catalog and passwords ------------------------------------------------------------------- */

void catalog_sim_open(struct machine *m)
{
    if (m->service.catalog_opening == NULL)
        return;
    m->service.catalog_opening = NULL;
    m->service.catalog = (struct catalog *)(void *)m;
    m->opening_cb(m->opening_arg, QK_OK);
}

static void catalog_opened(struct machine *m, void *arg)
{
    if ((uintptr_t)arg == m->openings)
        catalog_sim_open(m);
}

enum qk_err catalog_open(struct service *service, catalog_open_cb cb, void *arg)
{
    struct machine *m = machine_of(service->loop);

    m->opening_cb = cb;
    m->opening_arg = arg;
    m->openings++;
    service->catalog_opening = (struct catalog *)(void *)m;
    if (!m->catalog_waits)
        system_later(m, 1 + sim_below(m->sys->w, m->sys->catalog_max), catalog_opened,
                     (void *)m->openings);
    return QK_OK;
}

void views_key_changed(struct service *service, struct bytes name)
{
    (void)service;
    (void)name;
}

void catalog_close(struct service *service)
{
    struct machine *m = machine_of(service->loop);
    bool opening = service->catalog_opening != NULL;

    service->catalog = NULL;
    service->catalog_opening = NULL;
    if (opening)
        m->opening_cb(m->opening_arg, QK_ERR_CLOSED);
}

/* Nothing of it is sealed here. */
void catalog_keys_changed(struct service *service)
{
    (void)service;
}

enum qk_err catalog_check(const struct catalog *catalog)
{
    (void)catalog;
    return QK_OK;
}

/* No database keeps its bodies in the clear. */
const struct catalog_database *catalog_database_of(const struct catalog *catalog,
                                                   const uint8_t database[static DATABASE_ID_BYTES])
{
    (void)catalog;
    (void)database;
    return NULL;
}

void catalog_databases_each(const struct catalog *catalog,
                            bool (*each)(void *arg, const struct catalog_database *database),
                            void *arg)
{
    (void)catalog;
    (void)each;
    (void)arg;
}

/* None was ever set. */
const struct key_policy *catalog_policy_find(const struct catalog *catalog)
{
    (void)catalog;
    return NULL;
}

/* The database of secrets is a record of the catalog like any other: none is needed here. */
enum qk_err kv_mount_put(const struct service *service, struct wire_command *command)
{
    (void)service;
    (void)command;
    return QK_OK;
}

/* The same of the database of replications. */
enum qk_err replicator_mount_put(const struct service *service, struct wire_command *command)
{
    (void)service;
    (void)command;
    return QK_OK;
}

enum qk_err password_hash(struct bytes password, char ret_hash[static PASSWORD_HASH_BYTES])
{
    (void)password;
    snprintf(ret_hash, PASSWORD_HASH_BYTES, "hash");
    return QK_OK;
}

enum qk_err ed25519_keypair(struct secret **ret_secret_key,
                            uint8_t ret_public_key[static ED25519_PUBLIC_BYTES])
{
    memset(ret_public_key, 1, ED25519_PUBLIC_BYTES);
    return secret_new_random(ED25519_SECRET_BYTES, ret_secret_key);
}
