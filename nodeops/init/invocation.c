#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_LIMIT = 4096, INVOCATIONS_LIMIT = 8192 };

struct invocation *invocations;
static int invocation_count;

struct invocation *invocation_named(const char *name) {
    struct invocation *one = invocations;
    while (one && (one->dead || strcmp(one->name, name))) one = one->next;
    return one;
}

static struct invocation *invocation_of(struct connection *connection, const struct message *asked) {
    const char *name = wire_item(asked, "invocation");
    struct invocation *found = name ? invocation_named(name) : NULL;
    if (!found) refuse(connection, asked, "no such invocation");
    return found;
}

static void close_stream(struct stream *stream) {
    if (stream->source.fd < 0) return;
    unwatch(&stream->source);
    close(stream->source.fd);
    stream->source.fd = -1;
}

static void put_usage(struct buffer *out, const struct usage *usage) {
    wire_putn(out, "user_us", usage->user_us);
    wire_putn(out, "system_us", usage->system_us);
    wire_putn(out, "max_rss_kib", usage->max_rss_kib);
}

static void put_outcome(struct buffer *out, const struct invocation *one) {
    wire_putn(out, "start_ns", one->start_ns);
    wire_putn(out, "end_ns", one->end_ns);
    if (one->failure[0]) {
        wire_put(out, "error", one->failure);
        return;
    }
    if (WIFSIGNALED(one->status)) wire_putn(out, "signal", WTERMSIG(one->status));
    else wire_putn(out, "code", WEXITSTATUS(one->status));
    put_usage(out, &one->ended);
}

/* Whatever one's owner can now be told and has not been: its end once its output is out, then that nothing of it is left. */
static void tell(struct invocation *one) {
    bool output_is_out = one->streams[1].source.fd < 0 && one->streams[2].source.fd < 0;
    if (one->owner && one->exited && output_is_out && !one->told_exit) {
        size_t began = begin_event(one->owner, "exit");
        wire_put(&one->owner->out, "invocation", one->name);
        put_outcome(&one->owner->out, one);
        end_message(one->owner, began);
        one->told_exit = true;
    }
    if (one->owner && one->gone && one->told_exit && !one->told_gone) {
        size_t began = begin_event(one->owner, "gone");
        wire_put(&one->owner->out, "invocation", one->name);
        wire_putn(&one->owner->out, "at_ns", one->gone_ns);
        put_usage(&one->owner->out, &one->total);
        end_message(one->owner, began);
        one->told_gone = true;
    }
    if (one->told_gone && (one->acknowledged || !one->kept)) one->dead = true;
}

void invocations_tell(void) {
    for (struct invocation *one = invocations; one; one = one->next) {
        if (!one->kept || one->dead) continue;
        one->owner = driver;
        one->told_exit = one->told_exit && one->acknowledged;
        one->told_gone = false;
        tell(one);
    }
}

/* Frees the dead; only between rounds of epoll, whose events may still point at their streams. */
void invocations_bury(void) {
    for (struct invocation **at = &invocations; *at;) {
        struct invocation *one = *at;
        if (!one->dead) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        for (int i = 0; i < 3; i++) close_stream(&one->streams[i]);
        wire_release(&one->input);
        free(one);
        invocation_count--;
    }
}

/* From program to owner, as long as the owner's connection keeps up; what does not fit stays in the pipe and stops the program. */
static void pump_output(struct stream *stream) {
    static char bytes[1 << 16];
    struct invocation *one = stream->of;
    while (stream->source.fd >= 0) {
        if (!one->owner || wire_waiting(&one->owner->out) > STREAM_HIGH) {
            if (one->owner) one->owner->blocked = true;
            unwatch(&stream->source);
            return;
        }
        ssize_t length = read(stream->source.fd, bytes, sizeof bytes);
        if (length < 0 && errno == EINTR) continue;
        if (length < 0 && errno == EAGAIN && !one->exited) {
            watch(&stream->source, EPOLLIN);
            return;
        }
        if (length <= 0) break; /* end of file; EIO: the pty's last user closed it; or a daemon holds it beyond the program's end */
        size_t began = begin_event(one->owner, "output");
        wire_put(&one->owner->out, "invocation", one->name);
        wire_putn(&one->owner->out, "stream", stream->which);
        wire_put_data(&one->owner->out, bytes, (size_t)length);
        end_message(one->owner, began);
    }
    close_stream(stream);
    tell(one);
}

static void pump_input(struct invocation *one) {
    struct stream *stream = &one->streams[0];
    size_t written = 0;
    while (stream->source.fd >= 0 && wire_waiting(&one->input)) {
        ssize_t length = write(stream->source.fd, one->input.bytes + one->input.sent, wire_waiting(&one->input));
        if (length < 0 && errno == EINTR) continue;
        if (length < 0 && errno == EAGAIN) break;
        if (length < 0) { /* nobody reads it any more: take the rest and drop it */
            close_stream(stream);
            length = (ssize_t)wire_waiting(&one->input);
        }
        one->input.sent += (size_t)length;
        written += (size_t)length;
    }
    bool empty = !wire_waiting(&one->input);
    if (written && one->owner) {
        size_t began = begin_event(one->owner, "consumed");
        wire_put(&one->owner->out, "invocation", one->name);
        wire_putn(&one->owner->out, "bytes", (long long)written);
        end_message(one->owner, began);
    }
    if (empty) wire_release(&one->input);
    if (empty && one->input_ended) close_stream(stream);
    if (stream->source.fd < 0) return;
    if (empty) unwatch(&stream->source);
    else watch(&stream->source, EPOLLOUT);
}

void stream_ready(struct stream *stream, uint32_t events) {
    if (stream->source.fd < 0 || stream->of->dead) return;
    if (stream->which) pump_output(stream);
    else if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) pump_input(stream->of);
}

void invocations_unblock(struct connection *connection) {
    for (struct invocation *one = invocations; one; one = one->next)
        for (int i = 1; i < 3; i++)
            if (one->owner == connection && !one->dead && one->streams[i].source.fd >= 0 && !one->streams[i].source.watched)
                pump_output(&one->streams[i]);
}

void invocations_orphan(struct connection *connection) {
    for (struct invocation *one = invocations; one; one = one->next) {
        if (one->owner != connection) continue;
        one->owner = NULL;
        for (int i = 1; i < 3; i++)
            if (one->streams[i].source.fd >= 0) unwatch(&one->streams[i].source);
        if (one->kept || connection->parting) continue;
        for (int i = 0; i < 3; i++) close_stream(&one->streams[i]);
        family_signal(one->mark, SIGHUP);
        family_signal(one->mark, SIGCONT);
        one->told_exit = one->told_gone = true; /* nobody is left to be told */
        one->dead = one->gone;
    }
}

static struct invocation *by_pid(pid_t pid) {
    struct invocation *one = invocations;
    while (one && (one->pid != pid || one->exited)) one = one->next;
    return one;
}

static struct invocation *by_mark(uint64_t mark) {
    struct invocation *one = invocations;
    while (one && one->mark != mark) one = one->next;
    return one;
}

/* Programs that began to run, or could not. */
void invocations_report(int reports) {
    struct report report;
    while (read(reports, &report, sizeof report) == (ssize_t)sizeof report) {
        struct invocation *one = by_pid(report.pid);
        if (!one) continue;
        if (report.what == FAILED) {
            snprintf(one->failure, sizeof one->failure, "%s: %s", report.failing, strerror(report.error));
            continue;
        }
        one->start_ns = report.at_ns;
        if (!one->owner) continue;
        size_t began = begin_event(one->owner, "started");
        wire_put(&one->owner->out, "invocation", one->name);
        wire_putn(&one->owner->out, "pid", report.pid);
        wire_putn(&one->owner->out, "start_ns", report.at_ns);
        end_message(one->owner, began);
    }
}

static int64_t microseconds(struct timeval time) { return (int64_t)time.tv_sec * 1000000 + time.tv_usec; }

static void add_usage(struct usage *sum, const struct rusage *usage) {
    sum->user_us += microseconds(usage->ru_utime);
    sum->system_us += microseconds(usage->ru_stime);
    if (usage->ru_maxrss > sum->max_rss_kib) sum->max_rss_kib = usage->ru_maxrss;
}

static void program_ended(struct invocation *one, int status, const struct rusage *usage) {
    one->exited = true;
    one->status = status;
    one->end_ns = monotonic_ns();
    add_usage(&one->ended, usage);
    for (int i = 1; i < 3; i++)
        if (one->streams[i].source.fd >= 0) pump_output(&one->streams[i]);
}

/* A process of an invocation was reaped: is it the last? */
static void look_whether_gone(struct invocation *one) {
    if (one->exited && !one->gone && !family_alive(one->mark)) {
        one->gone = true;
        one->killing = false;
        one->gone_ns = monotonic_ns();
        close_stream(&one->streams[0]);
    }
    tell(one);
    if (one->gone && one->told_gone && !one->kept) one->dead = true;
}

/* Whoever ended is looked at while it is a zombie: an orphan's mark can still be read then. A program reports before it ends, so its
 * reports are there once it is one. */
void invocations_reap(int reports) {
    siginfo_t ended = {0};
    while (!waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) && ended.si_pid) {
        pid_t pid = ended.si_pid;
        int status;
        struct rusage usage;
        struct invocation *one = by_mark(family_of_zombie(pid));
        invocations_report(reports);
        if (wait4(pid, &status, 0, &usage) != pid) return;
        family_remove(pid);
        ended.si_pid = 0;
        if (!one) continue;
        add_usage(&one->total, &usage);
        if (one->pid == pid) program_ended(one, status, &usage);
        look_whether_gone(one);
    }
}

bool invocations_kill_again(void) {
    bool some = false;
    for (struct invocation *one = invocations; one; one = one->next) {
        if (!one->killing || one->gone) continue;
        some = true;
        family_signal(one->mark, SIGKILL);
    }
    return some;
}

static size_t gather(const struct message *asked, const char *key, char **into) {
    size_t count = 0;
    for (const char *value = NULL; (value = wire_next(asked, key, value)) && count < ARGUMENTS_LIMIT;) into[count++] = (char *)value;
    into[count] = NULL;
    return count;
}

static int make_pipe(struct invocation *one, int which, int theirs[3]) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return -1;
    int ours = which ? ends[0] : ends[1];
    theirs[which] = which ? ends[1] : ends[0];
    one->streams[which].source.fd = ours;
    return fcntl(ours, F_SETFL, O_NONBLOCK);
}

static int make_terminal(struct invocation *one, const struct message *asked) {
    struct winsize size = {.ws_row = (unsigned short)wire_number(asked, "rows", 24), .ws_col = (unsigned short)wire_number(asked, "columns", 80)};
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), unlocked = 0;
    if (master < 0) return -1;
    one->streams[1].source.fd = master;
    one->streams[0].source.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
    if (one->streams[0].source.fd < 0 || ioctl(master, TIOCSPTLCK, &unlocked) || ioctl(master, TIOCSWINSZ, &size)) return -1;
    return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static const char *launch(struct invocation *one, const struct message *asked) {
    static char *argv[ARGUMENTS_LIMIT + 1], *environment[ARGUMENTS_LIMIT + 1];
    static char shell[] = "/bin/sh", option[] = "-c";
    struct program program = {.argv = argv, .environment = environment, .directory = wire_item(asked, "directory"),
                              .user = wire_item(asked, "user"), .scratch = wire_item(asked, "scratch"), .stdio = {-1, -1, -1}, .terminal = -1,
                              .mark = one->mark};
    const char *command = wire_item(asked, "command"), *stdio[] = {wire_item(asked, "stdin"), wire_item(asked, "stdout"), wire_item(asked, "stderr")};
    gather(asked, "env", environment);
    if (command) memcpy(argv, (char *[]){shell, option, (char *)command, NULL}, 4 * sizeof *argv);
    else if (!gather(asked, "argv", argv)) return "neither command nor argv";
    if (wire_number(asked, "pty", 0)) {
        if ((program.terminal = make_terminal(one, asked)) < 0) return "no pseudo-terminal";
    } else {
        for (int i = 0; i < 3; i++)
            if (stdio[i] && !strcmp(stdio[i], "pipe") && make_pipe(one, i, program.stdio)) return "no pipe";
        program.out = stdio[1] && stdio[1][0] == '/' ? stdio[1] : NULL;
        program.err = stdio[2] && stdio[2][0] == '/' ? stdio[2] : NULL;
    }
    extern int reports_for_programs;
    one->pid = program_start(&program, reports_for_programs);
    int failed = one->pid < 0 ? errno : 0;
    if (!failed) family_add(one->pid, one->mark);
    if (program.terminal >= 0) close(program.terminal);
    for (int i = 0; i < 3; i++)
        if (program.stdio[i] >= 0) close(program.stdio[i]);
    return failed ? strerror(failed) : NULL;
}

/* Whether there is nothing to do: all directories named by `unless_empty` are. */
static bool pointless(const struct message *asked) {
    const char *path = wire_item(asked, "unless_empty");
    if (!path) return false;
    for (; path; path = wire_next(asked, "unless_empty", path))
        if (!directory_empty(path)) return false;
    return true;
}

/* A name that is known already is answered as if it had been started now: whoever lost the answer may ask again. */
void invocation_spawn(struct connection *connection, const struct message *asked) {
    const char *name = wire_item(asked, "invocation"), *fault = NULL;
    if (!name || !*name || strlen(name) >= NAME_LIMIT) fault = "invocation: missing or too long";
    else if (invocation_count >= INVOCATIONS_LIMIT) fault = "too many invocations";
    if (fault) return refuse(connection, asked, fault);
    if (invocation_named(name)) return answer_ok(connection, asked);
    if (pointless(asked)) {
        size_t began = begin_answer(connection, asked);
        wire_put(&connection->out, "skipped", "1");
        return end_message(connection, began);
    }
    struct invocation *one = calloc(1, sizeof *one);
    if (!one) return refuse(connection, asked, "out of memory");
    strcpy(one->name, name);
    one->mark = family_new();
    one->owner = connection;
    one->kept = connection->driver;
    one->next = invocations;
    invocations = one;
    invocation_count++;
    for (int i = 0; i < 3; i++) one->streams[i] = (struct stream){.source = {.kind = STREAM, .fd = -1}, .of = one, .which = i};
    if ((fault = launch(one, asked))) {
        one->dead = true;
        return refuse(connection, asked, fault);
    }
    answer_ok(connection, asked);
    for (int i = 1; i < 3; i++)
        if (one->streams[i].source.fd >= 0) watch(&one->streams[i].source, EPOLLIN);
}

void invocation_signal(struct connection *connection, const struct message *asked) {
    struct invocation *one = invocation_of(connection, asked);
    if (!one) return;
    int number = (int)wire_number(asked, "signal", 0), count;
    if (number < 1 || number >= NSIG) return refuse(connection, asked, "signal: not a number of a signal");
    count = one->gone ? 0 : family_signal(one->mark, number);
    if (number == SIGKILL) one->killing = !one->gone;
    size_t began = begin_answer(connection, asked);
    wire_putn(&connection->out, "processes", count);
    end_message(connection, began);
}

void invocation_input(struct connection *connection, const struct message *asked) {
    struct invocation *one = invocation_of(connection, asked);
    if (!one) return;
    size_t length;
    const char *bytes = wire_data(asked, &length);
    if (wire_waiting(&one->input) + length > INPUT_WINDOW) return refuse(connection, asked, "more input than was consumed");
    if (one->streams[0].source.fd < 0 && !one->input_ended && length) return refuse(connection, asked, "its input is closed");
    if (length && wire_reserve(&one->input, length)) {
        memcpy(one->input.bytes + one->input.used, bytes, length);
        one->input.used += length;
        one->accepted += length;
    }
    one->input_ended |= wire_number(asked, "eof", 0) != 0;
    answer_ok(connection, asked);
    pump_input(one);
}

void invocation_resize(struct connection *connection, const struct message *asked) {
    struct invocation *one = invocation_of(connection, asked);
    if (!one) return;
    struct winsize size = {.ws_row = (unsigned short)wire_number(asked, "rows", 24), .ws_col = (unsigned short)wire_number(asked, "columns", 80)};
    if (ioctl(one->streams[1].source.fd, TIOCSWINSZ, &size)) return refuse(connection, asked, "not on a terminal");
    answer_ok(connection, asked);
}

/* A session that was parted from its client by a swap is taken over by the connection the client made afterwards. */
void invocation_adopt(struct connection *connection, const struct message *asked) {
    struct invocation *one = invocation_of(connection, asked);
    if (!one) return;
    if (one->owner || one->kept) return refuse(connection, asked, "somebody else owns it");
    one->owner = connection;
    size_t began = begin_answer(connection, asked);
    wire_putn(&connection->out, "accepted", (long long)one->accepted);
    wire_putn(&connection->out, "waiting", (long long)wire_waiting(&one->input));
    end_message(connection, began);
    invocations_unblock(connection);
    pump_input(one);
    tell(one);
}

void invocation_acknowledge(struct connection *connection, const struct message *asked) {
    const char *name = wire_item(asked, "invocation");
    struct invocation *one = name ? invocation_named(name) : NULL;
    if (one) one->acknowledged = one->told_exit;
    if (one && one->told_gone) one->dead = true;
    answer_ok(connection, asked);
}
