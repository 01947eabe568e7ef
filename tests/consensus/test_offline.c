/* A log made, and read, without a running node. */
#include "consensus/offline.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consensus/apply.h"
#include "consensus/disk_private.h"

#define ADDRESS "00112233445566778899aabbccddeeff"

struct place {
    uv_loop_t loop;
    char dir[64];
    char reason[OFFLINE_REASON_BYTES];
    struct disk *disk;
    struct disk_state state;
    uint64_t stored;
    bool closed;
};

static void on_stored(void *arg, uint64_t index, uint64_t term)
{
    (void)term;
    ((struct place *)arg)->stored = index;
}

static void on_installed(void *arg)
{
    (void)arg;
}

static void on_fatal(void *arg, const char *what)
{
    (void)arg;
    cr_assert_fail("%s", what);
}

static void on_closed(void *arg)
{
    ((struct place *)arg)->closed = true;
}

static void place_init(struct place *place)
{
    memset(place, 0, sizeof *place);
    cr_assert_eq(uv_loop_init(&place->loop), 0);
    (void)snprintf(place->dir, sizeof place->dir, "/tmp/qk-offline-XXXXXX");
    cr_assert_not_null(mkdtemp(place->dir));
}

static enum qk_err place_open(struct place *place)
{
    struct disk_callbacks callbacks = {place, on_stored, on_installed, on_fatal, on_closed};

    place->closed = false;
    return disk_open(&place->loop, place->dir, &callbacks, place->reason, &place->disk,
                     &place->state);
}

static void place_close(struct place *place)
{
    disk_close(place->disk);
    while (!place->closed)
        (void)uv_run(&place->loop, UV_RUN_ONCE);
    disk_free(place->disk);
    entry_log_fini(&place->state.log);
}

static void place_fini(struct place *place)
{
    static const char *const names[] = {"lock", "term", "snapshot", "log-0000000000000000",
                                        "log-0000000000000001"};
    char path[128];

    (void)uv_loop_close(&place->loop);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", place->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(place->dir);
}

static void append(struct place *place, uint64_t term, uint8_t type, struct bytes payload)
{
    struct entry_log *log = &place->state.log;
    uint64_t index = entry_log_last(log) + 1;

    cr_assert_eq(entry_log_append(log, term, type, payload), QK_OK);
    cr_assert_eq(disk_reserve(place->disk, payload.len, 1), QK_OK);
    disk_append(place->disk, log, index, 1);
    disk_flush(place->disk);
    while (place->stored < index)
        (void)uv_run(&place->loop, UV_RUN_ONCE);
}

/* An entry of the commands "A1", "A2"... */
static void append_commands(struct place *place, uint64_t term, char letter, unsigned n)
{
    struct buf payload = BUF_INIT(4 * KIB);

    apply_frame_start(&payload);
    for (unsigned i = 1; i <= n; i++) {
        char command[8];

        (void)snprintf(command, sizeof command, "%c%u", letter, i);
        apply_frame_add(&payload, bytes_str(command));
    }
    append(place, term, RAFT_COMMAND, buf_bytes(&payload));
    buf_fini(&payload);
}

struct seen {
    char text[256];
    enum qk_err fail_at_b;
};

static enum qk_err note(void *arg, uint64_t index, uint64_t term, bool last, struct bytes command)
{
    struct seen *seen = arg;
    size_t len = strlen(seen->text);

    if (command.len > 0 && command.data[0] == 'B' && seen->fail_at_b != QK_OK)
        return seen->fail_at_b;
    (void)snprintf(seen->text + len, sizeof seen->text - len, "%u.%u%s%.*s ", (unsigned)index,
                   (unsigned)term, last ? "!" : "", (int)command.len,
                   command.len > 0 ? (const char *)command.data : "");
    return QK_OK;
}

Test(offline, a_founded_log_is_one_voter_behind_its_snapshot)
{
    struct place place;
    const struct consensus_member *member;

    place_init(&place);
    cr_assert_eq(consensus_found(place.dir, 1, ADDRESS, 77, 5, place.reason), QK_OK, "%s",
                 place.reason);
    cr_assert_eq(consensus_found(place.dir, 1, ADDRESS, 78, 5, place.reason), QK_ERR_EXISTS);
    cr_assert_eq(place_open(&place), QK_OK, "%s", place.reason);
    cr_assert(place.state.has_snapshot);
    cr_assert_eq(place.state.term, 5);
    cr_assert_eq(place.state.vote, 0);
    cr_assert_eq(place.state.snapshot.index, 77);
    cr_assert_eq(place.state.snapshot.term, 5);
    cr_assert_eq(place.state.log.n, 0);
    cr_assert_eq(place.state.log.first, 78);
    cr_assert_eq(place.state.snapshot.members.n, 1);
    member = members_get(&place.state.snapshot.members, 1);
    cr_assert_not_null(member);
    cr_assert(member->voter);
    place_close(&place);
    place_fini(&place);
}

Test(offline, a_log_is_replayed_behind_what_the_store_holds)
{
    struct place place;
    struct seen seen = {.text = ""};
    uint64_t last = 0;

    place_init(&place);
    cr_assert_eq(place_open(&place), QK_OK, "%s", place.reason);
    disk_save_term(place.disk, 3, 1);
    append_commands(&place, 1, 'A', 2);
    append(&place, 2, RAFT_BARRIER, bytes_str("12345678"));
    append_commands(&place, 3, 'B', 1);
    append_commands(&place, 3, 'C', 1);
    place_close(&place);

    cr_assert_eq(consensus_replay(place.dir, 0, note, &seen, &last, place.reason), QK_OK, "%s",
                 place.reason);
    cr_assert_str_eq(seen.text, "1.1A1 1.1!A2 2.2! 3.3!B1 4.3!C1 ");
    cr_assert_eq(last, 4);
    seen.text[0] = '\0';
    cr_assert_eq(consensus_replay(place.dir, 3, note, &seen, &last, place.reason), QK_OK);
    cr_assert_str_eq(seen.text, "4.3!C1 ");
    seen.text[0] = '\0';
    cr_assert_eq(consensus_replay(place.dir, 9, note, &seen, &last, place.reason), QK_OK);
    cr_assert_str_eq(seen.text, "");
    seen.fail_at_b = QK_ERR_UNSUPPORTED;
    cr_assert_eq(consensus_replay(place.dir, 1, note, &seen, &last, place.reason),
                 QK_ERR_UNSUPPORTED);
    cr_assert_not_null(strstr(place.reason, "entry 3"), "%s", place.reason);
    place_fini(&place);
}

Test(offline, a_log_that_begins_behind_the_store_is_no_use)
{
    struct place place;
    struct seen seen = {.text = ""};
    uint64_t last = 0;

    place_init(&place);
    cr_assert_eq(consensus_found(place.dir, 1, ADDRESS, 77, 5, place.reason), QK_OK);
    cr_assert_eq(consensus_replay(place.dir, 70, note, &seen, &last, place.reason),
                 QK_ERR_NOT_FOUND);
    cr_assert_eq(consensus_replay(place.dir, 77, note, &seen, &last, place.reason), QK_OK);
    cr_assert_str_eq(seen.text, "");
    place_fini(&place);
}
