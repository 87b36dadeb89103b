/* A source of traffic: constant bit rate, bulk (ftp), or exponential gaps (telnet), paced against absolute instants of CLOCK_MONOTONIC. */
#define _GNU_SOURCE
#include "traffic.h"
#include "program.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKET_LIMIT = 65507, BULK_BYTES = 65536 };
static const int64_t LAG_LIMIT_NS = 100000000; /* later than this, the schedule starts anew instead of sending a burst */
static const int64_t RETRY_NS = 100000000;     /* between attempts to connect to a sink that is not up yet */

volatile int traffic_ended;
static sigset_t while_waiting;

struct source {
    int socket, datagrams;
    struct sockaddr_storage to, from;
    socklen_t to_size, from_size;
    int tos;
    long size;
    int64_t interval_ns; /* 0: paused */
    int bulk, telnet, control_open;
    uint64_t random;
    unsigned sequence, flow;
    unsigned long long packets, bytes, failures;
};

static void note_end(int number) { traffic_ended = number; }

int traffic_address(const char *address, const char *port, void *into, unsigned *size) {
    struct sockaddr_in *v4 = into;
    struct sockaddr_in6 *v6 = into;
    int number = atoi(port);
    if (number < 0 || number > 65535) return -1;
    memset(into, 0, sizeof(struct sockaddr_storage));
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)number);
        *size = sizeof *v4;
        return 0;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)number);
    *size = sizeof *v6;
    return inet_pton(AF_INET6, address, &v6->sin6_addr) == 1 ? 0 : -1;
}

void traffic_result(const char *name, double value) { printf("RESULT %s %.12g\n", name, value); }

/* splitmix64 (Steele, Lea, Flood 2014): the same seed gives the same gaps on every replay. */
static double exponential(uint64_t *state, double mean) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return -mean * log1p(-(double)(z >> 11) * 0x1p-53);
}

static void set_type_of_service(const struct source *source) {
    bool six = source->to.ss_family == AF_INET6;
    if (source->tos < 0 || source->socket < 0) return;
    setsockopt(source->socket, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_TCLASS : IP_TOS, &source->tos, sizeof source->tos);
}

static void set_pace(struct source *source, const char *line) {
    long size;
    double interval;
    int tos = -1, read = sscanf(line, "%ld %lf %d", &size, &interval, &tos);
    if (read < 2 || size < 1 || size > PACKET_LIMIT || !(interval >= 0 && interval <= 1e9) || tos > 255) {
        fprintf(stderr, "not SIZE INTERVAL [TYPE-OF-SERVICE]: %s\n", line);
        return;
    }
    source->size = size;
    source->interval_ns = (int64_t)llround(interval * 1e9);
    if (tos < 0) return;
    source->tos = tos;
    set_type_of_service(source);
}

static void take_control(struct source *source) {
    static char line[128];
    static size_t used;
    char byte;
    for (ssize_t got; (got = read(0, &byte, 1)) != -1;) {
        if (!got) {
            source->control_open = 0;
            return;
        }
        if (byte != '\n') {
            if (used < sizeof line - 1) line[used++] = byte;
            continue;
        }
        line[used] = 0;
        used = 0;
        set_pace(source, line);
    }
}

/* Until the instant (or for ever: -1), the end, or new orders; also until socket can be written, if asked. True: that instant has come. */
static int wait_for(struct source *source, int64_t until_ns, int writable) {
    int64_t left = until_ns - monotonic_ns();
    if (until_ns >= 0 && left <= 0 && !writable) return 1;
    struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    struct pollfd watched[] = {{.fd = source->control_open ? 0 : -1, .events = POLLIN}, {.fd = writable ? source->socket : -1, .events = POLLOUT}};
    int ready = ppoll(watched, 2, until_ns < 0 ? NULL : &timeout, &while_waiting);
    if (ready > 0 && watched[0].revents) take_control(source);
    return until_ns >= 0 && monotonic_ns() >= until_ns;
}

static int open_socket(struct source *source) {
    while (!traffic_ended) {
        source->socket = socket(source->to.ss_family, (source->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        set_type_of_service(source);
        if (source->from_size && bind(source->socket, (struct sockaddr *)&source->from, source->from_size)) return -1;
        if (!connect(source->socket, (struct sockaddr *)&source->to, source->to_size)) {
            int now = 1;
            if (!source->datagrams) setsockopt(source->socket, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now);
            return fcntl(source->socket, F_SETFL, O_NONBLOCK);
        }
        close(source->socket);
        if (errno == EAFNOSUPPORT || errno == EINVAL) return -1;
        wait_for(source, monotonic_ns() + RETRY_NS, 0);
    }
    return 0;
}

/* One packet, or one application message over TCP, whole unless the end comes first. */
static int send_one(struct source *source, long size) {
    static char packet[PACKET_LIMIT + BULK_BYTES];
    struct traffic_stamp stamp = {htobe32(source->sequence++), htobe32(source->flow), htobe64((uint64_t)monotonic_ns())};
    memcpy(packet, &stamp, sizeof stamp);
    for (long sent = 0; sent < size && !traffic_ended;) {
        ssize_t length = send(source->socket, packet + sent, (size_t)(size - sent), MSG_NOSIGNAL);
        if (length >= 0) {
            sent += length;
            source->bytes += (unsigned long long)length;
            if (source->datagrams) break;
        } else if (errno == EAGAIN) {
            wait_for(source, -1, 1);
        } else if (source->datagrams) { /* refused by a sink that is not up, no route while a link is down: lost like any other */
            source->failures++;
            return 0;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    source->packets++;
    return 0;
}

static int keep_sending(struct source *source) {
    int64_t next = monotonic_ns();
    while (!traffic_ended) {
        if (source->bulk) {
            wait_for(source, 0, 1);
            if (send_one(source, BULK_BYTES)) return -1;
            continue;
        }
        int64_t interval = source->interval_ns;
        int due = wait_for(source, interval ? next : -1, 0);
        if (source->interval_ns != interval) next = monotonic_ns();
        if (traffic_ended || !due || source->interval_ns != interval) continue; /* the end may come at the very instant of a packet */
        if (send_one(source, source->size)) return -1;
        next += source->telnet ? (int64_t)exponential(&source->random, (double)source->interval_ns) : source->interval_ns;
        if (monotonic_ns() - next > LAG_LIMIT_NS) next = monotonic_ns();
    }
    return 0;
}

static int read_options(struct source *source, int argc, char **argv) {
    char pace[64], size[24] = "500", interval[24] = "0";
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) return -1;
        *value++ = 0;
        if (!strcmp(argv[i], "size")) snprintf(size, sizeof size, "%s", value);
        else if (!strcmp(argv[i], "interval")) snprintf(interval, sizeof interval, "%s", value);
        else if (!strcmp(argv[i], "application")) source->bulk = !strcmp(value, "ftp"), source->telnet = !strcmp(value, "telnet");
        else if (!strcmp(argv[i], "tos")) source->tos = atoi(value);
        else if (!strcmp(argv[i], "seed")) source->random = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "from") || traffic_address(value, "0", &source->from, &source->from_size)) return -1;
    }
    snprintf(pace, sizeof pace, "%s %s", size, interval);
    set_pace(source, pace);
    return source->size ? 0 : -1;
}

int traffic_source(int argc, char **argv) {
    struct source source = {.socket = -1, .tos = -1, .control_open = 1, .random = 1};
    source.datagrams = argc > 2 && !strcmp(argv[0], "udp");
    if (argc < 3 || traffic_address(argv[1], argv[2], &source.to, &source.to_size) || read_options(&source, argc - 3, argv + 3)) return 2;
    getrandom(&source.flow, sizeof source.flow, 0);
    fcntl(0, F_SETFL, O_NONBLOCK);
    int64_t began = monotonic_ns();
    int failed = open_socket(&source) || keep_sending(&source) ? errno : 0;
    if (failed) fprintf(stderr, "swapbed traffic: %s\n", strerror(failed));
    traffic_result("sent_packets", (double)source.packets);
    traffic_result("sent_bytes", (double)source.bytes);
    traffic_result("send_failures", (double)source.failures);
    traffic_result("sending_s", (double)(monotonic_ns() - began) / 1e9);
    return failed ? 1 : 0;
}

/* The end is noticed only while waiting, so it cannot slip in between a look at the flag and the wait (pselect(2)). */
int traffic_main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = note_end};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, &while_waiting);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1);
    int code = argc > 1 && !strcmp(argv[1], "source") ? traffic_source(argc - 2, argv + 2)
             : argc > 1 && !strcmp(argv[1], "sink") ? traffic_sink(argc - 2, argv + 2) : 2;
    if (code == 2) fprintf(stderr, "usage: traffic source udp|tcp ADDRESS PORT [KEY=VALUE ...] | traffic sink udp|tcp PORT [ADDRESS]\n");
    return code;
}
