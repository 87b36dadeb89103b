/* What a program can notice of a swap, the same in containers and in virtual machines.
 *
 *   noticing sleep SECONDS FILE          a line for each end of a 10 ms sleep: CLOCK_MONOTONIC, BOOTTIME and REALTIME, in ns
 *   noticing send ADDRESS SECONDS FILE   rising numbers over TCP; a line for each write: CLOCK_MONOTONIC, bytes written, and as TCP_INFO
 *                                        says: smoothed round-trip time in us, congestion window, segments sent again so far
 *   noticing receive FILE                a line for each read: CLOCK_MONOTONIC, bytes, numbers that were not the expected so far
 *   noticing clocks                      the three clocks now, on stdout, for each line of stdin
 *
 * FILE appears, whole, at the end; its first line is of the beginning.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 5000, NUMBERS = 500, SLEEP_US = 10000, PAUSE_US = 4000, RETRY_US = 20000 };

static char *lines;
static size_t length, room;

static long long now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void note(const char *line) {
    size_t more = strlen(line);
    if (length + more >= room && !(lines = realloc(lines, room = 2 * (room + more)))) fail("memory");
    memcpy(lines + length, line, more);
    length += more;
}

static void finish(const char *path) {
    char draft[256];
    snprintf(draft, sizeof draft, "%s.new", path);
    FILE *file = fopen(draft, "w");
    if (!file || fwrite(lines, 1, length, file) != length || fclose(file) || rename(draft, path)) fail(path);
}

static void write_clocks(char *line, size_t size) {
    snprintf(line, size, "%lld %lld %lld\n", now(CLOCK_MONOTONIC), now(CLOCK_BOOTTIME), now(CLOCK_REALTIME));
}

static void sleeping(double seconds, const char *path) {
    char line[128];
    long long end = now(CLOCK_MONOTONIC) + seconds * 1e9;
    for (;;) {
        write_clocks(line, sizeof line);
        note(line);
        if (now(CLOCK_MONOTONIC) > end) break;
        usleep(SLEEP_US);
    }
    finish(path);
}

static void sending(const char *address, double seconds, const char *path) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    char line[128];
    int out;
    inet_pton(AF_INET, address, &peer.sin_addr);
    while ((out = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && connect(out, (void *)&peer, sizeof peer)) {
        close(out);
        usleep(RETRY_US);
    }
    long long end = now(CLOCK_MONOTONIC) + seconds * 1e9, at, bytes = 0;
    uint64_t numbers[NUMBERS], next = 0;
    do {
        struct tcp_info info;
        socklen_t size = sizeof info;
        for (int i = 0; i < NUMBERS; i++) numbers[i] = next++;
        for (size_t sent = 0; sent < sizeof numbers;) {
            ssize_t part = write(out, (char *)numbers + sent, sizeof numbers - sent);
            if (part < 0 && errno != EINTR) fail("write");
            if (part > 0) sent += part;
        }
        bytes += sizeof numbers;
        if (getsockopt(out, IPPROTO_TCP, TCP_INFO, &info, &size)) fail("TCP_INFO");
        at = now(CLOCK_MONOTONIC);
        snprintf(line, sizeof line, "%lld %lld %u %u %u\n", at, bytes, info.tcpi_rtt, info.tcpi_snd_cwnd, info.tcpi_total_retrans);
        note(line);
        usleep(PAUSE_US);
    } while (at < end);
    shutdown(out, SHUT_WR);
    while (read(out, line, 1) < 0 && errno == EINTR) continue;
    finish(path);
}

static void receiving(const char *path) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    static char data[1 << 16];
    char line[128];
    size_t have = 0;
    uint64_t expected = 0, wrong = 0, value;
    long long bytes = 0;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (void *)&own, sizeof own) || listen(listener, 1)) fail("listen");
    int in = accept(listener, NULL, NULL);
    for (ssize_t part = 0; (part = read(in, data + have, sizeof data - have)) > 0 || (part < 0 && errno == EINTR);) {
        if (part < 0) continue;
        have += part;
        bytes += part;
        size_t whole = have / sizeof value * sizeof value;
        for (size_t at = 0; at < whole; at += sizeof value) {
            memcpy(&value, data + at, sizeof value);
            wrong += value != expected;
            expected = value + 1;
        }
        memmove(data, data + whole, have -= whole);
        snprintf(line, sizeof line, "%lld %lld %llu\n", now(CLOCK_MONOTONIC), bytes, (unsigned long long)wrong);
        note(line);
    }
    finish(path);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    char line[128];
    if (!strcmp(what, "sleep") && count == 4) sleeping(atof(words[2]), words[3]);
    else if (!strcmp(what, "send") && count == 5) sending(words[2], atof(words[3]), words[4]);
    else if (!strcmp(what, "receive") && count == 3) receiving(words[2]);
    else if (!strcmp(what, "clocks"))
        while (fgets(line, sizeof line, stdin)) {
            write_clocks(line, sizeof line);
            fputs(line, stdout);
            fflush(stdout);
        }
    else return 2;
    return 0;
}
