#ifndef SWAPBED_TRAFFIC_H
#define SWAPBED_TRAFFIC_H

/* traffic source udp|tcp ADDRESS PORT [size=BYTES] [interval=SECONDS] [application=cbr|ftp|telnet] [tos=N] [from=ADDRESS] [seed=N]
 * traffic sink udp|tcp PORT [ADDRESS]
 *
 * A source reads lines `SIZE INTERVAL [TYPE-OF-SERVICE]` from standard input: from the next packet on, that is how it sends. An interval of 0 pauses it.
 * Both end on SIGTERM with exit code 0 and say what they saw as lines `RESULT name value` on standard output.
 */
int traffic_main(int argc, char **argv);

struct traffic_source;
int traffic_source(int argc, char **argv);
int traffic_sink(int argc, char **argv);

extern volatile int traffic_ended; /* SIGTERM or SIGINT came */
int traffic_address(const char *address, const char *port, void *into, unsigned *size); /* into: a sockaddr_storage */
void traffic_result(const char *name, double value);

/* What a datagram begins with, as far as its size allows; network byte order. */
struct __attribute__((packed)) traffic_stamp {
    unsigned sequence, flow;
    unsigned long long sent_ns;
};

#endif
