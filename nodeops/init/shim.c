#define _GNU_SOURCE
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GROUPS_LIMIT = 256, DEPTH_LIMIT = 512 };

struct account {
    uid_t user;
    gid_t group, groups[GROUPS_LIMIT];
    int group_count;
    char home[PATH_MAX], name[64];
};

uint64_t original_file_limit = 1024;

int64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* mkdir -p; what is made belongs to owner and group. */
int make_directories(const char *path, int owner, int group) {
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part) return -1;
    strcpy(part, path);
    for (char *at = part + 1;; at++) {
        if (*at && *at != '/') continue;
        char kept = *at;
        *at = 0;
        if (!mkdir(part, 0755)) {
            if (chown(part, (uid_t)owner, (gid_t)group)) return -1;
        } else if (errno != EEXIST) {
            return -1;
        }
        if (!kept) return 0;
        *at = kept;
    }
}

/* /etc/passwd and /etc/group of the image, read without NSS, which a static binary cannot load. A bare number needs no entry. */
static int find_account(const char *wanted, struct account *account) {
    char *end;
    unsigned long number = strtoul(wanted, &end, 10);
    int numeric = *wanted && !*end;
    *account = (struct account){.user = (uid_t)number, .group = (gid_t)number, .home = "/", .group_count = 0};
    snprintf(account->name, sizeof account->name, "%s", wanted);
    FILE *file = fopen("/etc/passwd", "re");
    int found = numeric;
    for (struct passwd *entry; file && (entry = fgetpwent(file));) {
        if (numeric ? entry->pw_uid != number : strcmp(entry->pw_name, wanted)) continue;
        account->user = entry->pw_uid;
        account->group = entry->pw_gid;
        snprintf(account->home, sizeof account->home, "%s", entry->pw_dir);
        snprintf(account->name, sizeof account->name, "%s", entry->pw_name);
        found = 1;
        break;
    }
    if (file) fclose(file);
    if (!found && !strcmp(wanted, "root")) {
        snprintf(account->home, sizeof account->home, "/root");
        found = 1;
    }
    account->groups[account->group_count++] = account->group;
    file = found ? fopen("/etc/group", "re") : NULL;
    for (struct group *entry; file && (entry = fgetgrent(file));)
        for (char **member = entry->gr_mem; *member; member++)
            if (!strcmp(*member, account->name) && account->group_count < GROUPS_LIMIT) account->groups[account->group_count++] = entry->gr_gid;
    if (file) fclose(file);
    return found ? 0 : -1;
}

static void tell(int reports, const struct report *report) {
    while (write(reports, report, sizeof *report) < 0 && errno == EINTR) {}
}

static _Noreturn void fail(int reports, const char *step) {
    struct report report = {.shim = getppid(), .pid = getpid(), .what = FAILED, .status = errno, .at_ns = monotonic_ns()};
    snprintf(report.failing, sizeof report.failing, "%s", step);
    tell(reports, &report);
    _exit(127);
}

static int open_log(const char *path, const struct account *account) {
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent) {
        *slash = 0;
        if (make_directories(parent, (int)account->user, (int)account->group)) return -1;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd >= 0 && fchown(fd, account->user, account->group)) return -1;
    return fd;
}

static void take_stdio(const struct program *program, const struct account *account, int reports) {
    int fds[3];
    for (int i = 0; i < 3; i++) {
        const char *path = i == 1 ? program->out : i == 2 ? program->err : NULL;
        if (program->terminal >= 0) fds[i] = program->terminal;
        else if (path) fds[i] = open_log(path, account);
        else fds[i] = program->stdio[i] >= 0 ? program->stdio[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fds[i] < 0) fail(reports, path ? path : "/dev/null");
    }
    /* None of fds is 0, 1 or 2: init keeps those open on /dev/null itself. */
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0) fail(reports, "dup2");
    if (program->terminal >= 0 && ioctl(0, TIOCSCTTY, 0)) fail(reports, "TIOCSCTTY");
}

static char **complete_environment(char **given, const struct account *account) {
    static char home[PATH_MAX + 8], user[80], logname[80];
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/swapbed/bin";
    snprintf(home, sizeof home, "HOME=%s", account->home);
    snprintf(user, sizeof user, "USER=%s", account->name);
    snprintf(logname, sizeof logname, "LOGNAME=%s", account->name);
    char *defaults[] = {path, home, user, logname};
    size_t count = 0;
    while (given[count]) count++;
    char **all = calloc(count + 5, sizeof *all);
    if (!all) return given;
    memcpy(all, given, count * sizeof *all);
    for (size_t i = 0, own = count; i < 4; i++) {
        size_t length = (size_t)(strchr(defaults[i], '=') - defaults[i]) + 1, at = 0;
        while (at < own && strncmp(all[at], defaults[i], length)) at++;
        if (at == own) all[count++] = defaults[i];
    }
    return all;
}

static _Noreturn void become(const struct program *program, int reports) {
    static struct account account;
    /* CRIU restores a process whose session's leader has died only if it is a child of process 1. So whatever a program leaves behind is in
     * the session of its shim, which lives as long; a program on a terminal has to lead one of its own. */
    if (program->terminal >= 0) setsid();
    else setpgid(0, 0);
    errno = ENOENT;
    if (find_account(program->user ? program->user : "root", &account)) fail(reports, "user");
    take_stdio(program, &account, reports);
    if (program->scratch && make_directories(program->scratch, 0, 0)) fail(reports, program->scratch);
    if (program->scratch) chmod(program->scratch, 01777);
    if (chdir(program->directory ? program->directory : "/")) fail(reports, program->directory);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = original_file_limit;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (setgroups((size_t)account.group_count, account.groups) || setgid(account.group) || setuid(account.user)) fail(reports, "setuid");
    umask(022);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL); /* what init ignores for itself programs must not inherit */
    environ = complete_environment(program->environment, &account);
    tell(reports, &(struct report){.shim = getppid(), .pid = getpid(), .what = STARTED, .at_ns = monotonic_ns()});
    execvp(program->argv[0], program->argv);
    fail(reports, program->argv[0]);
}

static int64_t microseconds(struct timeval time) { return (int64_t)time.tv_sec * 1000000 + time.tv_usec; }

static void account_for(struct report *report, const struct rusage *usage) {
    report->user_us = microseconds(usage->ru_utime);
    report->system_us = microseconds(usage->ru_stime);
    report->max_rss_kib = usage->ru_maxrss;
    report->at_ns = monotonic_ns();
}

/* Signals stay blocked here, as init had them: only the end of its last descendant (or SIGKILL) ends a shim. */
static _Noreturn void shim(const struct program *program, int reports) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "swapbed-shim");
    setsid();
    pid_t child = fork();
    if (child < 0) {
        tell(reports, &(struct report){.shim = getpid(), .what = FAILED, .status = errno, .failing = "fork", .at_ns = monotonic_ns()});
        _exit(1);
    }
    if (!child) become(program, reports);
    if (reports > 3) close_range(3, (unsigned)reports - 1, 0);
    close_range((unsigned)reports + 1, ~0u, 0);
    struct report report = {.shim = getpid(), .pid = child};
    struct rusage usage;
    for (pid_t pid; (pid = wait4(-1, &report.status, 0, &usage)) > 0 || errno == EINTR;) {
        if (pid != child) continue;
        report.what = EXITED;
        account_for(&report, &usage);
        tell(reports, &report);
    }
    getrusage(RUSAGE_CHILDREN, &usage);
    report.what = GONE;
    account_for(&report, &usage);
    tell(reports, &report);
    _exit(0);
}

/* All signals must be blocked by the caller. Returns the shim's pid, or -1 with errno. */
pid_t shim_start(const struct program *program, int reports) {
    pid_t pid = fork();
    if (!pid) shim(program, reports);
    return pid;
}

struct pids {
    pid_t *pid;
    size_t count, capacity;
};

/* Parents before children, over /proc/PID/task/TID/children (proc(5)): the cost is the tree's size, not the node's. */
static void collect_children(pid_t parent, struct pids *found, int depth) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", parent);
    DIR *tasks = depth < DEPTH_LIMIT ? opendir(path) : NULL;
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", parent, task->d_name);
        FILE *children = fopen(path, "re");
        for (int child; children && fscanf(children, "%d", &child) == 1;) {
            if (found->count == found->capacity) {
                size_t capacity = found->capacity ? 2 * found->capacity : 64;
                pid_t *pid = realloc(found->pid, capacity * sizeof *pid);
                if (!pid) break;
                *found = (struct pids){pid, found->count, capacity};
            }
            found->pid[found->count++] = child;
            collect_children(child, found, depth + 1);
        }
        if (children) fclose(children);
    }
    if (tasks) closedir(tasks);
}

/* The whole tree is read before the first signal: a shell must not start its next command because its last one died. What is forked in
 * between is missed; none of it escapes (it stays below root), so whoever wants everything dead calls again until nothing is left. */
int signal_tree(pid_t root, int number) {
    struct pids found = {0};
    collect_children(root, &found, 0);
    for (size_t i = 0; i < found.count; i++) kill(found.pid[i], number);
    free(found.pid);
    return (int)found.count;
}
