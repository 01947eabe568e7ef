/* A store in a folder of its own, and the loop it runs in, for the tests of this folder. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <uv.h>

#include "store/store.h"

struct fixture {
    uv_loop_t loop;
    uv_loop_t *runs_in; /* its own loop, or another fixture's */
    char folder[256];
    char path[300];
    struct store_options options;
    struct store *store;
    enum qk_err fatal;
    char fatal_what[600];
    unsigned full_told, room_told;
    bool closed;
};

void fixture_init(struct fixture *fixture);
/* A second store in the loop of `other`, and its end, before `other`'s. */
void fixture_init_in(struct fixture *fixture, struct fixture *other);
void fixture_fini_in(struct fixture *fixture, struct fixture *other);
/* Opens (again) the store of this folder. */
enum qk_err fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
/* Closes the store if it is open and removes the folder. */
void fixture_fini(struct fixture *fixture);
/* Runs the loop until all that is applied is in the file. */
void fixture_flush(struct fixture *fixture);
/* Runs the loop until *flag, at most some seconds. */
void fixture_run_until(struct fixture *fixture, const bool *flag);
void fixture_file(const struct fixture *fixture, const char *suffix, char ret_path[static 320]);

/* "0123456789abcde" and the letter of the database, then the name. */
struct bytes test_key(char database, const char *name, uint8_t ret[static RECORD_KEY_BYTES_MAX]);

/* One command of one batch with one operation at the next index; its single result. */
enum qk_err test_put(struct fixture *fixture, char database, const char *name, uint64_t version,
                     uint8_t flags, const char *value);
/* The same, its value in the list of keys: one body of 10 bytes under `key`, sealed by this write.
 */
enum qk_err test_put_keyed(struct fixture *fixture, char database, const char *name,
                           uint64_t version, uint8_t flags, struct key_use key);
/* The key of that letter: one body, sealed now, 10 bytes. */
struct key_use test_use(char key, uint32_t version);
enum qk_err test_delete(struct fixture *fixture, char database, const char *name);
enum qk_err test_delete_range(struct fixture *fixture, char database, const char *name_prefix);
/* Version of a record, 0 if it is not there. */
uint64_t test_version(struct fixture *fixture, char database, const char *name);
/* Runs a command at the next index. */
enum qk_err test_apply(struct fixture *fixture, struct wire_command *command, struct buf *result);
/* The names that a scan of a database gives, joined by commas. Flush first. */
void test_scan(struct fixture *fixture, char database, bool descending, char *ret_text,
               size_t size);
void test_changes(struct fixture *fixture, char database, uint64_t since, bool descending,
                  char *ret_text, size_t size);
/* The whole stream of a snapshot. */
struct buf test_dump(struct fixture *fixture);

#endif
