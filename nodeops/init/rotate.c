/* `keep-logs NAME`: the logs as they are now, beside them, in /swapbed/archive/snapshots/NAME.
 * `rotate RUN`: what a run that is over leaves to its record, out of the way of the next one.
 *
 * Log files are moved to /swapbed/runs/RUN/logs, the archive is copied to /swapbed/runs/RUN/archive: the next run finds it as it was.
 * Nothing may change there afterwards, so a log that somebody still has open for writing is copied, too, and stays where it was.
 */
#define _GNU_SOURCE
#include "inside.h"
#include "program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_LIMIT = 128 };

static int failures;

static void complain(const char *path) {
    if (failures++ < 20) fprintf(stderr, "%s: %s\n", path, strerror(errno));
}

/* A read lease is refused while anybody has the file open, or mapped, for writing (fcntl(2), F_SETLEASE); and to whom the file does not
 * belong, if he lacks CAP_LEASE: then the answer is the safe one. */
static bool may_be_written(const char *path) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    bool free = fd >= 0 && !fcntl(fd, F_SETLEASE, F_RDLCK);
    if (free) fcntl(fd, F_SETLEASE, F_UNLCK);
    if (fd >= 0) close(fd);
    return !free;
}

static void keep_attributes(int fd, const struct stat *info) {
    struct timespec times[] = {info->st_atim, info->st_mtim};
    if (fchown(fd, info->st_uid, info->st_gid) || fchmod(fd, info->st_mode & 07777) || futimens(fd, times)) complain("attributes");
}

/* The blocks are shared where the file system can; else the kernel copies them, without holes. */
static int copy_file(const char *from, const char *to, const struct stat *info) {
    int source = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), target = -1, result = -1;
    if (source >= 0) target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (target >= 0 && ioctl(target, FICLONE, source)) {
        ssize_t copied;
        while ((copied = copy_file_range(source, NULL, target, NULL, 1 << 30, 0)) > 0) {}
        result = copied < 0 ? -1 : 0;
    } else if (target >= 0) {
        result = 0;
    }
    if (target >= 0) keep_attributes(target, info);
    if (source >= 0) close(source);
    if (target >= 0) close(target);
    return result;
}

static int copy_link(const char *from, const char *to) {
    char target[PATH_MAX];
    ssize_t length = readlink(from, target, sizeof target - 1);
    if (length < 0) return -1;
    target[length] = 0;
    return symlink(target, to);
}

/* Moved first and looked at then: nobody can open it by its old name any more. */
static int move_file(const char *from, const char *to, const struct stat *info) {
    char beside[PATH_MAX];
    if (rename(from, to)) return -1;
    if (!S_ISREG(info->st_mode) || !may_be_written(to)) return 0;
    if (snprintf(beside, sizeof beside, "%s.copy", to) >= (int)sizeof beside) return -1;
    if (copy_file(to, beside, info)) return -1;
    return rename(to, from) || rename(beside, to);
}

static void take(const char *from, const char *to, bool move, int depth);

static void take_entry(const char *from, const char *to, bool move, int depth) {
    struct stat info;
    if (lstat(from, &info)) return complain(from);
    if (S_ISDIR(info.st_mode)) return take(from, to, move, depth + 1);
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) return; /* sockets and FIFOs are no result */
    int result = move ? move_file(from, to, &info) : S_ISLNK(info.st_mode) ? copy_link(from, to) : copy_file(from, to, &info);
    if (result && errno != ENOENT) complain(from);
}

static void take(const char *from, const char *to, bool move, int depth) {
    char source[PATH_MAX], target[PATH_MAX];
    struct stat info;
    DIR *directory = depth < DEPTH_LIMIT ? opendir(from) : NULL;
    if (!directory || fstat(dirfd(directory), &info) || (mkdir(to, info.st_mode & 07777) && errno != EEXIST)) complain(from);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (snprintf(source, sizeof source, "%s/%s", from, entry->d_name) >= (int)sizeof source ||
            snprintf(target, sizeof target, "%s/%s", to, entry->d_name) >= (int)sizeof target) {
            errno = ENAMETOOLONG;
            complain(from);
        } else {
            take_entry(source, target, move, depth);
        }
    }
    if (directory) closedir(directory);
    if (move && depth) rmdir(from); /* if nothing was left there */
}

static bool is_number(int argc, char **argv) {
    if (argc == 2 && *argv[1] && strspn(argv[1], "0123456789") == strlen(argv[1]) && strlen(argv[1]) <= 20) return true;
    fprintf(stderr, "usage: %s NUMBER\n", argv[0]);
    return false;
}

int keep_logs_main(int argc, char **argv) {
    char target[96];
    if (!is_number(argc, argv)) return 2;
    snprintf(target, sizeof target, "/swapbed/archive/snapshots/%s", argv[1]);
    if (make_directories(target, 0, 0)) complain(target);
    take("/swapbed/logs", target, false, 0);
    return failures ? 1 : 0;
}

int rotate_main(int argc, char **argv) {
    char base[64], target[96];
    if (!is_number(argc, argv)) return 2;
    snprintf(base, sizeof base, "/swapbed/runs/%s", argv[1]);
    if (make_directories(base, 0, 0)) complain(base);
    snprintf(target, sizeof target, "%s/logs", base);
    take("/swapbed/logs", target, true, 0);
    snprintf(target, sizeof target, "%s/archive", base);
    take("/swapbed/archive", target, false, 0);
    return failures ? 1 : 0;
}
