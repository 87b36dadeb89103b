/* What init's files share: connections, invocations, and the streams between them. */
#ifndef SWAPBED_INIT_H
#define SWAPBED_INIT_H

#include "family.h"
#include "program.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

#define NAME_LIMIT 96
#define BINARY_PATH "/swapbed/init"
#define SOCKET_PATH "/swapbed/run/init.sock"
#define STREAM_HIGH (256u << 10)   /* a connection with more than this unsent: its programs' output is left in their pipes */
#define INPUT_WINDOW (64u << 10)   /* what a client may send to a program's input before it is told of consumption */

enum kind { LISTENER, SIGNALS, REPORTS, CONNECTION, STREAM };

/* What epoll points at; the first member of whatever it belongs to. */
struct source {
    enum kind kind;
    int fd;
    uint32_t watched;
};

/* outside: the peer is not a process of this node (or comes by the control fd), and may command. driver: the conductor. */
struct connection {
    struct source source;
    struct buffer in, out;
    bool outside, driver, closing, parting, dead;   /* parting: closed for a swap; its programs are not hung up */
    bool port;                  /* of a VM: stays when whoever was at its other end leaves, and serves the next */
    bool open;                  /* a port: somebody was seen at the other end, which the kernel may tell later than what he has sent */
    bool blocked;               /* some program's output waits until `out` is shorter */
    int64_t part_by_ns;
    struct connection *next;
};

struct invocation;

/* A pipe or pty between a program and a connection. which: 0 input, 1 output, 2 error output. */
struct stream {
    struct source source;
    struct invocation *of;
    int which;
};

struct usage {
    int64_t user_us, system_us, max_rss_kib;
};

/* A program that was started, from `spawn` until nobody can ask about it any more. */
struct invocation {
    char name[NAME_LIMIT];
    struct connection *owner;   /* who hears of its output and end; NULL: nobody at present */
    bool kept;                  /* the driver's: told to whoever drives, kept until acknowledged */
    bool exited;                /* the program has ended */
    bool gone;                  /* and nothing is left of it */
    bool acknowledged, told_exit, told_gone, killing, finishing, dead;
    int64_t start_ns, end_ns, gone_ns;
    int status;                 /* as of wait(2) */
    struct usage ended, total;  /* the program with the children it waited for; all that there were */
    char failure[160];
    pid_t pid;
    uint64_t mark;
    struct stream streams[3];
    struct buffer input;
    uint64_t accepted;          /* bytes of input ever taken */
    bool input_ended;
    struct invocation *next;
};

extern struct invocation *invocations;
extern int epoll_fd;
extern struct connection *driver;

/* init.c */
void watch(struct source *source, uint32_t events);
void unwatch(struct source *source);
void flush_out(struct connection *connection);
size_t begin_event(struct connection *connection, const char *event);
void refuse(struct connection *connection, const struct message *asked, const char *fault);
void answer_ok(struct connection *connection, const struct message *asked);
size_t begin_answer(struct connection *connection, const struct message *asked);
void end_message(struct connection *connection, size_t began);

/* invocation.c */
struct invocation *invocation_named(const char *name);
void invocation_spawn(struct connection *connection, const struct message *asked);
void invocation_signal(struct connection *connection, const struct message *asked);
void invocation_input(struct connection *connection, const struct message *asked);
void invocation_resize(struct connection *connection, const struct message *asked);
void invocation_adopt(struct connection *connection, const struct message *asked);
void invocation_acknowledge(struct connection *connection, const struct message *asked);
void invocations_report(int reports);
void invocations_reap(int reports);         /* children that ended */
void invocations_tell(void);               /* everything the driver has not been told; after it attached */
void invocations_unblock(struct connection *connection);
void invocations_orphan(struct connection *connection);
bool invocations_kill_again(void);         /* true while there is something that is being killed */
void invocations_bury(void);
void stream_ready(struct stream *stream, uint32_t events);

/* petition.c */
void petition_take(struct connection *connection, const struct message *asked);
void petition_answer(struct connection *connection, const struct message *asked);
void petitions_tell(void);
void petitions_orphan(const struct connection *connection);

/* files.c */
bool directory_empty(const char *path);
bool file_command(struct connection *connection, const struct message *asked, const char *operation);

int init_main(int count, const int *ports);

#endif
