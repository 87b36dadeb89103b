#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int64_t PARTING_NS = 1000000000; /* for a peer that does not read what it was sent before a swap */
enum { INSIDE_LIMIT = 48, OUTSIDE_LIMIT = 64, READ_SIZE = 1 << 16, TICK_MS = 20, REFUSALS = 64 };

int epoll_fd, reports_for_programs;
struct connection *driver;
static struct connection *connections;
static int connection_count[2]; /* from inside the node, from outside */
static uint64_t incarnation;
static long long last_sequence;
static struct refusal {
    long long sequence;
    char fault[96];
} refusals[REFUSALS];

void watch(struct source *source, uint32_t events) {
    if (source->watched == events) return;
    struct epoll_event event = {.events = events, .data.ptr = source};
    epoll_ctl(epoll_fd, source->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, source->fd, &event);
    source->watched = events;
}

void unwatch(struct source *source) {
    if (source->watched) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    source->watched = 0;
}

static void end_connection(struct connection *connection) {
    if (connection->dead) return;
    if (driver == connection) driver = NULL;
    invocations_orphan(connection);
    petitions_orphan(connection);
    if (connection->port) {
        wire_release(&connection->in);
        wire_release(&connection->out);
        connection->in.broken = connection->out.broken = connection->driver = connection->closing = connection->parting =
            connection->blocked = connection->open = false;
        return;
    }
    connection->dead = true;
    unwatch(&connection->source);
    close(connection->source.fd);
}

/* A virtio port of which nobody holds the other end is readable all the time, so it is watched for changes only (epoll(7)). */
static uint32_t interest(const struct connection *connection) {
    if (connection->port) return EPOLLIN | EPOLLOUT | EPOLLET;
    return EPOLLIN | (wire_waiting(&connection->out) ? EPOLLOUT : 0);
}

void flush_out(struct connection *connection) {
    struct buffer *out = &connection->out;
    while (!connection->dead && wire_waiting(out)) {
        ssize_t length = write(connection->source.fd, out->bytes + out->sent, wire_waiting(out));
        if (length < 0 && errno == EINTR) continue;
        if (length < 0 && errno == EAGAIN) break;
        if (length < 0) return end_connection(connection);
        out->sent += (size_t)length;
    }
    if (connection->dead || out->broken) return end_connection(connection);
    if (!wire_waiting(out)) wire_release(out);
    if (connection->closing && !wire_waiting(out)) return end_connection(connection);
    watch(&connection->source, interest(connection));
}

size_t begin_event(struct connection *connection, const char *event) {
    size_t began = wire_begin(&connection->out);
    wire_put(&connection->out, "event", event);
    return began;
}

size_t begin_answer(struct connection *connection, const struct message *asked) {
    const char *request = wire_item(asked, "request");
    size_t began = wire_begin(&connection->out);
    wire_put(&connection->out, "answer", request ? request : "");
    return began;
}

void end_message(struct connection *connection, size_t began) { wire_end(&connection->out, began); }

void answer_ok(struct connection *connection, const struct message *asked) { end_message(connection, begin_answer(connection, asked)); }

void refuse(struct connection *connection, const struct message *asked, const char *fault) {
    long long sequence = llabs(wire_number(asked, "sequence", 0));
    struct refusal *refusal = &refusals[sequence % REFUSALS];
    if (sequence > 0 && sequence == last_sequence && refusal->sequence != sequence) {
        refusal->sequence = sequence;
        snprintf(refusal->fault, sizeof refusal->fault, "%s", fault);
    }
    size_t began = begin_answer(connection, asked);
    wire_put(&connection->out, "error", fault);
    end_message(connection, began);
}

static void say_hello(struct connection *connection, const struct message *asked) {
    size_t began = begin_answer(connection, asked);
    wire_putn(&connection->out, "protocol", PROTOCOL);
    wire_putn(&connection->out, "monotonic_ns", monotonic_ns());
    wire_putn(&connection->out, "incarnation", (long long)incarnation);
    wire_putn(&connection->out, "last_sequence", last_sequence);
    for (struct invocation *one = invocations; one; one = one->next)
        if (!one->dead && one->kept) wire_put(&connection->out, "invocation", one->name);
    end_message(connection, began);
}

static void attach(struct connection *connection, const struct message *asked) {
    if (driver && driver != connection) {
        driver->closing = true;
        driver->driver = false;
        invocations_orphan(driver);
        flush_out(driver);
    }
    driver = connection;
    connection->driver = true;
    say_hello(connection, asked);
    invocations_tell();
    petitions_tell();
}

/* Whoever begins on a port cannot know that its predecessor's end has been noticed here. */
static void begin(struct connection *connection, const struct message *asked) {
    if (driver == connection) driver = NULL;
    connection->driver = false;
    invocations_orphan(connection);
    petitions_orphan(connection);
    answer_ok(connection, asked);
}

static bool nobody_there(const struct connection *connection) {
    struct pollfd port = {.fd = connection->source.fd};
    return connection->port && poll(&port, 1, 0) > 0 && port.revents & POLLHUP;
}

static void part_from_all(void) {
    for (struct connection *each = connections; each; each = each->next) {
        if (each->dead || !each->outside || nobody_there(each)) continue;
        each->parting = each->closing = true;
        each->part_by_ns = monotonic_ns() + PARTING_NS;
        size_t began = begin_event(each, "quiesced");
        if (each->port) wire_putn(&each->out, "stays", 1);
        end_message(each, began);
        invocations_orphan(each);
        each->driver = false;
    }
    driver = NULL;
}

/* CRIU cannot dump a socket whose other end is outside the node: all such connections end here, once what waits in them is sent.
 * Programs of `exec` sessions live on; their output waits in their pipes until somebody adopts them. */
static void quiesce(struct connection *connection, const struct message *asked) {
    answer_ok(connection, asked);
    part_from_all();
}

static bool in_vm(void) {
    struct connection *connection = connections;
    while (connection && !connection->port) connection = connection->next;
    return connection;
}

/* A virtual machine's ports stay open on the host while it starts again, so whoever is there has to be told. */
static _Noreturn void reset_machine(int how) {
    struct timespec moment = {.tv_nsec = TICK_MS * 1000000L};
    part_from_all();
    for (int i = 0; i < 10; i++) {
        for (struct connection *each = connections; each; each = each->next)
            if (!each->dead && wire_waiting(&each->out)) flush_out(each);
        nanosleep(&moment, NULL);
    }
    sync();
    reboot(how);
    _exit(1);
}

/* The kernel kills whatever is left in a pid namespace whose first process ends (pid_namespaces(7)). */
static _Noreturn void end_node(void) {
    if (in_vm()) reset_machine(RB_POWER_OFF);
    _exit(0);
}

/* All processes die and init starts anew in its place: namespaces, addresses and files stay, as on a machine that was reset. */
static _Noreturn void reboot_node(void) {
    if (in_vm()) reset_machine(RB_AUTOBOOT);
    unlink(SOCKET_PATH); /* whoever comes now finds nobody, rather than a connection that breaks */
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    execl("/proc/self/exe", BINARY_PATH, "init", (char *)NULL);
    _exit(1);
}

/* A numbered command that was seen already is not done again; if it was refused then, the refusal is repeated. */
static bool seen_before(struct connection *connection, const struct message *asked, long long sequence) {
    if (!sequence || sequence > last_sequence) return false;
    const struct refusal *refusal = &refusals[sequence % REFUSALS];
    if (refusal->sequence == sequence) refuse(connection, asked, refusal->fault);
    else answer_ok(connection, asked);
    return true;
}

static void obey(struct connection *connection, const struct message *asked) {
    const char *operation = wire_item(asked, "op");
    long long sequence = llabs(wire_number(asked, "sequence", 0));
    if (!operation) return refuse(connection, asked, "no op");
    if (!strcmp(operation, "hello")) return say_hello(connection, asked);
    if (!strcmp(operation, "petition")) return petition_take(connection, asked);
    if (!connection->outside) return refuse(connection, asked, "not from inside the node");
    if (!strcmp(operation, "attach")) return attach(connection, asked);
    if (!strcmp(operation, "begin")) return begin(connection, asked);
    if (seen_before(connection, asked, sequence)) return;
    if (sequence) last_sequence = sequence;
    if (!strcmp(operation, "answer")) return petition_answer(connection, asked);
    if (!strcmp(operation, "quiesce")) return quiesce(connection, asked);
    if (!strcmp(operation, "reboot")) reboot_node();
    if (!strcmp(operation, "halt")) end_node();
    if (!strcmp(operation, "spawn")) return invocation_spawn(connection, asked);
    if (!strcmp(operation, "signal")) return invocation_signal(connection, asked);
    if (!strcmp(operation, "input")) return invocation_input(connection, asked);
    if (!strcmp(operation, "resize")) return invocation_resize(connection, asked);
    if (!strcmp(operation, "adopt")) return invocation_adopt(connection, asked);
    if (!strcmp(operation, "acknowledge")) return invocation_acknowledge(connection, asked);
    if (!file_command(connection, asked, operation)) refuse(connection, asked, "unknown op");
}

static void add_connection(int fd, bool outside, bool port) {
    bool room = connection_count[outside] < (outside ? OUTSIDE_LIMIT : INSIDE_LIMIT); /* the node's processes cannot keep its testbed out */
    struct connection *connection = room ? calloc(1, sizeof *connection) : NULL;
    if (!connection) {
        close(fd);
        return;
    }
    connection->source = (struct source){.kind = CONNECTION, .fd = fd};
    connection->outside = outside;
    connection->port = port;
    connection->next = connections;
    connections = connection;
    connection_count[outside]++;
    watch(&connection->source, interest(connection));
}

/* A peer outside our pid namespace has no pid in it, so SO_PEERCRED says 0 (unix(7)): that is whoever runs the testbed. */
static void accept_connection(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer = {.pid = -1};
    socklen_t size = sizeof peer;
    if (fd < 0) return;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    add_connection(fd, peer.pid == 0, false);
}

/* True: there may be more to read. */
static bool receive(struct connection *connection) {
    struct message message;
    int taken = 0;
    ssize_t length = -1;
    errno = 0;
    if (wire_reserve(&connection->in, READ_SIZE))
        length = read(connection->source.fd, connection->in.bytes + connection->in.used, connection->in.capacity - connection->in.used);
    if (length < 0 && errno == EINTR) return true;
    if (length > 0) {
        connection->in.used += (size_t)length;
        while (!connection->dead && !connection->closing && (taken = wire_take(&connection->in, &message)) > 0) obey(connection, &message);
    }
    if (!connection->dead && !wire_waiting(&connection->in)) wire_release(&connection->in);
    if (length == 0 && connection->port && !connection->open) return false;
    if (taken < 0 || length == 0 || (length < 0 && errno != EAGAIN)) end_connection(connection);
    return length > 0 && taken >= 0 && !connection->dead;
}

static void connection_ready(struct connection *connection, uint32_t events) {
    if (connection->dead) return;
    if (!(events & EPOLLHUP)) connection->open = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        while (receive(connection) && connection->port) {}
    if (!connection->dead && events & EPOLLOUT) flush_out(connection);
}

/* Sends what the round has produced and lets go the programs that had to wait for it; whoever is fast gets more in the next round. */
static void settle(struct connection *connection) {
    if (connection->parting && monotonic_ns() > connection->part_by_ns) end_connection(connection);
    for (int i = 0; i < 4 && !connection->dead; i++) {
        if (wire_waiting(&connection->out)) flush_out(connection);
        if (connection->dead || !connection->blocked || wire_waiting(&connection->out) > STREAM_HIGH) return;
        connection->blocked = false;
        invocations_unblock(connection);
    }
    if (!connection->dead && wire_waiting(&connection->out)) watch(&connection->source, interest(connection));
}

static void bury_connections(void) {
    for (struct connection **at = &connections; *at;) {
        struct connection *connection = *at;
        if (!connection->dead) {
            settle(connection);
            if (!connection->dead) at = &connection->next;
            continue;
        }
        *at = connection->next;
        wire_release(&connection->in);
        wire_release(&connection->out);
        connection_count[connection->outside]--;
        free(connection);
    }
}

static bool someone_parts(void) {
    struct connection *connection = connections;
    while (connection && !connection->parting) connection = connection->next;
    return connection;
}

static _Noreturn void die(const char *what) {
    fprintf(stderr, "swapbed-init: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static int open_listener(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET_PATH};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    make_directories("/swapbed/run", 0, 0);
    unlink(SOCKET_PATH);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64) || chmod(SOCKET_PATH, 0666)) die(SOCKET_PATH);
    return fd;
}

static int open_signals(void) {
    sigset_t all, wanted;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    int fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) die("signalfd");
    return fd;
}

static void raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    original_file_limit = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void take_signals(int fd) {
    struct signalfd_siginfo signals;
    while (read(fd, &signals, sizeof signals) == (ssize_t)sizeof signals) {
        if (signals.ssi_signo == SIGTERM) end_node();
    }
}

/* Process 1 of a container, or of a VM, or in a VM the child of another process 1. ports: a VM's virtio ports to its host. Never returns. */
int init_main(int count, const int *ports) {
    struct epoll_event events[64];
    int reports[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++) fcntl(fd, F_GETFD) < 0 ? dup2(null, fd) : 0;
    raise_file_limit();
    getrandom(&incarnation, sizeof incarnation, 0);
    incarnation >>= 2;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (pipe2(reports, O_CLOEXEC) || fcntl(reports[0], F_SETFL, O_NONBLOCK)) die("pipe");
    reports_for_programs = reports[1];
    struct source signals = {.kind = SIGNALS, .fd = open_signals()}, told = {.kind = REPORTS, .fd = reports[0]};
    struct source listener = {.kind = LISTENER, .fd = open_listener()};
    watch(&signals, EPOLLIN);
    watch(&told, EPOLLIN);
    watch(&listener, EPOLLIN);
    for (int i = 0; i < count; i++) {
        fcntl(ports[i], F_SETFL, O_RDWR | O_NONBLOCK);
        fcntl(ports[i], F_SETFD, FD_CLOEXEC);
        add_connection(ports[i], true, true);
    }
    if (getpid() != 1) prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (;;) {
        int happened = epoll_wait(epoll_fd, events, 64, invocations_kill_again() || someone_parts() ? TICK_MS : -1);
        for (int i = 0; i < happened; i++) {
            struct source *source = events[i].data.ptr;
            switch (source->kind) {
            case LISTENER: accept_connection(source->fd); break;
            case SIGNALS: take_signals(source->fd); break;
            case REPORTS: invocations_report(source->fd); break;
            case CONNECTION: connection_ready((struct connection *)source, events[i].events); break;
            case STREAM: stream_ready((struct stream *)source, events[i].events); break;
            }
        }
        invocations_reap(told.fd);
        bury_connections();
        invocations_bury();
    }
}
