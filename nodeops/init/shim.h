/* One process between init and each program it starts, so that every descendant of the program can be found.
 *
 * The shim is a child subreaper (prctl(2)): whatever the program leaves behind, even a daemon with a session of its own, becomes
 * the shim's child and never init's. So the shim's descendants are exactly the program's processes, and the shim ends with the last.
 */
#ifndef SWAPBED_SHIM_H
#define SWAPBED_SHIM_H

#include <stdint.h>
#include <sys/types.h>

enum happening { STARTED, FAILED, EXITED, GONE };

/* What a shim writes to the pipe it shares with all others; shorter than PIPE_BUF, so that reports never mix (pipe(7)). */
struct report {
    pid_t shim, pid;
    enum happening what;
    int status;            /* EXITED: as of wait(2); FAILED: errno */
    char failing[96];      /* FAILED: at what */
    int64_t at_ns;         /* CLOCK_MONOTONIC of the node */
    int64_t user_us, system_us, max_rss_kib; /* EXITED: the program with the children it waited for; GONE: all that there were */
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
};

int64_t monotonic_ns(void);
pid_t shim_start(const struct program *program, int reports);
int signal_tree(pid_t root, int number);   /* to all descendants of root; returns how many there were */
int make_directories(const char *path, int owner, int group);
extern uint64_t original_file_limit;       /* RLIMIT_NOFILE's soft limit as programs shall find it */

#endif
