#define _GNU_SOURCE
#include "program.h"

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
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GROUPS_LIMIT = 256 };

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
    struct report report = {.pid = getpid(), .what = FAILED, .error = errno, .at_ns = monotonic_ns()};
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
    static char home[PATH_MAX + 8], user[80], logname[80], preloaded[PATH_MAX + 16];
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/swapbed/bin";
    snprintf(home, sizeof home, "HOME=%s", account->home);
    snprintf(user, sizeof user, "USER=%s", account->name);
    snprintf(logname, sizeof logname, "LOGNAME=%s", account->name);
    const char *preload = getenv("LD_PRELOAD"); /* init was told so for its programs: nodeops/launch.py */
    snprintf(preloaded, sizeof preloaded, "LD_PRELOAD=%s", preload ? preload : "");
    char *defaults[] = {path, home, user, logname, preloaded};
    size_t count = 0, default_count = preload ? 5 : 4;
    while (given[count]) count++;
    char **all = calloc(count + 6, sizeof *all);
    if (!all) return given;
    memcpy(all, given, count * sizeof *all);
    for (size_t i = 0, own = count; i < default_count; i++) {
        size_t length = (size_t)(strchr(defaults[i], '=') - defaults[i]) + 1, at = 0;
        while (at < own && strncmp(all[at], defaults[i], length)) at++;
        if (at == own) all[count++] = defaults[i];
    }
    return all;
}

static _Noreturn void become(const struct program *program, int reports) {
    static struct account account;
    setsid();
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
    struct rlimit mark = {program->mark, program->mark};
    if (setrlimit(RLIMIT_LOCKS, &mark)) fail(reports, "mark");
    if (setgroups((size_t)account.group_count, account.groups) || setgid(account.group) || setuid(account.user)) fail(reports, "setuid");
    umask(022);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL); /* what init ignores for itself programs must not inherit */
    environ = complete_environment(program->environment, &account);
    tell(reports, &(struct report){.pid = getpid(), .what = STARTED, .at_ns = monotonic_ns()});
    execvp(program->argv[0], program->argv);
    fail(reports, program->argv[0]);
}

/* All signals must be blocked by the caller. Returns the pid of the new process, or -1 with errno. */
pid_t program_start(const struct program *program, int reports) {
    pid_t pid = fork();
    if (!pid) become(program, reports);
    return pid;
}
