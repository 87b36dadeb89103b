#define _GNU_SOURCE
#include "launch.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN "/swapbed/run" /* one tmpfs for what must not be among the node's changes, and for /dev/shm */

enum { ARGUMENTS_LIMIT = 64, REPORT_LIMIT = 512 };

static const rlim_t files_soft = 1024, files_hard = 524288; /* as Debian has them for a login, whatever they are for who launches us */

/* What a node's root keeps (capabilities(7)): enough for daemons, packet tools, ping and sudo within its own namespaces, and nothing
 * that reaches the host: no mounts, modules, devices, clocks, handles to hidden files, real-time priority, foreign resource limits. */
static const int kept_capabilities[] = {
    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_NET_BIND_SERVICE,
    CAP_NET_BROADCAST, CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK, CAP_IPC_OWNER, CAP_SYS_CHROOT, CAP_AUDIT_WRITE, CAP_SETFCAP,
};

static int report_fd;      /* one pipe for all nodes: a failing one writes `INDEX REASON\n`, shorter than PIPE_BUF; exec closes it */
static unsigned node_index;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...) {
    int error = errno;
    char text[REPORT_LIMIT];
    int used = snprintf(text, sizeof text, "%u ", node_index);
    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(text + used, sizeof text - (size_t)used - 64, format, arguments);
    va_end(arguments);
    if (used > (int)sizeof text - 65) used = (int)sizeof text - 65;
    used += snprintf(text + used, 64, ": %s\n", strerror(error));
    if (write(report_fd, text, (size_t)used) < 0) _exit(2);
    _exit(1);
}

static const char *need(const struct message *node, const char *key) {
    const char *value = wire_item(node, key);
    if (!value) {
        errno = EINVAL;
        fail("the job says no '%s'", key);
    }
    return value;
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) fail("write %s to %s", text, path);
    close(fd);
}

static void mount_or_fail(const char *source, const char *target, const char *type, unsigned long flags, const char *options) {
    if (mount(source, target, type, flags, options)) fail("mount %s on %s", type ? type : "a bind", target);
}

/* A bind mount on itself is a mount of its own, whose flags can differ from what is around it. */
static void rebind(const char *path, unsigned long flags) {
    mount_or_fail(path, path, NULL, MS_BIND, NULL);
    mount_or_fail(NULL, path, NULL, MS_BIND | MS_REMOUNT | flags, NULL);
}

/* Device nodes open devices below /dev only: those of the base, wherever they lie, do not. */
static void mount_root(const struct message *node) {
    const char *root = need(node, "root");
    mount_or_fail(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mount_or_fail("overlay", root, "overlay", MS_NODEV, need(node, "overlay"));
    if (chdir(root)) fail("enter %s", root);
}

static void enter_root(void) {
    if (syscall(SYS_pivot_root, ".", ".")) fail("pivot_root");
    if (umount2(".", MNT_DETACH)) fail("let go of the host's file systems");
    if (chdir("/")) fail("enter /");
}

static void mount_systems(const struct message *node) {
    mount_or_fail("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_fail("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    rebind("/dev", MS_NOSUID | MS_NOEXEC);
    mount_or_fail("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    mount_or_fail("swapbed", RUN, "tmpfs", flags, "mode=0755");
    if (mkdir(RUN "/shm", 0777) || chmod(RUN "/shm", 01777)) fail("make %s", RUN "/shm");
    mount_or_fail(RUN "/shm", "/dev/shm", NULL, MS_BIND, NULL);
    for (const char *path = NULL; (path = wire_next(node, "readonly", path));) {
        mount_or_fail(path, path, NULL, MS_BIND, NULL);
        for (const char *part = NULL; (part = wire_next(node, "writable", part));)
            if (!strncmp(part, path, strlen(path)) && part[strlen(path)] == '/') rebind(part, flags);
        mount_or_fail(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | flags, NULL);
    }
}

/* A hard limit can be raised with CAP_SYS_RESOURCE alone, which even root may lack in a container or VM. */
static void limit_resources(void) {
    struct rlimit files, core;
    if (getrlimit(RLIMIT_NOFILE, &files) || getrlimit(RLIMIT_CORE, &core)) fail("read resource limits");
    if (files.rlim_max > files_hard) files.rlim_max = files_hard;
    files.rlim_cur = files.rlim_max < files_soft ? files.rlim_max : files_soft;
    core.rlim_cur = 0;
    if (setrlimit(RLIMIT_NOFILE, &files) || setrlimit(RLIMIT_CORE, &core)) fail("set resource limits");
}

static void drop_capabilities(void) {
    uint64_t kept = 0;
    for (size_t i = 0; i < sizeof kept_capabilities / sizeof *kept_capabilities; i++) kept |= 1ull << kept_capabilities[i];
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if (!(kept >> capability & 1) && prctl(PR_CAPBSET_DROP, capability)) fail("drop capability %d", capability);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {
        {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
        {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
    };
    if (syscall(SYS_capset, &header, sets)) fail("set capabilities");
}

static void collect(const struct message *node, const char *key, char **list) {
    size_t count = 0;
    for (const char *item = NULL; (item = wire_next(node, key, item)) && count < ARGUMENTS_LIMIT;) list[count++] = (char *)item;
    list[count] = NULL;
}

/* Standard streams are files of the node: CRIU can only dump what lies inside. */
static void execute(const struct message *node) {
    static char *arguments[ARGUMENTS_LIMIT + 1], *environment[ARGUMENTS_LIMIT + 1];
    collect(node, "argument", arguments);
    collect(node, "environment", environment);
    need(node, "argument");
    for (int fd = 0; fd < 3; fd++) {
        close(fd);
        if (open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd) fail("open /dev/null as %d", fd);
    }
    execve(arguments[0], arguments, environment);
    fail("execute %s", arguments[0]);
}

static void join_network(const struct message *node) {
    const char *path = need(node, "netns");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET)) fail("enter the network namespace %s", path);
    close(fd);
}

static void become_node(const struct message *node) {
    for (const char *tasks = NULL; (tasks = wire_next(node, "tasks", tasks));) write_file(tasks, "0");
    setsid();
    umask(0022);
    join_network(node);
    mount_root(node);
    enter_root();
    mount_systems(node);
    const char *name = need(node, "name");
    if (sethostname(name, strlen(name))) fail("set the hostname %s", name);
    if (close_range(3, (unsigned)report_fd - 1, 0) || close_range((unsigned)report_fd + 1, ~0u, 0)) fail("close files");
    limit_resources();
    drop_capabilities();
    execute(node);
}

/* Never returns in the child. Its cgroup holds it from its first instant, so that whoever comes after a crash finds it there. */
static pid_t start(const struct message *node) {
    const char *cgroup = wire_item(node, "cgroup");
    int directory = cgroup ? open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (cgroup && directory < 0) return -1;
    struct clone_args arguments = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | (cgroup ? CLONE_INTO_CGROUP : 0),
        .exit_signal = SIGCHLD,
        .cgroup = cgroup ? (uint64_t)directory : 0,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (!pid) become_node(node);
    int error = errno;
    if (directory >= 0) close(directory);
    errno = error;
    return pid;
}

/* Field 22 of /proc/PID/stat; the command name before it may hold spaces and parentheses. */
static unsigned long long start_time(pid_t pid) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (length < 0) return 0;
    text[length] = 0;
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

struct job {
    struct message message;
    pid_t pid;
    char *failure;
};

static struct job *read_jobs(struct buffer *input, size_t *count) {
    struct job *jobs = NULL;
    ssize_t got;
    while (wire_reserve(input, 65536) && (got = read(0, input->bytes + input->used, input->capacity - input->used)) > 0)
        input->used += (size_t)got;
    *count = 0;
    for (struct message message; wire_take(input, &message) == 1; (*count)++) {
        jobs = reallocarray(jobs, *count + 1, sizeof *jobs);
        if (!jobs) return NULL;
        jobs[*count] = (struct job){.message = message};
    }
    return jobs;
}

/* Whoever is gone without a word was killed. Its parent lives, so that the pid is nobody else's yet. */
static void notice_dead(struct job *job) {
    siginfo_t ended = {.si_pid = 0};
    if (job->failure || waitid(P_PID, (id_t)job->pid, &ended, WEXITED | WNOHANG | WNOWAIT) || !ended.si_pid) return;
    job->failure = strdup("it ended at once");
}

/* Returns when every node has executed its init or failed. */
static void gather_failures(int from, struct job *jobs, size_t count) {
    FILE *reports = fdopen(from, "re");
    char line[REPORT_LIMIT + 1];
    while (reports && fgets(line, sizeof line, reports)) {
        char *reason;
        unsigned long at = strtoul(line, &reason, 10);
        reason[strcspn(reason, "\n")] = 0;
        if (at < count && !jobs[at].failure) jobs[at].failure = strdup(reason + (*reason == ' '));
    }
    if (reports) fclose(reports);
    for (size_t i = 0; i < count; i++) notice_dead(&jobs[i]);
}

int launch_main(int argc, char **argv) {
    static struct buffer input;
    size_t count, started = 0;
    struct job *jobs = read_jobs(&input, &count);
    int reports[2];
    if (argc > 1 || !jobs || wire_waiting(&input) || pipe2(reports, O_CLOEXEC)) {
        fprintf(stderr, "%s: wants well-formed jobs on its standard input, and no arguments\n", argv[0]);
        return 2;
    }
    report_fd = reports[1];
    for (node_index = 0; node_index < count; node_index++) {
        struct job *job = &jobs[node_index];
        job->pid = start(&job->message);
        if (job->pid < 0 && asprintf(&job->failure, "clone: %s", strerror(errno)) < 0) return 2;
    }
    close(reports[1]);
    gather_failures(reports[0], jobs, count);
    for (size_t i = 0; i < count; i++) {
        const char *name = wire_item(&jobs[i].message, "name");
        if (jobs[i].failure) printf("%s - %s\n", name ? name : "", jobs[i].failure);
        else started += (size_t)(printf("%s %d %llu\n", name, jobs[i].pid, start_time(jobs[i].pid)) > 0);
    }
    return started == count ? 0 : 1;
}
