/* Starting a program: its user, directory, environment, stdio, and the mark by which all its descendants are known. */
#ifndef SWAPBED_PROGRAM_H
#define SWAPBED_PROGRAM_H

#include <stdint.h>
#include <sys/types.h>

enum happening { STARTED, FAILED };

/* What a new process writes to the pipe it shares with all others; shorter than PIPE_BUF, so that reports never mix (pipe(7)). */
struct report {
    pid_t pid;
    enum happening what;
    int error;             /* FAILED: errno */
    char failing[96];      /* FAILED: at what */
    int64_t at_ns;         /* CLOCK_MONOTONIC of the node */
};

/* All that a child needs. Pointers are borrowed until the fork. */
struct program {
    char **argv;                /* execvp; argv[0] without '/' is searched in PATH of environment */
    char **environment;
    const char *directory;      /* NULL: / */
    const char *user;           /* name or number; NULL: root */
    const char *scratch;        /* NULL, or a directory that is made if missing, for everybody to write to */
    const char *out, *err;      /* files to append to, made with their directories; NULL: stdio[1], stdio[2] */
    int stdio[3];               /* -1: /dev/null */
    int terminal;               /* slave of a pty that becomes the controlling terminal and all of stdio, or -1 */
    uint64_t mark;              /* see family.h */
};

int64_t monotonic_ns(void);
pid_t program_start(const struct program *program, int reports);
int make_directories(const char *path, int owner, int group);
extern uint64_t original_file_limit;       /* RLIMIT_NOFILE's soft limit as programs shall find it */

#endif
