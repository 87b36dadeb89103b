/* The other end of a traffic source: takes what comes and says how much it was, what was missing, and how unevenly it came. */
#define _GNU_SOURCE
#include "program.h"
#include "traffic.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLOWS = 64, PEERS = 64, BATCH = 64 };

/* One run of one source; loss is what was sent before its last packet that came, and did not come. */
struct flow {
    unsigned id, expected;
    unsigned long long packets, late;
    double jitter_ns; /* RFC 3550 §6.4.1; the two clocks' offset cancels out */
    int64_t transit_ns;
};

static struct flow flows[FLOWS];
static int flow_count;
static unsigned long long packets, bytes;
static int64_t first_ns, last_ns;

static void note_datagram(const char *packet, ssize_t length) {
    struct traffic_stamp stamp;
    int64_t now = monotonic_ns();
    if (!packets++) first_ns = now;
    last_ns = now;
    bytes += (unsigned long long)length;
    if (length < (ssize_t)sizeof stamp) return;
    memcpy(&stamp, packet, sizeof stamp);
    unsigned sequence = be32toh(stamp.sequence), id = be32toh(stamp.flow);
    int i = 0;
    while (i < flow_count && flows[i].id != id) i++;
    if (i == FLOWS) return;
    struct flow *flow = &flows[i];
    int64_t transit = now - (int64_t)be64toh(stamp.sent_ns);
    if (i == flow_count) {
        flow_count++;
        *flow = (struct flow){.id = id, .transit_ns = transit};
    }
    flow->packets++;
    if (sequence >= flow->expected) flow->expected = sequence + 1;
    else flow->late++;
    flow->jitter_ns += (fabs((double)(transit - flow->transit_ns)) - flow->jitter_ns) / 16;
    flow->transit_ns = transit;
}

static void take_datagrams(int fd) {
    static char packet[65536];
    for (int i = 0; i < BATCH; i++) {
        ssize_t length = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
        if (length < 0) return;
        note_datagram(packet, length);
    }
}

static int take_bytes(int fd) {
    static char piece[1 << 18];
    ssize_t length = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
    if (length > 0) {
        last_ns = monotonic_ns();
        if (!bytes) first_ns = last_ns;
        bytes += (unsigned long long)length;
    }
    return length > 0 || (length < 0 && errno == EAGAIN);
}

static void serve(int listener, int datagrams) {
    struct pollfd watched[1 + PEERS] = {{.fd = listener, .events = POLLIN}};
    int count = 1;
    sigset_t none;
    sigemptyset(&none);
    while (!traffic_ended) {
        if (ppoll(watched, (nfds_t)count, NULL, &none) < 0) continue;
        for (int i = count - 1; i > 0; i--)
            if (watched[i].revents && !take_bytes(watched[i].fd)) {
                close(watched[i].fd);
                watched[i] = watched[--count];
            }
        if (!watched[0].revents) continue;
        if (datagrams) {
            take_datagrams(listener);
        } else {
            int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (peer >= 0 && count <= PEERS) watched[count++] = (struct pollfd){.fd = peer, .events = POLLIN};
            else if (peer >= 0) close(peer);
        }
    }
}

static void report(int datagrams) {
    double lost = 0, jitter = 0, late = 0;
    for (int i = 0; i < flow_count; i++) {
        lost += flows[i].expected > flows[i].packets ? (double)(flows[i].expected - flows[i].packets) : 0;
        late += (double)flows[i].late;
        jitter = fmax(jitter, flows[i].jitter_ns);
    }
    if (datagrams) {
        traffic_result("received_packets", (double)packets);
        traffic_result("lost_packets", lost);
        traffic_result("late_packets", late);
        traffic_result("jitter_s", jitter / 1e9);
    }
    traffic_result("received_bytes", (double)bytes);
    traffic_result("received_bps", last_ns > first_ns ? 8e9 * (double)bytes / (double)(last_ns - first_ns) : 0);
}

int traffic_sink(int argc, char **argv) {
    struct sockaddr_storage own;
    unsigned size;
    int datagrams = argc > 1 && !strcmp(argv[0], "udp"), on = 1, room = 4 << 20;
    if (argc < 2 || argc > 3 || traffic_address(argc > 2 ? argv[2] : "::", argv[1], &own, &size)) return 2;
    int kind = (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, fd = socket(own.ss_family, kind, 0);
    if (fd < 0 && argc < 3 && errno == EAFNOSUPPORT && !traffic_address("0.0.0.0", argv[1], &own, &size)) fd = socket(AF_INET, kind, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, size) || (!datagrams && listen(fd, PEERS))) {
        fprintf(stderr, "swapbed traffic: port %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    serve(fd, datagrams);
    report(datagrams);
    return 0;
}
