/* Files of the node for `cp` and for the conductor: one small step per command; whoever walks a tree does so from outside.
 *
 * Only regular files are read and written, opened without blocking: process 1 must not hang on a FIFO somebody put in the way.
 */
#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { PIECE_BYTES = 512 << 10, LISTING_BYTES = 256 << 10, DIRECTORIES_OPEN = 16 };

static bool failed(struct connection *connection, const struct message *asked, const char *path) {
    int number = errno;
    size_t began = begin_answer(connection, asked);
    wire_put(&connection->out, "error", strerror(number));
    wire_putn(&connection->out, "errno", number);
    wire_put(&connection->out, "path", path);
    end_message(connection, began);
    return true;
}

static bool done(struct connection *connection, const struct message *asked, const char *path, int result) {
    if (result < 0) return failed(connection, asked, path);
    answer_ok(connection, asked);
    return true;
}

static const char *type_of(mode_t mode) {
    return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "symlink" : S_ISFIFO(mode) ? "fifo" : S_ISSOCK(mode) ? "socket" : "device";
}

static bool describe(struct connection *connection, const struct message *asked, const char *path) {
    struct stat info;
    char target[PATH_MAX];
    int follow = (int)wire_number(asked, "follow", 0);
    if (fstatat(AT_FDCWD, path, &info, follow ? 0 : AT_SYMLINK_NOFOLLOW)) return failed(connection, asked, path);
    ssize_t length = S_ISLNK(info.st_mode) ? readlink(path, target, sizeof target - 1) : 0;
    if (length < 0) return failed(connection, asked, path);
    target[length] = 0;
    struct buffer *out = &connection->out;
    size_t began = begin_answer(connection, asked);
    wire_put(out, "type", type_of(info.st_mode));
    wire_putn(out, "mode", info.st_mode & 07777);
    wire_putn(out, "size", info.st_size);
    wire_putn(out, "user", info.st_uid);
    wire_putn(out, "group", info.st_gid);
    wire_putn(out, "mtime_ns", (long long)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec);
    wire_putn(out, "device", (long long)info.st_dev);
    wire_putn(out, "inode", (long long)info.st_ino);
    if (S_ISLNK(info.st_mode)) wire_put(out, "target", target);
    end_message(connection, began);
    return true;
}

/* `next`, if present in the answer, is the `from` of the command that goes on: a directory may be longer than a message. */
static bool list(struct connection *connection, const struct message *asked, const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return failed(connection, asked, path);
    long from = (long)wire_number(asked, "from", -1);
    if (from >= 0) seekdir(directory, from);
    struct buffer *out = &connection->out;
    size_t began = begin_answer(connection, asked);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        wire_put(out, "entry", entry->d_name);
        if (wire_waiting(out) - began > LISTING_BYTES) {
            wire_putn(out, "next", telldir(directory));
            break;
        }
    }
    end_message(connection, began);
    closedir(directory);
    return true;
}

bool directory_empty(const char *path) {
    DIR *directory = opendir(path);
    int entries = 0;
    while (directory && entries < 3 && readdir(directory)) entries++;
    if (directory) closedir(directory);
    return entries < 3; /* . and .. */
}

static int open_regular(const char *path, int flags, mode_t mode) {
    int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, mode);
    struct stat info;
    if (fd < 0 || (!fstat(fd, &info) && S_ISREG(info.st_mode))) return fd;
    close(fd);
    errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
    return -1;
}

static bool read_piece(struct connection *connection, const struct message *asked, const char *path) {
    static char bytes[PIECE_BYTES];
    int fd = open_regular(path, O_RDONLY, 0);
    long long wanted = wire_number(asked, "length", PIECE_BYTES);
    if (wanted < 0 || wanted > PIECE_BYTES) wanted = PIECE_BYTES;
    ssize_t length = fd < 0 ? -1 : pread(fd, bytes, (size_t)wanted, wire_number(asked, "offset", 0));
    if (length < 0) failed(connection, asked, path);
    if (fd >= 0) close(fd);
    if (length < 0) return true;
    size_t began = begin_answer(connection, asked);
    wire_put_data(&connection->out, bytes, (size_t)length);
    end_message(connection, began);
    return true;
}

/* offset -1: append. */
static bool write_piece(struct connection *connection, const struct message *asked, const char *path) {
    size_t length, written = 0;
    const char *bytes = wire_data(asked, &length);
    long long offset = wire_number(asked, "offset", 0);
    int flags = O_WRONLY | O_CREAT | (wire_number(asked, "truncate", 0) ? O_TRUNC : 0) | (offset < 0 ? O_APPEND : 0);
    int fd = open_regular(path, flags, (mode_t)wire_number(asked, "mode", 0644));
    if (fd < 0) return failed(connection, asked, path);
    while (written < length) {
        ssize_t step = offset < 0 ? write(fd, bytes + written, length - written)
                                  : pwrite(fd, bytes + written, length - written, offset + (long long)written);
        if (step < 0 && errno == EINTR) continue;
        if (step < 0) break;
        written += (size_t)step;
    }
    if (written < length) failed(connection, asked, path);
    else answer_ok(connection, asked);
    close(fd);
    return true;
}

static int set_attributes(const struct message *asked, const char *path) {
    long long mode = wire_number(asked, "mode", -1), user = wire_number(asked, "user", -1), group = wire_number(asked, "group", -1);
    long long modified = wire_number(asked, "mtime_ns", -1);
    struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = modified / 1000000000, .tv_nsec = modified % 1000000000}};
    if ((user >= 0 || group >= 0) && lchown(path, (uid_t)user, (gid_t)group)) return -1;
    if (mode >= 0 && chmod(path, (mode_t)mode & 07777)) return -1;
    return modified >= 0 ? utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) : 0;
}

/* Whoever writes to it goes on at its beginning, if it appends (open(2), O_APPEND). */
static int empty_file(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)where;
    return type == FTW_F && S_ISREG(info->st_mode) && info->st_size ? truncate(path, 0) : 0;
}

/* False: operation is none of these. Paths are as root of the node sees them. */
bool file_command(struct connection *connection, const struct message *asked, const char *operation) {
    static const char *known[] = {"stat", "list", "read", "write", "mkdir", "symlink", "rename", "unlink", "attributes", "clear", NULL};
    int which = 0;
    while (known[which] && strcmp(known[which], operation)) which++;
    if (!known[which]) return false;
    const char *path = wire_item(asked, "path"), *target = wire_item(asked, "target");
    if (!path || *path != '/' || ((which == 5 || which == 6) && !target)) {
        refuse(connection, asked, "path (and target) are missing or not absolute");
        return true;
    }
    switch (which) {
    case 0: return describe(connection, asked, path);
    case 1: return list(connection, asked, path);
    case 2: return read_piece(connection, asked, path);
    case 3: return write_piece(connection, asked, path);
    case 4: return done(connection, asked, path, make_directories(path, (int)wire_number(asked, "user", 0), (int)wire_number(asked, "group", 0)));
    case 5: return done(connection, asked, path, symlink(target, path));
    case 6: return done(connection, asked, path, rename(path, target));
    case 7: return done(connection, asked, path, remove(path));
    case 9: return done(connection, asked, path, nftw(path, empty_file, DIRECTORIES_OPEN, FTW_PHYS) ? -1 : 0);
    default: return done(connection, asked, path, set_attributes(asked, path));
    }
}
