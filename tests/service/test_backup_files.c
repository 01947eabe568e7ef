/* Files of scheduled backups, and directories in the making. */
#include "service/backup/backup_files.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/backup/new_dir.h"

#define NOON 1767355445u /* 2026-01-02T12:04:05Z */

static char folder[64];

static void setup(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/qk-files-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *ftw)
{
    (void)facts;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void teardown(void)
{
    cr_assert_eq(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static const char *in_folder(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void touch(const char *name, const char *content)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
}

static bool there(const char *name)
{
    return access(in_folder(name), F_OK) == 0;
}

Test(backup_files, a_name_says_node_time_and_index)
{
    char name[BACKUP_FILE_NAME_BYTES];
    uint64_t time_s, index;

    backup_file_name("n1", NOON, 77, name);
    cr_assert_str_eq(name, "n1-20260102T120405Z-77.qkbackup");
    cr_assert(backup_file_parse("n1", name, &time_s, &index));
    cr_assert_eq(time_s, NOON);
    cr_assert_eq(index, 77);
}

Test(backup_files, nothing_else_is_taken_for_one)
{
    static const char *const others[] = {
        "n1-20260102T120405Z-77.qkbackup.part",
        "n1-20260102T120405Z-.qkbackup",
        "n1-20260102T120405Z-7x.qkbackup",
        "n1-20260102t120405Z-77.qkbackup",
        "n1-2026010ZT120405Z-77.qkbackup",
        "n1-20260102T120405Z77.qkbackup",
        "n12-20260102T120405Z-77.qkbackup",
        "n-20260102T120405Z-77.qkbackup",
        "1-20260102T120405Z-77.qkbackup",
        "n1-20260102T120405Z-99999999999999999999.qkbackup",
        "n1-",
        "n1",
        "",
        ".n1.part",
        "n1-20260102T120405Z-77",
    };
    uint64_t time_s, index;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_not(backup_file_parse("n1", others[i], &time_s, &index), "%s", others[i]);
}

static void make(const char *name, unsigned keep)
{
    int fd;

    cr_assert_eq(backup_file_begin(folder, "n1", &fd), QK_OK);
    cr_assert(there(".n1.part"));
    cr_assert_eq(backup_file_write(fd, bytes_str("content")), QK_OK);
    cr_assert_eq(backup_file_finish(folder, "n1", fd, name, keep), QK_OK);
    cr_assert_not(there(".n1.part"));
}

Test(backup_files, the_newest_of_this_node_are_kept_and_nothing_else_is_touched, .init = setup,
     .fini = teardown)
{
    char names[5][BACKUP_FILE_NAME_BYTES];
    uint64_t time_s = 1, index = 1;

    cr_assert_eq(backup_files_look(folder, "n1", &time_s, &index), QK_OK);
    cr_assert_eq(time_s + index, 0);
    touch("n2-20200101T000000Z-1.qkbackup", "of another");
    touch("mine.qkbackup", "made by hand");
    for (unsigned i = 0; i < 5; i++) {
        backup_file_name("n1", NOON + i, 100 + i, names[i]);
        make(names[i], 3);
    }
    cr_assert_not(there(names[0]));
    cr_assert_not(there(names[1]));
    cr_assert(there(names[2]));
    cr_assert(there(names[4]));
    cr_assert(there("n2-20200101T000000Z-1.qkbackup"));
    cr_assert(there("mine.qkbackup"));
    touch(".n1.part", "of one that was interrupted");
    cr_assert_eq(backup_files_look(folder, "n1", &time_s, &index), QK_OK);
    cr_assert_eq(time_s, NOON + 4);
    cr_assert_eq(index, 104);
    cr_assert_not(there(".n1.part"));
}

Test(backup_files, a_directory_that_is_not_there_is_an_error, .init = setup, .fini = teardown)
{
    uint64_t time_s, index;
    int fd;

    cr_assert_eq(backup_files_look(in_folder("none"), "n1", &time_s, &index), QK_ERR_IO);
    cr_assert_eq(backup_file_begin(in_folder("none"), "n1", &fd), QK_ERR_IO);
}

Test(backup_files, one_that_is_dropped_leaves_nothing, .init = setup, .fini = teardown)
{
    int fd;

    cr_assert_eq(backup_file_begin(folder, "n1", &fd), QK_OK);
    backup_file_drop(folder, "n1", fd);
    cr_assert_not(there(".n1.part"));
}

static enum qk_err begin(const char *name, struct new_dir *dir)
{
    struct buf message = BUF_INIT(4096);
    enum qk_err err = new_dir_begin(in_folder(name), dir, &message);

    cr_assert_eq(err == QK_OK, message.len == 0);
    buf_fini(&message);
    return err;
}

static void fill(const struct new_dir *dir)
{
    char path[600];
    int fd;

    (void)snprintf(path, sizeof path, "%s/raft", dir->path);
    cr_assert_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/raft/term", dir->path);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
}

Test(new_dir, it_has_its_name_only_when_it_is_finished, .init = setup, .fini = teardown)
{
    struct buf message = BUF_INIT(4096);
    struct new_dir dir;

    cr_assert_eq(begin("data", &dir), QK_OK);
    fill(&dir);
    cr_assert_not(there("data"));
    cr_assert_eq(new_dir_finish(&dir, &message), QK_OK);
    cr_assert(there("data/raft/term"));
    cr_assert_not(there("data.new"));
    cr_assert_not(there("data.new.lock"));
    new_dir_drop(&dir);
    cr_assert(there("data/raft/term"));
    buf_fini(&message);
}

Test(new_dir, an_empty_target_is_fine_and_any_other_is_refused, .init = setup, .fini = teardown)
{
    struct buf message = BUF_INIT(4096);
    struct new_dir dir;

    cr_assert_eq(mkdir(in_folder("empty"), 0700), 0);
    cr_assert_eq(begin("empty", &dir), QK_OK);
    fill(&dir);
    cr_assert_eq(new_dir_finish(&dir, &message), QK_OK);
    cr_assert(there("empty/raft"));
    cr_assert_eq(begin("empty", &dir), QK_ERR_CONFLICT);
    touch("file", "x");
    cr_assert_eq(begin("file", &dir), QK_ERR_CONFLICT);
    cr_assert_eq(begin("none/below", &dir), QK_ERR_IO);
    buf_fini(&message);
}

/* Something came to be there while it was made. */
Test(new_dir, a_target_that_was_filled_meanwhile_is_not_overwritten, .init = setup,
     .fini = teardown)
{
    struct buf message = BUF_INIT(4096);
    struct new_dir dir;

    cr_assert_eq(begin("data", &dir), QK_OK);
    fill(&dir);
    cr_assert_eq(mkdir(in_folder("data"), 0700), 0);
    touch("data/precious", "x");
    cr_assert_eq(new_dir_finish(&dir, &message), QK_ERR_IO);
    new_dir_drop(&dir);
    cr_assert(there("data/precious"));
    cr_assert_not(there("data.new"));
    buf_fini(&message);
}

Test(new_dir, two_at_once_are_refused_and_what_a_killed_one_left_goes, .init = setup,
     .fini = teardown)
{
    struct new_dir one, two;

    cr_assert_eq(begin("data", &one), QK_OK);
    cr_assert_eq(begin("data", &two), QK_ERR_BUSY);
    fill(&one);
    close(one.lock_fd); /* killed */
    cr_assert(there("data.new/raft/term"));
    cr_assert_eq(begin("data", &two), QK_OK);
    cr_assert_not(there("data.new/raft"));
    new_dir_drop(&two);
    cr_assert_not(there("data.new"));
}

Test(new_dir, a_copy_is_the_same_and_has_its_holes, .init = setup, .fini = teardown)
{
    struct buf message = BUF_INIT(4096);
    char from[256], to[256], byte = 0;
    struct stat a, b;
    int fd;

    touch("sparse", "begin");
    (void)snprintf(from, sizeof from, "%s", in_folder("sparse"));
    fd = open(from, O_RDWR);
    cr_assert_eq(pwrite(fd, "end", 3, 8 << 20), 3);
    cr_assert_eq(ftruncate(fd, 16 << 20), 0);
    close(fd);
    (void)snprintf(to, sizeof to, "%s", in_folder("copy"));
    cr_assert_eq(new_dir_copy(from, to, &message), QK_OK);
    cr_assert_eq(stat(from, &a) + stat(to, &b), 0);
    cr_assert_eq(a.st_size, b.st_size);
    cr_assert_lt(b.st_blocks * 512, 1 << 20);
    fd = open(to, O_RDONLY);
    cr_assert_eq(pread(fd, &byte, 1, (8 << 20) + 2), 1);
    cr_assert_eq(byte, 'd');
    close(fd);
    cr_assert_eq(new_dir_copy(from, to, &message), QK_ERR_IO, "nothing is overwritten");
    cr_assert_eq(new_dir_copy(in_folder("none"), from, &message), QK_ERR_NOT_FOUND);
    buf_fini(&message);
}
